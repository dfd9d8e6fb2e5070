"""The learning-rate range test: one short run with a rate that grows until the loss explodes."""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import os
from collections.abc import Generator
from typing import Any

import numpy as np

from .. import _random
from .._checks import as_float, as_int
from ..nn.functional._common import naming
from .feeding import as_loader, split_batch
from .step import NonFiniteLossError, TrainStep

__all__ = ["LRFind", "lr_find"]

WINDOW = 3.0  # slopes are of lines over this factor of the rate to each side: single batches say nothing


class LRFind:
    """What a range test measured.

    Attributes
    ----------
    rates, losses : ndarray
        The rate of each step, and the loss that it was taken at.
    smoothed : ndarray
        Running mean of the losses.
    suggestion : float
        The rate at which the smoothed loss falls fastest over the logarithm of the rate.
    lowest : float
        The rate at which the smoothed loss is lowest; good rates lie below it, by a factor of three to ten.
    """

    def __init__(self, rates: list[float], losses: list[float], smoothing: float, diverge: float = 4.0) -> None:
        self.rates, self.losses = np.array(rates), np.array(losses)
        self.smoothed = _smooth(self.losses, smoothing)
        # nothing after an explosion counts: a loss may fall back steeply
        exploded = np.flatnonzero(self.smoothed > diverge * np.minimum.accumulate(self.smoothed))
        end = int(np.argmin(self.smoothed[: exploded[0] if exploded.size else None]))
        self.lowest = float(self.rates[end])
        self.suggestion = float(self.rates[_steepest(np.log(self.rates[: end + 1]), self.smoothed[: end + 1])])

    def __repr__(self) -> str:
        span = f"{self.rates[0]:.3g} to {self.rates[-1]:.3g}"
        return f"LRFind(suggestion={self.suggestion:.3g}, lowest={self.lowest:.3g}, {len(self.rates)} rates {span})"

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the loss over the rate and mark the suggestion; return matplotlib's figure (extra ``plot``)."""
        from ..viz import lr_range

        return lr_range(self, path=path)


def lr_find(
    model: Any,
    loss: Any,
    optimizer: Any,
    data: Any,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    smoothing: float = 0.9,
    diverge: float = 4.0,
) -> LRFind:
    """Train for some steps with a learning rate that grows from ``low`` to ``high``, and suggest a good one.

    Afterwards weights, buffers, optimizer and random numbers are as before, whatever the test raised.

    Parameters
    ----------
    model : Module
    loss : callable
        Takes predictions and targets.
    optimizer : Optimizer
        Every group of it gets the same rate.
    data : DataLoader, Dataset, or tuple of arrays
        Inputs and targets; run through again when they end.
    low, high : float
        First and last rate.
    steps : int, default 100
        How many rates, at equal ratios.
    batch_size : int
        For data that are no loader, which are shuffled.
    smoothing : float, default 0.9
        Weight of the past in the running mean of the losses, in [0, 1).
    diverge : float, default 4.0
        Stop when the smoothed loss exceeds this many times the lowest so far.

    Returns
    -------
    LRFind

    Raises
    ------
    ValueError
        For rates, steps, a smoothing or a bound out of range, or if the loss is not finite for three rates.
    TypeError
        For a model, an optimizer or data of another kind.

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> _ = fn.manual_seed(0)
    >>> x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    >>> model = fn.nn.Linear(4, 1)
    >>> optimizer = fn.optim.SGD(model.parameters(), lr=1e-3)
    >>> found = fn.lr_find(model, fn.nn.MSELoss(), optimizer, (x, x[:, :1]), steps=60)
    >>> 1e-3 < found.suggestion < 1.0, optimizer.param_groups[0]["lr"]
    (True, 0.001)
    """
    with naming("lr_find"):
        if not hasattr(model, "state_dict") or not hasattr(optimizer, "param_groups"):
            raise TypeError(f"expected a Module and an Optimizer, got {_kind(model)} and {_kind(optimizer)}")
        if not 0 < as_float("low", low) < as_float("high", high) < math.inf:
            raise ValueError(f"expected 0 < low < high, both finite, got {low} and {high}")
        if not 0 <= as_float("smoothing", smoothing) < 1:
            raise ValueError(f"expected smoothing in [0, 1), got {smoothing}")
        if not as_float("diverge", diverge) > 1:
            raise ValueError(f"expected diverge > 1, got {diverge}")
        count = as_int("steps", steps, 3)
    loader = as_loader(data, batch_size, shuffle=True, who="lr_find")
    rates = np.geomspace(low, high, count).tolist()
    keep = _Snapshot(model, optimizer)
    losses: list[float] = []
    lowest = math.inf
    try:
        step = TrainStep(model, loss, optimizer)
        with contextlib.closing(_batches(loader)) as batches:
            for rate, (x, y) in zip(rates, batches, strict=False):
                for group in optimizer.param_groups:
                    group["lr"] = rate
                losses.append(step(x, y))
                now = _smooth(np.array(losses), smoothing)[-1]
                lowest = min(lowest, now)
                if len(losses) > 3 and now > diverge * lowest:
                    break
    except NonFiniteLossError:
        pass  # a rate was too high: what is beyond it needs no measuring
    finally:
        keep.restore()
    if len(losses) < 3:
        raise ValueError(f"lr_find: expected a finite loss for three rates from low={low} on, got {len(losses)}")
    return LRFind(rates[: len(losses)], losses, smoothing, diverge)


