"""Where the time of a step goes: each operation of the plan, timed, and compared with what the machine could do."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _backend
from ..graph.execute import plan_for
from ..graph.plan import CompiledPlan, Plan
from ..graph.report import format_table, human_bytes
from .step import TrainStep

__all__ = ["Profile", "ProfiledStep", "profile"]

ROUNDS = 7
PEAK_ITERATIONS = 100_000
STREAM_FLOATS = 1 << 23  # of each array: past the caches
STREAM_UNIT = 128


@dataclass(frozen=True, slots=True)
class ProfiledStep:
    """One C operation: where it comes from, its time, its work, and the least time that this work needs here."""

    module: str
    operation: str
    algorithm: str
    output: str
    seconds: float
    flops: float
    nbytes: float
    needed: float

    @property
    def share(self) -> float:
        """Needed over taken time: above 1 where operands come from a cache rather than from memory."""
        return self.needed / self.seconds if self.seconds else 0.0


class Profile:
    """The steps of a plan with their times; printable, and a timeline with `plot`."""

    def __init__(self, steps: list[ProfiledStep], outside: float, whole: float, threads: int, arena: int) -> None:
        self.steps, self.outside, self.whole, self.threads, self.arena_bytes = steps, outside, whole, threads, arena

    @property
    def total(self) -> float:
        """Seconds of all steps and of the call outside them; ``whole`` is what a call takes where nothing is timed."""
        return sum(step.seconds for step in self.steps) + self.outside

    def by_operation(self) -> dict[str, float]:
        """Return the seconds of each kind of operation, the most first; "(call)" is what is outside the steps."""
        sums: dict[str, float] = {"(call)": self.outside}
        for step in self.steps:
            sums[step.operation] = sums.get(step.operation, 0.0) + step.seconds
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        header = ("#", "module", "operation", "algorithm", "output", "ms", "%", "GFLOP/s", "GB/s", "of limit")
        rows = []
        for i, s in enumerate(self.steps):
            rates = (_rate(s.flops, s.seconds), _rate(s.nbytes, s.seconds), f"{s.share:.0%}")
            time_of = (f"{1e3 * s.seconds:.4f}", f"{s.seconds / self.total:.1%}")
            rows.append((str(i), s.module, s.operation, s.algorithm, s.output, *time_of, *rates))
        kinds = [(k, f"{1e3 * t:.4f}", f"{t / self.total:.1%}") for k, t in self.by_operation().items()]
        return (
            f"{format_table(header, rows, right=(0, 5, 6, 7, 8, 9))}\n\n"
            f"{format_table(('operation', 'ms', '%'), kinds, right=(1, 2))}\n\n"
            f"timed {1e3 * self.total:.3f} ms, untimed {1e3 * self.whole:.3f} ms, {self.threads} thread(s), "
            f"arena {human_bytes(self.arena_bytes)}"
        )

    __repr__ = __str__

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the steps along time, one row a kind of operation; return matplotlib's figure.

        Parameters
        ----------
        path : path, optional
            A file to save it to.

        Raises
        ------
        ImportError
            Where matplotlib is not installed.
        """
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("plotting needs matplotlib: pip install 'fastnn-core[plot]'") from None
        kinds = [kind for kind in self.by_operation() if kind != "(call)"]
        figure = Figure(figsize=(12, 1 + 0.3 * len(kinds)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        starts = np.cumsum([0.0] + [step.seconds for step in self.steps])
        for row, kind in enumerate(kinds):
            mine = [i for i, step in enumerate(self.steps) if step.operation == kind]
            spans = [(1e3 * starts[i], 1e3 * self.steps[i].seconds) for i in mine]
            axes.broken_barh(spans, (row - 0.4, 0.8), facecolors=f"C{row % 10}")
        axes.set_yticks(range(len(kinds)), kinds)
        axes.invert_yaxis()
        axes.set_xlabel("ms")
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure


def _rate(amount: float, seconds: float) -> str:
    return f"{1e-9 * amount / seconds:.1f}" if amount and seconds else ""


def profile(model: Any, *inputs: Any, rounds: int = ROUNDS) -> Profile:
    """Return the time of each operation of a training step, or of a model's forward.

    The times are those of the median of ``rounds`` calls, taken in the run itself: threads wait for each other only
    where they do otherwise, and such a wait counts to the operation that needs it. What an operation needs at least is
    its floating-point operations over the measured multiply-add peak, or its bytes over the measured bandwidth of
    memory, whichever takes longer.

    Parameters
    ----------
    model : TrainStep or Module
        A training step trains the model meanwhile, ``2 rounds + 1`` times; a module runs forward in its mode.
    *inputs : array
        What it is called with: ``x, y`` for a training step.
    rounds : int
        How often each is timed.

    Returns
    -------
    Profile
        Printable; ``steps`` holds the same as data, ``plot`` draws a timeline.

    Raises
    ------
    RuntimeError
        On the reference backend, which has no plan to time.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> model = fn.nn.Linear(4, 2)
    >>> step = fn.TrainStep(model, fn.nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    >>> result = fn.profile(step, np.ones((8, 4)), np.ones((8, 2)))
    >>> "linear" in result.by_operation()
    True
    """
    if not (isinstance(model, TrainStep) or hasattr(model, "named_modules")):
        raise TypeError(f"profile: expected a TrainStep or a Module, got {type(model).__name__}")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise ValueError(f"profile: expected rounds to be an int >= 1, got {rounds!r}")
    if not _backend.compiled():
        raise RuntimeError("profile: the reference backend has no plan to time; this needs the compiled extension")
    model(*inputs)
    plan = _plan_of(model, inputs)
    if not isinstance(plan, CompiledPlan):
        raise RuntimeError(f"profile: expected a compiled plan, got {type(plan).__name__}")
    whole, outside, steps = _measure(lambda: model(*inputs), plan, rounds)
    return Profile(_steps(plan, steps), outside, whole, _backend.get_num_threads(), plan.arena_bytes)


def _plan_of(model: Any, inputs: tuple[Any, ...]) -> Plan:
    if isinstance(model, TrainStep):
        return model.plan_of(*inputs)
    _, mp, _ = plan_for(model, inputs, {})
    return mp.plan


def _measure(call: Callable[[], object], plan: CompiledPlan, rounds: int) -> tuple[float, float, np.ndarray]:
    """Return the median seconds of a call, and of the timed call that took the median: outside its steps, and each.

    Medians of each step alone would add up to less than any call takes.
    """
    whole, timed = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        whole.append(time.perf_counter() - start)
        with _timed(plan) as seconds:
            start = time.perf_counter()
            call()
            timed.append((time.perf_counter() - start, seconds.copy()))
    total, steps = sorted(timed, key=lambda run: run[0])[rounds // 2]
    return float(np.median(whole)), total - steps.sum(), steps


@contextlib.contextmanager
def _timed(plan: CompiledPlan) -> Iterator[np.ndarray]:
    """Have the plan's steps timed inside the ``with`` block; their seconds are written into the array."""
    plan.seconds = np.zeros(len(plan.ops))
    try:
        yield plan.seconds
    finally:
        plan.seconds = None


def _steps(plan: CompiledPlan, seconds: np.ndarray) -> list[ProfiledStep]:
    peak, bandwidth = _limits(_backend.get_num_threads(), _backend.core().active_level())
    steps = []
    lowered = [(call, step) for call, step in plan.lowered if step is not None]
    for (call, _), op, taken in zip(lowered, plan.ops, seconds, strict=True):
        if not taken:  # of a phase that did not run
            continue
        needed = max(op.flops / peak, op.bytes / bandwidth)
        operation = call.name + "".join(f"+{value}" for value in call.fused.values())
        shown = call.outputs or [node for node in call.inputs[:1] if node is not None]
        output = " ".join(str(node.spec) for node in shown)
        steps.append(
            ProfiledStep(call.scope, operation, op.algorithm or "", output, float(taken), op.flops, op.bytes, needed)
        )
    return steps


@functools.cache
def _limits(threads: int, level: str) -> tuple[float, float]:
    """Return FLOPs and bytes a second of this many threads: register multiply-adds, and a = b + c past the caches."""
    core = _backend.core()
    peak = core.Op("fma_peak", {"units": threads, "iterations": PEAK_ITERATIONS})
    elements = STREAM_FLOATS // STREAM_UNIT * STREAM_UNIT
    fields = {"elements": elements, "reads": 2, "updates": 0, "writes": 1, "past": 1}
    stream = core.Op("stream", fields)
    out = np.zeros(max(threads, 1), np.float32)
    arrays = [np.frombuffer(core.Block(4 * elements), np.float32) for _ in range(3)]
    return peak.flops / _best(peak, [out], 1, threads), stream.bytes / _best(stream, arrays, 8, threads)


def _best(op: Any, arrays: list[np.ndarray], op_buffers: int, threads: int) -> float:
    """Return the least seconds of an op over some runs."""
    core = _backend.core()
    absent = [-1] * (op_buffers - len(arrays))
    program = core.Program([op], [[*range(len(arrays)), *absent]], len(arrays), {})
    for slot, array in enumerate(arrays):
        program.bind(slot, array, 0, True)
    scratch = core.Block(max(program.scratch_bytes(threads), 64))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        program.run(0, 1, threads, scratch)
        times.append(time.perf_counter() - start)
    return min(times)
