"""Small networks: a linear classifier, a perceptron, and two plain convolutional ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from .. import nn
from .._checks import as_int
from .registry import features_after, register

__all__ = ["CNN32", "MLP", "DigitsCNN", "Softmax"]


@register("softmax")
class Softmax(nn.Module):
    """One linear layer on the pixels: softmax regression, when trained with cross entropy.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images.
    image_size : int or (int, int), default 28
        Height and width of the images.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import Softmax
    >>> Softmax()(np.zeros((2, 1, 28, 28), np.float32)).shape
    (2, 10)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: Any = 28) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels * features_after("Softmax", image_size, 1, int), num_classes)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.fc(x.flatten(1))


@register("mlp")
class MLP(nn.Module):
    """A perceptron on the pixels: hidden layers with ReLU, two of 256 and 128 units unless told otherwise.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images.
    image_size : int or (int, int), default 28
        Height and width of the images.
    hidden : sequence of int, default (256, 128)
        Units of each hidden layer; none make it softmax regression.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import MLP
    >>> MLP()(np.zeros((2, 1, 28, 28), np.float32)).shape
    (2, 10)
    >>> sum(p.data.size for p in MLP(hidden=(512, 512)).parameters())
    669706
    """

    def __init__(
        self, num_classes: int = 10, in_channels: int = 1, image_size: Any = 28, hidden: Sequence[int] = (256, 128)
    ) -> None:
        super().__init__()
        if not isinstance(hidden, Sequence):
            raise TypeError(f"MLP: expected hidden as a list of whole numbers, got {hidden!r}")
        widths = [in_channels * features_after("MLP", image_size, 1, int)]
        widths += [as_int(f"MLP's hidden[{i}]", width, 1) for i, width in enumerate(hidden)]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.layers(x.flatten(1))


@register("digits_cnn")
class DigitsCNN(nn.Module):
    """A small convolutional network for the 8 x 8 digits: three 3 x 3 convolutions with batch norm, one pooling.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images.
    image_size : int or (int, int), default 8
        Height and width of the images, at least 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import DigitsCNN
    >>> DigitsCNN()(np.zeros((2, 1, 8, 8), np.float32)).shape
    (2, 10)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: Any = 8) -> None:
        super().__init__()
        pixels = features_after("DigitsCNN", image_size, 2, lambda side: side // 2)
        self.features = nn.Sequential(
            *_conv_bn_relu(in_channels, 32),
            *_conv_bn_relu(32, 32),
            nn.MaxPool2d(2),
            *_conv_bn_relu(32, 64),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(64 * pixels, num_classes))

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.classifier(self.features(x).flatten(1))


@register("cnn32")
class CNN32(nn.Module):
    """A plain convolutional network for images of about 32 x 32.

    Three stages of 32, 64 and 128 maps, each of two 3 x 3 convolutions with batch norm and a 2 x 2 max
    pooling, then the mean over what is left and one linear layer.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    image_size : int or (int, int), default 32
        Height and width of the images, at least 8.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import CNN32
    >>> CNN32()(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, image_size: Any = 32) -> None:
        super().__init__()
        features_after("CNN32", image_size, 8, lambda side: side // 8)
        stages: list[nn.Module] = []
        channels = in_channels
        for width in (32, 64, 128):
            stages += [*_conv_bn_relu(channels, width), *_conv_bn_relu(width, width), nn.MaxPool2d(2)]
            channels = width
        self.features = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(channels, num_classes))

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.classifier(self.pool(self.features(x)).flatten(1))


def _conv_bn_relu(in_channels: int, out_channels: int) -> list[nn.Module]:
    """Return a 3 x 3 convolution that keeps the size, batch norm (which makes a bias idle) and ReLU."""
    return [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()]