def _kind(value: Any) -> str:
    return type(value).__name__


class _Snapshot:
    """Everything that a training step changes, to be put back."""

    def __init__(self, model: Any, optimizer: Any) -> None:
        self.model, self.optimizer = model, optimizer
        self.weights = {name: value.copy() for name, value in model.state_dict().items()}
        self.buffers = [(buffer, buffer.copy()) for buffer in model.buffers()]
        self.options = copy.deepcopy(optimizer.state_dict())
        self.modes = [(module, module.training) for module in model.modules()]
        self.random = _random.get_state()
        model.train()

    def restore(self) -> None:
        self.model.load_state_dict(self.weights)
        for buffer, value in self.buffers:  # those left out of state dicts too
            buffer[...] = value
        self.optimizer.load_state_dict(self.options)
        for module, training in self.modes:
            if module.training is not training:
                module.train(training)
        _random.set_state(self.random)


def _batches(loader: Any) -> Generator[tuple[Any, Any], None, None]:
    for _ in itertools.count():
        empty = True
        for batch in loader:
            empty = False
            yield split_batch(batch)
        if empty:
            raise ValueError("lr_find: expected at least one batch, got none")


def _steepest(x: np.ndarray, y: np.ndarray) -> int:
    """Return where the line fitted to the points within a factor of `WINDOW` on both sides falls fastest."""
    reach = math.log(WINDOW) * (1 + 1e-9)
    # where no point has such neighbours: a window below the lowest loss
    best, index = 0.0, int(np.argmin(np.abs(x - (x[-1] - reach))))
    for i, middle in enumerate(x):
        near = np.abs(x - middle) <= reach
        if min(middle - x[0], x[-1] - middle) < math.log(WINDOW) * (1 - 1e-9) or near.sum() < 2:
            continue  # at the ends a few batches would decide
        dx = x[near] - x[near].mean()
        slope = float(dx @ y[near] / (dx @ dx))
        if slope < best:
            best, index = slope, i
    return index


def _smooth(losses: np.ndarray, smoothing: float) -> np.ndarray:
    """Return the exponential running mean, corrected for its start at zero."""
    mean, out = 0.0, np.empty(len(losses))
    for i, value in enumerate(losses):
        mean = smoothing * mean + (1 - smoothing) * float(value)
        out[i] = mean / (1 - smoothing ** (i + 1))
    return out
