"""Statistics of a data set, in float64, a block of rows at a time: no float copy of the whole set is made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ["blocks", "covariance", "mean_and_variance", "require_samples"]

_BLOCK_VALUES = 1 << 22  # 32 MB of float64


def blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of ``x`` as float64 blocks."""
    rows = max(1, _BLOCK_VALUES // max(1, x[:1].size))
    for begin in range(0, len(x), rows):
        yield x[begin : begin + rows].astype(np.float64)


def mean_and_variance(who: str, x: np.ndarray, axes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the (biased) variance over ``axes``, kept as axes of length 1.

    ``axes`` includes 0. Blocks are merged by Chan, Golub and LeVeque's formula (1979), which does not cancel
    for large means.
    """
    require_samples(who, x)
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for block in blocks(x):
        block_count = block.size // max(1, np.mean(block, axis=axes, keepdims=True).size)
        block_mean = block.mean(axis=axes, keepdims=True)
        block_squares = np.square(block - block_mean).sum(axis=axes, keepdims=True)
        total = count + block_count
        delta = block_mean - mean
        squares = squares + block_squares + np.square(delta) * (count * block_count / total)
        mean = mean + delta * (block_count / total)
        count = total
    return mean, squares / count


def covariance(who: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (F,) and the (biased) covariance (F, F) of the rows of ``x``, flattened to F values each."""
    require_samples(who, x)
    mean, _ = mean_and_variance(who, x.reshape(len(x), -1), (0,))
    total = np.zeros((mean.size, mean.size))
    for block in blocks(x):
        centred = block.reshape(len(block), -1) - mean
        total += centred.T @ centred
    return mean[0], total / len(x)


def require_samples(who: str, x: np.ndarray) -> None:
    """Refuse to fit to nothing."""
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiub":
        got = x.dtype if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"{who}: expected an array of numbers to fit to, got {got}")
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"{who}: expected samples along the first axis to fit to, got shape {x.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise ValueError(f"{who}: expected finite numbers to fit to, got {x[~np.isfinite(x)][0]}")
