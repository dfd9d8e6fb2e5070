"""What several networks share: convolution with batch norm and activation, rounded widths, the first values."""

from __future__ import annotations

from collections.abc import Callable

from .. import nn
from .._checks import as_float, as_int
from ..nn.functional._common import naming

__all__ = ["as_factor", "conv_norm_activation", "init_convolutions", "init_linears", "rounded_width"]

LARGEST_FACTOR = 100.0

Norm = Callable[[int], nn.Module]
Activation = Callable[[], nn.Module]


def conv_norm_activation(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 3,
    stride: int = 1,
    groups: int = 1,
    norm: Norm = nn.BatchNorm2d,
    activation: Activation | None = nn.ReLU,
) -> nn.Sequential:
    """Return a convolution without bias, a norm, and an activation unless that is None, as children 0, 1 and 2.

    The padding is (kernel_size - 1) // 2, which keeps the size of images where the stride is 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models.blocks import conv_norm_activation
    >>> block = conv_norm_activation(3, 8, 5, stride=2)
    >>> [name for name, _ in block.named_parameters()], block(np.zeros((2, 3, 8, 8), np.float32)).shape
    (['0.weight', '1.weight', '1.bias'], (2, 8, 4, 4))
    """
    padding = (kernel_size - 1) // 2
    layers = [
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False),
        norm(out_channels),
    ]
    if activation is not None:
        layers.append(activation())
    return nn.Sequential(*layers)


def rounded_width(channels: float, divisor: int = 8) -> int:
    """Return the multiple of ``divisor`` nearest to a number of channels, and the next one where that loses over 10 %.

    Examples
    --------
    >>> from fastnn.models.blocks import rounded_width
    >>> rounded_width(24 * 1.4), rounded_width(16 * 0.75), rounded_width(3), rounded_width(18)
    (32, 16, 8, 24)
    """
    wanted, step = as_float("channels", channels, 0.0), as_int("divisor", divisor, 1)
    nearest = max(step, int(wanted + step / 2) // step * step)
    return nearest + step if nearest < 0.9 * wanted else nearest


def as_factor(who: str, name: str, value: float) -> float:
    """Return a factor of a network's size: a number above 0, at most a thousand."""
    with naming(who):
        number = as_float(name, value)
        if not 0.0 < number <= LARGEST_FACTOR:
            raise ValueError(f"expected {name} to be above 0 and at most {LARGEST_FACTOR:g}, got {number}")
    return number


def init_convolutions(model: nn.Module) -> None:
    """Draw every convolution's weight with variance 2 / fan_out (He et al., 2015), and set its bias to 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def init_linears(model: nn.Module, std: float = 0.01) -> None:
    """Draw every linear layer's weight from a normal distribution of this deviation, and set its bias to 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
