"""Plans are built quickly, kept for every batch size, and say what fills their arena."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.graph.holders import fullest
from fastnn.graph.plan import CompiledPlan
from fastnn.graph.runtime import runtime_of
from fastnn.models import resnet50
from fastnn.training import step as step_module


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


def training() -> fn.TrainStep:
    model = network()
    return fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))


def compiled(step: fn.TrainStep, size: int) -> CompiledPlan:
    plan = step.plan_of(np.zeros((size, 1, 8, 8), np.float32), np.zeros(size, np.int64))
    assert isinstance(plan, CompiledPlan)
    return plan


def test_a_short_last_batch_is_planned_once_and_needs_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    build = step_module.StepPlan

    def counted(*args: Any) -> Any:
        built.append(1)
        return build(*args)

    monkeypatch.setattr(step_module, "StepPlan", counted)
    rng = np.random.default_rng(0)
    data = rng.standard_normal((22, 1, 8, 8), np.float32), rng.integers(0, 5, 22)
    step = training()
    trainer = fn.Trainer(step.model, step.loss, step.optimizer)
    trainer.fit(data, epochs=1, batch_size=8, progress=False)
    arena = runtime_of(step.model).arena
    block, scratch, generation = arena.block, arena.scratch, arena.generation
    assert block.nbytes == max(compiled(step, size).arena_bytes for size in (8, 6))
    built.clear()
    trainer.fit(data, epochs=5, batch_size=8, progress=False)
    assert built == []
    assert (arena.block, arena.scratch, arena.generation) == (block, scratch, generation)


def test_all_sizes_share_one_arena() -> None:
    step = training()
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((16, 1, 8, 8), np.float32), rng.integers(0, 5, 16)
    step(x, y)
    arena = runtime_of(step.model).arena
    blocks = []
    for _ in range(3):
        for size in (3, 16, 7, 1, 16, 12):
            step(x[:size], y[:size])
        blocks.append((arena.block, arena.scratch))
    assert arena.generation == 1, "the largest batch came first"
    assert blocks[0] == blocks[1] == blocks[2]


def test_a_large_plan_is_built_quickly() -> None:
    model = resnet50()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
    x, y = np.zeros((8, 3, 224, 224), np.float32), np.zeros(8, np.int64)
    start = time.process_time()
    plan = step.plan_of(x, y)
    spent = time.process_time() - start
    assert isinstance(plan, CompiledPlan)
    assert len(plan.ops) > 400
    assert spent < 1.0, "about 0.06 s; 0.3 s are allowed where nothing else runs"


def test_the_report_says_what_fills_the_arena() -> None:
    step = training()
    plan = compiled(step, 16)
    at, holders = fullest(plan)
    sizes = [holder.nbytes for holder in holders]
    assert sizes == sorted(sizes, reverse=True)
    assert 0.8 * plan.arena_bytes <= sum(sizes) <= plan.arena_bytes
    assert all(holder.birth <= at <= holder.death for holder in holders)
    largest = holders[0]
    assert (largest.nbytes, largest.spec.shape) == (16 * 4 * 36 * 4, (16, 4, 6, 6))
    text = str(step.plan(np.zeros((16, 1, 8, 8), np.float32), np.zeros(16, np.int64)))
    assert f"fullest at C step {at} with {len(holders)} values" in text
    assert "(16, 4, 6, 6)" in text.splitlines()[-len(holders)]
    assert text.splitlines()[2].split()[1] == "step"


def test_a_model_reports_too() -> None:
    text = str(network().plan(np.zeros((2, 1, 8, 8), np.float32)))
    assert "arena: " in text
    assert "fullest at C step" in text
