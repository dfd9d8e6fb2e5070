"""ResNets: residual networks for ImageNet, their variant for small images, and the ones made for CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import fastnn.nn.functional as F
from fastnn import nn

from .._checks import as_int
from .blocks import init_convolutions
from .registry import features_after, register, register_sized

__all__ = [
    "BasicBlock", "Bottleneck", "ResNet", "resnet18", "resnet20", "resnet32", "resnet34", "resnet44", "resnet50",
    "resnet56", "resnet101", "resnet110", "resnet152",
]  # fmt: skip


def _conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut: ``relu(x + bn2(conv2(relu(bn1(conv1(x))))))``.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    width : int
        Channels of both convolutions.
    stride : int, default 1
        Stride of the first convolution.
    downsample : Module, optional
        What brings the shortcut to the output's shape; nothing where it has that shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import BasicBlock
    >>> BasicBlock(16, 16)(np.zeros((2, 16, 8, 8), np.float32)).shape
    (2, 16, 8, 8)
    """

    expansion: ClassVar[int] = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        """Return the block's output for maps (N, in_channels, H, W)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + shortcut)


class Bottleneck(nn.Module):
    """Convolutions of 1 x 1, 3 x 3 and 1 x 1 around a shortcut; the last has four times the width.

    The stride is the 3 x 3 convolution's ("version 1.5"), not the first's as in the paper: half a per cent more
    accurate at the same number of parameters.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    width : int
        Channels of the 3 x 3 convolution.
    stride : int, default 1
        Stride of the 3 x 3 convolution.
    downsample : Module, optional
        What brings the shortcut to the output's shape; nothing where it has that shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import Bottleneck
    >>> Bottleneck(64, 16)(np.zeros((2, 64, 8, 8), np.float32)).shape
    (2, 64, 8, 8)
    """

    expansion: ClassVar[int] = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = downsample

    def forward(self, x: Any) -> Any:
        """Return the block's output for maps (N, in_channels, H, W)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + shortcut)


class _PaddedShortcut(nn.Module):
    """Every ``stride``-th pixel, with channels of zeros added at the end: the paper's option A, without parameters."""

    def __init__(self, added: int, stride: int) -> None:
        super().__init__()
        self.added, self.stride = added, stride

    def forward(self, x: Any) -> Any:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))

    def extra_repr(self) -> str:
        return f"added={self.added}, stride={self.stride}"


