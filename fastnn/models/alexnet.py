"""AlexNet: the network that won ImageNet 2012, in one tower and as it was printed."""

from __future__ import annotations

from typing import Any

from .. import nn
from .registry import features_after, register, register_sized

__all__ = ["AlexNet", "AlexNet2012", "alexnet", "alexnet2012"]


class AlexNet(nn.Module):
    """AlexNet in one tower, without local response norm (Krizhevsky, "One weird trick ...", arXiv:1404.5997, 2014).

    Five convolutions of 64, 192, 384, 256 and 256 maps, three overlapping max poolings, and linear layers of 4096,
    4096 and ``num_classes`` with dropout. The names in its state are torchvision's.

    Parameters
    ----------
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    cifar : bool, default False
        The variant for images of about 32 x 32: a first convolution of 3 x 3 and stride 2 in place of 11 x 11 and
        stride 4, poolings of 2 x 2, and 2 x 2 pixels in place of 6 x 6 before the linear layers.
    dropout : float, default 0.5
        Probability of zero before the first two linear layers.

    Notes
    -----
    Shape: input (N, in_channels, H, W), output (N, num_classes); H and W are 224 in the paper and at least 63, or at
    least 16 with ``cifar``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import AlexNet
    >>> AlexNet(num_classes=10, cifar=True)(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, cifar: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        window, side = (2, 2) if cifar else (3, 6)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 3, 2, 1) if cifar else nn.Conv2d(in_channels, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(window, 2),
            nn.Conv2d(64, 192, 3 if cifar else 5, padding=1 if cifar else 2),
            nn.ReLU(),
            nn.MaxPool2d(window, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(window, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(side)
        self.classifier = _classifier(256 * side * side, num_classes, dropout)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class AlexNet2012(nn.Module):
    """AlexNet as printed (Krizhevsky, Sutskever, Hinton; "ImageNet Classification with Deep ...", NIPS 2012).

    Convolutions of 96, 256, 384, 384 and 256 maps; the second, fourth and fifth in two groups, which sat on a
    graphics card each. Local response norm follows the first two: a map's activity a_i becomes

    ``b_i = a_i / (k + alpha * sum of a_j ** 2 over n maps around i) ** beta``, k = 2, n = 5, alpha = 1e-4, beta = 0.75.

    Parameters
    ----------
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    image_size : int or (int, int), default 224
        Height and width of the images, at least 63. The paper's 224 come out as 227 with the padding of 2.
    dropout : float, default 0.5
        Probability of zero before the first two linear layers.

    Notes
    -----
    Weights start from N(0, 0.01 ** 2), biases from 1 in the layers that the paper names and from 0 elsewhere.
    `nn.LocalResponseNorm` divides alpha by n, the paper does not: the layer's alpha is n times the paper's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import AlexNet2012
    >>> AlexNet2012(num_classes=10, image_size=63)(np.zeros((2, 3, 63, 63), np.float32)).shape
    (2, 10)
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: Any = 224, dropout: float = 0.5
    ) -> None:
        super().__init__()
        pixels = features_after("AlexNet2012", image_size, 63, _side_after)
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, 4, 2),
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2),
            nn.ReLU(),
            nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = _classifier(256 * pixels, num_classes, dropout)
        self._draw()

    def _draw(self) -> None:
        layers = [m for m in self.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        for i, layer in enumerate(layers):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            if layer.bias is not None:
                # "the second, fourth, and fifth convolutional layers, as well as the fully-connected hidden layers"
                nn.init.constant_(layer.bias, 1.0 if i in (1, 3, 4, 5, 6) else 0.0)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        return self.classifier(self.features(x).flatten(1))


def _classifier(features: int, num_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(features, 4096),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, num_classes),
    )


def _side_after(side: int) -> int:
    """Return a side of the maps that the features of the printed network make of an image's side."""
    side = (side + 4 - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


@register_sized(least=63, least_small=16)
def alexnet(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False) -> AlexNet:
    """Return `AlexNet` in one tower, 61,100,840 parameters; arguments as `AlexNet`.

    Examples
    --------
    >>> from fastnn import models
    >>> models.alexnet(num_classes=10, cifar=True).classifier[6].out_features
    10
    """
    return AlexNet(num_classes, in_channels, cifar)


@register("alexnet2012")
def alexnet2012(num_classes: int = 1000, in_channels: int = 3, image_size: Any = 224) -> AlexNet2012:
    """Return `AlexNet2012`, the printed network, 60,965,224 parameters; arguments as `AlexNet2012`.

    Examples
    --------
    >>> from fastnn import models
    >>> models.alexnet2012(image_size=63, num_classes=10).features[4].groups
    2
    """
    return AlexNet2012(num_classes, in_channels, image_size)
