"""Steps that have no memory in common: found rightly, and the same bits without the waits between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _core, nn
from fastnn.graph.apart import OUTSIDE, Span, apart
from fastnn.graph.plan import CompiledPlan
from fastnn.graph.primitive import Call, Step, find

PLACES: dict[str, Span] = {
    "a": (False, 0, 64), "b": (False, 64, 128), "c": (False, 128, 192), "d": (False, 32, 96),
    "p": (True, 0, 64), "q": (True, 64, 128), "late": OUTSIDE,
}  # fmt: skip


def step(reads: str, writes: str, *, name: str = "relu", mutated: str = "") -> tuple[Any, Any]:
    """A step that reads and writes values by name; the first of ``mutated`` is written though it is an input."""
    inputs: Any = (*mutated.split(), *reads.split())
    buffers: Any = (*inputs, *writes.split())
    outputs: Any = tuple(writes.split())
    return Call(find("accumulate" if mutated else name), inputs, {}, outputs), Step(name, {}, buffers)


def found(*steps: tuple[Any, Any]) -> list[int]:
    return apart(steps, lambda node: PLACES[str(node)])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([step("a", "b"), step("a", "c")], [0, 1]),  # both only read a
        ([step("a", "b"), step("b", "c")], [0, 0]),  # written, then read
        ([step("a", "b"), step("c", "a")], [0, 0]),  # read, then written
        ([step("a", "b"), step("c", "b")], [0, 0]),  # written twice
        ([step("a", "c"), step("c", "d")], [0, 0]),  # d lies over a
        ([step("p", "a"), step("late", "b")], [0, 1]),  # outside, all only read
        ([step("late", "a"), step("b", "", mutated="p")], [0, 0]),  # the late array may be p
        ([step("a", "", mutated="p"), step("b", "", mutated="q")], [0, 1]),
        ([step("a", "", mutated="p"), step("b", "", mutated="q"), step("p", "c")], [0, 1, 1]),
        ([step("a", "b"), step("p", "c"), step("q", "d")], [0, 1, 1]),
        ([step("a", "b"), (Call(find("relu"), (), {}), None), step("p", "c")], [0, 0]),  # Python in between
    ],
)
def test_rules(steps: list[tuple[Any, Any]], expected: list[int]) -> None:
    assert found(*steps) == expected


def network() -> nn.Module:
    fn.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 16), nn.Sigmoid(), nn.Dropout(0.2), nn.Linear(16, 5),
    )  # fmt: skip


def trained(rounds: int) -> list[bytes]:
    model = network()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.Adam(model.parameters(), lr=0.01))
    rng = np.random.default_rng(0)
    fn.manual_seed(1)
    for _ in range(rounds):
        step(rng.standard_normal((8, 2, 8, 8), np.float32), rng.integers(0, 5, 8))
    return [value.tobytes() for value in model.state_dict().values()]


@pytest.mark.parametrize("threads", [2, 3])
def test_same_bits_where_nobody_waits(threads: int) -> None:
    fn.set_num_threads(1)
    expected = trained(40)
    _core.set_grain(0)
    fn.set_num_threads(threads)
    for _ in range(5):
        assert trained(40) == expected


def test_a_plan_has_such_steps() -> None:
    model = network()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.Adam(model.parameters(), lr=0.01))
    plan = step.plan_of(np.zeros((8, 2, 8, 8), np.float32), np.zeros(8, np.int64))
    assert isinstance(plan, CompiledPlan)
    counts = apart(plan.lowered, plan._span)
    assert len(counts) == len(plan.ops)
    assert sum(n > 0 for n in counts) >= 5
    assert all(n <= i for i, n in enumerate(counts))


def test_two_views_of_one_buffer_are_one_memory() -> None:
    shared = np.zeros(6, np.float32)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x: Any) -> Any:
            return self.second(self.first(x))

    model = Twice()
    model.first._buffers["running_mean"] = shared[:4]
    model.second._buffers["running_mean"] = shared[2:]
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    plan = step.plan_of(np.zeros((3, 4), np.float32), np.zeros((3, 4), np.float32))
    assert isinstance(plan, CompiledPlan)
    effects = [i for i, (call, _) in enumerate(plan.lowered) if _writes(call, shared)]
    counts = apart(plan.lowered, plan._span)
    assert len(effects) == 2
    assert counts[effects[1]] < effects[1] - effects[0]


def _writes(call: Call, memory: np.ndarray) -> bool:
    return any(
        node.source is not None and node.source[0] == "array" and np.shares_memory(node.source[1], memory)
        for node in call.mutated
    )
