"""Winograd's convolution: accuracy on data like a network's, the choice by precision, every epilogue."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastnn as fn
from fastnn import _core, reference
from fastnn.graph import run_primitive
from oracle import channels_last
from tolerances import WINOGRAD_BOUNDS

Array = npt.NDArray[Any]

LEVELS = _core.levels()
PASSES = ("conv2d", "conv2d_bwd_data", "conv2d_bwd_weights")
ATTRS: dict[str, Any] = {"stride": (1, 1), "dilation": (1, 1), "groups": 1}
EPILOGUE = ("activation", "slope", "accumulate", "statistics", "in_affine", "in_activation", "in_slope")
# n, channels in, height, width, channels out, padding: layers of networks, cut down, and sizes with edges everywhere
SHAPES = {
    "vgg": (1, 64, 28, 28, 128, 1),
    "resnet": (2, 256, 14, 14, 64, 1),
    "deep": (1, 512, 7, 7, 48, 1),
    "odd": (3, 37, 17, 23, 45, 0),
    "full": (2, 16, 9, 10, 19, 2),
}
WIDE = {  # of 5x5
    "alexnet": (1, 64, 27, 27, 192, 2),
    "inception": (2, 48, 7, 7, 128, 2),
    "odd": (3, 37, 17, 22, 45, 0),
}


def operands(which: str, shape: tuple[int, ...], kernel: int = 3) -> tuple[tuple[Array, Array], dict[str, Any]]:
    """N(0, 1) maps and He weights."""
    n, ic, h, w, oc, pad = shape
    rng = np.random.default_rng(ic)
    x = channels_last(rng.standard_normal((n, ic, h, w), dtype=np.float32))
    weights = (rng.standard_normal((oc, ic, kernel, kernel)) * np.sqrt(2 / (kernel**2 * ic))).astype(np.float32)
    oh, ow = h + 2 * pad - kernel + 1, w + 2 * pad - kernel + 1
    dy = channels_last(rng.standard_normal((n, oc, oh, ow), dtype=np.float32))
    attrs = ATTRS | {"padding": (pad,) * 4}
    if which == "conv2d":
        return (x, weights), attrs
    if which == "conv2d_bwd_data":
        return (dy, weights), attrs | {"input_size": (h, w)}
    return (dy, x), attrs | {"kernel_size": (kernel, kernel)}


def relative_error(got: Array, exact: Array) -> float:
    """The largest error over the root of the mean square."""
    return float(np.abs(got - exact).max() / np.sqrt(np.mean(exact**2)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("which", PASSES)
def test_accuracy(which: str, shape: str, level: str) -> None:
    _core.set_level(level)
    arrays, attrs = operands(which, SHAPES[shape])
    exact = getattr(reference, which)(*(np.float64(a) for a in arrays), algorithm="auto", **attrs)
    for name, bound in WINOGRAD_BOUNDS.items():
        assert relative_error(run_primitive(which, *arrays, algorithm=name, **attrs), exact) <= bound


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", WIDE)
@pytest.mark.parametrize("which", PASSES)
def test_accuracy_of_5x5(which: str, shape: str, level: str) -> None:
    _core.set_level(level)
    arrays, attrs = operands(which, WIDE[shape], 5)
    exact = getattr(reference, which)(*(np.float64(a) for a in arrays), algorithm="auto", **attrs)
    got = run_primitive(which, *arrays, algorithm="winograd5", **attrs)
    assert relative_error(got, exact) <= WINOGRAD_BOUNDS["winograd4"]


def test_precision_decides_5x5() -> None:
    """Only fast takes it."""
    for which in PASSES:
        arrays, attrs = operands(which, (2, 64, 27, 27, 192, 2), 5)
        forced = {name: run_primitive(which, *arrays, algorithm=name, **attrs) for name in ("direct", "winograd4")}
        for precision, name in (("exact", "direct"), ("high", "direct"), ("fast", "winograd4")):
            fn.set_precision(precision)
            got = run_primitive(which, *arrays, algorithm="auto", **attrs)
            np.testing.assert_array_equal(got, forced[name], err_msg=f"{which}, {precision}")
        assert not np.array_equal(forced["direct"], forced["winograd4"])


def test_precision_decides() -> None:
    """At a size where both save much: exact takes neither, high the small tile, fast the large one."""
    (x, w), attrs = operands("conv2d", (2, 128, 28, 28, 128, 1))
    forced = {name: run_primitive("conv2d", x, w, algorithm=name, **attrs) for name in ("direct", *WINOGRAD_BOUNDS)}
    for precision, name in (("exact", "direct"), ("high", "winograd2"), ("fast", "winograd4")):
        fn.set_precision(precision)
        got = run_primitive("conv2d", x, w, algorithm="auto", **attrs)
        np.testing.assert_array_equal(got, forced[name], err_msg=precision)
    assert not np.array_equal(forced["winograd2"], forced["winograd4"])


def test_small_maps_stay_direct() -> None:
    fields = {"n": 32, "ic": 64, "ih": 2, "iw": 2, "oc": 64, "oh": 2, "ow": 2, "kh": 3, "kw": 3, "padding": (1,) * 4}
    fields |= ATTRS | {"precision": 2, "algorithm": 0}
    assert not _core.Op("conv2d_bwd_data", fields | {"n": 1}).algorithm.startswith("winograd4")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("algorithm", [2, 3])
@pytest.mark.parametrize("size", [(16, 9, 9, 21), (32, 12, 12, 32)])
def test_epilogue(algorithm: int, size: tuple[int, ...], level: str) -> None:
    """Sum with y, bias, residual and activation, all at once, beside the same on the direct algorithm."""
    _core.set_level(level)
    ic, h, w, oc = size
    rng = np.random.default_rng(0)
    x, y, residual = (rng.standard_normal(s, dtype=np.float32) for s in ((2, h, w, ic), (2, h, w, oc), (2, h, w, oc)))
    weights, bias = rng.standard_normal((oc, ic, 3, 3), dtype=np.float32), rng.standard_normal(oc, dtype=np.float32)
    fields = {"n": 2, "ic": ic, "ih": h, "iw": w, "oc": oc, "oh": h, "ow": w, "kh": 3, "kw": 3, "padding": (1,) * 4}
    fields |= ATTRS | dict.fromkeys(EPILOGUE, 0) | {"precision": 0}
    for activation, accumulate in ((0, 1), (1, 0), (2, 1)):
        asked = fields | {"activation": activation, "slope": 0.25, "accumulate": accumulate}
        results = [run_op(asked | {"algorithm": a}, [x, weights, bias, residual], y) for a in (1, algorithm)]
        scale = np.sqrt(np.mean(np.square(results[0])))
        assert np.abs(results[1] - results[0]).max() <= 2e-4 * scale
        assert np.array_equal(run_op(asked | {"algorithm": algorithm}, [x, weights, bias, residual], y, 3), results[1])


def run_op(fields: dict[str, Any], inputs: list[Array], y: Array, threads: int = 1) -> Array:
    """Run one forward op on these buffers; y is read where the sum is asked for."""
    out = y.copy()
    op = _core.Op("conv2d", fields)
    program = _core.Program([op], [[0, 1, 2, 3, -1, -1, 4, -1]], 5, {})
    for slot, array in enumerate(inputs):
        program.bind(slot, array)
    program.bind(4, out, 0, True)
    _core.set_grain(0.0)
    program.run(0, 1, threads, _core.Block(max(program.scratch_bytes(threads), 64)))
    return out


@pytest.mark.parametrize("which", PASSES)
def test_nan_reaches_the_result(which: str) -> None:
    """Not only where the filter touches it: a tile is one value."""
    for algorithm in WINOGRAD_BOUNDS:
        arrays, attrs = operands(which, SHAPES["odd"])
        arrays[0][1, 3, 5, 7] = np.nan
        got = run_primitive(which, *arrays, algorithm=algorithm, **attrs)
        exact = getattr(reference, which)(*arrays, algorithm="auto", **attrs)
        assert np.isnan(got[np.isnan(exact)]).all()
