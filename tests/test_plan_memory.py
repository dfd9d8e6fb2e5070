"""What lets a plan do with little memory: outputs written over inputs, updates as soon as a gradient is there."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from case_data import Case, make_inputs
from cases import small_cases
from fastnn import _core, nn
from fastnn.graph import eager, run_primitive
from fastnn.graph.node import apply
from fastnn.graph.plan import CompiledPlan
from fastnn.graph.primitive import find
from fastnn.graph.report import PlanReport
from fastnn.nn import functional as F
from oracle import check_no_overrun, last_plan, make_room, placed
from tolerances import terms

ONE = np.float32(1.0)


def overwritable() -> list[tuple[Case, int]]:
    """Cases and positions of inputs whose memory the first output may take."""
    found = []
    for case in small_cases():
        primitive = find(case.primitive)
        for position, rule in enumerate(primitive.rules[: len(case.inputs)]):
            if rule.name in primitive.overwrites and case.inputs[position] is not None and case.group != "empty":
                found.append((case, position))
    return found


@pytest.mark.parametrize(("case", "position"), overwritable(), ids=lambda v: v.id if isinstance(v, Case) else str(v))
def test_an_output_over_its_input_has_the_same_bits(case: Case, position: int) -> None:
    _core.set_grain(0.0)
    _core.set_poison(True)
    make_room()
    inputs = [placed(case, i, a) for i, a in enumerate(make_inputs(case, "floats", terms(case)))]

    def fixed(array: Any) -> bool:
        return array is None or array.dtype == np.uint64  # the generator's words

    @eager
    def within(*nodes: Any) -> Any:
        """The operation between two others that change nothing, so that its memory is the plan's."""
        given = [array if fixed(array) else node for array, node in zip(inputs, nodes, strict=True)]
        given[position] = apply("mul", given[position], ONE)
        outputs = apply(case.primitive, *given, **case.attrs)
        first, *rest = outputs if isinstance(outputs, tuple) else (outputs,)
        return (apply("mul", first, ONE), *rest)

    for level in _core.levels():
        _core.set_level(level)
        expected = run_primitive(case.primitive, *inputs, **case.attrs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for threads in (1, 3):
            fn.set_num_threads(threads)
            actual = within(*(None if fixed(array) else array for array in inputs))
            check_shared(last_plan(), case, position)
            check_no_overrun(f"{case.id}, level {level}, {threads} threads")
            for got, want in zip(actual, expected, strict=True):
                assert np.asarray(got).tobytes() == np.asarray(want).tobytes(), (level, threads)


def check_shared(plan: CompiledPlan, case: Case, position: int) -> None:
    """The output lies where the input was, if they are of one spec."""
    _, call, _ = (c for c in plan.phases[0].fused if c.name != "relayout")
    assert call.name == case.primitive
    source, output = call.inputs[position], call.outputs[0]
    assert source is not None
    assert source.call is not None
    assert (plan._root(source) is plan._root(output)) == (source.spec == output.spec)


def test_what_is_read_later_is_not_overwritten() -> None:
    x = np.arange(-3, 4, dtype=np.float32)

    @eager
    def twice(x: Any) -> Any:
        y = apply("mul", x, ONE)
        return apply("add", apply("relu", y), apply("sigmoid", y))

    np.testing.assert_allclose(twice(x), np.maximum(x, 0) + 1 / (1 + np.exp(-x)), rtol=1e-6)

    @eager
    def with_itself(x: Any) -> Any:
        y = apply("mul", x, ONE)
        return apply("mul", apply("add", y, apply("reshape", y, shape=(7,))), ONE)

    np.testing.assert_array_equal(with_itself(x), 2 * x)


def names_of(step: fn.TrainStep) -> list[str]:
    """The operations of the plan that a step ran last, in order."""
    assert step._last is not None
    return [call.name for call in step._last[0].plan.phases[0].fused]  # type: ignore[attr-defined]


def perceptron(*sizes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def test_updates_follow_their_gradients() -> None:
    model = perceptron(6, 5, 4, 3)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    step(np.ones((4, 6), np.float32), np.zeros(4, np.int64))
    names = names_of(step)
    updates = [i for i, name in enumerate(names) if name == "sgd_step"]
    backward = [i for i, name in enumerate(names) if name == "linear_bwd_data"]
    assert len(updates) == 6
    assert updates[0] < backward[-1], names
    assert min(updates) > names.index("check_finite")


def test_clipping_by_norm_updates_after_all_gradients() -> None:
    model = perceptron(6, 5, 3)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1), clip_norm=1.0)
    step(np.ones((4, 6), np.float32), np.zeros(4, np.int64))
    names = names_of(step)
    assert names.index("sgd_step") > max(i for i, name in enumerate(names) if name == "linear_bwd_weights")


