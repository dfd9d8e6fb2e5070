"""Fused steps against the composition of their parts on the oracle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from case_data import Case, Input, make_inputs
from cases import small_cases
from cases_loss import optimizer_rows
from cases_matrix import f, linear_geometries
from fastnn import _core, nn, reference
from fastnn.graph import eager, run_primitive
from fastnn.graph.execute import _run_function
from fastnn.graph.fusion.activation import WITH_EPILOGUE
from fastnn.graph.node import apply
from fastnn.nn import functional as F
from oracle import allowed, channels_last, check_no_overrun, compare, last_plan, make_room, placed, run_oracle
from tolerances import terms

CASES = [case for case in small_cases() if case.primitive in WITH_EPILOGUE]


def run_with_relu(case: Case, inputs: list[Any]) -> Any:
    """relu(primitive(...)) in one plan, which must hold one call."""

    @eager
    def both(*nodes: Any) -> Any:
        return apply("relu", apply(case.primitive, *nodes, **case.attrs))

    result = both(*(placed(case, i, array) for i, array in enumerate(inputs)))
    (phase,) = last_plan().phases
    names = [(call.name, call.fused) for call in phase.fused if call.name != "relayout"]
    assert names == [(case.primitive, {"activation": "relu"})], names
    return np.float32(result) if isinstance(result, float) else result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_relu_in_the_epilogue(case: Case) -> None:
    _core.set_grain(0.0)
    _core.set_poison(True)
    fn.set_precision("exact")
    make_room()
    for mode in ("integers", "floats"):
        inputs = make_inputs(case, mode, terms(case))
        expected = [reference.relu(value) for value in run_oracle(case, inputs)]
        limits = allowed(case, mode, inputs, expected)
        for level in _core.levels():
            _core.set_level(level)
            bits = set()
            for threads in (1, 3):
                fn.set_num_threads(threads)
                actual = run_with_relu(case, inputs)
                where = f"relu fused, {mode}, level {level}, {threads} threads"
                check_no_overrun(where)
                compare(case, [actual], expected, limits, where)
                bits.add(actual.tobytes())
            assert len(bits) == 1, f"{case.id}, {mode}, level {level}: other bits on 3 threads"


@pytest.mark.parametrize("level", _core.levels())
def test_nan_stays_nan_in_the_epilogue(level: str) -> None:
    _core.set_level(level)
    x, w = np.ones((5, 6), np.float32), np.ones((7, 6), np.float32)
    x[2, 3] = np.nan
    linear = eager(lambda x, w: apply("relu", apply("linear", x, w, None)))
    assert np.array_equal(np.isnan(linear(x, w)), np.isnan(x).any(axis=1, keepdims=True).repeat(7, axis=1))
    image, kernel = np.ones((1, 3, 6, 6), np.float32), np.ones((4, 3, 1, 1), np.float32)
    image[0, 1, 2, 2] = np.nan
    attrs: dict[str, Any] = {"stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1}
    attrs["algorithm"] = "auto"
    conv = eager(lambda x, w: apply("relu", apply("conv2d", x, w, None, **attrs)))
    assert np.array_equal(np.isnan(conv(image, kernel)), np.isnan(image).any(axis=1, keepdims=True).repeat(4, axis=1))


def wide(array: Any) -> Any:
    """Return the array in float64."""
    return None if array is None else np.float64(array)


NORMS = [case for case in CASES if case.primitive == "batch_norm" and case.group != "empty"]


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("case", NORMS, ids=lambda case: case.id)
def test_activation_in_batch_norm_and_its_backward(case: Case, training: bool, activation: str) -> None:
    """The fused calls against the activation's and batch norm's own: as oracles, and bit by bit as kernels."""
    _core.set_grain(0.0)
    _core.set_poison(True)
    make_room()
    parts = ("batch_norm", activation, f"{activation}_bwd", "batch_norm_bwd")
    eps = case.attrs["eps"]

    def chain(run: Any, dy: Any, x: Any, mean: Any, var: Any, weight: Any, bias: Any) -> Any:
        between = run("batch_norm", x, mean, var, weight, bias, eps=eps)
        y = run(activation, between)
        inner = run(f"{activation}_bwd", dy, y if activation == "relu" else between)
        grads = run("batch_norm_bwd", inner, x, mean, var, weight, eps=eps, training=training)
        return [y, *grads]

    fused = eager(lambda *nodes: tuple(chain(apply, *nodes)))
    x, mean, var, *rest = make_inputs(case, "integers", terms(case))
    dy = np.random.default_rng(0).permutation(x.reshape(-1)).reshape(x.shape)
    inputs = [dy, x, mean, var, *rest, *[None] * (2 - len(rest))]
    images = [i if i is None or i.ndim != 4 else channels_last(i) for i in inputs]
    expected = chain(lambda name, *args, **attrs: getattr(reference, name)(*args, **attrs), *map(wide, inputs))
    for level in _core.levels():
        _core.set_level(level)
        fn.set_num_threads(1)
        alone = chain(run_primitive, *images)
        for threads in (1, 3):
            fn.set_num_threads(threads)
            actual = fused(*images)
            (phase,) = last_plan().phases
            names = [(call.name, call.fused) for call in phase.fused if call.name in parts]
            fusion = {"activation": activation}
            assert names == [("batch_norm", fusion), ("batch_norm_bwd", fusion)], names
            check_no_overrun(f"{case.id}, level {level}, {threads} threads")
            for value, same, want in zip(actual, alone, expected, strict=True):
                assert value.tobytes() == same.tobytes(), (level, threads)
                np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("with_relu", [False, True], ids=["sum", "relu"])
@pytest.mark.parametrize("case", NORMS, ids=lambda case: case.id)
def test_sum_in_batch_norm(case: Case, with_relu: bool) -> None:
    """A residual, on either side, and ReLU after it: against the composition, and bit by bit."""
    _core.set_grain(0.0)
    _core.set_poison(True)
    make_room()
    attrs = dict(case.attrs)

    def chain(run: Any, x: Any, other: Any, *rest: Any) -> Any:
        y = run("batch_norm", x, *rest, **attrs)
        y = run("add", y, other) if len(rest) % 2 else run("add", other, y)
        return run("relu", y) if with_relu else y

    fused = eager(lambda *nodes: chain(apply, *nodes))
    x, *rest = make_inputs(case, "floats", terms(case))
    inputs = [x, np.random.default_rng(0).permutation(x.reshape(-1)).reshape(x.shape), *rest]
    images = [i if i is None or i.ndim != 4 else channels_last(i) for i in inputs]
    expected = chain(lambda name, *args, **kw: getattr(reference, name)(*args, **kw), *map(wide, inputs))
    fusion = {"residual": "add"} | ({"activation": "relu"} if with_relu else {})
    for level in _core.levels():
        _core.set_level(level)
        fn.set_num_threads(1)
        alone = chain(run_primitive, *images)
        for threads in (1, 3):
            fn.set_num_threads(threads)
            actual = fused(*images)
            (phase,) = last_plan().phases
            assert [(c.name, c.fused) for c in phase.fused if c.name != "relayout"] == [("batch_norm", fusion)]
            check_no_overrun(f"{case.id}, level {level}, {threads} threads")
            assert actual.tobytes() == alone.tobytes(), (level, threads)
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_a_sum_of_two_norms_takes_one_of_them() -> None:
    x = channels_last(np.random.default_rng(0).standard_normal((2, 3, 5, 5), np.float32))
    v = np.ones(3, np.float32)

    @eager
    def both(x: Any, v: Any) -> Any:
        norms = [apply("batch_norm", apply("mul", x, v[0] + i), v, v, eps=0.0) for i in range(2)]
        return apply("add", *norms)

    np.testing.assert_array_equal(both(x, v), (x - 1) + (x * 2 - 1))
    names = [(call.name, call.fused) for call in last_plan().phases[0].fused if call.name == "batch_norm"]
    assert sorted(names, key=str) == [("batch_norm", {"residual": "add"}), ("batch_norm", {})], names


def test_silu_is_fused_alone_where_nothing_is_differentiated() -> None:
    fn.set_precision("exact")  # else both go into the convolution
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.SiLU()).eval()
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5), np.float32)
    with fn.no_grad():
        assert "batch_norm+silu" in str(model.plan(x))
        inside = model[1](model[0](x))
        np.testing.assert_array_equal(model(x), fn.silu(inside))


def test_silu_stays_where_its_input_is_read_elsewhere() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: Any) -> Any:
            y = self.norm(x)
            return fn.silu(y) * y

    model = Both()
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 5), np.float32)
    assert "batch_norm+silu" not in str(model.plan(x))
    y = model.norm(x)
    np.testing.assert_array_equal(model(x), fn.silu(y) * y)


def updates() -> list[tuple[Case, int]]:
    """Optimizer steps for weights of linear layers, with the rows that their gradient is a sum over."""
    found = []
    for name, lead, inside, outside, group in linear_geometries():
        shape = f(outside, inside)
        for row in optimizer_rows(shape, Input(shape.shape, "positive")):
            chosen = ("small", "past_depth", "long_batch", "tiles", "tiles_long")
            if group == "empty" or name in chosen or row.name == "momentum_step3":
                case = Case(row.primitive, f"{name}_{row.name}", row.inputs, row.attrs, group)
                found.append((case, math.prod(lead)))
    return found


@pytest.mark.parametrize(("case", "rows"), updates(), ids=lambda v: v.id if isinstance(v, Case) else "")
def test_gradient_in_the_update(case: Case, rows: int) -> None:
    """The fused step against the gradient's sum and the optimizer's step: as oracles, and bit by bit as kernels."""
    _core.set_grain(0.0)
    _core.set_poison(True)
    make_room()
    outside, inside = case.shape(0)
    rng = np.random.default_rng(rows)
    x, dy = (rng.standard_normal((rows, n), np.float32) for n in (inside, outside))
    p, _, *rest = make_inputs(case, "floats")

    def chain(run: Any, p: Any, *rest: Any) -> None:
        *rest, dy, x = rest
        run(case.primitive, p, run("linear_bwd_weights", dy, x), *rest, **case.attrs)

    def result(run: Any, wide: bool = False) -> list[Any]:
        arrays = [None if a is None else np.array(a, np.float64 if wide else a.dtype) for a in (p, *rest)]
        run(*arrays, *((np.float64(dy), np.float64(x)) if wide else (dy, x)))
        return [a for a in arrays if a is not None]

    def fused(*arrays: Any) -> None:
        exact = [True] * sum(a is not None for a in arrays)
        _run_function(lambda *nodes: chain(apply, *nodes), ("fused", case.id), arrays, {}, exact)
        (phase,) = last_plan().phases
        assert [(c.name, c.fused) for c in phase.fused] == [(case.primitive, {"gradient": "linear_bwd_weights"})]

    expected = result(lambda *a: chain(lambda name, *b, **attrs: getattr(reference, name)(*b, **attrs), *a), True)
    for level in _core.levels() if case.group != "big" else _core.levels()[-1:]:
        _core.set_level(level)
        fn.set_num_threads(1)
        alone = result(lambda *a: chain(run_primitive, *a))
        for threads in (1, 3):
            fn.set_num_threads(threads)
            actual = result(fused)
            check_no_overrun(f"{case.id}, level {level}, {threads} threads")
            for value, same, want in zip(actual, alone, expected, strict=True):
                assert value.tobytes() == same.tobytes(), (level, threads)
                np.testing.assert_allclose(value, want, rtol=1e-4, atol=1e-4 * np.abs(want).max(initial=0.0))


def test_a_gradient_that_is_read_elsewhere_stays() -> None:
    """Where it is kept, clipped, summed or accumulated, and where its factors are updated themselves."""

    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (nn.Parameter(np.eye(3, dtype=np.float32) + i) for i in range(2))

        def forward(self, x: Any) -> Any:
            return x @ F.linear(self.a.view(3, 3), self.b)

    x, y = np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)
    options: list[dict[str, Any]] = [{"keep_grads": True}, {"clip_norm": 1.0}, {"clip_value": 1.0}, {"accumulate": 2}]
    for model, settings in [(nn.Linear(3, 3), o) for o in options] + [(Product(), {})]:
        step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1), **settings)
        assert not any("gradient" in call.fused for call in step.plan_of(x, y).phases[0].fused), (model, settings)
    model = nn.Linear(3, 3)
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    assert any("gradient" in call.fused for call in step.plan_of(x, y).phases[0].fused)
