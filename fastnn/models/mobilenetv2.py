"""MobileNetV2: depthwise convolutions between narrow ends."""

from __future__ import annotations

from typing import Any

from .. import nn
from .blocks import as_factor, conv_norm_activation, init_convolutions, init_linears, rounded_width
from .registry import register_sized

__all__ = ["InvertedResidual", "MobileNetV2", "mobilenet_v2"]

# Expansion t, channels c, blocks n, stride s of the first of them: the paper's table 2.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """1 x 1 to ``expand_ratio`` times the channels, 3 x 3 depthwise, and 1 x 1 back without an activation.

    The input is added where the output has its shape.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels at both ends.
    stride : int
        Stride of the depthwise convolution.
    expand_ratio : int
        How many times wider the middle is; 1 leaves out the first convolution.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import InvertedResidual
    >>> InvertedResidual(16, 16, stride=1, expand_ratio=6)(np.zeros((2, 16, 8, 8), np.float32)).shape
    (2, 16, 8, 8)
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        middle = in_channels * expand_ratio
        layers: list[nn.Module] = []
        if expand_ratio != 1:
            layers.append(conv_norm_activation(in_channels, middle, 1, activation=nn.ReLU6))
        layers += [
            conv_norm_activation(middle, middle, 3, stride, groups=middle, activation=nn.ReLU6),
            nn.Conv2d(middle, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.conv = nn.Sequential(*layers)
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, x: Any) -> Any:
        """Return the block's output for maps (N, in_channels, H, W)."""
        return x + self.conv(x) if self.adds_input else self.conv(x)


class MobileNetV2(nn.Module):
    """MobileNetV2 (Sandler et al., "Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381).

    A depthwise convolution, which keeps channels apart, and a 1 x 1 convolution, which mixes them, replace a full
    one at about an eighth of its operations. The names in its state are torchvision's.

    Parameters
    ----------
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    cifar : bool, default False
        The variant for images of about 32 x 32: the stem and the second stage keep the size.
    width_mult : float, default 1.0
        Factor on all numbers of channels, which are rounded to multiples of 8.
    dropout : float, default 0.2
        Probability of zero before the linear layer.

    Notes
    -----
    Shape: input (N, in_channels, H, W), output (N, num_classes); H and W are 224 in the paper, 32 with ``cifar``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import MobileNetV2
    >>> MobileNetV2(num_classes=10, cifar=True, width_mult=0.25)(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        cifar: bool = False,
        width_mult: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        width_mult = as_factor("MobileNetV2", "width_mult", width_mult)
        channels = rounded_width(32 * width_mult)
        layers = [conv_norm_activation(in_channels, channels, 3, 1 if cifar else 2, activation=nn.ReLU6)]
        blocks: list[nn.Module] = []
        for stage, (expand_ratio, width, count, stride) in enumerate(STAGES):
            out_channels = rounded_width(width * width_mult)
            for i in range(count):
                step = 1 if i > 0 or (cifar and stage == 1) else stride
                blocks.append(InvertedResidual(channels, out_channels, step, expand_ratio))
                channels = out_channels
        last = rounded_width(1280 * max(1.0, width_mult))
        top = conv_norm_activation(channels, last, 1, activation=nn.ReLU6)
        self.features = nn.Sequential(*layers, *blocks, top)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        init_convolutions(self)
        init_linears(self)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.classifier(self.features(x).mean((2, 3)))


@register_sized(least=32, least_small=8)
def mobilenet_v2(
    num_classes: int = 1000, in_channels: int = 3, cifar: bool = False, width_mult: float = 1.0
) -> MobileNetV2:
    """Return MobileNetV2, 3,504,872 parameters; arguments as `MobileNetV2`.

    Examples
    --------
    >>> from fastnn import models
    >>> models.mobilenet_v2(num_classes=10).classifier[1]
    Linear(in_features=1280, out_features=10, bias=True)
    """
    return MobileNetV2(num_classes, in_channels, cifar, width_mult)
