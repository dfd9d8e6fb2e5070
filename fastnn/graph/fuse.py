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


RULES: tuple[Rule, ...] = (relu_into_epilogue,)


def fuse(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Apply every rule in order; ``kept`` are nodes read from outside (outputs of the plan)."""
    result = list(calls)
    for rule in RULES:
        result = rule(result, kept)
    return result
