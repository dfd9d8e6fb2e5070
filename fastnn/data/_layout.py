"""Memory order of 4-D batches: shape (N, C, H, W), channels-last memory wherever that costs nothing."""

from __future__ import annotations

import numpy as np

__all__ = ["channels_last_view", "float_copy", "gather", "in_memory_order", "is_channels_last"]


def channels_last_view(x: np.ndarray) -> np.ndarray:
    """Return the (N, H, W, C) view of an (N, C, H, W) array."""
    return x.transpose(0, 2, 3, 1)


def is_channels_last(x: np.ndarray) -> bool:
    """Return whether a 4-D array lies in memory as (N, H, W, C) without gaps."""
    return x.ndim == 4 and bool(channels_last_view(x).flags.c_contiguous)


def gather(array: np.ndarray, indices: slice | np.ndarray) -> np.ndarray:
    """Return a fresh array of the rows at ``indices``, in the memory order of ``array``."""
    # np.take copies whole rows only when they are contiguous, which a channels-last array is in its own axis order.
    turned = is_channels_last(array) and array.shape[1] > 1
    rows = channels_last_view(array) if turned else array
    taken = rows[indices].copy() if isinstance(indices, slice) else np.take(rows, indices, axis=0)
    return taken.transpose(0, 3, 1, 2) if turned else taken


def float_copy(x: np.ndarray) -> np.ndarray:
    """Return a fresh float32 array of the values of ``x``: channels-last where ``x`` is, in C order elsewhere."""
    return x.astype(np.float32, order="K" if is_channels_last(x) else "C")


def in_memory_order(x: np.ndarray, per_sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a view of `float_copy`'s result as rows (N, F), and the values that pair with each row.

    Arithmetic between the two then runs over long contiguous rows, where (C, 1, 1) against channels-last
    memory would be loops of C steps.
    """
    if per_sample.ndim == 0:
        return x, per_sample
    values = np.broadcast_to(per_sample, x.shape[1:])
    if is_channels_last(x):
        x, values = channels_last_view(x), values.transpose(1, 2, 0)
    return x.reshape(len(x), values.size), values.reshape(values.size)
