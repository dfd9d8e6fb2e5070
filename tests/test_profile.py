"""fn.profile: the steps of a plan, timed within its run."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn

X = np.random.default_rng(0).standard_normal((16, 3, 32, 32), np.float32)
Y = np.arange(16) % 10


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 16 * 16, 10),
    )  # fmt: skip


def training_step() -> fn.TrainStep:
    model = network()
    return fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=1e-3))


def test_every_step_of_a_training_step_is_there_with_its_work() -> None:
    step = training_step()
    result = fn.profile(step, X, Y, rounds=3)
    assert step._last is not None
    plan: Any = step._last[0].plan
    assert len(result.steps) == len(plan.ops)
    assert all(s.seconds > 0 for s in result.steps)
    second = next(s for s in result.steps if s.operation == "conv2d+relu")
    assert second.flops == 2 * 16 * 32 * 32 * 32 * 32 * 9
    assert second.module == "Conv2d '3'"
    assert second.output.startswith("(16, 32, 32, 32)")
    assert second.share > 0
    assert sum(result.by_operation().values()) == pytest.approx(result.total)
    assert list(result.by_operation().values()) == sorted(result.by_operation().values(), reverse=True)
    text = str(result)
    assert all(name in text for name in ("conv2d_bwd_weights", "sgd_step", "GFLOP/s", "thread(s)"))
    assert plan.seconds is None


def test_a_profiled_step_trains_as_any_other() -> None:
    fn.manual_seed(1)
    profiled = training_step()
    fn.manual_seed(1)
    plain = training_step()
    fn.profile(profiled, X, Y, rounds=2)
    for _ in range(5):  # one to build, two rounds of a plain and a timed call
        plain(X, Y)
    for (name, a), (_, b) in zip(profiled.model.state_dict().items(), plain.model.state_dict().items(), strict=True):
        assert a.tobytes() == b.tobytes(), name


@pytest.mark.parametrize("trained", [True, False])
def test_steps_and_call_add_up_to_an_untimed_call(trained: bool) -> None:
    """What is counted twice or not at all shows each time, what else the machine does now and then."""
    subject, inputs, shares = (training_step(), (X, Y), []) if trained else (network().eval(), (X,), [])
    while len(shares) < 12 and not any(0.95 < share < 1.05 for share in shares):
        result = fn.profile(subject, *inputs, rounds=9)
        assert result.by_operation()["(call)"] == result.outside > 0
        assert sum(s.seconds for s in result.steps) + result.outside == result.total
        shares.append(result.total / result.whole)
    assert 0.95 < shares[-1] < 1.05, f"timed over untimed, where 1 is expected: {shares}"


def test_the_short_way_is_timed_too() -> None:
    step = training_step()
    step.run([(X, Y)] * 2)
    result = fn.profile(step, X, Y, rounds=2)
    assert all(s.seconds > 0 for s in result.steps)


def test_a_module_runs_forward() -> None:
    result = fn.profile(network().eval(), X, rounds=1)
    assert not any(name.endswith("_bwd_data") or name == "sgd_step" for name in result.by_operation())
    assert "linear" in result.by_operation()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fn.profile(np.ones(3)), "expected a TrainStep or a Module, got ndarray"),
        (lambda: fn.profile(network(), X, rounds=0), "rounds"),
        (lambda: fn.profile(network(), X, rounds=True), "rounds"),
    ],
)
def test_bad_input(call: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        call()


@pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="matplotlib is not installed")
def test_the_timeline_has_a_row_for_each_operation(tmp_path: Path) -> None:
    result = fn.profile(training_step(), X, Y, rounds=1)
    figure = result.plot(tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 1000
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == [kind for kind in result.by_operation() if kind != "(call)"]
