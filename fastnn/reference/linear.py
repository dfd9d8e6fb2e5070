"""Matrix products."""

from __future__ import annotations

import math

import numpy as np

from ._precision import Array, wide


@wide
def linear(x: Array, w: Array, bias: Array | None = None) -> Array:
    """y = x w^T + bias over the last axis."""
    y = x @ w.T
    return y if bias is None else y + bias


@wide
def linear_bwd_data(dy: Array, w: Array) -> Array:
    """dx = dy w."""
    return dy @ w


@wide
def linear_bwd_weights(dy: Array, x: Array) -> Array:
    """dw = dy^T x over all rows."""
    rows = math.prod(dy.shape[:-1])
    return dy.reshape(rows, dy.shape[-1]).T @ x.reshape(rows, x.shape[-1])


@wide
def matmul(a: Array, b: Array, *, transpose_a: bool, transpose_b: bool) -> Array:
    """op(a) op(b) over the last two axes, where op may transpose."""
    a = np.swapaxes(a, -1, -2) if transpose_a else a
    b = np.swapaxes(b, -1, -2) if transpose_b else b
    return a @ b
