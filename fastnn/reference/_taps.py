"""Sliding windows: the canvas that they slide over and the strided view that one tap of them sees."""

from __future__ import annotations

import numpy as np

from ._precision import Array

Pair = tuple[int, int]


def canvas(x: Array, top_left: Pair, size: Pair, value: float = 0.0) -> Array:
    """``x`` (n, c, ih, iw) laid on a canvas of ``size`` filled with ``value``, its corner at ``top_left``."""
    n, c, ih, iw = x.shape
    full = np.full((n, c, *size), value, dtype=x.dtype)
    full[:, :, top_left[0] : top_left[0] + ih, top_left[1] : top_left[1] + iw] = x
    return full


def crop(full: Array, top_left: Pair, size: Pair) -> Array:
    """The part of a canvas that ``canvas`` put there."""
    return full[:, :, top_left[0] : top_left[0] + size[0], top_left[1] : top_left[1] + size[1]]


def tap(full: Array, at: Pair, output: Pair, stride: Pair, dilation: Pair) -> Array:
    """View (n, c, oh, ow) of what tap ``at`` = (kh, kw) of every window sees on the canvas."""
    top, left = at[0] * dilation[0], at[1] * dilation[1]
    rows = slice(top, top + (output[0] - 1) * stride[0] + 1, stride[0])
    columns = slice(left, left + (output[1] - 1) * stride[1] + 1, stride[1])
    return full[:, :, rows, columns]


def reach(output: int, kernel: int, stride: int, dilation: int) -> int:
    """Length of canvas that ``output`` windows touch along one axis."""
    return (output - 1) * stride + dilation * (kernel - 1) + 1


def pooled(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """Count pooling windows along one axis; one beginning past input and left padding is dropped."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count
