"""Data movement: nothing is computed, dtypes are kept (``convert`` excepted)."""

from __future__ import annotations

import builtins

import numpy as np

from ._precision import Array, narrow, result_dtype

Ints = tuple[int, ...]


def reshape(x: Array, *, shape: Ints) -> Array:
    """The values of x in C order of its logical axes, in another shape."""
    return np.reshape(x, shape).copy()


def relayout(x: Array, *, layout: str) -> Array:
    """x in another memory order: to an oracle, which sees logical axes only, a copy."""
    del layout
    return np.array(x)


def convert(x: Array) -> Array:
    """x as floating point: float32 from uint8 and int64."""
    return np.array(narrow(x.astype(np.float64), result_dtype((x,))))


def detach(x: Array) -> Array:
    """x, through which no gradient flows."""
    return np.array(x)


def permute(x: Array, *, dims: Ints) -> Array:
    """Axes in another order: axis i of the result is axis dims[i] of x."""
    return np.transpose(x, dims).copy()


def slice(x: Array, *, starts: Ints, stops: Ints, steps: Ints) -> Array:
    """x[starts[0]:stops[0]:steps[0], ...]."""
    return x[_window(starts, stops, steps)].copy()


def slice_bwd(dy: Array, *, shape: Ints, starts: Ints, stops: Ints, steps: Ints) -> Array:
    """dy put back where it was taken from, zero elsewhere."""
    dx = np.zeros(shape, dtype=dy.dtype)
    dx[_window(starts, stops, steps)] = dy
    return dx


def cat(*xs: Array, axis: int) -> Array:
    """Arrays joined along ``axis``."""
    return np.concatenate(xs, axis=axis)


def pad(x: Array, *, padding: tuple[tuple[int, int], ...], value: float) -> Array:
    """x with ``padding[axis] = (before, after)`` entries of ``value`` around it."""
    return np.pad(x, padding, constant_values=value)


def _window(starts: Ints, stops: Ints, steps: Ints) -> tuple[builtins.slice, ...]:
    return tuple(builtins.slice(*bounds) for bounds in zip(starts, stops, steps, strict=True))
