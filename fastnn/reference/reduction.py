"""Reductions over axes, and their mirror, expansion."""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide

Axes = tuple[int, ...]


@wide
def sum(x: Array, *, axes: Axes, keepdims: bool) -> Array:
    """Sum over ``axes``."""
    return np.sum(x, axis=axes, keepdims=keepdims)


@wide
def mean(x: Array, *, axes: Axes, keepdims: bool) -> Array:
    """Mean over ``axes``; NaN over nothing."""
    count = np.prod([x.shape[axis] for axis in axes])
    return np.sum(x, axis=axes, keepdims=keepdims) / np.float64(count)


@wide
def amax(x: Array, *, axes: Axes, keepdims: bool) -> Array:
    """Maximum over ``axes``; NaN if any is."""
    return np.max(x, axis=axes, keepdims=keepdims)


@wide
def amax_bwd(dy: Array, x: Array, y: Array, *, axes: Axes, keepdims: bool) -> Array:
    """dy shared evenly among the values that equal the maximum."""
    if not keepdims:
        dy, y = np.expand_dims(dy, axes), np.expand_dims(y, axes)
    winners = x == y
    return np.where(winners, dy / np.sum(winners, axis=axes, keepdims=True), 0.0)


@wide
def expand(x: Array, *, shape: tuple[int, ...]) -> Array:
    """x repeated along its axes of size 1, and new leading axes, to ``shape``."""
    return np.broadcast_to(x, shape).copy()
