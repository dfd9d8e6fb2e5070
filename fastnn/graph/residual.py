"""Fusion of residual sums: into batch norm's own pass, and of their gradients into what computes one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .node import Node
from .primitive import Call

__all__ = ["sum_into_batch_norm"]


def sum_into_batch_norm(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let batch norm add to its output what the sum that alone reads it adds: it takes the sum's place.

    The fused call has the other summand as a sixth input. The sum's own ReLU can follow (`fuse.relu_into_epilogue`).
    """
    uses = Counter(node for call in calls for node in call.inputs if node is not None)
    producer = {o: call for call in calls for o in call.outputs}
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        a, b = call.inputs if call.name == "add" else (None, None)
        if a is None or b is None or not a.spec == b.spec == call.outputs[0].spec:
            continue
        for x, other in ((a, b), (b, a)):
            norm = producer.get(x)
            if norm is None or norm.name != "batch_norm" or norm.fused or norm in replaced:
                continue
            if x in kept or uses[x] != 1:
                continue
            inputs = (*norm.inputs, *[None] * (5 - len(norm.inputs)), other)
            fused = {"residual": "add"}
            replaced[call] = Call(norm.primitive, inputs, norm.attrs, call.outputs, fused, norm.scope)
            replaced[norm] = None
            break
    return [new for call in calls if (new := replaced.get(call, call)) is not None]
