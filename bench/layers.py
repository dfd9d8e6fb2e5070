"""Every convolution of the networks that the benchmarks speak of, as data: geometry and how often it occurs.

``layers("resnet50")`` gives the distinct layers of one network, ``distinct(...)`` those of several, equal ones once.
Sizes are those of the networks' papers (images of 224, AlexNet's 227 or 224 as torchvision trains it, LeNet's 28).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["DILATED", "GROUPED", "NETWORKS", "Layer", "distinct", "layers"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution on square maps with square kernels; the batch is the caller's."""

    ic: int
    size: int  # height and width of the input
    oc: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    dilation: int = 1

    @property
    def out(self) -> int:
        """Height and width of the output."""
        return (self.size + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1

    @property
    def name(self) -> str:
        """A name that says the geometry: 3x3s2 64>128 @56."""
        text = f"{self.kernel}x{self.kernel}"
        text += f"s{self.stride}" * (self.stride > 1) + f"d{self.dilation}" * (self.dilation > 1)
        text += f"p{self.padding}" * (self.padding != self.kernel // 2 * self.dilation)
        text += f"g{self.groups}" * (self.groups > 1)
        return f"{text} {self.ic}>{self.oc} @{self.size}"

    @property
    def depthwise(self) -> bool:
        """Whether each channel is filtered by itself."""
        return self.groups > 1 and self.groups == self.ic

    def flops(self, batch: int) -> float:
        """FLOPs of one pass."""
        return 2.0 * batch * self.out**2 * self.oc * (self.ic // self.groups) * self.kernel**2

    def attrs(self) -> dict[str, object]:
        """The attributes that the primitives take."""
        return {
            "stride": (self.stride,) * 2,
            "padding": (self.padding,) * 4,
            "dilation": (self.dilation,) * 2,
            "groups": self.groups,
            "algorithm": "auto",
        }


def lenet5() -> Iterator[Layer]:
    yield Layer(1, 28, 6, 5, padding=2)
    yield Layer(6, 14, 16, 5)


def garment() -> Iterator[Layer]:
    yield Layer(1, 28, 6, 5)
    yield Layer(6, 12, 16, 5)


def alexnet() -> Iterator[Layer]:
    """The two towers of the paper, as groups."""
    yield Layer(3, 227, 96, 11, 4)
    yield Layer(96, 27, 256, 5, padding=2, groups=2)
    yield Layer(256, 13, 384, 3, padding=1)
    yield Layer(384, 13, 384, 3, padding=1, groups=2)
    yield Layer(384, 13, 256, 3, padding=1, groups=2)


def alexnet_one() -> Iterator[Layer]:
    """The single tower that torchvision trains."""
    yield Layer(3, 224, 64, 11, 4, 2)
    yield Layer(64, 27, 192, 5, padding=2)
    yield Layer(192, 13, 384, 3, padding=1)
    yield Layer(384, 13, 256, 3, padding=1)
    yield Layer(256, 13, 256, 3, padding=1)


def vgg16() -> Iterator[Layer]:
    ic, size = 3, 224
    for oc, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            yield Layer(ic, size, oc, 3, padding=1)
            ic = oc
        size //= 2


def googlenet() -> Iterator[Layer]:
    yield Layer(3, 224, 64, 7, 2, 3)
    yield Layer(64, 56, 64, 1)
    yield Layer(64, 56, 192, 3, padding=1)
    # ic, size, then the widths of 1x1, 3x3 with its reduction, 5x5 with its reduction, and after the pooling
    modules = (
        (192, 28, 64, 96, 128, 16, 32, 32),
        (256, 28, 128, 128, 192, 32, 96, 64),
        (480, 14, 192, 96, 208, 16, 48, 64),
        (512, 14, 160, 112, 224, 24, 64, 64),
        (512, 14, 128, 128, 256, 24, 64, 64),
        (512, 14, 112, 144, 288, 32, 64, 64),
        (528, 14, 256, 160, 320, 32, 128, 128),
        (832, 7, 256, 160, 320, 32, 128, 128),
        (832, 7, 384, 192, 384, 48, 128, 128),
    )
    for ic, size, one, reduce3, three, reduce5, five, pooled in modules:
        for oc in (one, reduce3, reduce5, pooled):
            yield Layer(ic, size, oc, 1)
        yield Layer(reduce3, size, three, 3, padding=1)
        yield Layer(reduce5, size, five, 5, padding=2)


def resnet_basic(blocks: tuple[int, ...]) -> Iterator[Layer]:
    yield Layer(3, 224, 64, 7, 2, 3)
    ic, size = 64, 56
    for stage, count in enumerate(blocks):
        oc = 64 << stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            if ic != oc:
                yield Layer(ic, size, oc, 1, stride)
            yield Layer(ic, size, oc, 3, stride, 1)
            ic, size = oc, size // stride
            yield Layer(oc, size, oc, 3, padding=1)


def resnet50() -> Iterator[Layer]:
    """Version 1.5: a stage's stride is in its first 3x3."""
    yield Layer(3, 224, 64, 7, 2, 3)
    ic, size = 64, 56
    for stage, count in enumerate((3, 4, 6, 3)):
        width, oc = 64 << stage, 256 << stage
        for block in range(count):
            stride = 2 if stage and not block else 1
            if ic != oc:
                yield Layer(ic, size, oc, 1, stride)
            yield Layer(ic, size, width, 1)
            yield Layer(width, size, width, 3, stride, 1)
            ic, size = oc, size // stride
            yield Layer(width, size, oc, 1)


def mobilenet_v2() -> Iterator[Layer]:
    yield Layer(3, 224, 32, 3, 2, 1)
    ic, size = 32, 112
    settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    for expand, oc, count, first in settings:
        for block in range(count):
            stride, width = first if not block else 1, ic * expand
            if expand > 1:
                yield Layer(ic, size, width, 1)
            yield Layer(width, size, width, 3, stride, 1, width)
            ic, size = oc, size // stride
            yield Layer(width, size, oc, 1)
    yield Layer(320, 7, 1280, 1)


def efficientnet_b0() -> Iterator[Layer]:
    yield Layer(3, 224, 32, 3, 2, 1)
    ic, size = 32, 112
    settings = (
        (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
    )  # fmt: skip
    for expand, oc, count, first, kernel in settings:
        for block in range(count):
            stride, width = first if not block else 1, ic * expand
            if expand > 1:
                yield Layer(ic, size, width, 1)
            yield Layer(width, size, width, kernel, stride, kernel // 2, width)
            size //= stride
            yield Layer(width, 1, ic // 4, 1)  # squeeze and excite
            yield Layer(ic // 4, 1, width, 1)
            yield Layer(width, size, oc, 1)
            ic = oc
    yield Layer(320, 7, 1280, 1)


NETWORKS: dict[str, Callable[[], Iterator[Layer]]] = {
    "lenet5": lenet5,
    "garment": garment,
    "alexnet": alexnet,
    "alexnet_one": alexnet_one,
    "vgg16": vgg16,
    "googlenet": googlenet,
    "resnet18": lambda: resnet_basic((2, 2, 2, 2)),
    "resnet34": lambda: resnet_basic((3, 4, 6, 3)),
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_b0": efficientnet_b0,
}

# Dilated and grouped layers that none of the networks has: DeepLab's last stages, ResNeXt-50 32x4d's.
DILATED = (Layer(256, 28, 256, 3, 1, 2, 1, 2), Layer(512, 28, 512, 3, 1, 2, 1, 2), Layer(512, 14, 512, 3, 1, 4, 1, 4))
GROUPED = tuple(Layer(128 << i, 56 >> i, 128 << i, 3, padding=1, groups=32) for i in range(4))


def layers(network: str) -> dict[Layer, int]:
    """Return the distinct convolutions of a network, in its order, each with how often it occurs."""
    return dict(Counter(NETWORKS[network]()))


def distinct(*networks: str) -> dict[Layer, int]:
    """Return the distinct convolutions of several networks, each with how often it occurs in all of them."""
    total: Counter[Layer] = Counter()
    for network in networks:
        total.update(layers(network))
    return dict(total)
