"""Dimensions and shapes as the methods of a node take them, made canonical."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .value import Value

__all__ = ["axes_of", "axis_of", "resolved_shape"]


def axis_of(dim: int, ndim: int) -> int:
    """Return a dimension counted from the first."""
    if not isinstance(dim, (int, np.integer)):
        raise TypeError(f"expected a dimension in [{-ndim}, {ndim - 1}], got {dim!r}")
    if not -ndim <= dim < ndim:
        raise ValueError(f"expected a dimension in [{-ndim}, {ndim - 1}], got {dim}")
    return dim % ndim


def axes_of(dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return dimensions counted from the first; None stands for all."""
    if dim is None:
        return tuple(range(ndim))
    axes = tuple(axis_of(d, ndim) for d in (dim if isinstance(dim, Sequence) else (dim,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"expected each dimension once, got {dim}")
    return axes


def resolved_shape(shape: Sequence[int], node: Value) -> tuple[int, ...]:
    """Fill in one -1 so that the sizes agree."""
    if not all(isinstance(s, (int, np.integer)) for s in shape):
        raise TypeError(f"reshape: expected a shape of ints, got {tuple(shape)}")
    known = math.prod(s for s in shape if s != -1)
    unknown = sum(s == -1 for s in shape)
    size = node.spec.size
    if unknown == 1 and known > 0 and size % known == 0:
        return tuple(size // known if s == -1 else int(s) for s in shape)
    if unknown or known != size or any(s < 0 for s in shape):
        raise ValueError(f"reshape: expected a shape of {size} elements for {node.shape}, got {tuple(shape)}")
    return tuple(int(s) for s in shape)
