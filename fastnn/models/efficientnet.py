"""EfficientNet-B0 to -B7: one network, scaled in depth, width and resolution together."""

from __future__ import annotations

import functools
import math
from typing import Any, ClassVar, NamedTuple

from .. import nn
from .._checks import as_float
from .blocks import as_factor, conv_norm_activation, init_convolutions, rounded_width
from .registry import register_sized

__all__ = [
    "EfficientNet", "MBConv", "Scaling", "SqueezeExcitation", "compound_scaling", "efficientnet_b0", "efficientnet_b1",
    "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
]  # fmt: skip


class Scaling(NamedTuple):
    """Factors on the layers of each stage and on the channels, and the side of the images.

    Parameters
    ----------
    depth, width : float
        Factors on the layers of B0's stages and on its channels.
    resolution : int
        Side of the images.

    Examples
    --------
    >>> from fastnn.models import Scaling
    >>> Scaling(1.0, 1.0, 224).resolution
    224
    """

    depth: float
    width: float
    resolution: int


LARGEST_PHI = 100


def compound_scaling(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> Scaling:
    """Return B0 scaled by one coefficient: depth alpha ** phi, width beta ** phi, resolution 224 * gamma ** phi.

    With ``alpha * beta ** 2 * gamma ** 2`` near 2, each unit of phi doubles the multiply-adds. The defaults are what
    a grid search at phi = 1 found (section 3.3 of the paper). The published B1 to B7 follow phi = 0.5, 1, 2, ... 6,
    rounded by hand: `EfficientNet.scalings` has their numbers.

    Parameters
    ----------
    phi : float
        How many times the operations may double.
    alpha, beta, gamma : float
        Bases of depth, width and resolution.

    Raises
    ------
    ValueError
        For a phi beyond 100 either way, or a base that is not above 0.

    Examples
    --------
    >>> from fastnn.models import EfficientNet, compound_scaling
    >>> [round(value, 2) for value in compound_scaling(2)], tuple(EfficientNet.scalings["b3"])
    ([1.44, 1.21, 296], (1.4, 1.2, 300))
    """
    power = as_float("phi", phi)
    if not -LARGEST_PHI <= power <= LARGEST_PHI:
        raise ValueError(f"compound_scaling: expected phi from -{LARGEST_PHI} to {LARGEST_PHI}, got {phi}")
    alpha, beta, gamma = (
        as_factor("compound_scaling", name, base) for name, base in (("alpha", alpha), ("beta", beta), ("gamma", gamma))
    )
    return Scaling(alpha**power, beta**power, round(224 * gamma**power))


class _Stage(NamedTuple):
    expand_ratio: int
    kernel_size: int
    stride: int
    channels: int
    layers: int


# B0: the paper's table 1.
STEM = 32
STAGES = (
    _Stage(1, 3, 1, 16, 1),
    _Stage(6, 3, 2, 24, 2),
    _Stage(6, 5, 2, 40, 2),
    _Stage(6, 3, 2, 80, 3),
    _Stage(6, 5, 1, 112, 3),
    _Stage(6, 5, 2, 192, 4),
    _Stage(6, 3, 1, 320, 1),
)


class SqueezeExcitation(nn.Module):
    """Scale each channel by a number in (0, 1) that two 1 x 1 convolutions make of all channels' means.

    Hu, Shen, Sun; "Squeeze-and-Excitation Networks", CVPR 2018: ``x * sigmoid(fc2(silu(fc1(mean of x))))``.

    Parameters
    ----------
    channels : int
        Channels of the maps.
    squeezed : int
        Channels between the two convolutions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import SqueezeExcitation
    >>> SqueezeExcitation(16, 4)(np.zeros((2, 16, 8, 8), np.float32)).shape
    (2, 16, 8, 8)
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.SiLU()
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Any) -> Any:
        """Return the maps (N, channels, H, W), scaled."""
        return x * self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))


class MBConv(nn.Module):
    """MobileNetV2's inverted residual with squeeze-and-excitation, SiLU and stochastic depth.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels at both ends.
    kernel_size, stride : int
        Of the depthwise convolution.
    expand_ratio : int
        How many times wider the middle is; 1 leaves out the first convolution.
    drop : float, default 0.0
        Probability that training skips the block for a sample; the input is added where shapes agree.
    norm : callable, default nn.BatchNorm2d
        Makes the norm of a number of channels.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import MBConv
    >>> MBConv(16, 24, kernel_size=5, stride=2, expand_ratio=6)(np.zeros((2, 16, 8, 8), np.float32)).shape
    (2, 24, 4, 4)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        expand_ratio: int,
        drop: float = 0.0,
        norm: Any = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        middle = in_channels * expand_ratio
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(conv_norm_activation(in_channels, middle, 1, norm=norm, activation=nn.SiLU))
        layers += [
            conv_norm_activation(middle, middle, kernel_size, stride, middle, norm, nn.SiLU),
            SqueezeExcitation(middle, max(1, in_channels // 4)),
            conv_norm_activation(middle, out_channels, 1, norm=norm, activation=None),
        ]
        self.block = nn.Sequential(*layers)
        self.stochastic_depth = nn.StochasticDepth(drop, "row")
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, x: Any) -> Any:
        """Return the block's output for maps (N, in_channels, H, W)."""
        return x + self.stochastic_depth(self.block(x)) if self.adds_input else self.block(x)


class EfficientNet(nn.Module):
    """EfficientNet (Tan & Le, "Rethinking Model Scaling for CNNs", ICML 2019, arXiv:1905.11946).

    A stem, seven stages of `MBConv` blocks, a 1 x 1 convolution, the mean over what is left of the image, and one
    linear layer. Every block's probability of being skipped grows with its depth. The names in its state are
    torchvision's.

    Parameters
    ----------
    width_mult, depth_mult : float, default 1.0
        Factors on channels (rounded to multiples of 8) and on layers of a stage (rounded up); `compound_scaling`.
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    cifar : bool, default False
        The variant for images of about 32 x 32: the stem and the second stage keep the size.
    dropout : float, default 0.2
        Probability of zero before the linear layer.
    stochastic_depth : float, default 0.2
        What the probability of skipping a block rises to from 0.
    norm : callable, default nn.BatchNorm2d
        Makes the norm of a number of channels.

    Attributes
    ----------
    scalings : dict of str to Scaling
        The published factors and image sizes of b0 to b7.

    Notes
    -----
    Shape: input (N, in_channels, H, W), output (N, num_classes); H and W are 224 for B0, 32 with ``cifar``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import EfficientNet
    >>> model = EfficientNet(width_mult=0.5, depth_mult=0.5, num_classes=10, cifar=True)
    >>> model(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """

    scalings: ClassVar[dict[str, Scaling]] = {
        "b0": Scaling(1.0, 1.0, 224),
        "b1": Scaling(1.1, 1.0, 240),
        "b2": Scaling(1.2, 1.1, 260),
        "b3": Scaling(1.4, 1.2, 300),
        "b4": Scaling(1.8, 1.4, 380),
        "b5": Scaling(2.2, 1.6, 456),
        "b6": Scaling(2.6, 1.8, 528),
        "b7": Scaling(3.1, 2.0, 600),
    }

    def __init__(
        self,
        width_mult: float = 1.0,
        depth_mult: float = 1.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        cifar: bool = False,
        dropout: float = 0.2,
        stochastic_depth: float = 0.2,
        norm: Any = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        width_mult = as_factor("EfficientNet", "width_mult", width_mult)
        depth_mult = as_factor("EfficientNet", "depth_mult", depth_mult)
        counts = [math.ceil(stage.layers * depth_mult) for stage in STAGES]
        channels, total, made = rounded_width(STEM * width_mult), sum(counts), 0
        stem = conv_norm_activation(in_channels, channels, 3, 1 if cifar else 2, norm=norm, activation=nn.SiLU)
        stages: list[nn.Module] = []
        for number, (stage, count) in enumerate(zip(STAGES, counts, strict=True)):
            out_channels = rounded_width(stage.channels * width_mult)
            first_stride = 1 if cifar and number == 1 else stage.stride
            blocks = []
            for i in range(count):
                stride, drop = (first_stride if i == 0 else 1), stochastic_depth * made / total
                block = MBConv(channels, out_channels, stage.kernel_size, stride, stage.expand_ratio, drop, norm)
                blocks.append(block)
                channels, made = out_channels, made + 1
            stages.append(nn.Sequential(*blocks))
        top = conv_norm_activation(channels, 4 * channels, 1, norm=norm, activation=nn.SiLU)
        self.features = nn.Sequential(stem, *stages, top)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * channels, num_classes))
        init_convolutions(self)
        _init_last(self.classifier[1])

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _init_last(layer: nn.Linear) -> None:
    """Draw the last layer as the paper's code does: uniformly from +-1 / sqrt(outputs)."""
    bound = 1.0 / math.sqrt(layer.out_features)
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


DROPOUT = {"b0": 0.2, "b1": 0.2, "b2": 0.3, "b3": 0.3, "b4": 0.4, "b5": 0.4, "b6": 0.5, "b7": 0.5}

# Torchvision's B5 to B7 carry weights trained in TensorFlow, with its settings of batch norm.
_SLOW_NORM = functools.partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


def _published(name: str, num_classes: int, in_channels: int, cifar: bool) -> EfficientNet:
    scaling = EfficientNet.scalings[name]
    norm: Any = _SLOW_NORM if name in ("b5", "b6", "b7") else nn.BatchNorm2d
    return EfficientNet(scaling.width, scaling.depth, num_classes, in_channels, cifar, DROPOUT[name], norm=norm)


@register_sized(least=32, least_small=8)
def efficientnet_b0(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> EfficientNet:
    """Return EfficientNet-B0, 5,288,548 parameters; arguments as `EfficientNet`.

    Examples
    --------
    >>> from fastnn import models
    >>> models.efficientnet_b0(num_classes=10).classifier[1]
    Linear(in_features=1280, out_features=10, bias=True)
    """
    return _published("b0", num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def efficientnet_b1(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> EfficientNet:
    """Return EfficientNet-B1, 7,794,184 parameters; use as `efficientnet_b0`."""
    return _published("b1", num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def efficientnet_b2(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> EfficientNet:
    """Return EfficientNet-B2, 9,109,994 parameters; use as `efficientnet_b0`."""
    return _published("b2", num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def efficientnet_b3(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> EfficientNet:
    """Return EfficientNet-B3, 12,233,232 parameters; use as `efficientnet_b0`."""
    return _published("b3", num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def efficientnet_b4(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> EfficientNet:
    """Return EfficientNet-B4, 19,341,616 parameters; use as `efficientnet_b0`."""
    return _published("b4", num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def efficientnet_b5(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> EfficientNet:
    """Return EfficientNet-B5, 30,389,784 parameters; use as `efficientnet_b0`."""
    return _published("b5", num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def efficientnet_b6(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> EfficientNet:
    """Return EfficientNet-B6, 43,040,704 parameters; use as `efficientnet_b0`."""
    return _published("b6", num_classes, in_channels, cifar)


@register_sized(least=32, least_small=8)
def efficientnet_b7(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> EfficientNet:
    """Return EfficientNet-B7, 66,347,960 parameters; use as `efficientnet_b0`."""
    return _published("b7", num_classes, in_channels, cifar)
