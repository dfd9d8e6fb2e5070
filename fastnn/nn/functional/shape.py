"""Shape: flatten, unflatten, padding and one-hot rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastnn import _checks
from fastnn.graph import Node, apply, as_node, eager

from ._common import Tensor, naming

__all__ = ["flatten", "one_hot", "pad", "unflatten"]


@eager
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Return the input with the dimensions from ``start_dim`` to ``end_dim`` merged into one, in C order of NCHW.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.flatten(np.zeros((2, 3, 4, 5)), 1).shape
    (2, 60)
    """
    with naming("flatten"):
        return as_node(input).flatten(start_dim, end_dim)


@eager
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Return the input with dimension ``dim`` split into ``sizes``, one of which may be -1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.unflatten(np.zeros((2, 60)), 1, (3, -1, 5)).shape
    (2, 3, 4, 5)
    """
    x = as_node(input)
    with naming("unflatten"):
        axis = _checks.as_axis("dim", dim, x.ndim)
        if not isinstance(sizes, Iterable):
            raise TypeError(f"expected a sequence of sizes, got {sizes!r}")
        parts = [_checks.as_extent("sizes", size, -1) for size in sizes]
        known = math.prod(size for size in parts if size != -1)
        if parts.count(-1) == 1 and known > 0:
            parts[parts.index(-1)] = x.shape[axis] // known
        if -1 in parts or math.prod(parts) != x.shape[axis]:
            raise ValueError(f"expected sizes that multiply to {x.shape[axis]}, got {tuple(sizes)} for shape {x.shape}")
        return x.reshape(*x.shape[:axis], *parts, *x.shape[axis + 1 :])


@eager
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Return the input with a border of ``value`` (0 by default).

    Parameters
    ----------
    input : any shape
    pad : sequence of int
        (before, after) of the last dimension, then of the one before it, and so on. Negative numbers cut.
    mode : {"constant"}
    value : float, optional

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.pad(np.ones((1, 2)), (1, 0)).tolist()
    [[0.0, 1.0, 1.0]]
    """
    x = as_node(input)
    with naming("pad"):
        _checks.one_of("mode", mode, ("constant",))
        if not isinstance(pad, Iterable):
            raise TypeError(f"expected pad to hold pairs of ints, got {pad!r}")
        sides = [_checks.as_extent("pad", side) for side in pad]
        if len(sides) % 2 or len(sides) > 2 * x.ndim:
            raise ValueError(f"expected pad to hold pairs for at most {x.ndim} dimensions, got {tuple(pad)}")
        fill = 0.0 if value is None else _checks.as_float("value", value)
        last_first = list(zip(sides[::2], sides[1::2], strict=True))
        borders = [(0, 0)] * (x.ndim - len(last_first)) + last_first[::-1]
        if any(low + high + size < 0 for (low, high), size in zip(borders, x.shape, strict=True)):
            raise ValueError(f"expected pad to leave no negative size, got {tuple(pad)} for shape {x.shape}")
    if any(low < 0 or high < 0 for low, high in borders):
        cuts = zip(borders, x.shape, strict=True)
        x = x[tuple(slice(max(-low, 0), size - max(-high, 0)) for (low, high), size in cuts)]
        borders = [(max(low, 0), max(high, 0)) for low, high in borders]
    if not any(low or high for low, high in borders):
        return x
    return apply("pad", x, padding=tuple(borders), value=fill)


def one_hot(tensor: Any, num_classes: int = -1) -> np.ndarray:
    """Return int64 rows with a one at each class index; -1 takes as many classes as the largest index needs.

    Examples
    --------
    >>> import fastnn.nn.functional as F
    >>> F.one_hot([0, 2]).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    with naming("one_hot"):
        if isinstance(tensor, Node):
            raise TypeError(
                "one_hot expected an array, got a Node: in a model or a loss the indices are not known; encode them "
                "before (transforms.OneHot as the loader's target_transform), or give cross_entropy the indices"
            )
        index = np.asarray(tensor)
        if index.dtype.kind not in "iu":
            raise TypeError(f"expected whole numbers, got dtype {index.dtype}")
        classes = _checks.as_extent("num_classes", num_classes, -1)
        if classes == -1:
            classes = int(index.max()) + 1 if index.size else 0
        if index.size and (index.min() < 0 or index.max() >= classes):
            raise ValueError(f"expected class indices from 0 to {classes - 1}, got {index.min()} to {index.max()}")
    return np.eye(classes, dtype=np.int64)[index]
