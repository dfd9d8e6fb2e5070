"""Plans: a traced graph made ready to run, on the compiled backend or on the oracles.

A plan has phases (forward, backward) that run one after the other and share one set of buffers. Both kinds of plan
answer to the same calls: ``run(phase, arrays)`` and ``fetch(node)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _backend
from .apart import OUTSIDE, Span, apart
from .arena import Arena
from .checkpoint import replay
from .fusion import fuse
from .node import Node
from .overwrite import taken_over
from .place import Interval, place
from .primitive import Call, Step
from .recompute import recompute
from .schedule import schedule
from .spec import Spec

__all__ = ["CompiledPlan", "Phase", "Plan", "ReferencePlan", "make_plan"]

_LATE = ("input", "index", "grad")  # kinds of sources whose arrays may differ from run to run


@dataclass(slots=True)
class Phase:
    """Calls that run together, the nodes read afterwards, and the flag (if any) that ends the run when set.

    With ``hand_out`` the outputs are written straight into arrays that `Plan.fetch` gives away; with ``recompute`` what
    follows the stop makes large cheap values anew (`graph.recompute`).
    """

    calls: list[Call]
    outputs: list[Node]
    stop: Node | None = None
    hand_out: bool = False
    recompute: bool = False
    fused: list[Call] = field(default_factory=list)


def make_plan(phases: Sequence[Phase], arena: Arena) -> Plan:
    """Return a plan for the active backend, without the calls that nothing needs."""
    _drop_dead_calls(phases)
    return CompiledPlan(phases, arena) if _backend.compiled() else ReferencePlan(phases)


def _drop_dead_calls(phases: Sequence[Phase]) -> None:
    needed: set[Node] = {o for p in phases for o in p.outputs}
    needed.update(p.stop for p in phases if p.stop is not None)
    for phase in reversed(phases):
        kept = []
        for call in reversed(phase.calls):
            if call.primitive.mutates or any(o in needed for o in call.outputs):
                needed.update(i for i in call.inputs if i is not None)
                kept.append(call)
        phase.calls = kept[::-1]


def gradient_array(parameter: Any) -> np.ndarray:
    """Return a parameter's gradient, allocated as zeros where there is none yet."""
    if parameter.grad is None:
        parameter.grad = np.zeros(parameter.data.shape, np.float32)
    grad: np.ndarray = parameter.grad
    return grad


def source_array(node: Node, arrays: Mapping[int, np.ndarray], rng: np.ndarray) -> np.ndarray:
    """Return the array behind a source node."""
    assert node.source is not None
    kind, ref = node.source
    if kind == "input":
        return arrays[ref]
    if kind == "index":
        return np.ascontiguousarray(arrays[ref], np.int64)
    if kind == "parameter":
        return ref.data
    if kind == "grad":
        return gradient_array(ref)
    if kind == "rng":
        return rng
    return ref


class Plan:
    """What both backends share: the phases, the generator's words and the report."""

    def __init__(self, phases: Sequence[Phase]) -> None:
        self.phases = list(phases)
        self.rng = np.zeros(2, np.uint64)
        self.random = any(
            i is not None and i.source is not None and i.source[0] == "rng"
            for p in phases
            for c in p.calls
            for i in c.inputs
        )

    def run(self, phase: int, arrays: Mapping[int, np.ndarray]) -> bool:
        """Run one phase; False if its stop flag ended it."""
        raise NotImplementedError

    def fetch(self, node: Node) -> np.ndarray:
        """Return a fresh copy of a value of the last run (images in channels-last memory)."""
        raise NotImplementedError


