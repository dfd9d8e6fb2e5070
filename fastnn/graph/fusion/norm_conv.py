"""Batch norm with an activation before a depthwise convolution: made line by line where the convolution reads it.

Both readers of z = act(batch_norm(x)), the convolution and the gradient of its weights, take x instead, which batch
norm's backward needs anyway; z is neither stored nor made anew as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..node import Node
from ..primitive import Call, find
from ..primitives.norm_conv import is_depthwise
from .match import Uses

__all__ = ["norm_into_depthwise"]

READERS = {"conv2d": 0, "conv2d_bwd_weights": 1}  # by which input they read z


def norm_into_depthwise(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let depthwise convolutions apply the batch norm, with its ReLU or SiLU, that only they read."""
    uses = Uses(calls, kept)
    replaced: dict[Call, Call | None] = {}
    for norm in calls:
        if norm.name != "batch_norm" or set(norm.fused) != {"activation"} or norm.outputs[0] in kept:
            continue
        readers = uses.readers.get(norm.outputs[0], [])
        if readers and all(_takes(call, norm.outputs[0]) for call in readers):
            replaced |= {norm: None} | {call: _with_norm(call, norm) for call in readers}
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def _takes(call: Call, z: Node) -> bool:
    """Tell whether a reader of z can take what z is made of."""
    at = READERS.get(call.name)
    if at is None or call.fused or call.inputs[at] is not z or call.inputs.count(z) != 1:
        return False
    w = call.inputs[1] if at == 0 else call.outputs[0]
    assert w is not None
    geometry = {name: call.attrs[name] for name in ("stride", "dilation", "groups", "algorithm")}
    return is_depthwise(z.shape, (w.shape[2], w.shape[3]), w.shape[0], **geometry)


def _with_norm(call: Call, norm: Call) -> Call:
    x, mean, var, weight, bias = norm.inputs
    attrs = call.attrs | {"eps": norm.attrs["eps"], "activation": norm.fused["activation"]}
    if call.name == "conv2d":
        inputs: tuple[Node | None, ...] = (x, call.inputs[1], mean, var, call.inputs[2], weight, bias)
    else:
        inputs = (call.inputs[0], x, mean, var, weight, bias)
    return Call(find(f"norm_{call.name}"), inputs, attrs, call.outputs, scope=call.scope)
