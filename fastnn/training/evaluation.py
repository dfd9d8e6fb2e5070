"""Measuring and predicting in eval mode, batch by batch."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..graph import no_grad
from .feeding import batch_length, split_batch
from .metrics import Metric, judged

__all__ = ["eval_mode", "measure", "outputs_of"]


@contextlib.contextmanager
def eval_mode(model: Any) -> Iterator[None]:
    """Eval mode without gradients inside the block; each module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    if any(training for _, training in modes):
        model.eval()
    try:
        with no_grad():
            yield
    finally:
        # parents come before their children: the last word on a module is its own
        for module, training in modes:
            if module.training is not training:
                module.train(training)


def _forward(model: Any, x: Any) -> Any:
    return model(*x) if isinstance(x, tuple) else model(x)


def measure(model: Any, loss: Any, metrics: Iterable[Metric], loader: Any) -> dict[str, Any]:
    """Return the mean loss over samples (batches of a summed loss weighted alike) and the metrics by name."""
    # copies, so that a callback may evaluate in the middle of an epoch
    copies = [copy.copy(metric) for metric in metrics]
    for metric in copies:
        metric.reset()
    total, count = 0.0, 0
    with eval_mode(model):
        for batch in loader:
            x, y = split_batch(batch)
            output = _forward(model, x)
            n = batch_length(x)
            total += float(np.mean(loss(output, y))) * n
            count += n
            for metric in copies:
                metric.update(judged(output), y)
    if count == 0:
        raise ValueError("evaluate: expected at least one sample, got none")
    result: dict[str, Any] = {"loss": total / count}
    for metric in copies:
        value = metric.compute()
        result[metric.name] = float(value) if metric.scalar else value
    return result


def outputs_of(model: Any, loader: Any) -> np.ndarray:
    """Return the raw outputs over a loader, one row a sample."""
    with eval_mode(model):
        outputs = [_forward(model, split_batch(batch)[0]) for batch in loader]
    if not outputs:
        raise ValueError("predict: expected at least one sample, got none")
    return np.concatenate(outputs)
