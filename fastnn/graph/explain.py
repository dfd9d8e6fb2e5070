"""Which algorithms a model's convolutions could take, what the choice was made from, and how long each takes here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _backend
from .execute import plan_for
from .plan import CompiledPlan
from .primitive import Step
from .report import format_table
from .runtime import runtime_of

__all__ = ["Explanation", "explain"]

ROUNDS = 7
LEAST = 2e-3  # seconds that one timing lasts at least


@dataclass(slots=True)
class Candidate:
    """One way to run a step: estimated cycles on one thread, and seconds where it was measured."""

    name: str
    number: int
    allowed: bool
    chosen: bool
    cycles: float
    seconds: float | None = None


@dataclass(slots=True)
class Choice:
    """One step with several algorithms: whose it is, its problem in words, the candidates."""

    module: str
    operation: str
    problem: str
    candidates: list[Candidate]


class Explanation:
    """A printable list of choices: ``choices`` holds them as data."""

    def __init__(self, choices: list[Choice]) -> None:
        self.choices = choices

    def __str__(self) -> str:
        rows = []
        for choice in self.choices:
            for c in choice.candidates:
                mark = "chosen" if c.chosen else "" if c.allowed else "not asked for"
                measured = "" if c.seconds is None else f"{c.seconds * 1e3:.3f}"
                cells = (c.name, f"{c.cycles / 1e6:.3f}", measured, mark)
                rows.append((choice.module, choice.operation, choice.problem, *cells))
        header = ("module", "operation", "problem", "algorithm", "Mcycles", "ms", "")
        return format_table(header, rows, right=(4, 5))

    __repr__ = __str__


def explain(model: Any, *inputs: Any, measure: bool = False) -> Explanation:
    """Return the algorithms that each convolution of a model could take, and which it takes.

    The choice is a function of shapes, level, precision and the layer's ``algorithm``: the least estimated cycles among
    the algorithms that apply and are allowed. The estimates come from constants that were measured once.

    Parameters
    ----------
    model : Module
        In training mode the backward passes are listed too.
    *inputs : array or shape
        What the model would be called with.
    measure : bool
        Also time each candidate on random data with the present number of threads: medians, in ms.

    Returns
    -------
    Explanation
        Printable; ``choices`` holds the same as data. Empty on the reference backend, which has one algorithm.

    Examples
    --------
    >>> import fastnn as fn
    >>> print(fn.explain(fn.nn.Conv2d(3, 8, 5), (1, 3, 12, 12)))  # doctest: +ELLIPSIS
    module ...
    """
    if not hasattr(model, "named_modules"):
        raise TypeError(f"explain: expected a Module, got {type(model).__name__}")
    arrays = [_zeros(x) if isinstance(x, tuple) else x for x in inputs]
    with runtime_of(model).arena.lock:
        _, mp, _ = plan_for(model, tuple(arrays), {})
    if not isinstance(mp.plan, CompiledPlan):
        return Explanation([])
    choices, seen = [], set()
    for call, step in mp.plan.lowered:
        if step is None:
            continue
        key = (call.scope, step.op, str(step.fields))
        candidates = [] if key in seen else _candidates(step)
        seen.add(key)
        if candidates:
            for c in candidates if measure else []:
                c.seconds = _seconds(step, c.number)
            choices.append(Choice(call.scope, step.op, _words(step.fields), candidates))
    return Explanation(choices)


def _zeros(shape: tuple[Any, ...]) -> np.ndarray:
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"explain: expected a shape of whole numbers of at least 0, got {shape}")
    return np.zeros(shape, np.float32)


def _candidates(step: Step) -> list[Candidate]:
    op = _backend.core().Op(step.op, dict(step.fields))
    rows = [row for row in op.candidates if row[3]]
    # A product says where it went to tiles.
    taken = next((row[0] for row in rows if row[0] == op.algorithm), op.algorithm.removesuffix("-tiles"))
    return [Candidate(row[0], row[1], row[4], row[0] == taken, row[5]) for row in rows]


def _words(f: Mapping[str, Any]) -> str:
    """Return a convolution's problem on one line."""
    text = f"{f['n']}x{f['ic']}x{f['ih']}x{f['iw']} > {f['oc']}, {f['kh']}x{f['kw']}"
    for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1)):
        values = tuple(f[name])
        if any(v != usual for v in values):
            text += f", {name} {values[0] if len(set(values)) == 1 else values}"
    return text + (f", groups {f['groups']}" if f["groups"] != 1 else "")


def _seconds(step: Step, number: int) -> float:
    """Return the median time of a step with one of its algorithms, on random data."""
    core = _backend.core()
    op = core.Op(step.op, {**step.fields, "algorithm": number})
    slots = [-1 if node is None else i for i, node in enumerate(step.buffers)]
    program = core.Program([op], [slots], len(slots), {})
    rng = np.random.default_rng(0)
    for slot, node in enumerate(step.buffers):
        if node is not None:
            program.bind(slot, rng.standard_normal(node.spec.size, np.float32), 0, True)
    threads = _backend.get_num_threads()
    scratch = core.Block(max(program.scratch_bytes(threads), 64))

    def run(times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            program.run(0, 1, threads, scratch)
        return (time.perf_counter() - start) / times

    once = min(run(1) for _ in range(2))
    times = max(1, int(LEAST / max(once, 1e-7)))
    return statistics.median(run(times) for _ in range(ROUNDS))
