"""Convolutions over images and signals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn import _checks

from . import functional as F
from . import init
from .functional._common import Tensor, named
from .functional.conv import resolve_padding
from .module import Module
from .parameter import Parameter

__all__ = ["Conv1d", "Conv2d"]


class _Conv(Module):
    """Settings, parameters and printing of a convolution over ``_dims`` spatial axes."""

    _dims = 2
    weight: Parameter
    bias: Parameter | None

    @named
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        algorithm: str = "auto",
    ) -> None:
        super().__init__()
        self.algorithm = _checks.as_text("algorithm", algorithm)
        self.in_channels = _checks.as_int("in_channels", in_channels, 1)
        self.out_channels = _checks.as_int("out_channels", out_channels, 1)
        self.groups = _checks.as_int("groups", groups, 1)
        for name, channels in (("in_channels", self.in_channels), ("out_channels", self.out_channels)):
            if channels % self.groups:
                who = type(self).__name__
                raise ValueError(f"{who}: expected {name} divisible by groups, got {channels} and {self.groups}")
        self.kernel_size = _checks.as_sizes("kernel_size", kernel_size, self._dims, 1)
        self.stride = _checks.as_sizes("stride", stride, self._dims, 1)
        self.dilation = _checks.as_sizes("dilation", dilation, self._dims, 1)
        resolve_padding(padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else _checks.as_sizes("padding", padding, self._dims, 0)
        # A border of anything but zeros is a step of its own, which does not exist.
        self.padding_mode = _checks.one_of("padding_mode", padding_mode, ("zeros",))
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self.weight = Parameter(np.empty(shape, np.float32))
        self.register_parameter("bias", Parameter(np.empty(self.out_channels, np.float32)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias."""
        init.fan_in_uniform_(self.weight)
        if self.bias is not None:
            init.fan_in_uniform_(self.bias, math.prod(self.weight.shape[1:]))

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}", f"{self.out_channels}"]
        parts += [f"kernel_size={self.kernel_size}", f"stride={self.stride}"]
        if self.padding != (0,) * self._dims:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self._dims:
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.algorithm != "auto":
            parts.append(f"algorithm={self.algorithm!r}")
        return ", ".join(parts)


class Conv2d(_Conv):
    """Two-dimensional convolution (cross-correlation) over images.

    ``y[n, o, i, j] = bias[o] + sum of weight[o, c, h, w] * x[n, c, i * stride + h * dilation - padding, ...]`` over the
    group's channels c and the taps (h, w).

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or pair (h, w)
    padding : int, pair, "same" or "valid"
        Zeros added on both sides; ``"same"`` gives the output the input's size (stride 1 only).
    groups : int
        Cut the channels into groups that do not see each other; ``groups=in_channels`` is depthwise.
    bias : bool
    padding_mode : {"zeros"}
        PyTorch's other borders (reflect, replicate, circular) do not exist here.
    algorithm : str
        How this layer is computed, whatever `fastnn.set_precision` says; see `functional.conv2d`.

    Attributes
    ----------
    weight : Parameter (out_channels, in_channels / groups, KH, KW)
        Drawn uniformly from +-1 / sqrt(in_channels / groups * KH * KW).
    bias : Parameter (out_channels,) or None
        Drawn likewise.

    Notes
    -----
    Shape: input (N, C_in, H, W), output (N, C_out, H_out, W_out) with
    H_out = (H + 2 * padding - dilation * (KH - 1) - 1) // stride + 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Conv2d(16, 33, 3, stride=2)(np.zeros((2, 16, 50, 100))).shape
    (2, 33, 24, 49)
    """

    def forward(self, input: Tensor) -> Tensor:
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return F.conv2d(input, self.weight, self.bias, *settings, algorithm=self.algorithm)


class Conv1d(_Conv):
    """One-dimensional convolution (cross-correlation) over signals.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int
    padding : int, "same" or "valid"
    groups : int
    bias : bool
    padding_mode : {"zeros"}
    algorithm : str
        See `functional.conv2d`.

    Notes
    -----
    Shape: input (N, C_in, L), output (N, C_out, L_out) with
    L_out = (L + 2 * padding - dilation * (K - 1) - 1) // stride + 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Conv1d(16, 33, 3, stride=2)(np.zeros((2, 16, 50))).shape
    (2, 33, 24)
    """

    _dims = 1

    def forward(self, input: Tensor) -> Tensor:
        settings = (self.stride, self.padding, self.dilation, self.groups)
        return F.conv1d(input, self.weight, self.bias, *settings, algorithm=self.algorithm)
