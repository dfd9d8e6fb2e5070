"""Two convolutions and three linear layers, after LeNet-5 (LeCun, Bottou, Bengio, Haffner; Proc. IEEE 1998)."""

from __future__ import annotations

from typing import Any

import fastnn.nn.functional as F
from fastnn import nn

from .registry import features_after, register

__all__ = ["GarmentClassifier", "LeNet5"]


@register("garment")
class GarmentClassifier(nn.Module):
    """The network of PyTorch's introductory training tutorial, which learns the ten garments of Fashion-MNIST.

    Convolutions of 6 and 16 maps (5 x 5, no padding), each with ReLU and 2 x 2 max pooling, then linear layers
    of 120, 84 and ``num_classes``.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images.
    image_size : int or (int, int), default 28
        Height and width of the images, at least 16.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import GarmentClassifier
    >>> GarmentClassifier()(np.zeros((2, 1, 28, 28), np.float32)).shape
    (2, 10)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: Any = 28) -> None:
        super().__init__()
        pixels = features_after("GarmentClassifier", image_size, 16, lambda side: ((side - 4) // 2 - 4) // 2)
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * pixels, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


@register("lenet5")
class LeNet5(nn.Module):
    """LeNet-5 with today's parts: the original's sizes, with ReLU, max pooling and a plain linear output.

    The first convolution pads by 2, which brings 28 x 28 images to the 32 x 32 of the original.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images.
    image_size : int or (int, int), default 28
        Height and width of the images, at least 12.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import LeNet5
    >>> model = LeNet5()
    >>> model(np.zeros((2, 1, 28, 28), np.float32)).shape, sum(p.data.size for p in model.parameters())
    ((2, 10), 61706)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: Any = 28) -> None:
        super().__init__()
        pixels = features_after("LeNet5", image_size, 12, lambda side: (side // 2 - 4) // 2)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * pixels, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.classifier(self.features(x).flatten(1))
