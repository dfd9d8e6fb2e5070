"""Arithmetic, element by element, with NumPy's broadcasting."""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide


@wide
def add(a: Array, b: Array) -> Array:
    """a + b."""
    return a + b


@wide
def sub(a: Array, b: Array) -> Array:
    """a - b."""
    return a - b


@wide
def mul(a: Array, b: Array) -> Array:
    """a b."""
    return a * b


@wide
def div(a: Array, b: Array) -> Array:
    """a / b."""
    return a / b


@wide
def maximum(a: Array, b: Array) -> Array:
    """The larger of two; NaN if either is."""
    return np.maximum(a, b)


@wide
def minimum(a: Array, b: Array) -> Array:
    """The smaller of two; NaN if either is."""
    return np.minimum(a, b)


@wide
def extremum_bwd(dy: Array, a: Array, b: Array, *, which: int, largest: bool) -> Array:
    """dy where operand ``which`` of maximum or minimum wins, half of it on a tie; in dy's shape."""
    own, other = (a, b) if which == 0 else (b, a)
    loses = own < other if largest else own > other
    return np.where(loses, 0.0, np.where(own == other, 0.5 * dy, dy))


@wide
def exp(x: Array) -> Array:
    """e^x."""
    return np.exp(x)


@wide
def log(x: Array) -> Array:
    """Natural logarithm."""
    return np.log(x)


@wide
def sqrt(x: Array) -> Array:
    """Square root."""
    return np.sqrt(x)


@wide
def abs(x: Array) -> Array:
    """|x|."""
    return np.abs(x)


@wide
def sign(x: Array) -> Array:
    """-1, 0 or 1."""
    return np.sign(x)


@wide
def pow(x: Array, *, exponent: float) -> Array:
    """x^exponent."""
    return np.power(x, float(exponent))


@wide
def clamp(x: Array, *, min: float | None, max: float | None) -> Array:
    """x limited to [min, max]; NaN stays NaN."""
    if min is not None:
        x = np.maximum(x, min)
    return x if max is None else np.minimum(x, max)


@wide
def clamp_bwd(dy: Array, x: Array, *, min: float | None, max: float | None) -> Array:
    """dy where x is within the limits, both included."""
    inside = np.ones(x.shape, dtype=bool)
    if min is not None:
        inside &= x >= min
    if max is not None:
        inside &= x <= max
    return np.where(inside, dy, 0.0)


@wide
def affine(x: Array, *, scale: float, shift: float) -> Array:
    """scale x + shift."""
    return x * scale + shift


def accumulate(acc: Array, g: Array) -> None:
    """acc += g, in place."""
    acc += g


@wide
def check_finite(x: Array) -> Array:
    """int32 flag: 1 when any value is infinite or NaN."""
    return np.asarray(not np.isfinite(x).all(), dtype=np.int32)


@wide
def sum_squares(x: Array) -> Array:
    """Sum of x^2 over everything."""
    return np.sum(x * x)


@wide
def clip_coef(*sums: Array, max_norm: float) -> tuple[Array, Array]:
    """coef = min(1, max_norm / (norm + 1e-6)) and norm = sqrt(sum of the sums of squares)."""
    norm = np.sqrt(np.sum([np.asarray(value).sum() for value in sums]))
    return np.minimum(1.0, max_norm / (norm + 1e-6)), norm
