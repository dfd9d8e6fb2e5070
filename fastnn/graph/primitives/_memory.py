"""Shapes and strides in memory order, as the strided C operations take them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..node import Node, apply
from ..primitive import Step
from ..spec import Spec

__all__ = [
    "MAX_NDIM",
    "broadcast_strides",
    "check_ndim",
    "copy_step",
    "in_memory_order",
    "merged_sizes",
    "present",
    "sum_to",
]

MAX_NDIM = 6


def present(nodes: Iterable[Node | None]) -> list[Node]:
    """Return nodes of which none is optional."""
    return [node for node in nodes if node is not None]


def memory_axes(spec: Spec) -> tuple[int, ...]:
    """Return the logical axes from the slowest to the fastest in memory."""
    return (0, 2, 3, 1) if spec.layout == "nhwc" else tuple(range(spec.ndim))


def in_memory_order(spec: Spec, *per_axis: Sequence[int]) -> list[list[int]]:
    """Reorder sequences of one number a logical axis to the memory order of ``spec``."""
    axes = memory_axes(spec)
    return [[int(values[axis]) for axis in axes] for values in per_axis]


def check_ndim(shape: Sequence[int]) -> None:
    """Raise ValueError for more dimensions than the strided operations take."""
    if len(shape) > MAX_NDIM:
        raise ValueError(f"expected at most {MAX_NDIM} dimensions, got shape {tuple(shape)}")


def broadcast_strides(spec: Spec, shape: Sequence[int]) -> list[int]:
    """Return the strides with which a value of ``spec`` is read as if it had ``shape``: 0 where it is repeated."""
    lead = len(shape) - spec.ndim
    own = [0 if n == 1 and m != 1 else s for n, m, s in zip(spec.shape, shape[lead:], spec.strides, strict=True)]
    return [0] * lead + own


def merged_sizes(spec: Spec, axis: int) -> tuple[int, int, int]:
    """Return the elements before, along and after a logical axis in memory order: (outer, n, inner)."""
    shape = spec.memory_shape
    at = memory_axes(spec).index(axis)
    return math.prod(shape[:at]), shape[at], math.prod(shape[at + 1 :])


def copy_step(
    x: Node,
    y: Node,
    shape: Sequence[int],
    x_strides: Sequence[int],
    y_strides: Sequence[int],
    *,
    x_offset: int = 0,
    y_offset: int = 0,
) -> Step:
    """Return the step that copies ``shape`` elements; axes in any order, sorted here to the memory order of y."""
    order = sorted(range(len(shape)), key=lambda i: (-y_strides[i], i))
    fields: dict[str, Any] = {
        "itemsize": np.dtype(y.dtype).itemsize,
        "ndim": len(shape),
        "shape": [shape[i] for i in order],
        "x_offset": x_offset,
        "x_strides": [x_strides[i] for i in order],
        "y_offset": y_offset,
        "y_strides": [y_strides[i] for i in order],
    }
    return Step("copy", fields, [x, y])


def sum_to(node: Node, target: Node) -> Node:
    """Sum a gradient over the axes along which ``target`` was repeated."""
    if node.shape == target.shape:
        return node
    lead = node.ndim - target.ndim
    repeated = [i for i, n in enumerate(target.shape) if n == 1 and node.shape[lead + i] != 1]
    axes = tuple(range(lead)) + tuple(lead + i for i in repeated)
    total: Node = apply("sum", node, axes=axes, keepdims=False) if axes else node
    return total if total.shape == target.shape else apply("reshape", total, shape=target.shape)
