"""The bandwidth that memory gives to a mix of reads, updates in place and writes: the roof of what computes little.

Everything here runs over operands from one aligned block, as a plan's do. Operands that would stay in a cache between
two calls are rotated: each call takes the next of as many sets as it takes to exceed ``POOL`` bytes.
"""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fastnn import _core
from measure import alternate

Array = npt.NDArray[np.float32]
Work = Callable[[], object]
Pass = tuple[int, int, int]  # arrays that are read, updated in place, written

POOL = 5 << 28  # bytes that no L3 holds
ROTATE_FROM = 4 << 20  # bytes of the largest tensor
UNIT = 128  # elements; the stream op takes whole ones
MOST = 8  # arrays of the stream op

__all__ = ["Pass", "aligned", "bandwidth", "cycle", "in_turn", "kept", "rotated", "streams"]


def aligned(array: np.ndarray) -> np.ndarray:
    """Return a copy that begins at a cache line, as what a plan holds does; axes stay in their order in memory."""
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    flat = np.frombuffer(_core.Block(max(array.nbytes, 64)), array.dtype, array.size)  # type: ignore[call-overload]
    copy: np.ndarray = flat.reshape([array.shape[axis] for axis in order]).transpose(np.argsort(order))
    copy[...] = array
    return copy


def rotated(
    sizes: Sequence[int], rotate: bool, fill: Callable[[int, Array], None] | None = None, *, pool: int = POOL
) -> list[list[Array]]:
    """Return sets of float32 arrays of these sizes in elements; ``fill(index, array)`` fills each in place.

    ``rotate``: as many as exceed ``pool`` bytes together, otherwise one set.
    """
    places = [0, *itertools.accumulate(-(-4 * size // 4096) * 4096 for size in sizes)]
    count = max(2, -(-pool // places[-1])) if rotate else 1
    sets = []
    for _ in range(count):
        block = _core.Block(max(places[-1], 64))
        arrays = [
            np.frombuffer(block, np.float32, size, place)  # type: ignore[call-overload]
            for size, place in zip(sizes, places, strict=False)
        ]
        for index, array in enumerate(arrays):
            if sets and fill:
                array[...] = sets[0][index]
            elif fill:
                fill(index, array)
            else:
                array[...] = 0
        sets.append(arrays)
    return sets


def cycle(
    ops: Sequence[_core.Op], slots: Sequence[Sequence[int]], sets: Sequence[Sequence[Array]], threads: int
) -> Callable[[], object]:
    """Return a function that runs the ops on the next set of buffers; ``slots``: which of them each op takes."""
    programs = []
    for buffers in sets:
        program = _core.Program(list(ops), [list(each) for each in slots], len(buffers), {})
        for slot, buffer in enumerate(buffers):
            program.bind(slot, buffer, 0, True)
        programs.append(program)
    scratch = _core.Block(max(programs[0].scratch_bytes(threads), 64))
    turn = itertools.cycle(programs)
    return lambda: next(turn).run(0, len(ops), threads, scratch)


def streams(passes: Sequence[Pass], each: int, rotate: bool, threads: int) -> tuple[dict[str, Work], float]:
    """Return functions that make these passes over the same arrays of ``each`` floats, and the bytes that they move.

    A pass takes the first of the arrays: those it reads, then those it updates, then those it writes. What is only
    written goes ``through`` the caches or ``past`` them.
    """
    elements = -(-each // UNIT) * UNIT
    sets = rotated([elements] * max(sum(counts) for counts in passes), rotate)
    slots = [[i if i < sum(counts) else -1 for i in range(MOST)] for counts in passes]
    works, total = {}, 0.0
    for name in ("through", "past") if any(writes for _, _, writes in passes) else ("through",):
        ops = [
            _core.Op(
                "stream",
                {
                    "elements": elements,
                    "reads": reads,
                    "updates": updates,
                    "writes": writes,
                    "past": int(name == "past" and writes > 0),
                },
            )
            for reads, updates, writes in passes
        ]
        works[name] = cycle(ops, slots, sets, threads)
        total = sum(float(op.bytes) for op in ops)
    return works, total


def in_turn(works: dict[str, Work], least: float = 0.3, calls: int = 9) -> dict[str, float]:
    """Return the median seconds of a call, taken in turn call by call: for works of a millisecond and more."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    end = time.perf_counter() + least * len(works)
    while time.perf_counter() < end or len(next(iter(times.values()))) < calls:
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


@functools.lru_cache(1)
def kept(passes: tuple[Pass, ...], each: int, rotate: bool, threads: int) -> tuple[dict[str, Work], float]:
    """Return ``streams``; the last answer is kept, for kernels that follow each other are often alike."""
    return streams(passes, each, rotate, threads)


def bandwidth(passes: tuple[Pass, ...], each: int, rotate: bool, threads: int) -> float:
    """Return GB/s of these passes over arrays of ``each`` floats, an update counted as a read and a write.

    The better of writes through and past the caches; the median of passes over rotated operands.
    """
    works, total = kept(passes, each, rotate, threads)
    seconds = in_turn(works) if each >= 1 << 18 else alternate(works)
    return total / min(seconds.values()) / 1e9
