"""Pooling: maximum, average and power mean over windows, fixed or adapted to an output size."""

from __future__ import annotations

from typing import Any

from fastnn import _checks
from fastnn.graph import apply, eager

from ._common import Tensor, as_image, expect_ndim, naming

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d",
    "avg_pool1d", "avg_pool2d", "check_window", "lp_pool1d", "lp_pool2d", "max_pool1d", "max_pool2d",
]  # fmt: skip


def _no_indices(return_indices: bool) -> None:
    if return_indices:
        raise ValueError("expected return_indices=False: the positions of the maxima are not given out")


def _window(kernel_size: Any, stride: Any, padding: Any, dims: int) -> dict[str, tuple[int, ...]]:
    """Return kernel_size, stride (the kernel's size by default) and padding as tuples, checked as PyTorch does."""
    kernel = _checks.as_sizes("kernel_size", kernel_size, dims, 1)
    default = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    steps = kernel if default else _checks.as_sizes("stride", stride, dims, 1)
    pads = _checks.as_sizes("padding", padding, dims, 0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ValueError(
            f"expected padding of at most half the kernel size, got padding {pads} for kernel size {kernel}"
        )
    return {"kernel_size": kernel, "stride": steps, "padding": pads}


def check_window(
    who: str,
    dims: int,
    kernel_size: Any,
    stride: Any,
    padding: Any = 0,
    dilation: Any = 1,
    return_indices: bool = False,
) -> dict[str, tuple[int, ...]]:
    """Check a pooling layer's settings where they are given, not at the first call; return them as tuples."""
    with naming(who):
        _no_indices(return_indices)
        return _window(kernel_size, stride, padding, dims) | {
            "dilation": _checks.as_sizes("dilation", dilation, dims, 1)
        }


def _row(window: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Return the window of a signal as that of an image of height 1."""
    neutral = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    return {name: (neutral[name], *value) for name, value in window.items()}


@eager
def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Return the maximum of every window; of equal ones the first gets the gradient, and NaN wins.

    Parameters
    ----------
    input : (N, C, H, W)
    kernel_size, stride, padding, dilation : int or pair
        ``stride`` is the kernel's size where not given; padding counts as minus infinity.
    ceil_mode : bool
        Round the output's size up: windows may hang over the end.
    return_indices : bool
        Must be False.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    with naming("max_pool2d"):
        _no_indices(return_indices)
        expect_ndim(input, 4)
        window = _window(kernel_size, stride, padding, 2)
        window["dilation"] = _checks.as_pair("dilation", dilation, 1)
    y, _ = apply("max_pool2d", input, **window, ceil_mode=bool(ceil_mode))
    return y


@eager
def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor:
    """Return the maximum of every window of signals (N, C, L); see `max_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.max_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
    [[[3.0, 2.0]]]
    """
    with naming("max_pool1d"):
        _no_indices(return_indices)
        expect_ndim(input, 3)
        window = _window(kernel_size, stride, padding, 1)
        window["dilation"] = (_checks.as_single("dilation", dilation, 1),)
    row = _row(window)
    return as_image(input, lambda x: apply("max_pool2d", x, **row, ceil_mode=bool(ceil_mode))[0])


@eager
def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of every window.

    Parameters
    ----------
    input : (N, C, H, W)
    kernel_size, stride, padding : int or pair
        ``stride`` is the kernel's size where not given.
    ceil_mode : bool
        Round the output's size up: windows may hang over the end.
    count_include_pad : bool
        Whether padding counts in the divisor.
    divisor_override : int, optional
        Divide by this instead of the number of elements.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    with naming("avg_pool2d"):
        expect_ndim(input, 4)
        window = _window(kernel_size, stride, padding, 2)
        if (
            divisor_override is not None
            and (divisor_override := _checks.as_int("divisor_override", divisor_override)) == 0
        ):
            raise ValueError("expected divisor_override not to be zero")
    return apply(
        "avg_pool2d",
        input,
        **window,
        ceil_mode=bool(ceil_mode),
        count_include_pad=bool(count_include_pad),
        divisor_override=divisor_override,
    )


@eager
def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of every window of signals (N, C, L); see `avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.avg_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
    [[[2.0, 1.0]]]
    """
    with naming("avg_pool1d"):
        expect_ndim(input, 3)
        row = _row(_window(kernel_size, stride, padding, 1))
    flags = {"ceil_mode": bool(ceil_mode), "count_include_pad": bool(count_include_pad), "divisor_override": None}
    return as_image(input, lambda x: apply("avg_pool2d", x, **row, **flags))


@eager
def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Return ``(sum of x ** p) ** (1 / p)`` of every window, p = ``norm_type``; a sum below zero gives 0 as in PyTorch.

    Shape: input (N, C, H, W); output as `avg_pool2d` without padding.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.lp_pool2d(np.array([[[[3.0, 4.0]]]]), 2, (1, 2)).tolist()
    [[[[5.0]]]]
    """
    with naming("lp_pool2d"):
        expect_ndim(input, 4)
        window = _window(kernel_size, stride, 0, 2)
        del window["padding"]
        power = _power(norm_type)
    return apply("lp_pool2d", input, norm_type=power, **window, ceil_mode=bool(ceil_mode))


@eager
def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> Tensor:
    """Return the power mean without the mean of every window of signals (N, C, L); see `lp_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.lp_pool1d(np.array([[[3.0, 4.0]]]), 2, 2).tolist()
    [[[5.0]]]
    """
    with naming("lp_pool1d"):
        expect_ndim(input, 3)
        row = _row(_window(kernel_size, stride, 0, 1))
        del row["padding"]
        power = _power(norm_type)
    return as_image(input, lambda x: apply("lp_pool2d", x, norm_type=power, **row, ceil_mode=bool(ceil_mode)))


def _power(norm_type: Any) -> float:
    power = _checks.as_float("norm_type", norm_type)
    if power in (0.0, float("inf"), float("-inf")):
        raise ValueError(f"expected norm_type to be finite and not 0, got {power}")
    return power


def _output_size(output_size: Any, spatial: tuple[int, ...]) -> tuple[int, ...]:
    """Return the output's extents: None, alone or in a pair, stands for the input's extent."""
    dims = len(spatial)
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * dims
    given = given * dims if len(given) == 1 else given
    if len(given) != dims:
        raise ValueError(f"expected output_size to be an int, None or {dims} of them, got {output_size!r}")
    return tuple(
        s if g is None else _checks.as_extent("output_size", g, 1) for g, s in zip(given, spatial, strict=True)
    )


@eager
def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Return means over windows chosen so that the output has the given size; 1 is global average pooling.

    Window i of an axis of H elements cut into S covers floor(i * H / S) up to, not including, ceil((i + 1) * H / S).

    Parameters
    ----------
    input : (N, C, H, W)
    output_size : int, None, or a pair of them
        None stands for the input's extent.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.adaptive_avg_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), 1).tolist()
    [[[[1.5]]]]
    """
    with naming("adaptive_avg_pool2d"):
        expect_ndim(input, 4)
        size = _output_size(output_size, tuple(input.shape[2:]))
    return apply("adaptive_avg_pool2d", input, output_size=size)


@eager
def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Return means over windows of signals (N, C, L) such that the output has the given length.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.adaptive_avg_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
    [[[2.0, 1.0]]]
    """
    with naming("adaptive_avg_pool1d"):
        expect_ndim(input, 3)
        size = (1, *_output_size(output_size, tuple(input.shape[2:])))
    return as_image(input, lambda x: apply("adaptive_avg_pool2d", x, output_size=size))


@eager
def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """Return maxima over windows chosen so that the output has the given size; see `adaptive_avg_pool2d`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.adaptive_max_pool2d(np.arange(4.0).reshape(1, 1, 2, 2), (1, None)).tolist()
    [[[[2.0, 3.0]]]]
    """
    with naming("adaptive_max_pool2d"):
        _no_indices(return_indices)
        expect_ndim(input, 4)
        size = _output_size(output_size, tuple(input.shape[2:]))
    return apply("adaptive_max_pool2d", input, output_size=size)[0]


@eager
def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Tensor:
    """Return maxima over windows of signals (N, C, L) such that the output has the given length.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.adaptive_max_pool1d(np.array([[[1.0, 3.0, 2.0, 0.0]]]), 2).tolist()
    [[[3.0, 2.0]]]
    """
    with naming("adaptive_max_pool1d"):
        _no_indices(return_indices)
        expect_ndim(input, 3)
        size = (1, *_output_size(output_size, tuple(input.shape[2:])))
    return as_image(input, lambda x: apply("adaptive_max_pool2d", x, output_size=size)[0])
