"""Every primitive against its oracle: all cases, every level of this machine, one to three threads.

Arenas and scratch are filled with NaN before each run. Whole-number inputs must give the oracle's bits where arithmetic
is exact; random floats must stay within the bounds of ``tolerances``. Threads and repetition must not change a bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from case_data import Case, make_inputs
from cases import all_cases, cases_of, small_cases
from every_way import check_case
from fastnn import _core
from fastnn.graph import run_primitive
from fastnn.graph.primitive import all_primitives
from oracle import (
    allowed,
    channels_last,
    compare,
    demand,
    make_room,
    mutated,
    placed,
    run_kernel,
    run_oracle,
)
from tolerances import terms

SMALL = small_cases()
BIG = [case for case in all_cases() if case.group == "big"]
LEVELS = _core.levels()
TESTED = sorted(name for name, primitive in all_primitives().items() if not primitive.host)

# Too little work to share among threads, or none at all.
ONE_THREAD = frozenset({"clip_coef", "batch_norm_update", "detach"})


@pytest.fixture(autouse=True)
def _share_everything() -> None:
    """Share even the smallest step among threads, and show what a step does not write."""
    _core.set_grain(0.0)
    _core.set_poison(True)
    fn.set_precision("exact")
    make_room()


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.id)
def test_small(case: Case) -> None:
    check_case(case, LEVELS)


@pytest.mark.parametrize("case", BIG, ids=lambda case: case.id)
def test_big(case: Case) -> None:
    check_case(case, LEVELS[-1:])


@pytest.mark.parametrize("name", TESTED)
def test_every_primitive_has_cases(name: str) -> None:
    assert cases_of(name), f"no case for the primitive {name}"


@pytest.mark.parametrize("name", [name for name in TESTED if name not in ONE_THREAD])
def test_threads_share_the_work(name: str) -> None:
    """At least one case of each primitive runs on all threads that it is given."""
    fn.set_num_threads(3)
    for case in sorted(cases_of(name), key=lambda case: case.group != "blocks"):
        inputs = make_inputs(case, "floats", terms(case))
        _core.last_team_size()
        run_kernel(case, inputs)
        if _core.last_team_size() == 3:
            return
    pytest.fail(f"{name}: no case ran on 3 threads")


@pytest.mark.parametrize("name", TESTED)
def test_any_strides(name: str) -> None:
    """C order, channels last, every second element and reversed axes: no result depends on how the input lies."""
    fn.set_num_threads(2)
    for case in [case for case in cases_of(name) if case.group in ("basic", "broadcast", "groups")][:6]:
        for mode in ("integers", "floats"):
            inputs = make_inputs(case, mode, terms(case))
            expected = run_oracle(case, inputs)
            limits = allowed(case, mode, inputs, expected)
            for label, restride in RESTRIDED.items():
                given = [
                    placed(case, i, array) if keeps_memory(case, i, array) else restride(array)
                    for i, array in enumerate(inputs)
                ]
                actual = run_kernel(case, given, keep_strides=True)
                compare(case, actual, expected, limits, f"{mode}, inputs as {label}")


def keeps_memory(case: Case, position: int, array: Any) -> bool:
    """Inputs that are written, or taken as they are, keep their memory order."""
    return array is None or position in mutated(case) or demand(case, position) == "any"


def every_second(array: Any) -> Any:
    wide = np.full((*array.shape[:-1], 2 * array.shape[-1]) if array.ndim else (2,), 99, array.dtype)
    view = wide[..., ::2] if array.ndim else wide[0:1].reshape(())
    view[...] = array
    return view


def reversed_axes(array: Any) -> Any:
    flip = (slice(None, None, -1),) * array.ndim
    return np.array(array[flip], order="F")[flip]


RESTRIDED = {
    "C order": lambda array: np.array(array, order="C"),
    "channels last": lambda array: channels_last(array) if array.ndim == 4 else np.array(array, order="F"),
    "every second element": every_second,
    "reversed axes": reversed_axes,
}


# ---- values that need a look of their own ----


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["relu", "relu6", "clamp", "leaky_relu", "sigmoid", "tanh", "silu", "gelu", "exp"])
def test_nan_stays_nan(name: str, level: str) -> None:
    _core.set_level(level)
    attrs = {"clamp": {"min": 0.0, "max": 1.0}, "leaky_relu": {"negative_slope": 0.1}, "gelu": {"approximate": "none"}}
    x = np.linspace(-2.0, 2.0, 37, dtype=np.float32)
    x[[0, 5, 36]] = np.nan
    y = run_primitive(name, x, **attrs.get(name, {}))
    assert np.array_equal(np.isnan(y), np.isnan(x))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("which", ["maximum", "minimum", "add"])
@pytest.mark.parametrize("side", [0, 1])
def test_nan_of_either_operand(which: str, side: int, level: str) -> None:
    _core.set_level(level)
    operands = [np.zeros(37, np.float32), np.ones(37, np.float32)]
    operands[side][[0, 7, 36]] = np.nan
    y = run_primitive(which, *operands)
    assert np.array_equal(np.isnan(y), np.isnan(operands[side]))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("channels", [1, 3, 6, 16, 17])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (2, 1), (3, 1)])
def test_max_pooling_lets_nan_win(kernel: int, padding: int, channels: int, level: str) -> None:
    _core.set_level(level)
    attrs: dict[str, Any] = {
        "kernel_size": (kernel,) * 2, "stride": (2, 2), "padding": (padding,) * 2, "dilation": (1, 1),
        "ceil_mode": False,
    }  # fmt: skip
    x = np.random.default_rng(0).standard_normal((2, channels, 7, 8)).astype(np.float32)
    x[0, 0, 3, 3] = np.nan
    x[0, -1, 4, 2:6] = np.nan
    x[0, 0, 6, 5] = x[1, 0, 0, 1] = x[1, 0, 4, 0] = np.nan
    x[1, -1] = -np.inf
    y, index = run_primitive("max_pool2d", x, **attrs)
    want, want_index = fn.reference.max_pool2d(x, **attrs)
    assert np.array_equal(y, want, equal_nan=True)
    assert np.array_equal(index, want_index)
    y, index = run_primitive("adaptive_max_pool2d", x, output_size=(3, 2))
    want, want_index = fn.reference.adaptive_max_pool2d(x, output_size=(3, 2))
    assert np.array_equal(y, want, equal_nan=True)
    assert np.array_equal(index, want_index)


@pytest.mark.parametrize("level", LEVELS)
def test_amax_lets_nan_win(level: str) -> None:
    _core.set_level(level)
    x = np.random.default_rng(0).standard_normal((9, 37)).astype(np.float32)
    x[3, 20] = np.nan
    for axes in ((0,), (1,), (0, 1)):
        want = fn.reference.amax(x, axes=axes, keepdims=False)
        assert np.array_equal(run_primitive("amax", x, axes=axes, keepdims=False), want, equal_nan=True)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_check_finite_finds_one_value(value: float, level: str) -> None:
    _core.set_level(level)
    for size in (1, 7, 33, 5000, 50000):
        for at in {0, size // 2, size - 1}:
            x = np.full(size, 3e38, np.float32)
            assert int(run_primitive("check_finite", x)) == 0
            x[at] = value
            assert int(run_primitive("check_finite", x)) == 1, (size, at)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("shape", [(64, 5, 14, 13), (3000, 7)])
def test_batch_norm_statistics_far_from_zero(shape: tuple[int, ...], level: str) -> None:
    """Mean 1e4, deviation 1: a sum of squares in float32 would have lost the variance."""
    _core.set_level(level)
    x = (1e4 + np.random.default_rng(3).standard_normal(shape)).astype(np.float32)
    mean, var = run_primitive("batch_norm_stats", x)
    want_mean, want_var = fn.reference.batch_norm_stats(np.float64(x))
    assert np.allclose(mean, want_mean, rtol=2e-7, atol=0)
    assert np.allclose(var, want_var, rtol=2e-5, atol=0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_large_values(name: str, level: str) -> None:
    _core.set_level(level)
    x = np.array([[1e4, 1e4 - 1.0, -1e4], [-3e38, 0.0, 3e38], [-np.inf, 0.0, 1.0]], np.float32)
    y, want = run_primitive(name, x, axis=1), getattr(fn.reference, name)(x, axis=1)
    assert np.allclose(y, want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu", "gelu", "elu", "softplus", "hardswish", "exp"])
def test_activations_at_their_ends(name: str, level: str) -> None:
    _core.set_level(level)
    attrs = {"gelu": {"approximate": "tanh"}, "elu": {"alpha": 1.0}, "softplus": {"beta": 1.0, "threshold": 20.0}}
    x = np.array([0.0, -0.0, 1e-30, -1e-30, 1e-4, -1e-4, 20, -20, 88, -88, 100, -100, 1e30, -1e30, 5, -5], np.float32)
    y = run_primitive(name, x, **attrs.get(name, {}))
    want = getattr(fn.reference, name)(x, **attrs.get(name, {}))
    assert np.allclose(y, want, rtol=2e-6, atol=1e-37), np.stack([x, y, want])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_class_out_of_range_is_a_nan_and_no_crash(reduction: str, level: str) -> None:
    _core.set_level(level)
    x = np.ones((3, 4), np.float32)
    for wrong in (4, -1, 2**40, -(2**40)):
        target = np.array([0, wrong, 3], np.int64)
        attrs: dict[str, Any] = {"ignore_index": -100, "reduction": reduction}
        loss = np.asarray(run_primitive("nll_loss", x, target, **attrs))
        assert np.isnan(loss[1] if reduction == "none" else loss)
        loss = np.asarray(run_primitive("cross_entropy", x, target, label_smoothing=0.0, **attrs))
        assert np.isnan(loss[1] if reduction == "none" else loss)
