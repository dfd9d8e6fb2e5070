"""Programs for ``tests/c/replay.c``: the steps of a case as the graph lowers them, with their arrays, in a file."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from case_data import Case
from fastnn.graph import apply
from fastnn.graph.arena import Arena
from fastnn.graph.node import Node
from fastnn.graph.plan import CompiledPlan, Phase, make_plan, source_array
from fastnn.graph.prepare import prepare
from fastnn.graph.spec import Spec
from fastnn.graph.trace import Trace
from oracle import mutated, placed

__all__ = ["Program", "record", "results", "write"]

Array = np.ndarray
INPUT, OUTPUT = 1, 2


@dataclass
class Slot:
    """One buffer: what it holds before (None: nothing yet), its spec, and whether it is a result."""

    before: bytes | None
    spec: Spec
    result: int | None = None  # its place among the results


@dataclass
class Program:
    """The steps of one case: name, fields and slots of each."""

    case: Case
    slots: list[Slot]
    steps: list[tuple[str, Mapping[str, Any], list[int]]]


def record(case: Case, inputs: Sequence[Any]) -> Program:
    """Lower a case; its results are the outputs, then the inputs written in place."""
    kept = mutated(case)  # what is written in place has its gradient's memory order
    arrays = [np.array(a, order="C") if i in kept else placed(case, i, a) for i, a in enumerate(inputs)]
    prepared = [None if array is None else prepare(array, exact=True) for array in arrays]
    trace = Trace()
    with trace.recording(), trace.scope(case.primitive):
        nodes = [None if p is None else trace.add_input(p[1]) for p in prepared]
        made = apply(case.primitive, *nodes, **case.attrs)
    outputs = list(made) if isinstance(made, tuple) else [] if made is None else [made]
    plan = make_plan([Phase(list(trace.calls) + list(trace.effects), outputs)], Arena())
    assert isinstance(plan, CompiledPlan)
    given = dict(enumerate(p[0] for p in prepared if p is not None))
    slots = [Slot(None, Spec(())) for _ in plan.slots]
    for node, index in plan.slots.items():
        before = None if node.source is None else _memory(source_array(node, given, plan.rng), node.spec)
        slots[index] = Slot(before, node.spec)
    written = [nodes[i] for i in kept]
    for place, node in enumerate([*outputs, *written]):
        assert node is not None
        at = slots[plan.slots[_root(plan, node)]]
        assert at.result is None, "two results in one buffer"
        at.result, at.spec = place, node.spec
    steps = []
    for _, step in plan.lowered:
        assert step is not None, "a step in Python"
        buffers = [-1 if n is None else plan.slots[_root(plan, n)] for n in step.buffers]
        steps.append((step.op, step.fields, buffers))
    return Program(case, slots, steps)


def _root(plan: CompiledPlan, node: Node) -> Node:
    while node in plan.roots:
        node = plan.roots[node]
    return node


def write(programs: Sequence[Program], path: Path) -> None:
    """Write the file that replay.c reads."""
    with path.open("wb") as file:
        _int(file, len(programs))
        for program in programs:
            _name(file, program.case.id)
            _int(file, len(program.slots))
            for slot in program.slots:
                kind = INPUT * (slot.before is not None) + OUTPUT * (slot.result is not None)
                _int(file, kind, slot.spec.nbytes if slot.before is None else len(slot.before))
                file.write(slot.before or b"")
            _int(file, len(program.steps))
            for op, fields, buffers in program.steps:
                _name(file, op)
                _int(file, len(fields))
                for name, value in fields.items():
                    values = list(value) if isinstance(value, (tuple, list)) else [value]
                    _name(file, name)
                    _int(file, len(values))
                    for v in values:  # C turns whole numbers into doubles where the field is one
                        _int(file, isinstance(v, float))
                        file.write(struct.pack("<d" if isinstance(v, float) else "<q", v))
                _int(file, len(buffers), *buffers)


def results(programs: Sequence[Program], path: Path) -> list[list[Array]]:
    """Read what replay.c wrote: each program's results in their logical shapes."""
    data = path.read_bytes()
    at, found = 0, []
    for program in programs:
        values: dict[int, Array] = {}
        for slot in program.slots:
            if slot.result is None:
                continue
            spec = slot.spec
            n, c, h, w = spec.shape if spec.layout == "nhwc" else (0, 0, 0, 0)
            flat = np.frombuffer(data, spec.dtype, spec.size, at)
            array = (
                flat.reshape(n, h, w, c).transpose(0, 3, 1, 2) if spec.layout == "nhwc" else flat.reshape(spec.shape)
            )
            values[slot.result] = array
            at += spec.nbytes if slot.before is None else len(slot.before)
        found.append([values[i] for i in range(len(values))])
    assert at == len(data), f"expected {at} bytes of results, got {len(data)}"
    return found


def _memory(array: Array, spec: Spec) -> bytes:
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if spec.layout == "nhwc" else array).tobytes()


def _int(file: BinaryIO, *values: int) -> None:
    file.write(struct.pack(f"<{len(values)}q", *values))


def _name(file: BinaryIO, text: str) -> None:
    data = text.encode()[:127]
    _int(file, len(data))
    file.write(data)
