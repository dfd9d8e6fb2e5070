"""The order of a phase's calls: effects run as soon as nothing before them is in the way."""

from __future__ import annotations

from collections.abc import Sequence

from .node import Node
from .primitive import Call

__all__ = ["schedule"]


def schedule(calls: Sequence[Call], stop: Node | None = None) -> list[Call]:
    """Return the calls with each effect moved up to right after the last one that it must follow.

    An effect follows what computes its inputs, whoever reads or writes the memory that it writes into, and whatever
    may end the run (the call that sets ``stop``, Python's own operations): until then nothing may have changed. So a
    parameter is updated while its gradient is still near, and the gradient's memory is free for the next one.
    """
    roots: dict[Node, Node] = {}
    last_use: dict[Node, int] = {}  # of memory that is read or written; positions are those of the calls that stay
    made: dict[Node, int] = {}
    after: list[list[Call]] = [[]]
    floor = 0
    for call in calls:
        inputs = [roots.get(node, node) for node in call.inputs if node is not None]
        written = {roots.get(node, node) for node in call.mutated}
        if written and not call.outputs:
            waits = [made.get(node, 0) for node in inputs] + [last_use.get(node, 0) for node in written]
            at = max([floor, *waits])
            after[at].append(call)
        else:
            after.append([call])
            at = len(after) - 1
        for node in inputs:
            last_use[node] = max(last_use.get(node, 0), at)
        for node in written:
            made[node] = at
        for output in call.outputs:
            made[output] = at
            if call.primitive.alias(call) and call.inputs[0] is not None:
                roots[output] = roots.get(call.inputs[0], call.inputs[0])
        if call.primitive.host or stop in call.outputs:
            floor = at
    return [call for group in after for call in group]
