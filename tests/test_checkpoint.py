"""checkpoint: the same numbers to the bit from less memory."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, nn
from fastnn.graph.plan import CompiledPlan

SHAPE = (4, 8, 16, 16)
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal(SHAPE, np.float32), RNG.integers(0, 5, SHAPE[0])


def block() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3), nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8), nn.SiLU(), nn.Conv2d(8, 8, 1), nn.Tanh(),
    )  # fmt: skip


class Model(nn.Module):
    """Four blocks; ``marked`` are checkpoints."""

    def __init__(self, marked: bool) -> None:
        super().__init__()
        fn.manual_seed(1)
        self.blocks = nn.ModuleList([block() for _ in range(4)])
        self.head = nn.Linear(8 * 16 * 16, 5)
        self.marked = marked

    def forward(self, x: Any) -> Any:
        for part in self.blocks:
            x = fn.checkpoint(part, x) if self.marked else part(x)
        return self.head(x.flatten(1))


def training(model: nn.Module) -> fn.TrainStep:
    return fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))


def trained(model: nn.Module, steps: int = 4) -> tuple[list[float], dict[str, bytes]]:
    step = training(model)
    fn.manual_seed(2)
    losses = step.run([(X, Y)] * steps)
    return losses, {name: value.tobytes() for name, value in model.state_dict().items()}


def plan_of(step: fn.TrainStep) -> CompiledPlan:
    plan = step.plan_of(X, Y)
    assert isinstance(plan, CompiledPlan)
    return plan


def test_a_training_step_has_the_same_bits_in_less_memory() -> None:
    assert trained(Model(True)) == trained(Model(False))
    plain, saving = (plan_of(training(Model(marked))).arena_bytes for marked in (False, True))
    assert saving < 0.5 * plain


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_whatever_the_threads(threads: int) -> None:
    expected = trained(Model(False))
    _core.set_grain(0)
    _core.set_poison(True)
    fn.set_num_threads(threads)
    assert trained(Model(True)) == expected


def test_model_and_backward_too() -> None:
    def run(marked: bool) -> list[bytes]:
        model = Model(marked)
        fn.manual_seed(3)
        y = model(X)
        dx = model.backward(np.ones_like(y))
        return [y.tobytes(), dx.tobytes(), *(p.grad.tobytes() for p in model.parameters())]

    assert run(True) == run(False)


def test_marked_modules() -> None:
    model = Model(False)
    for part in model.blocks:
        assert fn.checkpoint(part) is part
        assert fn.checkpoint(part) is part
    expected = trained(Model(True))
    assert list(model.state_dict()) == list(Model(True).state_dict())
    twin, again = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    arena = plan_of(training(Model(True))).arena_bytes
    for one in (model, twin, again):
        assert trained(one) == expected
        assert plan_of(training(one)).arena_bytes == arena


def test_running_statistics_are_updated_once() -> None:
    model = Model(True)
    training(model)(X, Y)
    assert int(model.blocks[0][1].num_batches_tracked) == 1
    names = [call.name for call, _ in plan_of(training(Model(True))).lowered]
    plain = [call.name for call, _ in plan_of(training(Model(False))).lowered]
    assert names.count("conv2d") == 2 * plain.count("conv2d") - 4, "the last convolution's own output is not needed"
    for name in set(plain) - {"conv2d", "batch_norm", "silu", "dropout", "relayout", "reshape"}:
        assert names.count(name) == plain.count(name), name


def test_what_others_read_is_kept() -> None:
    class Shared(nn.Module):
        def __init__(self, marked: bool) -> None:
            super().__init__()
            fn.manual_seed(1)
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
            self.marked = marked

        def inner(self, x: Any) -> tuple[Any, Any]:
            a = self.first(x).tanh()
            b = self.second(a).sigmoid()
            return a, b * self.second(b)

        def forward(self, x: Any) -> Any:
            a, b = fn.checkpoint(self.inner, x) if self.marked else self.inner(x)
            c, d = fn.checkpoint(self.inner, a * b, use_reentrant=False) if self.marked else self.inner(a * b)
            return a + b * c + d

    x = RNG.standard_normal((5, 6), np.float32)
    states = []
    for marked in (False, True):
        model = Shared(marked)
        step = fn.TrainStep(model, nn.MSELoss(), fn.optim.Adam(model.parameters(), lr=0.1))
        states.append((step.run([(x, x)] * 5), [p.data.tobytes() for p in model.parameters()]))
    assert states[0] == states[1]


def test_one_within_another_is_part_of_it() -> None:
    class Nested(nn.Module):
        def __init__(self, marked: bool) -> None:
            super().__init__()
            fn.manual_seed(1)
            self.a, self.b, self.c = (nn.Linear(6, 6) for _ in range(3))
            self.marked = marked

        def inner(self, x: Any) -> Any:
            return self.b(x).tanh()

        def outer(self, x: Any) -> Any:
            x = self.a(x).tanh()
            x = fn.checkpoint(self.inner, x) if self.marked else self.inner(x)
            return self.c(x).tanh()

        def forward(self, x: Any) -> Any:
            return fn.checkpoint(self.outer, x) if self.marked else self.outer(x)

    x = RNG.standard_normal((5, 6), np.float32)
    found = []
    for marked in (False, True):
        model = Nested(marked)
        step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
        found.append((step.run([(x, x)] * 5), [p.data.tobytes() for p in model.parameters()]))
        plan = step.plan_of(x, x)
        assert isinstance(plan, CompiledPlan)
        assert [call.name for call, _ in plan.lowered].count("tanh") == (5 if marked else 3)
    assert found[0] == found[1]


def test_python_inside_a_checkpoint_runs_once() -> None:
    calls: list[int] = []

    class Square(nn.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            calls.append(1)
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            return 2 * ctx.saved_tensors[0] * dy

    class Inside(nn.Module):
        def __init__(self, marked: bool) -> None:
            super().__init__()
            fn.manual_seed(1)
            self.a, self.b, self.marked = nn.Linear(4, 4), nn.Linear(4, 4), marked

        def inner(self, x: Any) -> Any:
            return self.b(Square.apply(self.a(x).tanh())).tanh()

        def forward(self, x: Any) -> Any:
            return fn.checkpoint(self.inner, x) if self.marked else self.inner(x)

    x = RNG.standard_normal((3, 4), np.float32)
    found = []
    for marked in (False, True):
        calls.clear()
        model = Inside(marked)
        losses = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1)).run([(x, x)] * 3)
        found.append((losses, len(calls)))
    assert found[0] == found[1]


def test_without_a_trace_it_is_a_call() -> None:
    assert fn.checkpoint(lambda a, b=1: a + b, 2, b=3) == 5
    np.testing.assert_array_equal(fn.checkpoint(nn.functional.relu, np.array([-1.0, 2.0])), [0, 2])
    model = Model(True).eval()
    with fn.no_grad():
        np.testing.assert_array_equal(model(X), Model(False).eval()(X))


@pytest.mark.parametrize(("what", "got"), [(3, "int"), (nn.ReLU, "the class ReLU"), (None, "NoneType")])
def test_bad_input(what: Any, got: str) -> None:
    with pytest.raises(TypeError, match=f"expected a module or a function, got {got}"):
        fn.checkpoint(what, X)
