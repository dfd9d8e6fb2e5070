"""Products on tiles (kernels/tiles.h): that they are taken, what they round, and what they do with odd values."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastnn as fn
import fastnn.nn.functional as F
from fastnn import _core
from tolerances import EPS, ROUNDINGS

Array = npt.NDArray[Any]

LEVELS = [level for level in _core.levels() if level == "amx"]
ROWS, INSIDE, OUTSIDE = 200, 300, 330  # the case "tiles" of cases_matrix


@pytest.fixture(params=LEVELS, autouse=True)
def _level(request: pytest.FixtureRequest) -> None:
    _core.set_level(request.param)
    fn.set_precision("exact")


def operands(seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((ROWS, INSIDE), np.float32), rng.standard_normal((OUTSIDE, INSIDE), np.float32)


def algorithm(name: str, **fields: Any) -> str:
    return str(_core.Op(name, fields).algorithm)


def conv(size: int, ic: int, oc: int, stride: int = 1, groups: int = 1) -> dict[str, Any]:
    out = (size - 1) // stride + 1
    one: dict[str, Any] = {"n": 2, "ic": ic, "ih": size, "iw": size, "oc": oc, "oh": out, "ow": out, "kh": 1, "kw": 1}
    one |= {"stride": (stride,) * 2, "padding": (0,) * 4, "dilation": (1, 1)}
    return one | {"groups": groups, "precision": 0, "algorithm": 0}


def test_where_tiles_are_taken() -> None:
    sizes = {"rows": ROWS, "in_features": INSIDE, "out_features": OUTSIDE}
    assert algorithm("linear", **sizes, activation=0, slope=0.0, accumulate=0) == "gemm-tiles"
    assert algorithm("linear_bwd_data", **sizes) == "gemm-tiles"
    assert algorithm("linear_bwd_weights", **sizes) == "gemm-tiles"
    assert algorithm("linear_update", **sizes, optimizer=0, maximize=0, variant=0) == "tiles"
    for a in (0, 1):
        for b in (0, 1):
            product = {"batch": 3, "m": ROWS, "n": 210, "k": INSIDE, "transpose_a": a, "transpose_b": b}
            assert algorithm("matmul", **product) == "gemm-tiles"
    epilogue = {"activation": 0, "slope": 0.0, "accumulate": 0, "statistics": 0, "in_affine": 0, "in_activation": 0}
    for problem in (conv(14, 300, 330), conv(28, 300, 330, stride=2), conv(14, 600, 660, groups=2)):
        assert algorithm("conv2d", **problem, **epilogue, in_slope=0.0) == "gemm-tiles"
    assert algorithm("conv2d_bwd_data", **conv(14, 300, 330)) == "gemm-tiles"
    assert algorithm("conv2d_bwd_weights", **conv(14, 300, 330)) == "gemm-tiles"
    assert algorithm("linear", rows=31, in_features=300, out_features=330, activation=0, slope=0.0, accumulate=0) != (
        "gemm-tiles"
    )


def test_all_bits_of_a_float_count() -> None:
    """Against powers of two each float comes through whole, whatever its size, until its last part is too small."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((ROWS, INSIDE), np.float32) * np.float32(2.0) ** rng.integers(-70, 90, (ROWS, INSIDE))
    w = np.zeros((OUTSIDE, INSIDE), np.float32)
    picked, power = rng.integers(0, INSIDE, OUTSIDE), np.float32(2.0) ** rng.integers(-20, 20, OUTSIDE)
    w[np.arange(OUTSIDE), picked] = power
    np.testing.assert_array_equal(F.linear(x, w), x[:, picked] * power)
    # The same from the other side: the parts of B are split by other code.
    y = F.linear(np.ascontiguousarray(w[:ROWS]), x[:, :INSIDE])
    np.testing.assert_array_equal(y, (x[:, picked[:ROWS]] * power[:ROWS]).T)


def test_products_that_fit_are_exact() -> None:
    """Whole numbers of 12 bits times those of 8, whose sums stay below 2^24."""
    rng = np.random.default_rng(2)
    x = np.where(rng.random((ROWS, INSIDE)) < 0.05, rng.integers(-4095, 4096, (ROWS, INSIDE)), 0).astype(np.float32)
    w = rng.integers(-127, 128, (OUTSIDE, INSIDE)).astype(np.float32)
    assert np.abs(x).astype(np.float64).dot(np.abs(w).T).max() < 2**24
    np.testing.assert_array_equal(F.linear(x, w), np.float64(x) @ np.float64(w).T)


@pytest.mark.parametrize("spread", [0, 30])
def test_rounds_no_worse_than_a_sum_of_floats(spread: int) -> None:
    """The bound of the case table, on values whose sizes differ by up to 2^60."""
    x, w = operands(3)
    rng = np.random.default_rng(4)
    x *= np.float32(2.0) ** rng.integers(-spread, spread + 1, x.shape)
    w *= np.float32(2.0) ** rng.integers(-spread, spread + 1, w.shape)
    exact = np.float64(x) @ np.float64(w).T
    scale = np.sqrt(np.square(np.float64(x)) @ np.square(np.float64(w)).T) + np.abs(exact)
    error = np.abs(F.linear(x, w) - exact) / scale
    assert error.max() <= EPS * (ROUNDINGS + np.sqrt(INSIDE))
    assert np.sqrt(np.mean(error**2)) <= EPS, "typical errors: a rounding or two"


def test_what_is_not_finite_stays_in_its_row_and_column() -> None:
    x, w = operands(5)
    whole = F.linear(x, w)
    for bad in (np.inf, -np.inf, np.nan, np.float32(3.4e38)):
        broken, other = x.copy(), w.copy()
        broken[70, 123], other[45, 7] = bad, bad
        y = F.linear(broken, other)
        assert np.isnan(y[70]).all()
        assert np.isnan(y[:, 45]).all()
        y[70], y[:, 45] = whole[70], whole[:, 45]
        np.testing.assert_array_equal(y, whole)


def test_very_large_and_very_small() -> None:
    x, _ = operands(6)
    ones = np.eye(OUTSIDE, INSIDE, dtype=np.float32)
    large = np.clip(x, -1, 1) * np.float32(3.38e38)
    np.testing.assert_array_equal(F.linear(large, ones)[:, :INSIDE], large[:, :OUTSIDE])
    small = x * np.float32(2.0**-125)
    assert np.abs(F.linear(small, ones)[:, :INSIDE] - small).max() < 3 * 2.0**-126
    assert np.array_equal(F.linear(x * np.float32(2.0**-140), ones), np.zeros((ROWS, OUTSIDE), np.float32))
