"""Which steps have no memory in common: between them threads need not wait for each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .node import Node
from .primitive import Call, Step

__all__ = ["OUTSIDE", "Span", "apart"]

FAR = 64  # steps looked back

Span = tuple[bool, float, float]  # whether outside the arena, first byte, byte past the last
OUTSIDE: Span = (True, 0, math.inf)  # of an array that is known only when the plan runs


def apart(lowered: Sequence[tuple[Call, Step | None]], span: Callable[[Node], Span]) -> list[int]:
    """Return for each C step how many right before it write nothing that it touches and touch nothing that it writes.

    ``span`` tells where a value lies; memory that was given to another value meanwhile counts as what it is.
    """
    found: list[int] = []
    before: list[tuple[set[Span], set[Span]]] = []  # of each step: what it touches, what of that it writes
    for call, step in lowered:
        if step is None:  # Python's: all threads have met
            before.clear()
            continue
        reads = {node for node in call.inputs if node is not None} - set(call.mutated)
        touched = {span(node) for node in step.buffers if node is not None}
        written = {span(node) for node in step.buffers if node is not None and node not in reads}
        n = 0
        for touched_there, written_there in reversed(before[-FAR:]):
            if _meet(written, touched_there) or _meet(touched, written_there):
                break
            n += 1
        found.append(n)
        before.append((touched, written))
    return found


def _meet(some: set[Span], others: set[Span]) -> bool:
    if not some.isdisjoint(others):
        return True
    return any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a in some for b in others)
