"""Sums of gradients and ReLU's derivative in the convolution's gradient: the bits of the parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn as fn
from case_data import Case, make_inputs
from cases import small_cases
from fastnn import _core, nn, reference
from fastnn.graph import eager, run_primitive
from fastnn.graph.node import apply
from fastnn.nn import functional as F
from oracle import channels_last, check_no_overrun, last_plan, make_room
from tolerances import terms

CASES = [case for case in small_cases() if case.primitive == "conv2d_bwd_data" and case.group != "empty"]
FORMS = {"sum": {"sum": "add"}, "gate": {"activation": "relu_bwd"}, "both": {"sum": "add", "activation": "relu_bwd"}}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_sum_and_gate_in_the_gradient(case: Case, form: str) -> None:
    _core.set_grain(0.0)
    _core.set_poison(True)
    fn.set_precision("exact" if case.attrs["algorithm"] == "auto" else "fast")
    make_room()
    dy, w = make_inputs(case, "floats", terms(case))

    def chain(run: Any, dy: Any, w: Any, other: Any, y: Any) -> Any:
        dx = run("conv2d_bwd_data", dy, w, **case.attrs)
        if form != "gate":
            dx = run("add", dx, other) if case.name < "p" else run("add", other, dx)
        return dx if form == "sum" else run("relu_bwd", dx, y)

    fused = eager(lambda *nodes: chain(apply, *nodes))
    shape = reference.conv2d_bwd_data(dy, w, **case.attrs).shape
    rng = np.random.default_rng(len(case.name))
    other, y = (channels_last(rng.standard_normal(shape, np.float32)) for _ in range(2))
    y[y < -1.5] = np.nan
    inputs = (channels_last(dy), w, other, y)
    for level in _core.levels():
        _core.set_level(level)
        fn.set_num_threads(1)
        alone = chain(run_primitive, *inputs)
        for threads in (1, 3):
            fn.set_num_threads(threads)
            actual = fused(*inputs)
            (phase,) = last_plan().phases
            names = [(call.name, call.fused) for call in phase.fused if call.name != "relayout"]
            assert names == [("conv2d_bwd_data", FORMS[form])], names
            check_no_overrun(f"{case.id}, level {level}, {threads} threads")
            assert actual.tobytes() == alone.tobytes(), (level, threads)


class Block(nn.Module):
    """Two convolutions beside a third one, as where ResNet halves its images; then one beside nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.a, self.b = nn.Conv2d(3, 20, 3, padding=1), nn.Conv2d(20, 18, 1), nn.Conv2d(20, 18, 1, 2)
        self.c, self.d = nn.Conv2d(18, 18, 3, 2, 1), nn.Conv2d(18, 18, 1)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.first(x))
        x = F.relu(self.c(F.relu(self.a(x))) + self.b(x))
        return F.relu(self.d(x) + x).mean((2, 3))


@pytest.mark.parametrize("threads", [1, 3])
def test_a_residual_network_trains_as_without_fusion(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    fn.set_num_threads(threads)
    _core.set_poison(True)
    results = []
    for fusing in (True, False):
        if not fusing:
            monkeypatch.setattr("fastnn.graph.plan.fuse", lambda calls, kept: list(calls))
        fn.manual_seed(0)
        model = Block()
        step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        rng = np.random.default_rng(0)
        losses = [step(rng.standard_normal((3, 3, 9, 8), np.float32), rng.integers(0, 18, 3)) for _ in range(3)]
        plan: Any = step.plan_of(np.zeros((3, 3, 9, 8), np.float32), np.zeros(3, np.int64))
        names = [tuple(call.fused) for call in plan.phases[0].fused if call.name == "conv2d_bwd_data"]
        both = ("sum", "activation")
        assert sorted(names) == ([(), ("activation",), both, both] if fusing else [()] * 4)
        results.append((losses, [p.data.tobytes() for p in model.parameters()]))
    assert results[0] == results[1]
