"""Convolution: one matrix product for each tap of the kernel.

``algorithm`` is for the compiled backend; the oracle has one way.
"""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide
from ._taps import canvas, crop, reach, tap

Pair = tuple[int, int]
Quad = tuple[int, int, int, int]


def _padded(x: Array, padding: Quad) -> Array:
    top, bottom, left, right = padding
    return canvas(x, (top, left), (x.shape[2] + top + bottom, x.shape[3] + left + right))


def _rows(view: Array, groups: int) -> Array:
    """(n, c, oh, ow) as (groups, c / groups, n * oh * ow): a channel's values side by side."""
    channels = view.shape[1]
    return view.transpose(1, 0, 2, 3).reshape(groups, channels // groups, view.size // max(channels, 1))


def _windows(size: Pair, kernel: Pair, stride: Pair, padding: Quad, dilation: Pair) -> Pair:
    top, bottom, left, right = padding
    oh = (size[0] + top + bottom - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    ow = (size[1] + left + right - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    return oh, ow


@wide
def conv2d(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: Pair,
    padding: Quad,
    dilation: Pair,
    groups: int,
    algorithm: str,
) -> Array:
    """y[n, oc, oh, ow] = bias[oc] + sum of w[oc, ic, kh, kw] x[n, ic, oh s + kh d - p, ...]."""
    oc, icg, kh, kw = w.shape
    oh, ow = _windows(x.shape[2:], (kh, kw), stride, padding, dilation)
    full = _padded(x, padding)
    y = np.zeros((groups, oc // groups, x.shape[0] * oh * ow))
    for at in np.ndindex(kh, kw):
        view = tap(full, at, (oh, ow), stride, dilation)
        y += w[:, :, at[0], at[1]].reshape(groups, oc // groups, icg) @ _rows(view, groups)
    y = y.reshape(oc, x.shape[0], oh, ow).transpose(1, 0, 2, 3)
    return y if bias is None else y + bias[:, None, None]


@wide
def conv2d_bwd_data(
    dy: Array,
    w: Array,
    *,
    input_size: Pair,
    stride: Pair,
    padding: Quad,
    dilation: Pair,
    groups: int,
    algorithm: str,
) -> Array:
    """dx: each tap scatters w[:, :, kh, kw]^T dy back to the pixels that it saw."""
    oc, icg, kh, kw = w.shape
    n, _, oh, ow = dy.shape
    top, bottom, left, right = padding
    size = (input_size[0] + top + bottom, input_size[1] + left + right)
    full = np.zeros((n, icg * groups, *size))
    rows = _rows(dy, groups)
    for at in np.ndindex(kh, kw):
        part = w[:, :, at[0], at[1]].reshape(groups, oc // groups, icg).transpose(0, 2, 1) @ rows
        view = tap(full, at, (oh, ow), stride, dilation)
        view += part.reshape(icg * groups, n, oh, ow).transpose(1, 0, 2, 3)
    return crop(full, (top, left), input_size)


@wide
def conv2d_bwd_weights(
    dy: Array,
    x: Array,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Quad,
    dilation: Pair,
    groups: int,
    algorithm: str,
) -> Array:
    """dw[:, :, kh, kw] = dy x^T over all images and pixels, one tap at a time."""
    oc, ic = dy.shape[1], x.shape[1]
    kh, kw = kernel_size
    oh, ow = dy.shape[2:]
    full = _padded(x, padding)
    assert reach(oh, kh, stride[0], dilation[0]) <= full.shape[2], "dy has more rows than the input gives"
    assert reach(ow, kw, stride[1], dilation[1]) <= full.shape[3], "dy has more columns than the input gives"
    rows = _rows(dy, groups)
    dw = np.empty((groups, oc // groups, ic // groups, kh, kw))
    for at in np.ndindex(kh, kw):
        view = tap(full, at, (oh, ow), stride, dilation)
        dw[..., at[0], at[1]] = rows @ _rows(view, groups).transpose(0, 2, 1)
    return dw.reshape(oc, ic // groups, kh, kw)
