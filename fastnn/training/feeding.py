"""From whatever the user calls data to batches of (inputs, targets)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import ArrayDataset, DataLoader, train_test_split

__all__ = ["as_loader", "hold_out", "is_loader", "split_batch"]

SPLIT_SEED = 0  # a resumed run must hold out the same samples


def is_loader(data: Any) -> bool:
    """Tell whether data come in batches already: a `DataLoader`, or an iterable of batches without items by index."""
    return isinstance(data, DataLoader) or (hasattr(data, "__iter__") and not hasattr(data, "__getitem__"))


def as_loader(data: Any, batch_size: int, *, shuffle: bool, who: str) -> Any:
    """Return a loader over a dataset, an array or a tuple of arrays; loaders pass through."""
    if data is None:
        raise TypeError(f"{who}: expected a DataLoader, a dataset, an array or a tuple of arrays, got None")
    if is_loader(data):
        return data
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], tuple):
        raise TypeError(
            f"{who}: expected (x, y), a dataset or a DataLoader, got a list of one tuple: leave out the list"
        )
    try:
        return DataLoader(data, batch_size, shuffle)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{who}: {error}") from None


def hold_out(data: Any, share: float) -> tuple[Any, Any]:
    """Split off a share for validation, by class where the targets are class indices; always the same samples."""
    if is_loader(data):
        raise ValueError(
            "fit: expected a dataset or arrays with validation_split, got a loader; "
            "split its dataset with fastnn.data.train_test_split"
        )
    dataset = ArrayDataset(*data) if isinstance(data, (tuple, list)) else data
    if isinstance(dataset, np.ndarray):
        dataset = ArrayDataset(dataset)
    arrays: Any = getattr(dataset, "arrays", ())
    classes = len(arrays) > 1 and arrays[1].ndim == 1 and arrays[1].dtype.kind in "iu"
    train, held = train_test_split(dataset, test_size=float(share), stratify=classes or None, seed=SPLIT_SEED)
    return train, held


def split_batch(batch: Any) -> tuple[Any, Any]:
    """Return (inputs, targets) of a batch: the last array is the target; a lone array is its own (an autoencoder's)."""
    if isinstance(batch, np.ndarray):
        return batch, batch
    if len(batch) == 2:
        return batch[0], batch[1]
    if len(batch) == 1:
        return batch[0], batch[0]
    return tuple(batch[:-1]), batch[-1]


def batch_length(x: Any) -> int:
    """Return the number of samples of a batch's inputs."""
    return len(x[0]) if isinstance(x, tuple) else len(x)
