"""The kernels that are measured: one table for the pytest suites and for the comparison with the peers.

Products and convolutions are here, what memory bounds is in `memory_cases`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bound import channels_last
from checks import check_convolution, check_product
from kernel import Kernel, primitive
from layers import DILATED, GROUPED, Layer, layers
from memory_cases import batch_norm, pointwise, pooling

__all__ = ["SUITES", "kernels"]

Array = np.ndarray
BATCH = 8
LARGE = ("resnet50", "alexnet", "alexnet_one", "vgg16", "googlenet")


def whole(rng: np.random.Generator, *shape: int) -> Array:
    """Whole numbers of one digit: sums of their products are exact."""
    return channels_last(rng.integers(-3, 4, shape).astype(np.float32))


# ---- products ----

SQUARES = (512, 1024, 2048)
SKINNY = ((64, 100, 784), (128, 512, 784), (128, 512, 512), (3136, 64, 576), (784, 512, 4608))
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TAILS = ((100, 10, 84), (64, 10, 128), (33, 17, 129), (255, 31, 65), (1000, 1000, 7), (7, 1000, 1000))


def gemm(batch: int | None) -> Iterator[Kernel]:
    """Linear layers and products, (m, n, k); their sizes are what they are."""
    del batch
    for n in SQUARES:
        for form in ("NT", "NN", "TN"):
            yield product(f"{form} {n}", n, n, n, form, n == 512 and form == "NT")
    for m, n, k in SKINNY + TAILS:
        yield product(f"NT {m}x{n}x{k}", m, n, k, "NT", (m, n, k) == SKINNY[0])
    for m in BATCHES:
        yield product(f"NT {m}x512x784", m, 512, 784, "NT", m == 1)
        yield product(f"NT {m}x1000x2048", m, 1000, 2048, "NT", False)


def product(name: str, m: int, n: int, k: int, form: str, quick: bool) -> Kernel:
    """op(a) op(b): NT is a linear layer, TN the gradient of its weights."""
    attrs = {"transpose_a": form[0] == "T", "transpose_b": form[1] == "T"}
    call = primitive("linear") if form == "NT" else primitive("matmul", **attrs)
    a, b = ((k, m) if attrs["transpose_a"] else (m, k)), ((n, k) if attrs["transpose_b"] else (k, n))
    return Kernel(
        suite="gemm",
        name=name,
        what="linear" if form == "NT" else "matmul",
        call=call,
        operands=lambda rng: [whole(rng, *a), whole(rng, *b)],
        flops=2.0 * m * n * k,
        check=lambda arrays, results: check_product(arrays, results[0], **attrs),
        attrs=attrs,
        whole=True,
        quick=quick,
    )


# ---- convolutions ----

PASSES = {"forward": "conv2d", "bwd-data": "conv2d_bwd_data", "bwd-weights": "conv2d_bwd_weights"}


def convolution(
    suite: str, layer: Layer, batch: int, which: str, algorithm: str, networks: Mapping[str, int], quick: bool
) -> Kernel:
    """One pass over one layer."""
    attrs: dict[str, Any] = {**layer.attrs(), "algorithm": algorithm}
    x = (batch, layer.ic, layer.size, layer.size)
    y = (batch, layer.oc, layer.out, layer.out)
    w = (layer.oc, layer.ic // layer.groups, layer.kernel, layer.kernel)
    shapes = {"forward": (x, w), "bwd-data": (y, w), "bwd-weights": (y, x)}[which]
    if which == "bwd-data":
        attrs["input_size"] = x[2:]
    elif which == "bwd-weights":
        attrs["kernel_size"] = w[2:]

    def operands(rng: np.random.Generator) -> list[Array]:
        # The weights' gradient sums over all pixels: smaller numbers keep it exact.
        return [rng.integers(-1, 2, s).astype(np.float32) if s is w else channels_last(signs(rng, *s)) for s in shapes]

    exact = algorithm == "direct"
    return Kernel(
        suite=suite,
        name=f"{layer.name} b{batch} {which}",
        what=which,
        call=primitive(PASSES[which], **attrs),
        operands=operands,
        flops=layer.flops(batch),
        check=lambda arrays, results: check_convolution(which, layer, arrays, results[0], exact),
        attrs=attrs | {"x": x, "w": w},
        traffic=(depthwise_traffic(which, layer.stride**2),) if layer.depthwise else (),
        each=math.prod(y) if layer.depthwise else 0,
        largest=math.prod(x) if layer.depthwise else 0,
        networks=networks,
        whole=True,
        quick=quick,
    )


def depthwise_traffic(which: str, inputs: int) -> tuple[int, int, int]:
    """Arrays of the output's size that a depthwise convolution reads, updates and writes: ``inputs`` are x."""
    return {"forward": (inputs, 0, 1), "bwd-data": (1, 0, inputs), "bwd-weights": (1 + inputs, 0, 0)}[which]


