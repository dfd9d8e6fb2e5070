"""Pooling: loops over the taps of a window, or over the windows where their sizes differ (adaptive)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ._precision import Array, wide
from ._taps import canvas, crop, pooled, reach, tap

Pair = tuple[int, int]
ONE = (1, 1)


def _plan(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> tuple[Pair, Pair]:
    """Output size, and the canvas that holds the padded input and every window."""
    axes = list(zip(size, kernel, stride, padding, dilation, strict=True))
    output = tuple(pooled(i, k, s, p, d, ceil_mode) for i, k, s, p, d in axes)
    full = tuple(max(i + 2 * p, reach(o, k, s, d)) for o, (i, k, s, p, d) in zip(output, axes, strict=True))
    return (output[0], output[1]), (full[0], full[1])


@wide
def max_pool2d(
    x: Array, *, kernel_size: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """Maximum of each window and the tap kh * KW + kw where it was: the first of equals, NaN before all."""
    kh, kw = kernel_size
    output, size = _plan(x.shape[2:], kernel_size, stride, padding, dilation, ceil_mode)
    full = canvas(x, padding, size, -np.inf)
    inside = canvas(np.ones((1, 1, *x.shape[2:]), dtype=bool), padding, size, False)
    y = np.full((*x.shape[:2], *output), -np.inf)
    index = np.zeros(y.shape, dtype=np.uint8 if kh * kw <= 255 else np.int32)
    seen = np.zeros((1, 1, *output), dtype=bool)
    for at in np.ndindex(kh, kw):
        value = tap(full, at, output, stride, dilation)
        here = tap(inside, at, output, stride, dilation)
        better = here & (~seen | (value > y) | (np.isnan(value) & ~np.isnan(y)))
        y = np.where(better, value, y)
        index[better] = at[0] * kw + at[1]
        seen |= here
    return y, index


@wide
def max_pool2d_bwd(
    dy: Array,
    index: Array,
    *,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    ceil_mode: bool,
) -> Array:
    """dy added to the pixel that won each window."""
    output, size = _plan(input_size, kernel_size, stride, padding, dilation, ceil_mode)
    full = np.zeros((*dy.shape[:2], *size))
    for at in np.ndindex(*kernel_size):
        view = tap(full, at, output, stride, dilation)
        view += np.where(index == at[0] * kernel_size[1] + at[1], dy, 0.0)
    return crop(full, padding, input_size)


def _extent(size: int, count: int, kernel: int, stride: int, padding: int, include_pad: bool) -> Array:
    """How many positions of each window along one axis count: within input, or within input and padding."""
    start = np.arange(count) * stride - padding
    stop = np.minimum(start + kernel, size + padding)
    if not include_pad:
        start, stop = np.maximum(start, 0), np.minimum(stop, size)
    return np.maximum(stop - start, 0)


def _divisor(
    size: Pair,
    output: Pair,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    include_pad: bool,
    override: int | None,
) -> Array:
    if override is not None:
        return np.full(output, float(override))
    rows, columns = (
        _extent(size[axis], output[axis], kernel[axis], stride[axis], padding[axis], include_pad) for axis in (0, 1)
    )
    return np.maximum(np.outer(rows, columns), 1).astype(np.float64)


@wide
def avg_pool2d(
    x: Array,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """Sum of each window over its size; padding counts or not, the overhang of ceil_mode never does."""
    output, size = _plan(x.shape[2:], kernel_size, stride, padding, ONE, ceil_mode)
    full = canvas(x, padding, size)
    y = np.zeros((*x.shape[:2], *output))
    for at in np.ndindex(*kernel_size):
        y += tap(full, at, output, stride, ONE)
    return y / _divisor(x.shape[2:], output, kernel_size, stride, padding, count_include_pad, divisor_override)


@wide
def avg_pool2d_bwd(
    dy: Array,
    *,
    input_size: Pair,
    kernel_size: Pair,
    stride: Pair,
    padding: Pair,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    """dy over the divisor, added to every pixel of its window."""
    output, size = _plan(input_size, kernel_size, stride, padding, ONE, ceil_mode)
    share = dy / _divisor(input_size, output, kernel_size, stride, padding, count_include_pad, divisor_override)
    full = np.zeros((*dy.shape[:2], *size))
    for at in np.ndindex(*kernel_size):
        view = tap(full, at, output, stride, ONE)
        view += share
    return crop(full, padding, input_size)


@wide
def lp_pool2d(x: Array, *, norm_type: float, kernel_size: Pair, stride: Pair, ceil_mode: bool) -> Array:
    """(sum of x^p over a window)^(1 / p); one cut by the border counts as its mean times the full size."""
    scale, output, size = _lp_plan(x.shape[2:], kernel_size, stride, ceil_mode)
    full = canvas(np.power(x, float(norm_type)), (0, 0), size)
    y = np.zeros((*x.shape[:2], *output))
    for at in np.ndindex(*kernel_size):
        y += tap(full, at, output, stride, ONE)
    return np.power(y * scale, 1.0 / norm_type)


@wide
def lp_pool2d_bwd(
    dy: Array, x: Array, y: Array, *, norm_type: float, kernel_size: Pair, stride: Pair, ceil_mode: bool
) -> Array:
    """dy y^(1 - p) x^(p - 1) over the windows of a pixel; a window whose sum is 0 passes nothing on."""
    scale, output, size = _lp_plan(x.shape[2:], kernel_size, stride, ceil_mode)
    share = np.where(y == 0.0, 0.0, dy * scale * np.power(y, 1.0 - norm_type))
    full = np.zeros((*x.shape[:2], *size))
    for at in np.ndindex(*kernel_size):
        view = tap(full, at, output, stride, ONE)
        view += share
    return crop(full, (0, 0), x.shape[2:]) * np.power(x, norm_type - 1.0)


def _lp_plan(input_size: Pair, kernel: Pair, stride: Pair, ceil_mode: bool) -> tuple[Array, Pair, Pair]:
    output, size = _plan(input_size, kernel, stride, (0, 0), ONE, ceil_mode)
    counted = _divisor(input_size, output, kernel, stride, (0, 0), True, None)
    return kernel[0] * kernel[1] / counted, output, size


def _bins(input_size: Pair, output_size: Pair) -> Iterator[tuple[Pair, tuple[slice, slice]]]:
    """Each output position with its window: rows floor(o i / O) to ceil((o + 1) i / O), columns alike."""
    for at in np.ndindex(*output_size):
        rows, columns = (
            slice(o * i // total, -(-(o + 1) * i // total))
            for o, i, total in zip(at, input_size, output_size, strict=True)
        )
        yield (at[0], at[1]), (rows, columns)


@wide
def adaptive_avg_pool2d(x: Array, *, output_size: Pair) -> Array:
    """Mean over windows that cut the input into output_size parts."""
    y = np.empty((*x.shape[:2], *output_size))
    for (row, column), (rows, columns) in _bins(x.shape[2:], output_size):
        part = x[:, :, rows, columns]
        y[:, :, row, column] = part.sum(axis=(2, 3)) / (part.shape[2] * part.shape[3])
    return y


@wide
def adaptive_avg_pool2d_bwd(dy: Array, *, input_size: Pair) -> Array:
    """dy over the size of its window, added to all of it."""
    dx = np.zeros((*dy.shape[:2], *input_size))
    for (row, column), (rows, columns) in _bins(input_size, dy.shape[2:]):
        part = dx[:, :, rows, columns]
        part += dy[:, :, row : row + 1, column : column + 1] / (part.shape[2] * part.shape[3])
    return dx


@wide
def adaptive_max_pool2d(x: Array, *, output_size: Pair) -> tuple[Array, Array]:
    """Maximum of each window and its place ih * IW + iw in the image: the first of equals, NaN before all."""
    n, c, ih, iw = x.shape
    y = np.empty((n, c, *output_size))
    index = np.empty(y.shape, dtype=np.int32)
    places = np.arange(ih * iw, dtype=np.int32).reshape(ih, iw)
    for (row, column), (rows, columns) in _bins((ih, iw), output_size):
        part = x[:, :, rows, columns].reshape(n, c, places[rows, columns].size)
        best = part.argmax(axis=2)
        y[:, :, row, column] = np.take_along_axis(part, best[..., None], axis=2)[..., 0]
        index[:, :, row, column] = places[rows, columns].reshape(-1)[best]
    return y, index


@wide
def adaptive_max_pool2d_bwd(dy: Array, index: Array, *, input_size: Pair) -> Array:
    """dy added to the pixel that won each window."""
    n, c = dy.shape[:2]
    dx = np.zeros((n, c, input_size[0] * input_size[1]))
    for row, column in np.ndindex(*dy.shape[2:]):
        at = index[:, :, row, column, None]
        np.put_along_axis(dx, at, np.take_along_axis(dx, at, axis=2) + dy[:, :, row, column, None], axis=2)
    return dx.reshape(n, c, *input_size)
