"""GoogLeNet (Inception v1) with batch norm and auxiliary heads, and the loss that adds the heads up."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

import fastnn.nn.functional as F
from fastnn import nn

from .._checks import as_float
from .registry import features_after, is_small, register

__all__ = ["AuxiliaryLoss", "GoogLeNet", "GoogLeNetOutput", "Inception", "googlenet"]

# Channels of an Inception module: 1 x 1; 1 x 1 before 3 x 3; 1 x 1 before the other 3 x 3; 1 x 1 after the pooling.
# The paper's table 1, by the module's name.
MODULES: dict[str, tuple[int, tuple[int, int], tuple[int, int], int]] = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}


class GoogLeNetOutput(NamedTuple):
    """What `GoogLeNet` with auxiliary heads returns in training: three arrays (N, num_classes), under these names.

    Parameters
    ----------
    logits : array
        The network's scores.
    aux_logits2, aux_logits1 : array
        Those of the later and of the earlier auxiliary head.

    Examples
    --------
    >>> from fastnn.models import GoogLeNetOutput
    >>> GoogLeNetOutput._fields
    ('logits', 'aux_logits2', 'aux_logits1')
    """

    logits: Any
    aux_logits2: Any
    aux_logits1: Any


class _ConvNormReLU(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Any) -> Any:
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches on the same maps, side by side in the output's channels.

    A 1 x 1 convolution; 1 x 1 then 3 x 3; 1 x 1 then another 3 x 3; 3 x 3 max pooling then 1 x 1. The paper's third
    branch is 5 x 5: torchvision's, whose weights load here, is 3 x 3.

    Parameters
    ----------
    in_channels : int
        Channels of the input.
    one : int
        Channels of the first branch.
    three, five : (int, int)
        Channels of both convolutions of the second and of the third branch.
    pool : int
        Channels of the fourth branch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import Inception
    >>> Inception(192, 64, (96, 128), (16, 32), 32)(np.zeros((2, 192, 7, 7), np.float32)).shape
    (2, 256, 7, 7)
    """

    def __init__(self, in_channels: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int) -> None:
        super().__init__()
        self.branch1 = _ConvNormReLU(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            _ConvNormReLU(in_channels, three[0], 1), _ConvNormReLU(three[0], three[1], 3, padding=1)
        )
        self.branch3 = nn.Sequential(
            _ConvNormReLU(in_channels, five[0], 1), _ConvNormReLU(five[0], five[1], 3, padding=1)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), _ConvNormReLU(in_channels, pool, 1))
        self.out_channels = one + three[1] + five[1] + pool

    def forward(self, x: Any) -> Any:
        """Return the four branches' maps of the input's, one after another."""
        return F.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class _AuxiliaryHead(nn.Module):
    """A classifier in the middle of the network, which gives early layers a gradient of their own."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.conv = _ConvNormReLU(in_channels, 128, 1)
        self.fc1 = nn.Linear(128 * 4 * 4, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Any) -> Any:
        x = self.conv(F.adaptive_avg_pool2d(x, 4)).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class GoogLeNet(nn.Module):
    """GoogLeNet (Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842) with batch norm.

    A stem of three convolutions, nine `Inception` modules in three stages, the mean over what is left of the image,
    and one linear layer. The names in its state are torchvision's.

    Parameters
    ----------
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    cifar : bool, default False
        The variant for images of about 32 x 32: the stem neither strides nor pools, and starts with 3 x 3.
    aux_logits : bool, default True
        Two auxiliary heads, after modules 4a and 4d. In training the network then returns a `GoogLeNetOutput`, for
        `AuxiliaryLoss`; in eval mode they are left out.
    transform_input : bool, default False
        Take images normalised by ImageNet's means and deviations to (x - 0.5) / 0.5, as published weights expect.
    dropout, dropout_aux : float, default 0.2 and 0.7
        Probability of zero before the last linear layer of the network and of its heads.

    Notes
    -----
    Shape: input (N, in_channels, H, W), output (N, num_classes); H and W are 224 in the paper, 32 with ``cifar``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import GoogLeNet
    >>> model = GoogLeNet(num_classes=10, cifar=True, aux_logits=False)
    >>> model(np.zeros((2, 3, 32, 32), np.float32)).shape
    (2, 10)
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        cifar: bool = False,
        aux_logits: bool = True,
        transform_input: bool = False,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        if transform_input and in_channels != 3:
            raise ValueError(f"GoogLeNet: expected 3 channels for transform_input, got {in_channels}")
        self.aux_logits, self.transform_input = aux_logits, transform_input
        first = _ConvNormReLU(in_channels, 64, 3, padding=1) if cifar else _ConvNormReLU(in_channels, 64, 7, 2, 3)
        self.conv1 = first
        self.maxpool1: nn.Module = nn.Identity() if cifar else nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = _ConvNormReLU(64, 64, 1)
        self.conv3 = _ConvNormReLU(64, 192, 3, padding=1)
        self.maxpool2: nn.Module = nn.Identity() if cifar else nn.MaxPool2d(3, 2, ceil_mode=True)
        channels, found = 192, {}
        for name, branches in MODULES.items():
            if name in ("4a", "5a"):
                pool = nn.MaxPool2d(3 if name == "4a" else 2, 2, ceil_mode=True)
                self.add_module(f"maxpool{int(name[0]) - 1}", pool)
            module = Inception(channels, *branches)
            self.add_module(f"inception{name}", module)
            channels = found[name] = module.out_channels
        self.aux1 = _AuxiliaryHead(found["4a"], num_classes, dropout_aux) if aux_logits else None
        self.aux2 = _AuxiliaryHead(found["4d"], num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(layer.weight, 0.0, 0.01, -2.0, 2.0)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W), in training with the heads' scores."""
        if self.transform_input:
            x = _recentred(x)
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        aux1 = aux2 = None
        for name in MODULES:
            if name in ("4a", "5a"):
                x = getattr(self, f"maxpool{int(name[0]) - 1}")(x)
            x = getattr(self, f"inception{name}")(x)
            if self.training and self.aux1 is not None and name == "4a":
                aux1 = self.aux1(x)
            if self.training and self.aux2 is not None and name == "4d":
                aux2 = self.aux2(x)
        scores = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return scores if aux1 is None else GoogLeNetOutput(scores, aux2, aux1)


