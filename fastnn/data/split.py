"""Splits of data into training and held-out parts, and into folds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _random
from .._checks import as_int
from .dataset import ArrayDataset, Dataset, Subset, as_dataset

__all__ = ["k_fold", "train_test_split"]


def train_test_split(
    *data: Any,
    test_size: float | int = 0.2,
    stratify: Any = None,
    shuffle: bool = True,
    seed: int | None = None,
) -> list[Any]:
    """Split data into a training part and a held-out part.

    Parameters
    ----------
    *data : Dataset, or arrays of equal length
        One dataset, or any number of arrays.
    test_size : float or int, default 0.2
        Size of the held-out part: a share of the whole between 0 and 1 (rounded to whole samples), or a number
        of samples.
    stratify : array_like or True, optional
        Labels whose shares both parts keep to within one sample a class; True takes the dataset's ``y``.
    shuffle : bool, default True
        Pick the held-out samples at random; otherwise they are the last ones.
    seed : int, optional
        Seed of the choice; without it the generator that `fastnn.manual_seed` seeds is used.

    Returns
    -------
    list
        ``[train, test]`` for a dataset; ``[a_train, a_test, b_train, b_test, ...]`` for arrays.

    Raises
    ------
    ValueError
        If a part would be empty, lengths differ, or labels are given without shuffling.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import train_test_split
    >>> x, y = np.arange(10), np.array([0] * 8 + [1] * 2)
    >>> x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.5, stratify=y, seed=0)
    >>> len(x_train), len(x_test), int(y_test.sum())
    (5, 5, 1)
    """
    if not data:
        raise ValueError("train_test_split: expected a dataset or arrays, got nothing")
    one = _is_dataset(data[0])
    if one and len(data) > 1:
        raise ValueError(f"train_test_split: expected one dataset, or arrays, got {len(data)} arguments")
    dataset = as_dataset(data[0]) if one else ArrayDataset(*data)
    labels = _labels(dataset, stratify)
    if labels is not None and not shuffle:
        raise ValueError("train_test_split: expected shuffle=True together with stratify, got shuffle=False")
    train, test = _split_indices(len(dataset), _test_count(test_size, len(dataset)), labels, shuffle, seed)
    if one:
        return [_part(dataset, train), _part(dataset, test)]
    pairs = zip(_part(dataset, train).arrays, _part(dataset, test).arrays, strict=True)
    return [part for pair in pairs for part in pair]


def k_fold(
    data: Any, k: int = 5, *, stratify: Any = None, shuffle: bool = True, seed: int | None = None
) -> Iterator[tuple[Any, Any]]:
    """Cut data into k folds and yield, for each, the rest and the fold: k pairs (train, validation).

    Every sample is in exactly one fold; the sizes of folds differ by at most one, and so do, when stratified,
    the numbers of each class.

    Parameters
    ----------
    data : Dataset, array, tuple of arrays, or int
        The data; for an int, a number of samples, pairs of index arrays are yielded.
    k : int, default 5
        Number of folds, from 2 to the number of samples.
    stratify : array_like or True, optional
        Labels whose shares the folds keep; True takes the dataset's ``y``.
    shuffle : bool, default True
        Deal the samples at random; otherwise folds are runs of neighbours (unless stratified).
    seed : int, optional
        Seed of the shuffle; without it the generator that `fastnn.manual_seed` seeds is used.

    Raises
    ------
    ValueError
        If k is below 2 or above the number of samples.

    Examples
    --------
    >>> from fastnn.data import k_fold
    >>> [test.tolist() for train, test in k_fold(7, 3, shuffle=False)]
    [[0, 1, 2], [3, 4], [5, 6]]
    """
    dataset = None if isinstance(data, (int, np.integer)) else as_dataset(data)
    count = as_int("the number of samples", data if dataset is None else len(dataset), 0)
    if not 2 <= as_int("k", k) <= count:
        raise ValueError(f"k_fold: expected k from 2 to {count} (the number of samples), got {k}")
    labels = _labels(dataset, stratify, count)
    order = _generator(seed).permutation(count) if shuffle else np.arange(count)
    if labels is None:
        fold_of = np.repeat(np.arange(k), _sizes(count, k))
    else:
        # Sorted by class, neighbours go to different folds: every class is dealt out evenly, and so is the whole.
        order = order[np.argsort(labels[order], kind="stable")]
        fold_of = np.arange(count) % k
    return _folds(dataset, order, fold_of, k)


def _folds(dataset: Dataset | None, order: np.ndarray, fold_of: np.ndarray, k: int) -> Iterator[tuple[Any, Any]]:
    for fold in range(k):
        train, test = np.sort(order[fold_of != fold]), np.sort(order[fold_of == fold])
        yield (train, test) if dataset is None else (_part(dataset, train), _part(dataset, test))


def _is_dataset(data: Any) -> bool:
    return isinstance(data, Dataset) and not isinstance(data, (np.ndarray, list, tuple))


def _part(dataset: Any, indices: np.ndarray) -> Any:
    return dataset.subset(indices) if isinstance(dataset, ArrayDataset) else Subset(dataset, indices)


def _generator(seed: int | None) -> np.random.Generator:
    return _random.generator() if seed is None else np.random.default_rng(as_int("seed", seed, 0, None))


def _labels(dataset: Any, stratify: Any, count: int | None = None) -> np.ndarray | None:
    """Return class numbers 0, 1, ... for each sample, or None."""
    if stratify is None or stratify is False:
        return None
    if stratify is True and not hasattr(dataset, "y"):
        raise ValueError("expected stratify to be an array of labels (the data have no y), got True")
    labels = np.asarray(dataset.y if stratify is True else stratify)
    expected = len(dataset) if count is None else count
    if labels.shape != (expected,):
        raise ValueError(f"expected stratify to hold {expected} labels, got shape {labels.shape}")
    return np.unique(labels, return_inverse=True)[1]


def _test_count(test_size: float | int, count: int) -> int:
    if isinstance(test_size, (int, np.integer)) and not isinstance(test_size, bool):
        test = int(test_size)
    elif isinstance(test_size, (float, np.floating)) and 0 < test_size < 1:
        test = round(float(test_size) * count)
    else:
        raise ValueError(f"train_test_split: expected test_size to be a share in (0, 1) or a count, got {test_size!r}")
    if not 0 < test < count:
        raise ValueError(
            f"train_test_split: expected both parts to hold samples, got {count - test} and {test} of {count} "
            f"with test_size {test_size!r}"
        )
    return test


def _split_indices(
    count: int, test: int, labels: np.ndarray | None, shuffle: bool, seed: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted indices of the two parts."""
    if not shuffle:
        return np.arange(count - test), np.arange(count - test, count)
    order = _generator(seed).permutation(count)
    if labels is None:
        return np.sort(order[test:]), np.sort(order[:test])
    order = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels)
    chosen = np.zeros(count, bool)
    begin = 0
    for size, share in zip(sizes, _apportion(sizes, test), strict=True):
        chosen[order[begin : begin + share]] = True
        begin += size
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _apportion(sizes: np.ndarray, test: int) -> np.ndarray:
    """Share ``test`` samples among classes by size: whole parts first, the rest by the largest remainders."""
    whole, rest = np.divmod(sizes * test, sizes.sum())
    extra = np.argsort(-rest, kind="stable")[: test - whole.sum()]
    whole[extra] += 1
    return whole


def _sizes(count: int, k: int) -> list[int]:
    return [count // k + (fold < count % k) for fold in range(k)]
