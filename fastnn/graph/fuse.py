"""Fusion: rewrite rules over the list of calls that a plan runs.

A rule takes the calls and the nodes that must keep existing and returns new calls; the trace itself stays as it was,
since the reference backend runs it unfused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from .node import Node
from .primitive import Call

__all__ = ["RULES", "fuse"]

# Their lower() honours call.fused.
WITH_EPILOGUE = ("linear", "conv2d", "batch_norm")

Rule = Callable[[Sequence[Call], set[Node]], list[Call]]


def _uses(calls: Sequence[Call]) -> Counter[Node]:
    return Counter(node for call in calls for node in call.inputs if node is not None)


def relu_into_epilogue(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let linear, convolution and batch norm apply the ReLU that is the only reader of their output.

    ReLU's backward needs its own output only, so the pre-activation never reaches memory.
    """
    uses = _uses(calls)
    producer = {o: call for call in calls for o in call.outputs}
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        if call.name != "relu" or call.inputs[0] is None:
            continue
        x = call.inputs[0]
        source = producer.get(x)
        if source is None or source.name not in WITH_EPILOGUE or source.fused or uses[x] != 1 or x in kept:
            continue
        replaced[source] = Call(
            source.primitive, source.inputs, source.attrs, call.outputs, {"activation": "relu"}, source.scope
        )
        replaced[call] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def relu_bwd_into_batch_norm_bwd(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let batch norm's backward apply that of the ReLU in its forward's epilogue.

    The fused call has the forward's bias as a sixth input: with it the sign of the output is found again from x, so
    that neither the output nor the gradient between the two is read or written.
    """
    uses = _uses(calls)
    producer = {o: call for call in calls for o in call.outputs}
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        dy = call.inputs[0] if call.name == "batch_norm_bwd" and not call.fused else None
        if dy is None or uses[dy] != 1 or dy in kept:
            continue
        relu = producer.get(dy)
        if relu is None or relu.name != "relu_bwd" or relu.inputs[1] is None:
            continue
        forward = producer.get(relu.inputs[1])
        if forward is None or forward.name != "batch_norm" or forward.fused != {"activation": "relu"}:
            continue
        if forward.inputs[:4] != call.inputs[1:5] or forward.attrs["eps"] != call.attrs["eps"]:
            continue
        inputs = (relu.inputs[0], *call.inputs[1:], forward.inputs[4])
        replaced[call] = Call(call.primitive, inputs, call.attrs, call.outputs, {"activation": "relu"}, call.scope)
        replaced[relu] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


RULES: tuple[Rule, ...] = (relu_into_epilogue, relu_bwd_into_batch_norm_bwd)


def fuse(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Apply every rule in order; ``kept`` are nodes read from outside (outputs of the plan)."""
    result = list(calls)
    for rule in RULES:
        result = rule(result, kept)
    return result
