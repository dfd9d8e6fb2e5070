"""From a model's raw outputs to classes and probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["to_classes", "to_probabilities"]

_SCORES = ("CrossEntropyLoss", "MultiMarginLoss", "MulticlassHingeLoss")
_LOGITS = ("BCEWithLogitsLoss",)
_LOG_PROBABILITIES = ("NLLLoss",)
_PROBABILITIES = ("BCELoss",)


def _kind(loss: Any) -> str:
    name = type(loss).__name__ if not hasattr(loss, "__name__") else loss.__name__
    for kind, names in (
        ("scores", _SCORES),
        ("logits", _LOGITS),
        ("log", _LOG_PROBABILITIES),
        ("probabilities", _PROBABILITIES),
    ):
        if name in names:
            return kind
    return {
        "cross_entropy": "scores",
        "nll_loss": "log",
        "binary_cross_entropy_with_logits": "logits",
        "binary_cross_entropy": "probabilities",
    }.get(name, "values")


def to_probabilities(output: np.ndarray, loss: Any) -> np.ndarray:
    """Return probabilities of raw outputs, by the loss they were trained with.

    Raises
    ------
    ValueError
        For a loss that is not a classifier's.
    """
    kind = _kind(loss)
    if kind == "scores":
        z = output.astype(np.float64)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return (e / e.sum(axis=1, keepdims=True)).astype(np.float32)
    if kind == "logits":
        # exp of a non-positive number cannot overflow
        e = np.exp(-np.abs(output.astype(np.float64)))
        return np.where(output >= 0, 1.0 / (1.0 + e), e / (1.0 + e)).astype(np.float32)
    if kind == "log":
        return np.exp(output)
    if kind == "probabilities":
        return output
    raise ValueError(
        f"predict_proba: expected a classifier's loss (cross entropy, NLL, margin, BCE), got {type(loss).__name__}"
    )


def to_classes(output: np.ndarray, loss: Any) -> np.ndarray:
    """Return class indices of raw outputs of a classifier; the outputs themselves of anything else."""
    kind = _kind(loss)
    if kind in ("scores", "log"):
        return output.argmax(axis=1)
    if kind in ("logits", "probabilities"):
        return (output > (0.0 if kind == "logits" else 0.5)).astype(np.int64)
    return output