def signs(rng: np.random.Generator, *shape: int) -> Array:
    """-1, 0 or 1."""
    return rng.integers(-1, 2, shape, np.int8).astype(np.float32)


def counted(networks: tuple[str, ...], keep: Callable[[Layer], bool]) -> dict[Layer, dict[str, int]]:
    """Each distinct layer of the networks that is kept, with how often each network has it."""
    found: dict[Layer, dict[str, int]] = {}
    for network in networks:
        for layer, count in layers(network).items():
            if keep(layer):
                found.setdefault(layer, {})[network] = count
    return found


def conv(batch: int | None) -> Iterator[Kernel]:
    """Direct convolution: every distinct layer of the large networks, dilated and grouped ones."""
    found = counted(LARGE, lambda layer: not layer.depthwise)
    found.update({layer: {"others": 1} for layer in DILATED + GROUPED})
    for layer, networks in found.items():
        for which in PASSES:
            yield convolution(
                "conv", layer, batch or BATCH, which, "direct", networks, layer == Layer(256, 14, 256, 3, 1, 1)
            )


def winograd(batch: int | None) -> Iterator[Kernel]:
    """3x3 stride-1 layers as they are chosen with precision fast, at 224 and with the maps of 32."""

    def keep(layer: Layer) -> bool:
        return layer.kernel == 3 and layer.stride == 1 and layer.ic >= 16

    names = ("vgg16", "resnet18", "resnet34", "resnet50")
    for layer, networks in counted(names, keep).items():
        for which in PASSES:
            yield convolution(
                "winograd", layer, batch or BATCH, which, "auto", networks, layer.size == 14 and layer.ic == 256
            )
    for layer, networks in counted(names, keep).items():
        if layer.size * 32 % 224 == 0:
            small = Layer(layer.ic, layer.size * 32 // 224, layer.oc, 3, 1, 1)
            named = {f"{name}@32": count for name, count in networks.items()}
            for which in PASSES:
                yield convolution("winograd32", small, batch or 64, which, "auto", named, False)


def depthwise(batch: int | None) -> Iterator[Kernel]:
    """Every depthwise layer of MobileNetV2 and EfficientNet-B0."""
    for layer, networks in counted(("mobilenet_v2", "efficientnet_b0"), lambda layer: layer.depthwise).items():
        for which in PASSES:
            quick = layer.size == 14 and layer.kernel == 3
            yield convolution("depthwise", layer, batch or BATCH, which, "direct", networks, quick)


def small(batch: int | None) -> Iterator[Kernel]:
    """The convolutions of LeNet-5 and of GarmentClassifier; the first layer has no gradient for its input."""
    for layer, networks in counted(("lenet5", "garment"), lambda layer: True).items():
        for n in (batch,) if batch else (1, 4, 64):
            for which in PASSES:
                if which != "bwd-data" or layer.ic > 1:
                    yield convolution("small", layer, n, which, "direct", networks, n == 4)


SUITES: dict[str, Callable[[int | None], Iterator[Kernel]]] = {
    "gemm": gemm,
    "conv": conv,
    "winograd": winograd,
    "depthwise": depthwise,
    "small": small,
    "batch_norm": batch_norm,
    "pooling": pooling,
    "pointwise": pointwise,
}


def kernels(*suites: str, quick: bool = False, batch: int | None = None) -> list[Kernel]:
    """Return the kernels of some suites (of all, where none is named).

    With ``quick`` a few of each; ``batch`` replaces the batches of convolutions.
    """
    chosen = [kernel for name in suites or SUITES for kernel in SUITES[name](batch)]
    return [kernel for kernel in chosen if kernel.quick or not quick]
