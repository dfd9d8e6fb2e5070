"""Computations bound to their arrays: what they cost as a step of a plan, without Python around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn import _backend
from fastnn.graph.arena import Arena
from fastnn.graph.plan import CompiledPlan, Phase, make_plan
from fastnn.graph.prepare import prepare
from fastnn.graph.trace import Trace

__all__ = ["Bound", "channels_last"]


def channels_last(array: np.ndarray) -> np.ndarray:
    """Return the same logical array in channels-last memory (4-D arrays only; others as they are)."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) if array.ndim == 4 else array


class Bound:
    """A function of nodes, traced once over these arrays, with memory of its own; calling it runs the steps.

    Parameters
    ----------
    function : callable
        Takes a node for each array, returns a node or a tuple of them.
    arrays : sequence of ndarray
    """

    def __init__(self, function: Callable[..., Any], arrays: Sequence[np.ndarray]) -> None:
        prepared = [prepare(array, exact=True) for array in arrays]
        self.arrays = {i: array for i, (array, _) in enumerate(prepared)}
        trace = Trace()
        with trace.recording(), trace.scope("bench"):
            result = function(*[trace.add_input(spec) for _, spec in prepared])
        self.outputs = list(result) if isinstance(result, tuple) else [] if result is None else [result]
        plan = make_plan([Phase(list(trace.calls) + list(trace.effects), self.outputs)], Arena())
        assert isinstance(plan, CompiledPlan), "benchmarks run the compiled package"
        self.plan = plan
        self.plan.run(0, self.arrays)
        self.algorithms = [op.algorithm for op in plan.ops]
        self.flops = sum(op.flops for op in plan.ops)

    def __call__(self) -> None:
        threads = _backend.get_num_threads()
        scratch = self.plan.program.scratch_bytes(threads)
        if self.plan.arena.scratch.nbytes < scratch:
            self.plan.run(0, self.arrays)
        self.plan.program.run(0, len(self.plan.ops), threads, self.plan.arena.scratch)

    def results(self) -> list[np.ndarray]:
        """Return copies of the outputs of the last run."""
        return [self.plan.fetch(node) for node in self.outputs]