def _recentred(x: Any) -> Any:
    """Return images normalised by ImageNet's statistics as (pixel - 0.5) / 0.5."""
    mean, deviation = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    scale, shift = deviation / 0.5, (mean - 0.5) / 0.5
    return x * scale.reshape(1, 3, 1, 1) + shift.reshape(1, 3, 1, 1)


class AuxiliaryLoss(nn.Module):
    """A loss of a network with auxiliary heads: ``loss(scores) + weight * sum of loss(head's scores)``.

    In eval mode, where `GoogLeNet` returns its scores alone, it is the plain loss.

    Parameters
    ----------
    loss : callable
        ``loss(scores, target)``, a loss module or a function.
    weight : float, default 0.3
        The share of each head, the paper's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> from fastnn.models import AuxiliaryLoss, GoogLeNetOutput
    >>> loss = AuxiliaryLoss(nn.MSELoss())
    >>> one, zero = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    >>> loss(one, zero), round(loss(GoogLeNetOutput(one, one, one), zero), 4)
    (1.0, 1.6)
    """

    differentiable_inputs: ClassVar[int] = 3

    def __init__(self, loss: Any, weight: float = 0.3) -> None:
        super().__init__()
        if not callable(loss):
            raise TypeError(f"AuxiliaryLoss: expected a loss of scores and targets, got {loss!r}")
        self.loss, self.weight = loss, as_float("weight", weight, 0.0)

    def forward(self, output: Any, target: Any) -> Any:
        """Return the loss of what a network returned, alone or with its heads."""
        if not isinstance(output, tuple):
            return self.loss(output, target)
        scores, *heads = output
        total = self.loss(scores, target)
        for head in heads:
            total = total + self.weight * self.loss(head, target)
        return total


def googlenet(num_classes: int = 1000, in_channels: int = 3, cifar: bool = False, aux_logits: bool = True) -> GoogLeNet:
    """Return GoogLeNet, 6,624,904 parameters, 13,004,888 with its auxiliary heads; arguments as `GoogLeNet`.

    Examples
    --------
    >>> from fastnn import models
    >>> models.googlenet(num_classes=10, aux_logits=False).fc
    Linear(in_features=1024, out_features=10, bias=True)
    """
    return GoogLeNet(num_classes, in_channels, cifar, aux_logits)


@register("googlenet")
def _without_heads(num_classes: int, in_channels: int, image_size: Any) -> GoogLeNet:
    """Return the network without heads, which any loss can train."""
    features_after("googlenet", image_size, 8, int)
    return GoogLeNet(num_classes, in_channels, is_small(image_size), aux_logits=False)
