"""Batch norm with ReLU before maxima of 2x2 windows: made where the maxima are taken, in forward and backward.

Neither what is pooled nor its gradient is stored, and where each maximum was is found again from batch norm's input,
which its backward reads anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..node import Node
from ..primitive import Call, find
from .match import Uses

__all__ = ["norm_into_max_pool"]

RELU = {"activation": "relu"}
CHANNELS = 16  # fewer do not fill a vector, which the parts have a way around
WINDOWS = {"kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}


def norm_into_max_pool(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Fuse batch norm, ReLU and 2x2 max pooling, and the backward of all of them where there is one."""
    uses = Uses(calls, kept)
    replaced: dict[Call, Call | None] = {}
    for norm in calls:
        if norm.name != "batch_norm" or norm.fused != RELU:
            continue
        pool = _pool(uses, norm.outputs[0])
        if pool is None:
            continue
        y, index = pool.outputs
        backward = _backward(uses, norm, index) if uses.readers.get(index) else ()
        if backward is None or index in kept:
            continue
        eps = {"eps": norm.attrs["eps"]}
        replaced |= {norm: None, pool: Call(find("norm_pool2d"), norm.inputs, eps, (y,), scope=pool.scope)}
        if backward:
            unpool, through = backward
            inputs = (unpool.inputs[0], *through.inputs[1:])
            fused = Call(find("norm_pool2d_bwd"), inputs, eps, through.outputs, scope=through.scope)
            replaced |= {unpool: None, through: fused}
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def _pool(uses: Uses, z: Node) -> Call | None:
    """Return the 2x2 pooling that alone reads z."""
    pool = uses.only_reader(z, "max_pool2d")
    if pool is None or z.ndim != 4 or z.shape[1] < CHANNELS:
        return None
    whole = not pool.attrs["ceil_mode"] or all(size % 2 == 0 for size in z.shape[2:])
    return pool if whole and all(pool.attrs[name] == value for name, value in WINDOWS.items()) else None


def _backward(uses: Uses, norm: Call, index: Node) -> tuple[Call, Call] | None:
    """Return the pooling's backward and batch norm's, in training, if nothing else has a part in them."""
    unpool = uses.only_reader(index, "max_pool2d_bwd")
    if unpool is None or unpool.outputs[0] in uses.kept:
        return None
    dz = unpool.outputs[0]
    readers = uses.readers.get(dz, [])
    if len(readers) != 1 or readers[0].name != "batch_norm_bwd" or readers[0].fused != RELU:
        return None
    (through,) = readers
    fits = through.inputs[0] is dz and through.inputs[1:] == norm.inputs and through.attrs["training"]
    return (unpool, through) if fits and through.attrs["eps"] == norm.attrs["eps"] else None
