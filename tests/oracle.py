"""Runs a case on the oracle and on the active backend, and compares: shared by the kernel tests and the benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from case_data import Case
from fastnn import reference
from fastnn.graph import run_primitive
from fastnn.graph.execute import _eager_runtime
from fastnn.graph.plan import CompiledPlan
from fastnn.graph.primitive import find
from tolerances import bounds, check_bounds_are_tight, is_exact

Array = npt.NDArray[Any]

MARGIN = 64  # floats on each side of an array that is written in place
SENTINEL = 1.2345e30
POISON = 0xFF  # every byte of a poisoned arena
BEHIND = 4096  # bytes looked at behind the last buffer


def mutated(case: Case) -> list[int]:
    """Positions of the inputs that the primitive writes, absent ones left out."""
    primitive = find(case.primitive)
    names = [rule.name for rule in primitive.rules]
    found = [names.index(name) for name in primitive.mutates]
    return [i for i in found if i < len(case.inputs) and case.inputs[i] is not None]


def demand(case: Case, position: int) -> str:
    """What the primitive demands of an input: ``c``, ``nhwc``, ``any``, ``int`` or nothing."""
    rules = find(case.primitive).rules
    return rules[min(position, len(rules) - 1)].demand


def channels_last(array: Array) -> Array:
    """The same logical array in channels-last memory."""
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


class Guarded:
    """A writable copy of an array inside a larger buffer whose margins must survive."""

    def __init__(self, array: Array) -> None:
        fill = SENTINEL if array.dtype.kind == "f" else 77
        self.buffer = np.full(array.size + 2 * MARGIN, fill, dtype=array.dtype)
        self.array = self.buffer[MARGIN : MARGIN + array.size].reshape(array.shape)
        self.array[...] = array

    def check(self, who: str) -> None:
        """Fail if anything was written outside."""
        margins = np.concatenate([self.buffer[:MARGIN], self.buffer[MARGIN + self.array.size :]])
        assert (margins == margins[0]).all(), f"{who} wrote outside of an array that it updates"


def run_oracle(case: Case, inputs: Sequence[Any]) -> list[Array]:
    """Outputs, then the arrays written in place; float64 throughout."""
    wide = [np.float64(a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in inputs]
    wide = [np.array(a) if isinstance(a, (np.ndarray, np.generic)) else a for a in wide]
    result = getattr(reference, case.primitive)(*wide, **case.attrs)
    return [*_listed(result), *(wide[i] for i in mutated(case))]


def run_kernel(case: Case, inputs: Sequence[Any], keep_strides: bool = False) -> list[Array]:
    """The same from the active backend, and proof that nothing else was written."""
    written = mutated(case)
    guards = {i: Guarded(inputs[i]) for i in written}
    given: list[Any] = []
    for i, array in enumerate(inputs):
        given.append(guards[i].array if i in guards else array if keep_strides else placed(case, i, array))
    before = [a.copy() if isinstance(a, np.ndarray) and i not in guards else None for i, a in enumerate(given)]
    for i, array in enumerate(given):
        if isinstance(array, np.ndarray) and i not in guards:
            array.setflags(write=False)
    result = run_primitive(case.primitive, *given, **case.attrs)
    for i, (array, old) in enumerate(zip(given, before, strict=True)):
        if old is not None:
            assert np.array_equal(array, old, equal_nan=array.dtype.kind == "f"), f"{case.id} changed its input {i}"
    for guard in guards.values():
        guard.check(case.id)
    return [*_listed(result), *(guards[i].array for i in written)]


def last_plan() -> CompiledPlan:
    """The plan that a function on arrays ran last."""
    entry = next(reversed(_eager_runtime().plans._plans.values()))
    return next(part for part in entry if isinstance(part, CompiledPlan))


def check_no_overrun(who: str) -> None:
    """After a poisoned run: memory behind and between the last plan's buffers, and behind its scratch, is untouched."""
    plan, arena = last_plan(), _eager_runtime().arena
    values = np.frombuffer(arena.block, np.uint8, min(arena.block.nbytes, plan.arena_bytes + BEHIND))
    free = np.ones(values.size, dtype=bool)
    for interval in plan.intervals.values():
        free[interval.offset : interval.offset + interval.nbytes] = False
    assert (values[free] == POISON).all(), f"{who} wrote outside of its buffers, first at {_first(values, free)}"
    used = plan._scratch[1]
    behind = np.frombuffer(arena.scratch, np.uint8, min(arena.scratch.nbytes - used, BEHIND), used)
    assert (behind == POISON).all(), f"{who} wrote behind its {used} bytes of scratch"


