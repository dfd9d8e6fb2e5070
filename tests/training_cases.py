"""Options of optimizers and schedulers, written once for fastnn and for PyTorch (`m` is either's module).

`write_torch_training_values.py` runs them under PyTorch and keeps the values in ``torch_training.npz``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ARCHIVE = Path(__file__).parent / "torch_training.npz"

STEPS = 40
RATES = (0.1, 0.03)

SHAPES = ((7, 5), (3, 2, 3, 3), (19,), (1,), ())
UPDATES = 12

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd dampening": ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "sgd nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True}),
    "sgd decay": ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1}),
    "sgd maximize": ("SGD", {"lr": 0.1, "weight_decay": 0.01, "maximize": True}),
    "adagrad": ("Adagrad", {"lr": 0.1}),
    "adagrad all": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.05, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ),
    "adagrad maximize": ("Adagrad", {"lr": 0.1, "maximize": True}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop centered": ("RMSprop", {"lr": 0.01, "alpha": 0.9, "centered": True, "eps": 1e-4}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.01, "momentum": 0.7, "weight_decay": 0.1}),
    "rmsprop all": ("RMSprop", {"lr": 0.01, "momentum": 0.7, "centered": True, "eps": 1e-3, "maximize": True}),
    "adam": ("Adam", {"lr": 0.01}),
    "adam betas": ("Adam", {"lr": 0.01, "betas": (0.7, 0.95), "eps": 1e-4}),
    "adam decay": ("Adam", {"lr": 0.01, "weight_decay": 0.1}),
    "adam amsgrad": ("Adam", {"lr": 0.01, "amsgrad": True, "betas": (0.9, 0.6)}),
    "adam maximize": ("Adam", {"lr": 0.01, "maximize": True}),
    "adamw": ("AdamW", {"lr": 0.01}),
    "adamw all": ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "amsgrad": True, "betas": (0.8, 0.7)}),
}


def start_values() -> list[np.ndarray]:
    """Return the parameters that every optimizer starts from."""
    rng = np.random.default_rng(1)
    return [np.asarray(rng.normal(size=shape), np.float32) for shape in SHAPES]


def gradients() -> list[list[np.ndarray]]:
    """Return the gradients of each update, of sizes from 1e-4 to 10, with zeros among them."""
    rng = np.random.default_rng(2)
    updates = []
    for step in range(UPDATES):
        scale = 10.0 ** ((step % 6) - 4)
        grads = [np.asarray(rng.normal(size=shape) * scale, np.float32) for shape in SHAPES]
        grads[0][0] = 0.0
        updates.append(grads)
    return updates


Make = Callable[[Any, Any], Any]
measures = 1.0 / np.arange(1, STEPS + 1) + 0.05 * np.random.default_rng(0).random(STEPS)


def _tenth(epoch: int) -> float:
    return 1.0 / (1.0 + 0.1 * epoch)


def _resumed(make: Callable[[Any, Any, int], Any], done: int = 5) -> Make:
    """A scheduler made with `last_epoch` after another has done some epochs."""

    def both(m: Any, optimizer: Any) -> Any:
        first = make(m, optimizer, -1)
        for _ in range(done):
            first.step()
        return make(m, optimizer, first.last_epoch)

    return both


SCHEDULES: dict[str, tuple[str, Make]] = {
    "step": ("SGD", lambda m, o: m.StepLR(o, 3, 0.5)),
    "multistep": ("SGD", lambda m, o: m.MultiStepLR(o, [2, 5, 5, 9], 0.3)),
    "constant": ("SGD", lambda m, o: m.ConstantLR(o, 0.25, 4)),
    "constant defaults": ("SGD", lambda m, o: m.ConstantLR(o)),
    "linear": ("SGD", lambda m, o: m.LinearLR(o)),
    "linear down": ("SGD", lambda m, o: m.LinearLR(o, 0.9, 0.1, 7)),
    "exponential": ("SGD", lambda m, o: m.ExponentialLR(o, 0.9)),
    "polynomial": ("SGD", lambda m, o: m.PolynomialLR(o, 7, 2.5)),
    "cosine": ("SGD", lambda m, o: m.CosineAnnealingLR(o, 6, 0.001)),
    "cosine of one": ("SGD", lambda m, o: m.CosineAnnealingLR(o, 1)),
    "restarts": ("SGD", lambda m, o: m.CosineAnnealingWarmRestarts(o, 3)),
    "restarts growing": ("SGD", lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, 0.01)),
    "restarts fractional": ("SGD", lambda m, o: m.CosineAnnealingWarmRestarts(o, 3, 2, 0.01)),
    "onecycle": ("SGD", lambda m, o: m.OneCycleLR(o, [1.0, 0.2], 30)),
    "onecycle linear": ("SGD", lambda m, o: m.OneCycleLR(o, 1.0, 30, anneal_strategy="linear")),
    "onecycle three": ("SGD", lambda m, o: m.OneCycleLR(o, 1.0, 30, three_phase=True)),
    "onecycle adam": ("Adam", lambda m, o: m.OneCycleLR(o, 1.0, 30, three_phase=True, anneal_strategy="linear")),
    "onecycle all": (
        "SGD",
        lambda m, o: m.OneCycleLR(
            o, 0.3, epochs=5, steps_per_epoch=6, pct_start=0.4, base_momentum=0.7, max_momentum=0.8,
            div_factor=10, final_div_factor=100,
        ),
    ),
    "onecycle rates only": ("Adagrad", lambda m, o: m.OneCycleLR(o, 0.3, 20, cycle_momentum=False)),
    "lambda": ("SGD", lambda m, o: m.LambdaLR(o, [_tenth, math.sqrt])),
    "multiplicative": ("SGD", lambda m, o: m.MultiplicativeLR(o, _tenth)),
    "plateau": ("SGD", lambda m, o: m.ReduceLROnPlateau(o, "min", 0.5, 2)),
    "plateau abs": ("SGD", lambda m, o: m.ReduceLROnPlateau(o, "min", 0.5, 1, 1e-2, "abs", 2)),
    "plateau max": ("SGD", lambda m, o: m.ReduceLROnPlateau(o, "max", 0.5, 2, 1e-2, "rel", 0, [0.01, 0.02])),
    "plateau max abs": ("SGD", lambda m, o: m.ReduceLROnPlateau(o, "max", 0.1, 0, 1e-2, "abs", 1, 1e-3)),
    "sequential": ("SGD", lambda m, o: m.SequentialLR(o, [m.ConstantLR(o, 0.1, 3), m.ExponentialLR(o, 0.9)], [3])),
    "sequential of three": (
        "SGD",
        lambda m, o: m.SequentialLR(
            o, [m.LinearLR(o, 0.1, total_iters=4), m.CosineAnnealingLR(o, 10), m.StepLR(o, 3, 0.5)], [4, 14]
        ),
    ),
    "sequential restarts": (
        "SGD",
        lambda m, o: m.SequentialLR(
            o, [m.LinearLR(o, 0.1, total_iters=4), m.CosineAnnealingWarmRestarts(o, 5), m.PolynomialLR(o, 6)], [4, 14]
        ),
    ),
    "sequential nested": (
        "SGD",
        lambda m, o: m.SequentialLR(
            o,
            [
                m.SequentialLR(o, [m.ConstantLR(o, 0.1, 2), m.LinearLR(o, 0.5, total_iters=2)], [2]),
                m.ExponentialLR(o, 0.9),
            ],
            [5],
        ),
    ),
    "chained": ("SGD", lambda m, o: m.ChainedScheduler([m.ConstantLR(o, 0.1, 3), m.ExponentialLR(o, 0.9)])),
    "step resumed": ("SGD", _resumed(lambda m, o, last: m.StepLR(o, 3, 0.5, last))),
    "multistep resumed": ("SGD", _resumed(lambda m, o, last: m.MultiStepLR(o, [2, 5, 6, 9], 0.3, last))),
    "constant resumed": ("SGD", _resumed(lambda m, o, last: m.ConstantLR(o, 0.25, 4, last), done=2)),
    "linear resumed": ("SGD", _resumed(lambda m, o, last: m.LinearLR(o, 0.1, 1.0, 9, last))),
    "exponential resumed": ("SGD", _resumed(lambda m, o, last: m.ExponentialLR(o, 0.9, last))),
    "polynomial resumed": ("SGD", _resumed(lambda m, o, last: m.PolynomialLR(o, 9, 2, last))),
    "cosine resumed": ("SGD", _resumed(lambda m, o, last: m.CosineAnnealingLR(o, 9, 0.001, last))),
    "restarts resumed": ("SGD", _resumed(lambda m, o, last: m.CosineAnnealingWarmRestarts(o, 3, 1, 0.0, last))),
    "lambda resumed": ("SGD", _resumed(lambda m, o, last: m.LambdaLR(o, _tenth, last))),
    "multiplicative resumed": ("SGD", _resumed(lambda m, o, last: m.MultiplicativeLR(o, _tenth, last))),
    "onecycle resumed": ("SGD", _resumed(lambda m, o, last: m.OneCycleLR(o, 0.3, 30, last_epoch=last))),
}  # fmt: skip


def step_arguments(name: str, step: int) -> tuple[float, ...]:
    """Return what the scheduler's step is called with."""
    if name.startswith("plateau"):
        return (float(measures[step]),)
    return (0.7 * step,) if name == "restarts fractional" else ()


def group_values(optimizer: Any) -> list[list[float]]:
    """Return rate and momentum (or first beta) of every group."""
    return [[g["lr"], g.get("momentum", g.get("betas", (0.0,))[0])] for g in optimizer.param_groups]


def record_schedule(name: str, scheduler: Any, optimizer: Any) -> np.ndarray:
    """Return the values before every step; the course ends early where the scheduler refuses to go on."""
    rows = []
    for step in range(STEPS):
        rows.append(group_values(optimizer))
        try:
            scheduler.step(*step_arguments(name, step))
        except ValueError:
            break
    return np.array(rows, np.float64)
