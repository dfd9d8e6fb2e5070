"""Traces: the graph that a model's ``forward`` leaves when it runs on symbolic nodes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .spec import Spec

if TYPE_CHECKING:
    from .node import Node
    from .primitive import Call

__all__ = ["Trace", "current_trace", "untraced"]

_local = threading.local()


def current_trace() -> Trace | None:
    """Return the trace being recorded in this thread, or None."""
    return getattr(_local, "trace", None)


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Compute at once inside the ``with`` block, even while a model is traced."""
    outer = current_trace()
    _local.trace = None
    try:
        yield
    finally:
        _local.trace = outer


class Trace:
    """A graph under construction: sources, calls in the order in which they were made, effects, names of scopes.

    Calls whose primitive mutates an input (optimizers, running statistics) are *effects*: they are kept apart and a
    plan commits them at the end of the phase they belong to.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.effects: list[Call] = []
        self.inputs: list[Node] = []
        self.sources: dict[tuple[str, int], Node] = {}
        self.converted: dict[tuple[Node, str, str], Node] = {}
        self.checks: list[tuple[int, Callable[[np.ndarray], None]]] = []
        self.module_names: dict[int, str] = {}
        self.hooks: list[tuple[Any, Any, tuple[Any, ...], dict[str, Any] | None, Any]] = []
        self.segments: dict[Node, int] = {}  # the checkpoint that a value was made in
        self._scopes: list[str] = []
        self._streams = 0
        self._segment: int | None = None
        self._segments = 0

    @contextlib.contextmanager
    def recording(self) -> Iterator[Trace]:
        """Make this the thread's current trace inside the ``with`` block."""
        outer = current_trace()
        _local.trace = self
        try:
            yield self
        finally:
            _local.trace = outer

    def node(self, spec: Spec, **origin: Any) -> Node:
        """Return a new value of this graph; ``origin`` is the call or the source that it comes from."""
        from .node import Node

        return Node(self, spec, **origin)

    def add_input(self, spec: Spec, name: str = "") -> Node:
        """Add a value that the caller gives at each run."""
        node = self.node(spec, source=("input", len(self.inputs)), name=name)
        self.inputs.append(node)
        return node

    def check_input(self, node: Node, check: Callable[[np.ndarray], None]) -> None:
        """Let ``check`` see an input's array before each run, a constant's now; a computed node's cannot be seen.

        Of a reshaped one it sees the array as it was given.
        """
        while node.call is not None and node.call.name == "reshape" and node.call.inputs[0] is not None:
            node = node.call.inputs[0]
        if node.source is None:
            return
        kind, ref = node.source
        if kind == "input":
            self.checks.append((ref, check))
        elif kind == "array":
            check(ref)

    def check_values(self, arrays: Mapping[int, np.ndarray]) -> None:
        """Run the checks of `check_input` on the arrays of a run."""
        for index, check in self.checks:
            check(arrays[index])

    def source(self, kind: str, ref: Any, spec: Spec, name: str = "") -> Node:
        """Return the node of an object that the plan reads by reference; one node an object."""
        key = (kind, id(ref))
        if key not in self.sources:
            self.sources[key] = self.node(spec, source=(kind, ref), name=name)
        return self.sources[key]

    def parameter(self, parameter: Any) -> Node:
        """Return the node of a Parameter."""
        return self.source("parameter", parameter, Spec(tuple(parameter.data.shape)))

    def gradient_of(self, parameter: Any) -> Node:
        """Return the node of a Parameter's ``grad`` array (allocated as zeros when the plan runs)."""
        return self.source("grad", parameter, Spec(tuple(parameter.data.shape)))

    def array(self, array: np.ndarray) -> Node:
        """Return the node of an array that is read (and, by effects, written) by reference."""
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        return self.source("array", array, Spec(tuple(array.shape), array.dtype.name))

    def rng(self) -> Node:
        """Return the node of the generator words (seed, counter) of this run."""
        return self.source("rng", self, Spec((2,), "uint64"))

    def next_stream(self) -> int:
        """Return the number of the next random operation: equal counters give different masks in each."""
        self._streams += 1
        return self._streams - 1

    def effect(self, name: str, *inputs: Any, **attrs: Any) -> None:
        """Record a call that writes into its inputs, to be committed at the end of the phase."""
        from .node import apply

        apply(name, *inputs, **attrs)

    @contextlib.contextmanager
    def scope(self, owner: Any) -> Iterator[None]:
        """Name the calls made inside after a module (or a function's name): errors and reports use it."""
        if isinstance(owner, str):
            label = owner
        else:
            name = self.module_names.get(id(owner), "")
            label = f"{type(owner).__name__} {name!r}" if name else type(owner).__name__
        self._scopes.append(label)
        try:
            yield
        finally:
            self._scopes.pop()

    @contextlib.contextmanager
    def checkpointed(self) -> Iterator[None]:
        """Count the values made inside as those of one checkpoint; one within another is part of it."""
        outer = self._segment
        if outer is None:
            self._segment, self._segments = self._segments, self._segments + 1
        try:
            yield
        finally:
            self._segment = outer

    def add_call(self, call: Call) -> None:
        """Append a call, as an effect if it writes into an input."""
        (self.effects if call.primitive.mutates else self.calls).append(call)
        if self._segment is not None:
            self.segments.update((output, self._segment) for output in call.outputs)

    @property
    def scope_label(self) -> str:
        """Name of the innermost scope, empty outside of all."""
        return self._scopes[-1] if self._scopes else ""
