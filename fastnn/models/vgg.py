"""VGG-11, -13, -16 and -19: stacks of 3 x 3 convolutions, with and without batch norm."""

from __future__ import annotations

from typing import Any

from .. import nn
from .blocks import init_convolutions, init_linears
from .registry import register_sized

__all__ = ["VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]

WIDTHS = (64, 128, 256, 512, 512)

# Convolutions in each of the five stages, by the number of layers with weights (the paper's table 1: A, B, D, E).
STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(nn.Module):
    """VGG (Simonyan & Zisserman, "Very Deep Convolutional Networks ...", ICLR 2015, arXiv:1409.1556).

    Five stages of 3 x 3 convolutions with 64, 128, 256, 512 and 512 maps, each closed by a 2 x 2 max pooling, then
    linear layers of 4096, 4096 and ``num_classes`` with dropout. Two 3 x 3 convolutions see 5 x 5 pixels, three see
    7 x 7, with fewer weights and more nonlinearities than one large kernel. The names in its state are torchvision's.

    Parameters
    ----------
    depth : {11, 13, 16, 19}
        Layers with weights.
    batch_norm : bool, default False
        Batch norm between each convolution and its ReLU.
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    cifar : bool, default False
        The variant for images of about 32 x 32: no 7 x 7 maps, one linear layer from 512 to ``num_classes``.
    dropout : float, default 0.5
        Probability of zero after the hidden linear layers.

    Notes
    -----
    Shape: input (N, in_channels, H, W), output (N, num_classes); H and W are 224 in the paper and at least 32.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import VGG
    >>> model = VGG(11, batch_norm=True, num_classes=10, cifar=True)
    >>> model(np.zeros((2, 3, 32, 32), np.float32)).shape, sum(p.data.size for p in model.parameters())
    ((2, 10), 9231114)
    """

    def __init__(
        self,
        depth: int,
        batch_norm: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        cifar: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if depth not in STAGES:
            raise ValueError(f"VGG: expected depth to be one of {', '.join(map(str, STAGES))}, got {depth!r}")
        self.features = _features(STAGES[depth], in_channels, batch_norm)
        self.avgpool = nn.AdaptiveAvgPool2d(1 if cifar else 7)
        if cifar:
            self.classifier: nn.Module = nn.Linear(512, num_classes)
        else:
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, 4096),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(4096, 4096),
                nn.ReLU(),
                nn.Dropout(dropout),
                nn.Linear(4096, num_classes),
            )
        init_convolutions(self)
        init_linears(self)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _features(stages: tuple[int, ...], in_channels: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, count in zip(WIDTHS, stages, strict=True):
        for _ in range(count):
            norm = [nn.BatchNorm2d(width)] if batch_norm else []
            layers += [nn.Conv2d(in_channels, width, 3, padding=1), *norm, nn.ReLU()]
            in_channels = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


@register_sized(least=32, least_small=32)
def vgg11(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> VGG:
    """Return VGG-11, 132,863,336 parameters; arguments as `VGG`.

    Examples
    --------
    >>> from fastnn import models
    >>> models.vgg11(num_classes=10, cifar=True).classifier
    Linear(in_features=512, out_features=10, bias=True)
    """
    return VGG(11, False, num_classes, in_channels, cifar)


@register_sized(least=32, least_small=32)
def vgg11_bn(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> VGG:
    """Return VGG-11 with batch norm, 132,868,840 parameters; use as `vgg11`."""
    return VGG(11, True, num_classes, in_channels, cifar)


@register_sized(least=32, least_small=32)
def vgg13(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> VGG:
    """Return VGG-13, 133,047,848 parameters; use as `vgg11`."""
    return VGG(13, False, num_classes, in_channels, cifar)


@register_sized(least=32, least_small=32)
def vgg13_bn(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> VGG:
    """Return VGG-13 with batch norm, 133,053,736 parameters; use as `vgg11`."""
    return VGG(13, True, num_classes, in_channels, cifar)


@register_sized(least=32, least_small=32)
def vgg16(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> VGG:
    """Return VGG-16, 138,357,544 parameters; use as `vgg11`."""
    return VGG(16, False, num_classes, in_channels, cifar)


@register_sized(least=32, least_small=32)
def vgg16_bn(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> VGG:
    """Return VGG-16 with batch norm, 138,365,992 parameters; use as `vgg11`."""
    return VGG(16, True, num_classes, in_channels, cifar)


@register_sized(least=32, least_small=32)
def vgg19(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> VGG:
    """Return VGG-19, 143,667,240 parameters; use as `vgg11`."""
    return VGG(19, False, num_classes, in_channels, cifar)


@register_sized(least=32, least_small=32)
def vgg19_bn(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> VGG:
    """Return VGG-19 with batch norm, 143,678,248 parameters; use as `vgg11`."""
    return VGG(19, True, num_classes, in_channels, cifar)
