"""How far elementary functions are from the truth: dense sweeps over all floats, at every level.

The bounds are those of docs/accuracy.md. Run as a program, this prints its table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastnn as fn
from fastnn import _core
from fastnn.graph import run_primitive

Array = npt.NDArray[Any]

EPS = 2.0**-23
TINY = 2.0**-126  # results below it are flushed to zero, and so are arguments
SPREAD = 1 << 20  # bit patterns, evenly spread over all 2^32
NEAR = 1 << 20  # points where the functions bend

erfc = np.frompyfunc(math.erfc, 1, 1)


def sweep(limit: float) -> Array:
    """Floats of every sign and exponent, denormals included, and a fine grid of [-limit, limit]."""
    step = 2**32 // SPREAD
    bits = np.arange(0, 2**32, step, dtype=np.uint64) + np.random.default_rng(0).integers(0, step, SPREAD).astype(
        np.uint64
    )
    values = bits.astype(np.uint32).view(np.float32)
    return np.concatenate([values[np.isfinite(values)], np.linspace(-limit, limit, NEAR, dtype=np.float32)])


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)"""
    return 1.0 / (1.0 + np.exp(-x))


def gelu(x: Array) -> Array:
    """x times the normal distribution function."""
    return x * 0.5 * erfc(np.clip(x, -40.0, 40.0) * -(0.5**0.5)).astype(np.float64)


FUNCTIONS: dict[str, tuple[Callable[[Array], Array], dict[str, Any], float]] = {
    "exp": (np.exp, {}, 104.0),
    "sigmoid": (sigmoid, {}, 104.0),
    "tanh": (np.tanh, {}, 10.0),
    "silu": (lambda x: x * sigmoid(x), {}, 104.0),
}


def ulps(got: Array, want: Array) -> Array:
    """Errors in units of the last place of the truth; results too small for a normal number are off by TINY at most."""
    size = np.abs(want)
    unit = np.exp2(np.floor(np.log2(np.maximum(size, TINY))) - 23)
    error = np.abs(got.astype(np.float64) - want)
    over = size >= 2.0**128 * (1 - EPS / 4)
    error[over] = np.where(np.isinf(got[over]), 0.0, np.inf)
    return np.where((size < TINY * (1 + EPS)) & (error <= TINY), 0.0, error / unit)


def worst_ulps(name: str) -> float:
    """The largest error of a function at the active level, in ulp."""
    truth, attrs, limit = FUNCTIONS[name]
    x = sweep(limit)
    with np.errstate(all="ignore"):
        return float(ulps(run_primitive(name, x, **attrs), truth(x.astype(np.float64))).max())


def worst_gelu() -> tuple[float, float]:
    """Errors of gelu: the largest in ulp for x > 0, and the largest over |x| for x < 0."""
    x = sweep(8.0)[::4]
    x = x[np.abs(x) >= TINY]
    with np.errstate(all="ignore"):
        got, want = run_primitive("gelu", x, approximate="none"), gelu(x.astype(np.float64))
        above, relative = ulps(got, want)[x > 0], np.abs(got - want)[x < 0] / np.abs(x[x < 0].astype(np.float64))
    return float(above.max()), float(np.where(np.abs(want[x < 0]) < TINY, 0.0, relative).max())


def worst_softmax() -> float:
    """The largest error of softmax over (|x - max| + 4) eps, relative to the result; rows of many lengths."""
    rng, worst = np.random.default_rng(1), 0.0
    for n in (2, 3, 10, 16, 17, 100, 1000, 5000):
        for spread in (0.1, 1.0, 10.0, 60.0):
            x = (rng.standard_normal((max(1, 40000 // n), n)) * spread + rng.uniform(-100, 100)).astype(np.float32)
            wide = x.astype(np.float64)
            below = wide - wide.max(axis=1, keepdims=True)
            want = np.exp(below) / np.exp(below).sum(axis=1, keepdims=True)
            for axis in (0, 1):
                given = np.ascontiguousarray(x.T) if axis == 0 else x
                got = run_primitive("softmax", given, axis=axis)
                got = got.T if axis == 0 else got
                seen = want >= TINY
                error = np.abs(got - want)[seen] / want[seen] / ((np.abs(below[seen]) + 4.0) * EPS)
                worst = max(worst, float(error.max()))
                assert (got[~seen] <= 2 * TINY).all()
    return worst


@pytest.fixture(params=_core.levels(), autouse=True)
def level(request: pytest.FixtureRequest) -> str:
    _core.set_level(request.param)
    fn.set_num_threads(1)
    return str(request.param)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_four_ulp(name: str) -> None:
    assert worst_ulps(name) <= 4.0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_at_the_ends(name: str) -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0.0, 1e-42, -1e-42], np.float32)
    ends = {"exp": (np.inf, 0, np.nan, 1, 1, 1), "tanh": (1, -1, np.nan, 0, 0, 0), "silu": (np.inf, 0, np.nan, 0, 0, 0)}
    want = np.array(ends.get(name, (1, 0, np.nan, 0.5, 0.5, 0.5)), np.float32)
    np.testing.assert_allclose(run_primitive(name, x), want, rtol=0, atol=TINY)


def test_gelu() -> None:
    above, below = worst_gelu()
    assert above <= 4.0
    assert below <= 1e-7
    x = np.array([np.inf, -np.inf, np.nan, 0.0, 1e-42, -100.0], np.float32)
    np.testing.assert_allclose(run_primitive("gelu", x, approximate="none"), [np.inf, 0, np.nan, 0, 0, 0], atol=TINY)


def test_softmax() -> None:
    assert worst_softmax() <= 1.0


if __name__ == "__main__":
    for each in _core.levels():
        _core.set_level(each)
        print(each, {name: round(worst_ulps(name), 2) for name in FUNCTIONS}, worst_gelu(), worst_softmax())