def test_a_weight_is_updated_after_its_last_reader() -> None:
    """A weight of two layers is read by the backward of the first after the gradient of the second is there."""
    shared = nn.Linear(5, 5)
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), shared)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(7, 5)).astype(np.float32)
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.5), keep_grads=True)
    step(x, y)
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.data, before[name] - 0.5 * p.grad, rtol=1e-6, atol=1e-7)
    names = names_of(step)
    last = max(i for i, name in enumerate(names) if name.startswith("linear_bwd"))
    assert names.index("sgd_step") > last


@pytest.mark.parametrize("view", [lambda w: w, lambda w: w[::-1], lambda w: w.T, lambda w: w[:, :3]], ids=range(4))
def test_a_parameter_as_input_is_read_as_it_was(view: Any) -> None:
    def trained_on(copied: bool) -> bytes:
        fn.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Tanh(), nn.Linear(3, 3))
        x = view(model[2].weight.data)  # updated before the first layer reads it again
        step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.5))
        for _ in range(3):
            step(x.copy() if copied else x, np.ones((3, 3), np.float32))
        return b"".join(p.data.tobytes() for p in model.parameters())

    assert trained_on(True) == trained_on(False)


def test_python_in_the_backward_comes_before_any_update() -> None:
    """An operation written in Python may fail: nothing is updated by then."""

    class Fails(nn.Function):
        @staticmethod
        def forward(ctx: Any, x: np.ndarray) -> np.ndarray:
            return x

        @staticmethod
        def backward(ctx: Any, dy: np.ndarray) -> np.ndarray:
            raise RuntimeError("on purpose")

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.norm, self.b = nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)

        def forward(self, x: Any) -> Any:
            return self.b(Fails.apply(self.norm(self.a(x))))

    model = Model()
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.5))
    before = {name: value.copy() for name, value in model.state_dict().items()}
    with pytest.raises(RuntimeError, match="on purpose"):
        step(np.eye(3, dtype=np.float32), np.ones((3, 2), np.float32))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def arena_of(model: nn.Module, *shape: int) -> int:
    """Bytes of the arena of a training step on images of this shape."""
    optimizer = fn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    plan = fn.TrainStep(model, nn.CrossEntropyLoss(), optimizer).plan_of(np.ones(shape, np.float32), np.zeros(2, int))
    return PlanReport(plan).arena_bytes


def test_gradients_do_not_all_live_at_once() -> None:
    layers = [nn.Conv2d(96, 96, 3, padding=1) for _ in range(5)]
    arena = arena_of(nn.Sequential(*layers, nn.Flatten(), nn.Linear(96, 10)), 2, 96, 1, 1)
    assert 96 * 96 * 9 * 4 < arena < 1.2 * 96 * 96 * 9 * 4


def test_gradients_of_linear_weights_are_nowhere_as_a_whole() -> None:
    assert arena_of(perceptron(256, 256, 256, 256, 256, 10), 2, 256) < 0.2 * 256 * 256 * 4


