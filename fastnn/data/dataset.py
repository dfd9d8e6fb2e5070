"""Datasets: anything with a length and items; the ones here also give whole batches at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ._layout import gather

__all__ = ["ArrayDataset", "Dataset", "Subset", "as_dataset", "take"]

Indices = slice | np.ndarray


@runtime_checkable
class Dataset(Protocol):
    """What a `DataLoader` needs: a length, and items by integer index, each an array or a tuple of them.

    A dataset that can do better than one item at a time also has ``batch(indices)``: given a slice or an array of
    integers it returns a tuple of fresh arrays whose first axis is the batch.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


class ArrayDataset:
    """Arrays of equal length in memory: usually the inputs and their targets.

    Parameters
    ----------
    *arrays : array_like
        One or more arrays whose first axes agree. They are kept by reference and never written.
    classes : sequence of str, optional
        Names of the classes that integer targets stand for.
    scale : float, default 1.0
        Factor that brings the inputs to their usual range (1/255 for images of bytes).
    mean, std : sequence of float, optional
        Mean and standard deviation of the scaled inputs, one a channel.
    name : str, optional
        What the data are called.

    Attributes
    ----------
    x, y : ndarray
        The first and the second array.
    arrays : tuple of ndarray
        All of them.
    classes, scale, mean, std, name
        As given.

    Raises
    ------
    ValueError
        If there is no array, one has no axis, or the lengths differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import ArrayDataset
    >>> data = ArrayDataset(np.arange(12.0).reshape(4, 3), [0, 1, 0, 1], classes=["even", "odd"])
    >>> data
    ArrayDataset(4 samples: (3,) float64, () int64)
    >>> x, y = data[1]
    >>> x, int(y)
    (array([3., 4., 5.]), 1)
    >>> data[2:].y
    array([0, 1])
    """

    def __init__(
        self,
        *arrays: Any,
        classes: Sequence[str] | None = None,
        scale: float = 1.0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        name: str = "",
    ) -> None:
        if not arrays:
            raise ValueError("ArrayDataset: expected at least one array, got none")
        self.arrays = tuple(_as_array(array) for array in arrays)
        if any(array.ndim == 0 for array in self.arrays):
            raise ValueError("ArrayDataset: expected arrays with a first axis, got a scalar")
        if len({len(array) for array in self.arrays}) > 1:
            raise ValueError(f"ArrayDataset: expected arrays of equal length, got {[len(a) for a in self.arrays]}")
        self.classes = None if classes is None else tuple(classes)
        self.scale = float(scale)
        self.mean = None if mean is None else tuple(map(float, mean))
        self.std = None if std is None else tuple(map(float, std))
        self.name = name

    @property
    def x(self) -> np.ndarray:
        """The inputs: the first array."""
        return self.arrays[0]

    @property
    def y(self) -> np.ndarray:
        """The targets: the second array."""
        if len(self.arrays) < 2:
            raise AttributeError("ArrayDataset: expected a second array as y, got only one array")
        return self.arrays[1]

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> Any:
        """Return the tuple of one sample's arrays for an integer, a dataset for a slice, indices or a mask."""
        if isinstance(index, (int, np.integer)):
            return tuple(array[index] for array in self.arrays)
        return self.subset(index)

    def batch(self, indices: Indices) -> tuple[np.ndarray, ...]:
        """Return the samples at ``indices`` as fresh arrays, 4-D ones in channels-last memory if they are stored so."""
        return tuple(gather(array, indices) for array in self.arrays)

    def subset(self, indices: Any) -> ArrayDataset:
        """Return a dataset of the samples at ``indices`` (integers, a mask or a slice); a slice copies nothing."""
        return self._like(self.batch(_as_indices(indices, len(self))) if not isinstance(indices, slice)
                          else tuple(array[indices] for array in self.arrays))  # fmt: skip

    def _like(self, arrays: tuple[np.ndarray, ...]) -> ArrayDataset:
        return ArrayDataset(
            *arrays, classes=self.classes, scale=self.scale, mean=self.mean, std=self.std, name=self.name
        )

    def __repr__(self) -> str:
        kinds = ", ".join(f"{array.shape[1:]} {array.dtype}" for array in self.arrays)
        return f"ArrayDataset({f'{self.name}: ' if self.name else ''}{len(self)} samples: {kinds})"


