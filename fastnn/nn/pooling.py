"""Pooling layers; each class keeps PyTorch's settings and calls its function."""

from __future__ import annotations

from typing import Any, ClassVar

from . import functional as F
from .functional._common import Tensor
from .functional.pooling import check_window
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AvgPool1d", "AvgPool2d",
    "LPPool1d", "LPPool2d", "MaxPool1d", "MaxPool2d",
]  # fmt: skip


class _MaxPool(Module):
    _dims: ClassVar[int]

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        check_window(type(self).__name__, self._dims, kernel_size, stride, padding, dilation, return_indices)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool2d(_MaxPool):
    """Maximum over windows of images; of equal values the first gets the gradient, and NaN wins.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or pair (h, w)
        ``stride`` is the kernel's size unless given; padding counts as minus infinity.
    return_indices : bool
        Must be False.
    ceil_mode : bool
        Round the output's size up: windows may hang over the end.

    Notes
    -----
    Shape: input (N, C, H, W), output (N, C, H_out, W_out) with
    H_out = (H + 2 * padding - dilation * (KH - 1) - 1) // stride + 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.MaxPool2d(3, stride=2)(np.zeros((20, 16, 50, 32))).shape
    (20, 16, 24, 15)
    """

    _dims = 2

    def forward(self, input: Tensor) -> Tensor:
        return F.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class MaxPool1d(_MaxPool):
    """Maximum over windows of signals (N, C, L); parameters as `MaxPool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.MaxPool1d(3, stride=2)(np.zeros((20, 16, 50))).shape
    (20, 16, 24)
    """

    _dims = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.max_pool1d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class AvgPool2d(Module):
    """Mean over windows of images.

    Parameters
    ----------
    kernel_size, stride, padding : int or pair (h, w)
        ``stride`` is the kernel's size unless given.
    ceil_mode : bool
        Round the output's size up: windows may hang over the end.
    count_include_pad : bool
        Whether padding counts in the divisor.
    divisor_override : int, optional
        Divide by this instead.

    Notes
    -----
    Shape: input (N, C, H, W), output (N, C, H_out, W_out) with H_out = (H + 2 * padding - KH) // stride + 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.AvgPool2d(3, stride=2)(np.zeros((20, 16, 50, 32))).shape
    (20, 16, 24, 15)
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        check_window("AvgPool2d", 2, kernel_size, stride, padding)
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(Module):
    """Mean over windows of signals (N, C, L); parameters as `AvgPool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.AvgPool1d(3, stride=2)(np.zeros((20, 16, 50))).shape
    (20, 16, 24)
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        sizes = check_window("AvgPool1d", 1, kernel_size, stride, padding)
        self.kernel_size, self.stride, self.padding = sizes["kernel_size"], sizes["stride"], sizes["padding"]
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _LPPool(Module):
    _dims: ClassVar[int]

    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        check_window(type(self).__name__, self._dims, kernel_size, stride)
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool2d(_LPPool):
    """``(sum of x ** p) ** (1 / p)`` over windows of images: p = 2 is L2 pooling, p = 1 sum pooling.

    Parameters
    ----------
    norm_type : float
        The power p.
    kernel_size, stride : int or pair (h, w)
        ``stride`` is the kernel's size unless given.
    ceil_mode : bool
        Round the output's size up: windows may hang over the end.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.LPPool2d(2, 3, stride=2)(np.zeros((20, 16, 50, 32))).shape
    (20, 16, 24, 15)
    """

    _dims = 2

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool2d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool1d(_LPPool):
    """``(sum of x ** p) ** (1 / p)`` over windows of signals (N, C, L); parameters as `LPPool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.LPPool1d(2, 3, stride=2)(np.zeros((20, 16, 50))).shape
    (20, 16, 24)
    """

    _dims = 1

    def forward(self, input: Tensor) -> Tensor:
        return F.lp_pool1d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class _AdaptiveAvgPool(Module):
    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Mean over windows chosen so that the output has a given size; ``AdaptiveAvgPool2d(1)`` is the global average.

    Parameters
    ----------
    output_size : int, None, or a pair of them
        None stands for the input's extent.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.AdaptiveAvgPool2d((None, 7))(np.zeros((1, 64, 10, 9))).shape
    (1, 64, 10, 7)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Mean over windows of signals (N, C, L) chosen so that the output has a given length.

    Parameters
    ----------
    output_size : int or None
        None stands for the input's length.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.AdaptiveAvgPool1d(5)(np.zeros((1, 64, 8))).shape
    (1, 64, 5)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool1d(input, self.output_size)


class _AdaptiveMaxPool(_AdaptiveAvgPool):
    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maximum over windows chosen so that the output has a given size.

    Parameters
    ----------
    output_size : int, None, or a pair of them
        None stands for the input's extent.
    return_indices : bool
        Must be False.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.AdaptiveMaxPool2d((5, 7))(np.zeros((1, 64, 8, 9))).shape
    (1, 64, 5, 7)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maximum over windows of signals (N, C, L) chosen so that the output has a given length.

    Parameters
    ----------
    output_size : int or None
        None stands for the input's length.
    return_indices : bool
        Must be False.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.AdaptiveMaxPool1d(5)(np.zeros((1, 64, 8))).shape
    (1, 64, 5)
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)
