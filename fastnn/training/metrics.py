"""Measures of predictions, gathered batch by batch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._checks import as_int
from ..nn.functional._common import naming

__all__ = ["Accuracy", "ConfusionMatrix", "FunctionMetric", "Metric", "TopKAccuracy", "as_metrics", "class_report"]


class Metric:
    """Base class: `reset`, then `update` with each batch, then `compute`.

    A subclass keeps plain numbers and arrays as attributes; they are what a checkpoint saves.

    Parameters
    ----------
    name : str
        Key in histories and results.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> class Largest(fn.training.Metric):
    ...     def reset(self):
    ...         self.value = -np.inf
    ...     def update(self, output, target):
    ...         self.value = max(self.value, float(output.max()))
    ...     def compute(self):
    ...         return self.value
    >>> metric = Largest("largest")
    >>> metric.update(np.array([1.0, 3.0]), None)
    >>> metric.compute()
    3.0
    """

    scalar = True  # whether compute gives one number, which belongs into the history

    def __init__(self, name: str) -> None:
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"{type(self).__name__}.reset")

    def update(self, output: np.ndarray, target: Any) -> None:
        """Take in a batch of predictions and targets."""
        raise NotImplementedError(f"{type(self).__name__}.update")

    def compute(self) -> Any:
        """Return the measure over all batches since `reset`."""
        raise NotImplementedError(f"{type(self).__name__}.compute")

    def state_dict(self) -> dict[str, Any]:
        """Return what has been gathered, as plain data and arrays."""
        return {
            key: value.copy() if isinstance(value, np.ndarray) else value
            for key, value in vars(self).items()
            if not callable(value)
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        for key, value in state.items():
            setattr(self, key, value.copy() if isinstance(value, np.ndarray) else value)


def judged(output: Any) -> Any:
    """Return what metrics judge: of several outputs, as auxiliary heads give, those named ``logits``; else all."""
    return getattr(output, "logits", output)


def _labels(target: Any) -> np.ndarray:
    """Return class indices of a target that holds indices, or a probability a class."""
    array: np.ndarray = np.asarray(target)
    return array.argmax(axis=1) if array.ndim == 2 and array.shape[1] > 1 else array.reshape(-1)


def _decisions(output: np.ndarray, threshold: float) -> np.ndarray:
    """Return predicted class indices of (N, C) scores, or of one score a sample against a threshold."""
    if output.ndim == 2 and output.shape[1] > 1:
        return output.argmax(axis=1)
    if output.ndim == 1 or output.shape[1:] == (1,):
        return (output.reshape(-1) > threshold).astype(np.int64)
    raise ValueError(f"expected scores of shape (N, C), (N, 1) or (N,), got {output.shape}")


class Accuracy(Metric):
    """Share of samples whose highest score is the target class.

    Parameters
    ----------
    name : str
        Key in histories and results.
    threshold : float
        With one score a sample, scores above it mean class 1: 0 for logits, 0.5 for probabilities.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> metric = fn.training.Accuracy()
    >>> metric.update(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    >>> metric.compute()
    0.5
    """

    def __init__(self, name: str = "accuracy", threshold: float = 0.0) -> None:
        self.threshold = threshold
        super().__init__(name)

    def reset(self) -> None:
        """Forget all batches."""
        self.correct = 0
        self.count = 0

    def update(self, output: np.ndarray, target: Any) -> None:
        """Take in a batch."""
        self.correct += int(np.count_nonzero(_decisions(output, self.threshold) == _labels(target)))
        self.count += len(output)

    def compute(self) -> float:
        """Return the measure."""
        return self.correct / self.count if self.count else float("nan")


class TopKAccuracy(Metric):
    """Share of samples whose target is among the k highest scores.

    Parameters
    ----------
    k : int
        How many scores count.
    name : str, optional
        ``"top<k>"`` unless given.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> metric = fn.training.TopKAccuracy(2)
    >>> metric.update(np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]), np.array([1, 2]))
    >>> metric.compute()
    0.5
    """

    def __init__(self, k: int = 5, name: str | None = None) -> None:
        if k < 1:
            raise ValueError(f"TopKAccuracy: expected k >= 1, got {k}")
        self.k = k
        super().__init__(name or f"top{k}")

    def reset(self) -> None:
        """Forget all batches."""
        self.correct = 0
        self.count = 0

    def update(self, output: np.ndarray, target: Any) -> None:
        """Take in a batch."""
        labels = _labels(target)
        own = np.take_along_axis(output, labels[:, None], axis=1)
        higher = np.count_nonzero(output > own, axis=1)
        self.correct += int(np.count_nonzero((higher < self.k) & ~np.isnan(own[:, 0])))
        self.count += len(output)

    def compute(self) -> float:
        """Return the measure."""
        return self.correct / self.count if self.count else float("nan")


class ConfusionMatrix(Metric):
    """Counts of samples by target class (rows) and predicted class (columns); in results, not in histories.

    Parameters
    ----------
    num_classes : int
        Size of the matrix.
    name : str
        Key in results.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> metric = fn.training.ConfusionMatrix(2)
    >>> metric.update(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([1, 1]))
    >>> metric.compute().tolist()
    [[0, 0], [1, 1]]
    """

    scalar = False

    def __init__(self, num_classes: int, name: str = "confusion_matrix") -> None:
        with naming("ConfusionMatrix"):
            as_int("num_classes", num_classes)
        if num_classes < 2:
            raise ValueError(f"ConfusionMatrix: expected num_classes >= 2, got {num_classes}")
        self.num_classes = num_classes
        super().__init__(name)

    def reset(self) -> None:
        """Forget all batches."""
        self.matrix = np.zeros((self.num_classes, self.num_classes), np.int64)

    def update(self, output: np.ndarray, target: Any) -> None:
        """Take in a batch."""
        labels, decided = _labels(target), _decisions(output, 0.0)
        top = max(int(labels.max(initial=0)), int(decided.max(initial=0)))
        if top >= self.num_classes or labels.min(initial=0) < 0:
            raise ValueError(
                f"ConfusionMatrix: expected classes 0 to {self.num_classes - 1}, got "
                f"{int(labels.min(initial=0))} to {top}"
            )
        np.add.at(self.matrix, (labels.astype(np.intp), decided), 1)

    def compute(self) -> np.ndarray:
        """Return the measure."""
        return self.matrix.copy()


class FunctionMetric(Metric):
    """Mean over all samples of a user's ``function(output, target)``, one number a batch.

    Parameters
    ----------
    function : callable
        Predictions and targets of a batch to a number, a mean over the batch.
    name : str, optional
        The function's name unless given.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> metric = fn.training.FunctionMetric(lambda output, target: np.abs(output - target).mean(), "mae")
    >>> metric.update(np.zeros(2), np.ones(2))
    >>> metric.compute()
    1.0
    """

    def __init__(self, function: Callable[[np.ndarray, Any], float], name: str | None = None) -> None:
        self.function = function
        super().__init__(name or str(getattr(function, "__name__", "metric")))

    def reset(self) -> None:
        """Forget all batches."""
        self.total = 0.0
        self.count = 0

    def update(self, output: np.ndarray, target: Any) -> None:
        """Take in a batch."""
        self.total += float(self.function(output, target)) * len(output)
        self.count += len(output)

    def compute(self) -> float:
        """Return the measure."""
        return self.total / self.count if self.count else float("nan")


def as_metrics(given: Iterable[Any] | str) -> list[Metric]:
    """Return metrics from instances, functions and names (``"accuracy"``, ``"top5"``)."""
    metrics = []
    for entry in [given] if isinstance(given, str) else list(given):
        if isinstance(entry, Metric):
            metrics.append(copy.deepcopy(entry))
        elif isinstance(entry, str) and entry == "accuracy":
            metrics.append(Accuracy())
        elif isinstance(entry, str) and entry.startswith("top") and entry[3:].isdigit():
            metrics.append(TopKAccuracy(int(entry[3:])))
        elif callable(entry):
            metrics.append(FunctionMetric(entry))
        else:
            raise ValueError(f"metrics: expected a Metric, a function, 'accuracy' or 'top<k>', got {entry!r}")
    names = [metric.name for metric in metrics]
    if len(set(names)) != len(names):
        raise ValueError(f"metrics: expected different names, got {names}")
    return metrics


def class_report(matrix: np.ndarray, classes: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return precision, recall, F1 and count of each class, from a confusion matrix.

    Parameters
    ----------
    matrix : ndarray, shape (C, C)
        Targets by rows, predictions by columns.
    classes : sequence of str, optional
        Names; the indices unless given.

    Returns
    -------
    list of dict
        ``{"class", "precision", "recall", "f1", "count"}``; 0 where a ratio has no samples.

    Raises
    ------
    ValueError
        For a matrix that is not square, or another number of names.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.training import class_report
    >>> class_report(np.array([[3, 1], [0, 4]]))[0]  # doctest: +ELLIPSIS
    {'class': '0', 'precision': 1.0, 'recall': 0.75, 'f1': 0.857..., 'count': 4}
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"class_report: expected a square matrix, got shape {counts.shape}")
    names = [str(i) for i in range(len(counts))] if classes is None else list(classes)
    if len(names) != len(counts):
        raise ValueError(f"class_report: expected {len(counts)} classes, got {len(names)}")
    hits = np.diag(counts).astype(float)
    actual, predicted = counts.sum(axis=1), counts.sum(axis=0)
    rows = []
    for index, name in enumerate(names):
        precision = float(hits[index] / predicted[index]) if predicted[index] else 0.0
        recall = float(hits[index] / actual[index]) if actual[index] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        rows.append(
            {"class": str(name), "precision": precision, "recall": recall, "f1": f1, "count": int(actual[index])}
        )
    return rows