class Mobile(nn.Module):
    """A block as of EfficientNet: batch norm, SiLU, squeeze and excitation, a shortcut, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.expand = nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32), nn.SiLU())
        self.depth = nn.Sequential(
            nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False), nn.BatchNorm2d(32), nn.SiLU()
        )
        self.squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 8, 1), nn.SiLU(), nn.Conv2d(8, 32, 1))
        self.project = nn.Sequential(nn.Conv2d(32, 16, 1, bias=False), nn.BatchNorm2d(16))
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Flatten(), nn.Linear(16 * 64, 5))

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        y = self.depth(self.expand(x))
        return self.head(self.project(y * self.squeeze(y).sigmoid()) + x)


def trained(recompute: bool, **options: Any) -> tuple[fn.TrainStep, list[float]]:
    """A step after three batches, and their losses."""
    fn.manual_seed(3)
    model = Mobile()
    optimizer = fn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), optimizer, recompute=recompute, **options)
    rng = np.random.default_rng(0)
    batches = [(rng.standard_normal((6, 3, 8, 8), np.float32), rng.integers(0, 5, 6)) for _ in range(3)]
    return step, [step(x, y) for x, y in batches]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.5}, {"accumulate": 3}], ids=str)
def test_values_made_anew_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch, threads: int, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("fastnn.graph.recompute.LEAST", 0)
    _core.set_poison(True)
    fn.set_num_threads(threads)
    (kept, losses), (anew, again) = trained(False, **options), trained(True, **options)
    assert losses == again
    for (name, a), (_, b) in zip(kept.model.state_dict().items(), anew.model.state_dict().items(), strict=True):
        assert a.tobytes() == b.tobytes(), name
    extra = {name: names_of(anew).count(name) - names_of(kept).count(name) for name in set(names_of(anew))}
    assert {name: n for name, n in extra.items() if n} == {"batch_norm": 1, "silu": 1}, extra


def test_values_made_anew_take_less_memory() -> None:
    def arena(recompute: bool) -> int:
        fn.manual_seed(0)
        blocks: list[nn.Module] = []
        for i in range(6):
            blocks += [nn.Conv2d(3 if i == 0 else 16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.SiLU()]
        model = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))
        optimizer = fn.optim.SGD(model.parameters(), lr=0.1)
        step = fn.TrainStep(model, nn.CrossEntropyLoss(), optimizer, recompute=recompute)
        step(np.ones((16, 3, 32, 32), np.float32), np.zeros(16, np.int64))
        assert step._last is not None
        return PlanReport(step._last[0].plan).arena_bytes

    one = 16 * 16 * 32 * 32 * 4  # bytes of a value; six blocks keep two each, or one and what is being worked on
    assert arena(False) - arena(True) >= 4 * one


class Residual(nn.Module):
    """A block as of ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x: Any) -> Any:
        return F.relu(self.norm(self.conv(x)) + x)


@pytest.mark.parametrize("threads", [1, 3])
def test_sums_made_anew_give_the_same_bits(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    _core.set_poison(True)
    fn.set_num_threads(threads)
    found = []
    for least in (0, 1 << 20):
        monkeypatch.setattr("fastnn.graph.recompute.LEAST_SUM", least)
        fn.manual_seed(3)
        model = nn.Sequential(nn.Conv2d(3, 4, 1), *(Residual() for _ in range(3)), nn.Flatten(), nn.Linear(144, 5))
        optimizer = fn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        step = fn.TrainStep(model, nn.CrossEntropyLoss(), optimizer)
        rng = np.random.default_rng(0)
        losses = [step(rng.standard_normal((6, 3, 6, 6), np.float32), rng.integers(0, 5, 6)) for _ in range(3)]
        found.append((losses, [p.data.tobytes() for p in model.parameters()], names_of(step).count("batch_norm")))
    (*anew, count), (*kept, least_count) = found
    assert anew == kept
    assert (count, least_count) == (6, 3)


def test_small_values_are_kept() -> None:
    step, _ = trained(True)
    assert [names_of(step).count(name) for name in ("batch_norm", "gated_norm")] == [2, 1]
