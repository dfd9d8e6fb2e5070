"""Matrix products and basic slicing of nodes, composed of primitives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .node import Node

__all__ = ["getitem", "matmul"]


def matmul(a: Any, b: Any) -> Node:
    """Matrix product with PyTorch's rules for vectors and batches."""
    from .node import apply, as_node

    a, b = as_node(a), as_node(b)
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"matmul: expected at least one dimension, got shapes {a.shape} and {b.shape}")
    drop_row, drop_col = a.ndim == 1, b.ndim == 1
    a = a.unsqueeze(0) if drop_row else a
    b = b.unsqueeze(1) if drop_col else b
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matmul: expected equal inner sizes, got shapes {a.shape} and {b.shape}")
    if a.ndim > 2 or b.ndim > 2:
        try:
            lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        except ValueError:
            raise ValueError(f"matmul: expected batches that broadcast, got shapes {a.shape} and {b.shape}") from None
        a, b = (n if n.shape[:-2] == lead else n.expand(*lead, *n.shape[-2:]) for n in (a, b))
    y = apply("matmul", a, b, transpose_a=False, transpose_b=False)
    if drop_col:
        y = y.squeeze(-1)
    return y.squeeze(-1 if drop_col else -2) if drop_row else y


def getitem(node: Node, key: Any) -> Node:
    """Slice with ints, slices of positive step, None and an ellipsis."""
    from .node import apply

    keys = key if isinstance(key, tuple) else (key,)
    if sum(k is Ellipsis for k in keys) > 1:
        raise IndexError("expected at most one ellipsis")
    used = sum(isinstance(k, (int, slice, np.integer)) for k in keys)
    if used > node.ndim:
        raise IndexError(f"too many indices: {used} for shape {node.shape}")
    full: list[Any] = []
    for k in keys:
        full.extend([slice(None)] * (node.ndim - used) if k is Ellipsis else [k])
    full.extend([slice(None)] * (node.ndim - sum(k is not None for k in full)))
    starts, stops, steps, shape, axis = [], [], [], [], 0
    for k in full:
        if k is None:
            shape.append(1)
            continue
        extent = node.shape[axis]
        if isinstance(k, (int, np.integer)):
            if not -extent <= k < extent:
                raise IndexError(f"index {k} is out of range for dimension {axis} of size {extent}")
            start, stop, step = int(k) % extent, int(k) % extent + 1, 1
        elif isinstance(k, slice):
            start, stop, step = k.indices(extent)
            if step < 1:
                raise ValueError(f"expected a positive slice step, got {step}")
            stop = max(start, stop)
            shape.append(-(-(stop - start) // step))
        else:
            raise TypeError(f"expected an int, a slice, None or ... as index, got {type(k).__name__}")
        starts.append(start)
        stops.append(stop)
        steps.append(step)
        axis += 1
    out = node
    if any(s != 0 for s in starts) or tuple(stops) != node.shape or any(s != 1 for s in steps):
        out = apply("slice", node, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
    return out if out.shape == tuple(shape) else out.reshape(tuple(shape))
