"""What rules look for patterns with: who makes a value, and who reads it."""

from __future__ import annotations

from collections.abc import Sequence

from ..node import Node
from ..primitive import Call

__all__ = ["Uses"]


class Uses:
    """The makers and readers of a list's values; ``kept`` are also read from outside.

    A call that reads a value twice counts twice.
    """

    def __init__(self, calls: Sequence[Call], kept: set[Node]) -> None:
        self.kept = kept
        self.maker: dict[Node, Call] = {output: call for call in calls for output in call.outputs}
        self.readers: dict[Node, list[Call]] = {}
        for call in calls:
            for node in call.inputs:
                if node is not None:
                    self.readers.setdefault(node, []).append(call)

    def only_reader(self, node: Node, name: str) -> Call | None:
        """Return the one call that reads a value, if that is a plain ``name``."""
        if not self.read_once(node):
            return None
        (reader,) = self.readers[node]
        return reader if reader.name == name and not reader.fused else None

    def read_once(self, node: Node | None) -> bool:
        """Tell whether one call reads a value, once, and nothing outside does."""
        return node is not None and node not in self.kept and len(self.readers.get(node, [])) == 1

    def made_by(self, node: Node | None, name: str) -> Call | None:
        """Return the call that makes a value, if that is a plain ``name`` and nobody else reads the value."""
        if node is None or not self.read_once(node):
            return None
        call = self.maker.get(node)
        return call if call is not None and call.name == name and not call.fused else None