class ReferencePlan(Plan):
    """Runs the unfused calls one by one on `fastnn.reference`; ``dtype`` float64 serves gradient checks."""

    def __init__(self, phases: Sequence[Phase], dtype: Any = np.float32) -> None:
        super().__init__(phases)
        self.values: dict[Node, np.ndarray] = {}
        self.overrides: dict[Node, np.ndarray] = {}
        self.dtype = np.dtype(dtype)

    def run(self, phase: int, arrays: Mapping[int, np.ndarray]) -> bool:
        """Run one phase call by call."""
        from .. import reference

        if phase == 0:
            self.values.clear()
        current = self.phases[phase]
        with np.errstate(all="ignore"):
            for call in current.calls:
                inputs = [None if i is None else self._value(i, arrays) for i in call.inputs]
                if call.primitive.host:
                    results = call.primitive.run_host(call, inputs)
                else:
                    results = getattr(reference, call.name)(*inputs, **call.attrs)
                if call.outputs:
                    results = results if isinstance(results, tuple) else (results,)
                    for node, result in zip(call.outputs, results, strict=True):
                        self.values[node] = self._wide(np.asarray(result))
                if current.stop is not None and current.stop in call.outputs and self.values[current.stop]:
                    return False
        for node in current.outputs:
            if node not in self.values:
                self.values[node] = self._value(node, arrays)
        return True

    def _value(self, node: Node, arrays: Mapping[int, np.ndarray]) -> np.ndarray:
        if node.call is not None:
            return self.values[node]
        if node in self.overrides:
            return self.overrides[node]
        return self._wide(source_array(node, arrays, self.rng))

    def _wide(self, array: np.ndarray) -> np.ndarray:
        return array.astype(np.float64) if self.dtype == np.float64 and array.dtype == np.float32 else array

    def fetch(self, node: Node) -> np.ndarray:
        """Return a fresh copy of a value of the last run."""
        value = self.values[node]
        if node.spec.layout == "nhwc":
            return np.ascontiguousarray(value.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        return np.array(value, order="C")


class CompiledPlan(Plan):
    """A program of C steps over one arena, interrupted only by operations written in Python."""

    def __init__(self, phases: Sequence[Phase], arena: Arena) -> None:
        super().__init__(phases)
        self.arena = arena
        kept = {o for p in phases for o in p.outputs} | {p.stop for p in phases if p.stop is not None}
        for phase, fused in zip(phases, _replay(phases, _fuse_phases(phases, kept), kept), strict=True):
            ordered = schedule(fused, phase.stop)
            phase.fused = recompute(ordered, phase.stop, kept) if phase.recompute else ordered
        self.roots: dict[Node, Node] = {}
        self.lowered: list[tuple[Call, Step | None]] = []
        self.segments: list[list[tuple[int, int] | Call]] = []
        self._lower()
        self.handed = self._handed_out()
        self.roots |= taken_over(self.lowered, self._root, {self._root(node) for node in kept})
        self._fresh: dict[Node, np.ndarray] = {}
        self._place()
        self._compile()
        self._generation = -1
        self._views: dict[Node, np.ndarray] = {}
        self._scratch = (0, 0)
        self.seconds: np.ndarray | None = None  # of each C step in its last run, while someone wants them

    # ---- building ----

    def _root(self, node: Node) -> Node:
        while node in self.roots:
            node = self.roots[node]
        return node

    def _lower(self) -> None:
        """List the steps of all phases; a segment is a run of C steps or one call of Python."""
        for phase in self.phases:
            segments: list[tuple[int, int] | Call] = []
            first = len(self.lowered)
            for call in phase.fused:
                if call.primitive.alias(call) and call.inputs[0] is not None:
                    self.roots[call.outputs[0]] = call.inputs[0]
                elif call.primitive.host:
                    segments.append((first, len(self.lowered)))
                    segments.append(call)
                    self.lowered.append((call, None))
                    first = len(self.lowered)
                else:
                    self.lowered.extend((call, step) for step in call.primitive.lower(call))
            segments.append((first, len(self.lowered)))
            self.segments.append([s for s in segments if not isinstance(s, tuple) or s[0] < s[1]])

    def _handed_out(self) -> set[Node]:
        """Return the buffers that callers get as they are: computed here, and given to one caller only."""
        roots = [self._root(n) for p in self.phases if p.hand_out for n in p.outputs]
        return {r for r in roots if r.call is not None and roots.count(r) == 1}

    def _place(self) -> None:
        """Find for each buffer the steps between which it lives, and its place in the arena."""
        self.intervals: dict[Node, Interval] = {}
        for index, (call, step) in enumerate(self.lowered):
            touched = call.inputs + call.outputs if step is None else step.buffers
            for node in touched:
                if node is not None:
                    self._touch(node, index)
        for phase, segments in zip(self.phases, self.segments, strict=True):
            ends = [s[1] - 1 for s in segments if isinstance(s, tuple)]
            last = max(ends, default=len(self.lowered) - 1)
            for node in phase.outputs:
                self._touch(node, max(last, 0))
        self.arena_bytes = place(list(self.intervals.values()))

    def _touch(self, node: Node, index: int) -> None:
        root = self._root(node)
        if root.call is None or root in self.handed:
            return
        if root in self.intervals:
            self.intervals[root].death = max(self.intervals[root].death, index)
        else:
            self.intervals[root] = Interval(root.spec.nbytes, index, index)

    def _compile(self) -> None:
        core = _backend.core()
        self.slots: dict[Node, int] = {}
        ops: list[Any] = []
        buffers: list[list[int]] = []
        stops: dict[int, int] = {}
        flags = {self._root(p.stop) for p in self.phases if p.stop is not None}
        for index, (call, step) in enumerate(self.lowered):
            if step is None:  # a placeholder keeps step indices and segments in line
                ops.append(None)
                for node in call.inputs + call.outputs:
                    if node is not None:
                        self._slot(node)
                continue
            ops.append(_make_op(core, call, step))
            buffers.append([-1 if n is None else self._slot(n) for n in step.buffers])
            for node in step.buffers:
                if node is not None and self._root(node) in flags and self._root(node) in call.outputs:
                    stops[index] = self._slot(node)
        for phase in self.phases:
            for node in phase.outputs:
                self._slot(node)
        self.position = np.cumsum([0] + [op is not None for op in ops])
        self.ops = [op for op in ops if op is not None]
        stop_slots = {int(self.position[i]): s for i, s in stops.items()}
        self.program = core.Program(self.ops, buffers, len(self.slots), stop_slots, apart(self.lowered, self._span))
        self.arena_slots = [(s, self.intervals[n].offset) for n, s in self.slots.items() if n in self.intervals]
        self.late_slots = [(s, n) for n, s in self.slots.items() if n.source and n.source[0] in _LATE]
        written = {self._root(i) for call, _ in self.lowered for i in call.mutated}
        for node, slot in self.slots.items():
            if node.source is not None and node.source[0] not in _LATE:
                self._bind(slot, node, source_array(node, {}, self.rng), node in written)

    def _span(self, node: Node) -> Span:
        """Return where a value lies: in the arena, or at the address of an array that is there already."""
        root = self._root(node)
        if root in self.intervals:
            offset = self.intervals[root].offset
            return (False, offset, offset + root.spec.nbytes)
        if root.source is None or root.source[0] in _LATE:
            return OUTSIDE
        array = source_array(root, {}, self.rng)
        first = array.__array_interface__["data"][0]
        return (True, first, first + array.nbytes) if array.flags.c_contiguous else OUTSIDE

    def _bind(self, slot: int, node: Node, array: np.ndarray, writable: bool) -> None:
        """Point a slot at an array outside the arena; one that the plan updates must be writable."""
        if writable and not array.flags.writeable:
            kind = node.source[0] if node.source else "value"
            raise ValueError(f"expected a writable {kind} of shape {node.shape} to update, got a read-only one")
        self.program.bind(slot, array, 0, writable)

    def _slot(self, node: Node) -> int:
        return self.slots.setdefault(self._root(node), len(self.slots))

    # ---- for shortcuts ----

    def slot_of(self, node: Node) -> int:
        """Return the slot of a value's buffer, -1 where the program has none."""
        return self.slots.get(self._root(node), -1)

    def is_handed(self, node: Node) -> bool:
        """Tell whether the value is computed into an array of the caller's own."""
        return self._root(node) in self.handed

    def is_one_program(self) -> bool:
        """Tell whether a run is one walk over all C steps."""
        return self.segments == [[(0, len(self.lowered))]]

    def reads_late(self, kinds: Sequence[str]) -> bool:
        """Tell whether what changes from run to run are arrays of these kinds of sources only."""
        return all(node.source is not None and node.source[0] in kinds for _, node in self.late_slots)

    def reads_inputs_only(self) -> bool:
        """Tell whether all that changes from run to run are the inputs' arrays, read as they are."""
        return self.reads_late(("input",)) and all(not call.mutated for call, _ in self.lowered)

    def returns_inputs(self) -> bool:
        """Tell whether some output is the memory of an input."""
        sources = [self._root(node).source for phase in self.phases for node in phase.outputs]
        return any(source is not None and source[0] in _LATE for source in sources)

    # ---- running ----

    def settle(self, threads: int) -> None:
        """Bind to the arena as it is now, growing it first if it is too small."""
        if self._scratch[0] != threads:
            self._scratch = (threads, self.program.scratch_bytes(threads))
        self.arena.reserve(self.arena_bytes, self._scratch[1])
        if self._generation != self.arena.generation:
            for slot, offset in self.arena_slots:
                self.program.bind(slot, self.arena.block, offset, True)
            self._views.clear()
            self._generation = self.arena.generation

    def run(self, phase: int, arrays: Mapping[int, np.ndarray]) -> bool:
        """Run one phase as C segments, with Python operations in between."""
        threads = _backend.get_num_threads()
        self.settle(threads)
        poisoning = phase == 0 and _backend.core().poisoning()
        if poisoning:
            self.arena.poison(self.arena_bytes, self._scratch[1])
        for root in self.handed:
            self._fresh[root] = np.empty(root.spec.size, root.spec.dtype)
            if poisoning:
                self._fresh[root].view(np.uint8).fill(0xFF)
            self.program.bind(self.slots[root], self._fresh[root], 0, True)
        for slot, node in self.late_slots:
            kind, ref = node.source  # type: ignore[misc]
            if kind != "grad":
                if ref in arrays:
                    self.program.bind(slot, source_array(node, arrays, self.rng))
            elif phase > 0 or len(self.phases) == 1:
                self._bind(slot, node, gradient_array(ref), True)
        for segment in self.segments[phase]:
            if isinstance(segment, Call):
                self._run_host(segment, arrays)
                continue
            first, last = int(self.position[segment[0]]), int(self.position[segment[1]])
            if self.program.run(first, last, threads, self.arena.scratch, self.seconds) < last:
                return False
        self._arrays = {k: v for k, v in arrays.items() if self._returns_input(phase, k)}
        return True

    def _returns_input(self, phase: int, index: int) -> bool:
        return any(self._root(n).source == ("input", index) for n in self.phases[phase].outputs)

    def _run_host(self, call: Call, arrays: Mapping[int, np.ndarray]) -> None:
        inputs = [None if i is None else self._value(i, arrays) for i in call.inputs]
        results = call.primitive.run_host(call, inputs)
        for node, result in zip(call.outputs, results, strict=True):
            self._value(node, arrays)[...] = result

    def _value(self, node: Node, arrays: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return a view of a node's buffer, in its logical shape."""
        root = self._root(node)
        if root.call is None:
            array = source_array(root, arrays, self.rng)
            flat = array.transpose(0, 2, 3, 1) if root.spec.layout == "nhwc" else array
            return _shaped(flat.reshape(-1), node.spec)
        if root in self.handed:
            return _shaped(self._fresh[root], node.spec)
        if node not in self._views:
            offset, size = self.intervals[root].offset, node.spec.size
            dtype = node.spec.dtype
            flat = np.frombuffer(self.arena.block, dtype, size, offset) if size else np.empty(0, dtype)
            self._views[node] = _shaped(flat, node.spec)
        return self._views[node]

    def fetch(self, node: Node) -> np.ndarray:
        """Return a fresh copy of a value of the last run, or the array itself that was made for the caller."""
        value = self._value(node, getattr(self, "_arrays", {}))
        root = self._root(node)
        if root in self.handed:
            del self._fresh[root]
            self.program.release(self.slots[root])
            return value
        return value.copy(order="K")


def _fuse_phases(phases: Sequence[Phase], kept: set[Node]) -> Iterable[list[Call]]:
    """Fuse all phases as one list, so that a later phase's reads are seen, and cut it again."""
    bounds, calls = [], []
    for phase in phases:
        calls.extend(phase.calls)
        bounds.append(phase.calls)
    fused = fuse(calls, kept)
    home = {id(o): k for k, phase_calls in enumerate(bounds) for c in phase_calls for o in c.outputs}
    effects = {c.mutated[0]: k for k, phase_calls in enumerate(bounds) for c in phase_calls if not c.outputs}
    result: list[list[Call]] = [[] for _ in phases]
    at = 0
    for call in reversed(fused):  # one that a rule made belongs to the phase of the next
        at = home.get(id(call.outputs[0]), at) if call.outputs else effects[call.mutated[0]]
        result[at].append(call)
    return [calls[::-1] for calls in result]


def _replay(phases: Sequence[Phase], fused: Iterable[list[Call]], kept: set[Node]) -> list[list[Call]]:
    """Have the backward, which follows the stop or is the second phase, make the values of checkpoints again."""
    first, *others = fused
    stop = phases[0].stop
    if others:
        return [first, replay(first, others[0], kept), *others[1:]]
    border = next((i + 1 for i, call in enumerate(first) if stop in call.outputs), len(first))
    return [first[:border] + replay(first[:border], first[border:], kept)]


def _make_op(core: Any, call: Call, step: Step) -> Any:
    try:
        return core.Op(step.op, dict(step.fields))
    except (ValueError, TypeError) as error:
        raise type(error)(f"{call.scope or call.name}: {error}") from None


def _shaped(flat: np.ndarray, spec: Spec) -> np.ndarray:
    if spec.layout == "nhwc":
        return flat.reshape(spec.memory_shape).transpose(0, 3, 1, 2)
    return flat.reshape(spec.shape)
