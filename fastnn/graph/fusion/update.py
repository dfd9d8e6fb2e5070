"""Fusion of a linear layer's gradient into the optimizer's step that it is for."""

from __future__ import annotations

from collections.abc import Sequence

from ..node import Node
from ..primitive import Call
from .match import Uses

__all__ = ["gradient_into_update"]

WITH_GRADIENT = ("sgd_step", "adagrad_step", "rmsprop_step", "adam_step")


def gradient_into_update(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let an optimizer's step make the gradient of a linear layer's weights that it alone reads, block by block.

    The fused call has dy in the gradient's place and x behind the last of its inputs; the gradient is nowhere as a
    whole. Where it stands among the calls follows from what reads the weights (`graph.schedule`).
    """
    uses = Uses(calls, kept)
    written = {node for call in calls for node in call.mutated}
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        dw = call.inputs[1] if call.name in WITH_GRADIENT and not call.fused else None
        source = uses.made_by(dw, "linear_bwd_weights")
        if source is None:
            continue
        (p, _, *rest), (dy, x) = call.inputs, source.inputs
        if any(_memory(node, uses.maker) in written for node in (dy, x)):
            continue  # it would be read later than now, after an update perhaps
        absent: list[Node | None] = [None] * (len(call.primitive.rules) - len(call.inputs))
        inputs = (p, dy, *rest, *absent, x)
        replaced[call] = Call(call.primitive, inputs, call.attrs, (), {"gradient": source.name}, call.scope)
        replaced[source] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def _memory(node: Node | None, maker: dict[Node, Call]) -> Node | None:
    """Return the node whose memory a view shows, else the node itself."""
    while node is not None and node in maker and maker[node].primitive.alias(maker[node]):
        node = maker[node].inputs[0]
    return node
