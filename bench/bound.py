"""Computations bound to their arrays: what they cost as a step of a plan, without Python around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn import _backend
from fastnn.graph.arena import Arena
from fastnn.graph.node import Node
from fastnn.graph.plan import CompiledPlan, Phase, make_plan
from fastnn.graph.prepare import prepare
from fastnn.graph.trace import Trace

__all__ = ["Bound", "channels_last", "traced"]


def channels_last(array: np.ndarray) -> np.ndarray:
    """Return the same logical array in channels-last memory (4-D arrays only; others as they are)."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if array.ndim == 4 else array


def traced(
    function: Callable[..., Any], arrays: Sequence[np.ndarray], setup: Callable[..., Any] | None = None
) -> tuple[list[Phase], dict[int, np.ndarray], list[Node]]:
    """Trace a function of nodes: its phases (what ``setup`` does first, if given), prepared arrays, and outputs."""
    prepared = [prepare(array, exact=True) for array in arrays]
    trace = Trace()
    with trace.recording(), trace.scope("bench"):
        nodes = [trace.add_input(spec) for _, spec in prepared]
        made = setup(*nodes) if setup else ()
        before = list(trace.calls)
        result = function(*nodes, *made)
    outputs = list(result) if isinstance(result, tuple) else [] if result is None else [result]
    timed = Phase([*trace.calls[len(before) :], *trace.effects], outputs)
    phases = [Phase(before, list(made)), timed] if setup else [timed]
    return phases, {i: array for i, (array, _) in enumerate(prepared)}, outputs


class Bound:
    """A function of nodes, traced once over these arrays, with memory of its own; calling it runs the steps.

    Parameters
    ----------
    function : callable
        Takes a node for each array, and those that ``setup`` returns; returns a node or a tuple of them.
    arrays : sequence of ndarray
    setup : callable, optional
        What runs once before, as a training step's forward: nodes in, a tuple of nodes out.
    """

    def __init__(
        self, function: Callable[..., Any], arrays: Sequence[np.ndarray], setup: Callable[..., Any] | None = None
    ) -> None:
        phases, self.arrays, self.outputs = traced(function, arrays, setup)
        plan = make_plan(phases, Arena())
        assert isinstance(plan, CompiledPlan), "benchmarks run the compiled package"
        self.plan = plan
        self.run_all()
        segment = plan.segments[-1][0]
        assert isinstance(segment, tuple), "nothing in Python"
        self.first = int(plan.position[segment[0]])
        self.algorithms = [op.algorithm for op in plan.ops[self.first :]]

    def run_all(self) -> None:
        """Run setup and function from Python."""
        for phase in range(len(self.plan.phases)):
            self.plan.run(phase, self.arrays)

    def __call__(self) -> None:
        threads = _backend.get_num_threads()
        scratch = self.plan.program.scratch_bytes(threads)
        if self.plan.arena.scratch.nbytes < scratch:
            self.run_all()
        self.plan.program.run(self.first, len(self.plan.ops), threads, self.plan.arena.scratch)

    def results(self) -> list[np.ndarray]:
        """Return copies of the outputs of the last run."""
        return [self.plan.fetch(node) for node in self.outputs]