class Subset:
    """Some samples of another dataset, by index; nothing is read or copied until a sample is asked for.

    Parameters
    ----------
    dataset : Dataset
        The dataset looked into.
    indices : sequence of int
        Which samples, in which order; repeats are allowed.

    Raises
    ------
    IndexError
        If an index is out of range.

    Examples
    --------
    >>> from fastnn.data import Subset
    >>> part = Subset(["a", "b", "c"], [2, 0])
    >>> len(part), part[0]
    (2, 'c')
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | np.ndarray) -> None:
        self.dataset = dataset
        self.indices = _as_indices(indices, len(dataset))

    @property
    def y(self) -> np.ndarray:
        """The targets, if the dataset has them."""
        targets: np.ndarray = self.dataset.y[self.indices]  # type: ignore[attr-defined]
        return targets

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def batch(self, indices: Indices) -> tuple[np.ndarray, ...]:
        """Return the samples at ``indices`` of this subset as a tuple of arrays."""
        return take(self.dataset, self.indices[indices])

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {self.dataset!r})"


def _as_array(array: Any) -> np.ndarray:
    try:
        return np.asarray(array)
    except ValueError:  # NumPy's words for a list of (input, target) pairs help nobody
        got = f"a {type(array).__name__} whose items differ in shape"
        raise ValueError(f"ArrayDataset: expected arrays, one of inputs and one of targets, got {got}") from None


def as_dataset(data: Any) -> Dataset:
    """Return a dataset as it is; wrap one array, or a tuple or list of arrays."""
    if isinstance(data, np.ndarray):
        return ArrayDataset(data)
    if isinstance(data, (tuple, list)) and data and all(hasattr(item, "__len__") for item in data):
        return ArrayDataset(*data)
    if isinstance(data, (tuple, list, str, bytes, dict)) or not isinstance(data, Dataset):
        raise TypeError(f"expected a dataset, an array or a tuple of arrays, got {type(data).__name__}")
    return data


def take(dataset: Dataset, indices: Indices) -> tuple[np.ndarray, ...]:
    """Return a batch of any dataset: by its own ``batch``, or by stacking its items."""
    batch = getattr(dataset, "batch", None)
    if batch is not None:
        result = batch(indices)
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)
    chosen = np.arange(len(dataset))[indices]
    items = [dataset[int(index)] for index in chosen]
    rows = [item if isinstance(item, tuple) else (item,) for item in items]
    return tuple(_stack(column, chosen) for column in zip(*rows, strict=True))


def _stack(column: tuple[Any, ...], chosen: np.ndarray) -> np.ndarray:
    arrays = [np.asarray(item) for item in column]
    for array, index in zip(arrays, chosen, strict=True):
        if array.shape != arrays[0].shape:
            raise ValueError(
                f"expected samples of one shape in a batch, got {arrays[0].shape} at {chosen[0]} "
                f"and {array.shape} at {index}"
            )
    return np.stack(arrays)


def _as_indices(indices: Any, length: int) -> np.ndarray:
    """Return integers, or the positions of a mask's True, as valid non-negative indices."""
    array = np.asarray(indices)
    if array.size == 0:
        return np.zeros(0, np.intp)
    if array.dtype == bool:
        if array.shape != (length,):
            raise IndexError(f"expected a mask of shape {(length,)}, got {array.shape}")
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"expected a 1-D array of integer indices, got shape {array.shape} of {array.dtype}")
    bad = (array < -length) | (array >= length)
    if bad.any():
        raise IndexError(f"expected indices below {length}, got {int(array[bad][0])}")
    return np.where(array < 0, array + length, array).astype(np.intp)
