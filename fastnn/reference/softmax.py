"""Softmax and its logarithm, shifted by the maximum so that exp cannot overflow."""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide


def log_probabilities(x: Array, axis: int) -> Array:
    """x - log(sum(exp(x))) in the dtype of x."""
    if x.size == 0:
        return x.copy()
    shifted = x - np.max(x, axis=axis, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))


@wide
def softmax(x: Array, *, axis: int) -> Array:
    """exp(x) / sum(exp(x)) along ``axis``."""
    if x.size == 0:
        return x.copy()
    z = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return z / np.sum(z, axis=axis, keepdims=True)


@wide
def softmax_bwd(dy: Array, y: Array, *, axis: int) -> Array:
    """y (dy - sum(dy y))."""
    return y * (dy - np.sum(dy * y, axis=axis, keepdims=True))


@wide
def log_softmax(x: Array, *, axis: int) -> Array:
    """x - log(sum(exp(x))) along ``axis``."""
    return log_probabilities(x, axis)


@wide
def log_softmax_bwd(dy: Array, y: Array, *, axis: int) -> Array:
    """dy - exp(y) sum(dy)."""
    return dy - np.exp(y) * np.sum(dy, axis=axis, keepdims=True)