class ResNet(nn.Module):
    """ResNet (He, Zhang, Ren, Sun; "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385).

    A stem, stages of residual blocks, the mean over what is left of the image, and one linear layer. Each stage after
    the first halves the sides and doubles the channels. A block learns what to add to its input, y = relu(x + f(x)):
    gradients reach early layers undiminished. The names in its state are torchvision's.

    Parameters
    ----------
    block : type
        `BasicBlock` or `Bottleneck`.
    layers : sequence of int
        Blocks in each stage.
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    cifar : bool, default False
        The variant for images of about 32 x 32: the stem is a 3 x 3 convolution, without stride and pooling.
    width : int, default 64
        Channels of the first stage.
    padded_shortcuts : bool, default False
        Where shapes change, shortcuts that add channels of zeros in place of 1 x 1 convolutions.
    zero_init_residual : bool, default False
        Start from blocks that pass their input on: the last batch norm of each has weight 0 (Goyal et al., 2017).

    Notes
    -----
    Shape: input (N, in_channels, H, W), output (N, num_classes); H and W are 224 in the paper, 32 with ``cifar``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import BasicBlock, ResNet
    >>> model = ResNet(BasicBlock, (1, 1, 1), num_classes=10, cifar=True, width=16)
    >>> model(np.zeros((2, 3, 32, 32), np.float32)).shape, sum(p.data.size for p in model.parameters())
    ((2, 10), 78042)
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        cifar: bool = False,
        width: int = 64,
        padded_shortcuts: bool = False,
        zero_init_residual: bool = False,
    ) -> None:
        super().__init__()
        if not (isinstance(block, type) and hasattr(block, "expansion")):
            raise TypeError(f"ResNet: expected block to be BasicBlock or Bottleneck, got {block!r}")
        if not isinstance(layers, Sequence) or not layers:
            raise ValueError(f"ResNet: expected layers as the blocks of each stage, at least one, got {layers!r}")
        for i, count in enumerate(layers):
            as_int(f"ResNet's layers[{i}]", count, 1)
        self.conv1 = (
            _conv3x3(in_channels, width) if cifar else nn.Conv2d(in_channels, width, 7, 2, padding=3, bias=False)
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool: nn.Module = nn.Identity() if cifar else nn.MaxPool2d(3, 2, padding=1)
        self.stages, channels = len(layers), width
        for i, count in enumerate(layers):
            stride, out_channels = (1 if i == 0 else 2), width * 2**i * block.expansion
            shortcut = _shortcut(channels, out_channels, stride, padded_shortcuts)
            first = block(channels, width * 2**i, stride, shortcut)
            others = [block(out_channels, width * 2**i) for _ in range(count - 1)]
            self.add_module(f"layer{i + 1}", nn.Sequential(first, *others))
            channels = out_channels
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, num_classes)
        init_convolutions(self)
        if zero_init_residual:
            _silence(self)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for i in range(1, self.stages + 1):
            x = getattr(self, f"layer{i}")(x)
        return self.fc(self.avgpool(x).flatten(1))


def _shortcut(channels: int, out_channels: int, stride: int, padded: bool) -> nn.Module | None:
    """Return what brings a block's input to its output's shape, or None where it has that shape."""
    if stride == 1 and channels == out_channels:
        return None
    if padded:
        return _PaddedShortcut(out_channels - channels, stride)
    return nn.Sequential(nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


def _silence(model: nn.Module) -> None:
    for block in model.modules():
        if isinstance(block, (BasicBlock, Bottleneck)):
            last = block.bn3 if isinstance(block, Bottleneck) else block.bn2
            if last.weight is not None:
                nn.init.zeros_(last.weight)


# ---- for ImageNet, and with cifar=True for small images ----


@register_sized(least=32, least_small=8)
def resnet18(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> ResNet:
    """Return ResNet-18: basic blocks (2, 2, 2, 2), 11,689,512 parameters; arguments as `ResNet`.

    Examples
    --------
    >>> from fastnn import models
    >>> models.resnet18(num_classes=10, cifar=True).fc
    Linear(in_features=512, out_features=10, bias=True)
    """
    return ResNet(BasicBlock, (2, 2, 2, 2), num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def resnet34(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> ResNet:
    """Return ResNet-34: basic blocks (3, 4, 6, 3), 21,797,672 parameters; use as `resnet18`."""
    return ResNet(BasicBlock, (3, 4, 6, 3), num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def resnet50(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> ResNet:
    """Return ResNet-50: bottlenecks (3, 4, 6, 3), 25,557,032 parameters; use as `resnet18`."""
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def resnet101(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> ResNet:
    """Return ResNet-101: bottlenecks (3, 4, 23, 3), 44,549,160 parameters; use as `resnet18`."""
    return ResNet(Bottleneck, (3, 4, 23, 3), num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def resnet152(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> ResNet:
    """Return ResNet-152: bottlenecks (3, 8, 36, 3), 60,192,808 parameters; use as `resnet18`."""
    return ResNet(Bottleneck, (3, 8, 36, 3), num_classes, in_channels, cifar)


# ---- for CIFAR-10 (section 4.2 of the paper): 6 n + 2 layers, stages of 16, 32 and 64 channels ----


def _cifar_resnet(blocks: int, num_classes: int, in_channels: int, image_size: Any) -> ResNet:
    features_after("ResNet", image_size, 4, int)
    layers = (blocks, blocks, blocks)
    return ResNet(BasicBlock, layers, num_classes, in_channels, cifar=True, width=16, padded_shortcuts=True)


@register("resnet20")
def resnet20(num_classes: int = 10, in_channels: int = 3, image_size: Any = 32) -> ResNet:
    """Return the ResNet-20 made for CIFAR-10, 269,722 parameters; 8.75 % error in the paper.

    Three stages of three basic blocks with 16, 32 and 64 channels, on shortcuts without parameters.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    image_size : int or (int, int), default 32
        Height and width of the images, at least 4; the network is the same for all.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import models
    >>> model = models.resnet20()
    >>> model(np.zeros((2, 3, 32, 32), np.float32)).shape, sum(p.data.size for p in model.parameters())
    ((2, 10), 269722)
    """
    return _cifar_resnet(3, num_classes, in_channels, image_size)


@register("resnet32")
def resnet32(num_classes: int = 10, in_channels: int = 3, image_size: Any = 32) -> ResNet:
    """Return the ResNet-32 made for CIFAR-10, 464,154 parameters (7.51 % error); use as `resnet20`."""
    return _cifar_resnet(5, num_classes, in_channels, image_size)


@register("resnet44")
def resnet44(num_classes: int = 10, in_channels: int = 3, image_size: Any = 32) -> ResNet:
    """Return the ResNet-44 made for CIFAR-10, 658,586 parameters (7.17 % error); use as `resnet20`."""
    return _cifar_resnet(7, num_classes, in_channels, image_size)


@register("resnet56")
def resnet56(num_classes: int = 10, in_channels: int = 3, image_size: Any = 32) -> ResNet:
    """Return the ResNet-56 made for CIFAR-10, 853,018 parameters (6.97 % error); use as `resnet20`."""
    return _cifar_resnet(9, num_classes, in_channels, image_size)


@register("resnet110")
def resnet110(num_classes: int = 10, in_channels: int = 3, image_size: Any = 32) -> ResNet:
    """Return the ResNet-110 made for CIFAR-10, 1,727,962 parameters (6.43 % error); use as `resnet20`."""
    return _cifar_resnet(18, num_classes, in_channels, image_size)
