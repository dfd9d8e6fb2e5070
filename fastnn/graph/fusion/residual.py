"""Fusion of residual sums: into batch norm's own pass, and of their gradients into what computes one of them."""

from __future__ import annotations

from collections.abc import Sequence

from ..node import Node
from ..primitive import Call
from .match import Uses

__all__ = ["relu_bwd_into_bwd_data", "sum_into_batch_norm", "sum_into_bwd_data"]


def sum_into_batch_norm(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let batch norm add to its output what the sum that alone reads it adds: it takes the sum's place.

    The fused call has the other summand as a sixth input. The sum's own ReLU can follow.
    """
    uses = Uses(calls, kept)
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        a, b = call.inputs if call.name == "add" else (None, None)
        if a is None or b is None or not a.spec == b.spec == call.outputs[0].spec:
            continue
        for x, other in ((a, b), (b, a)):
            norm = uses.maker.get(x)
            if norm is None or norm.name != "batch_norm" or norm.fused or norm in replaced:
                continue
            if not uses.read_once(x):
                continue
            inputs = (*norm.inputs, *[None] * (5 - len(norm.inputs)), other)
            fused = {"residual": "add"}
            replaced[call] = Call(norm.primitive, inputs, norm.attrs, call.outputs, fused, norm.scope)
            replaced[norm] = None
            break
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def sum_into_bwd_data(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let the convolution whose gradient is one summand of a sum of two gradients add the other one.

    It takes the sum's place, with the other summand as a third input. Of two convolutions the 1x1 one: its product adds
    while the block is in the cache.
    """
    uses = Uses(calls, kept)
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        a, b = call.inputs if call.name == "add" else (None, None)
        if a is None or b is None or a is b or not a.spec == b.spec == call.outputs[0].spec:
            continue
        found = [(uses.made_by(x, "conv2d_bwd_data"), other) for x, other in ((a, b), (b, a))]
        free = [(conv, other) for conv, other in found if conv is not None and conv not in replaced]
        if not free:
            continue
        conv, other = max(free, key=lambda pair: _is_pointwise(pair[0]))
        fused = {"sum": "add"}
        replaced[call] = Call(conv.primitive, (*conv.inputs, other), conv.attrs, call.outputs, fused, conv.scope)
        replaced[conv] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def _is_pointwise(conv: Call) -> bool:
    w = conv.inputs[1]
    return w is not None and w.shape[2:] == (1, 1) and conv.attrs["stride"] == (1, 1)


def relu_bwd_into_bwd_data(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let the convolution's gradient, and what is added to it, go through the ReLU before in the same pass.

    The call takes the place of ReLU's backward, whose output of the forward is a fourth input.
    """
    uses = Uses(calls, kept)
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        dy, y = call.inputs if call.name == "relu_bwd" else (None, None)
        if dy is None or y is None or not uses.read_once(dy):
            continue
        conv = uses.maker.get(dy)
        if conv is None or conv.name != "conv2d_bwd_data" or "activation" in conv.fused:
            continue
        inputs = (*conv.inputs, *[None] * (3 - len(conv.inputs)), y)
        fused = {**conv.fused, "activation": "relu_bwd"}
        replaced[call] = Call(conv.primitive, inputs, conv.attrs, call.outputs, fused, conv.scope)
        replaced[conv] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]
