"""Outputs that take over the memory of an input that nobody reads afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from .node import Node
from .primitive import Call, Step

__all__ = ["taken_over"]


def taken_over(
    lowered: Sequence[tuple[Call, Step | None]], root: Callable[[Node], Node], pinned: set[Node]
) -> dict[Node, Node]:
    """Return for each output that may be written over an input the root of that input's memory.

    The primitive must allow it (`Primitive.overwrites`), the call must be one step and the last to read that memory,
    which must be the plan's own and of the same spec. ``pinned`` are roots that are read after the run.
    """
    last: dict[Node, int] = {}
    for index, (call, step) in enumerate(lowered):
        for node in call.inputs + call.outputs if step is None else step.buffers:
            if node is not None:
                last[root(node)] = index
    steps = Counter(id(call) for call, _ in lowered)
    taken: dict[Node, Node] = {}

    def memory(node: Node) -> Node:
        node = root(node)
        while node in taken:
            node = taken[node]
        return node

    for index, (call, step) in enumerate(lowered):
        if step is None or not call.primitive.overwrites or steps[id(call)] != 1:
            continue
        output = call.outputs[0]
        read = [memory(node) for node in call.inputs if node is not None]
        for rule, node in zip(call.primitive.rules, call.inputs, strict=False):
            if node is None or rule.name not in call.primitive.overwrites or node.spec != output.spec:
                continue
            own = memory(node)
            free = own.call is not None and own not in pinned and last[own] == index and root(output) not in pinned
            if free and read.count(own) == 1 and own.spec.nbytes == output.spec.nbytes:
                taken[root(output)] = own
                last[own] = last[root(output)]
                break
    return taken