def _first(values: Array, free: Array) -> int:
    return int(np.flatnonzero(free & (values != POISON))[0])


def make_room() -> None:
    """Memory behind the small plans, so that writing there can be seen."""
    _eager_runtime().arena.reserve(1 << 20, 1 << 20)


def placed(case: Case, position: int, array: Any) -> Any:
    """A fresh copy of an input in the memory order that the primitive wants."""
    if array is None:
        return None
    copy = np.array(array, order="C")
    if copy.ndim == 4 and demand(case, position) != "c":
        return channels_last(copy)
    return copy


def _listed(result: Any) -> list[Array]:
    if result is None:
        return []
    values = result if isinstance(result, tuple) else (result,)
    return [np.float32(v) if isinstance(v, float) else np.asarray(v) for v in values]


def allowed(case: Case, mode: str, inputs: Sequence[Any], expected: Sequence[Array]) -> list[Array | None]:
    """How far each result may be from what is expected: None where arithmetic is exact and bits must be equal."""
    if is_exact(case, mode):
        return [None] * len(expected)
    limits = bounds(case, inputs, expected)
    check_bounds_are_tight(case, inputs, expected, limits)
    return [*limits]


def compare(
    case: Case, actual: Sequence[Array], expected: Sequence[Array], limits: Sequence[Array | None], where: str
) -> None:
    """Equal bits, or within the bound of ``allowed``."""
    assert len(actual) == len(expected), f"{case.id}: expected {len(expected)} results, got {len(actual)}"
    for index, (got, want, limit) in enumerate(zip(actual, expected, limits, strict=True)):
        assert got.shape == want.shape, f"{case.id} result {index}: expected shape {want.shape}, got {got.shape}"
        if want.dtype.kind != "f":
            assert got.dtype == want.dtype, f"{case.id} result {index}: expected {want.dtype}, got {got.dtype}"
            _report(case, where, index, got, want, np.asarray(got != want))
            continue
        assert got.dtype == np.float32, f"{case.id} result {index}: expected float32, got {got.dtype}"
        with np.errstate(all="ignore"):
            rounded = want.astype(np.float32)
            same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
            bad = ~same if limit is None else ~same & ~(np.abs(got - want) <= limit)
        _report(case, where, index, got, want, np.asarray(bad), limit)


def _report(
    case: Case, where: str, index: int, got: Array, want: Array, bad: Array, limit: Array | None = None
) -> None:
    """Fail with all that is needed to look at the first wrong element."""
    if not bad.any():
        return
    at = tuple(int(i[0]) for i in np.nonzero(np.atleast_1d(bad)))[: bad.ndim]
    with np.errstate(all="ignore"):
        error = np.nanmax(np.abs(np.asarray(got, np.float64) - np.asarray(want, np.float64)))
    bound = "" if limit is None else f", allowed {float(np.asarray(limit)[at]):.3g} there"
    raise AssertionError(
        f"{case.primitive}, case {case.name}, {where}: result {index} of shape {want.shape} has {int(bad.sum())} wrong "
        f"elements; the first at {at}: got {got[at]!r}, expected {want[at]!r}{bound}; largest error {error:.3g}\n"
        f"attributes: {dict(case.attrs)}\n"
        f'again: python -m pytest "tests/test_kernels.py" -k "{case.id}"'
    )
