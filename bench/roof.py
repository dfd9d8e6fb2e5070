"""The bandwidth that memory gives to a mix of reads, updates in place and writes: the roof of what computes little.

Everything here runs over operands from one aligned block, as a plan's do. Operands that would stay in a cache between
two calls are rotated: each call takes the next of as many sets as it takes to exceed ``POOL`` bytes.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from fastnn import _core
from measure import alternate

Array = npt.NDArray[np.float32]

POOL = 5 << 28  # bytes that no L3 holds
ROTATE_FROM = 4 << 20  # bytes of the largest operand
UNIT = 128  # elements; the stream op takes whole ones

__all__ = ["bandwidth", "cycle", "in_turn", "rotated", "streams"]


def rotated(
    sizes: Sequence[int], fill: Callable[[int, Array], None] | None = None, *, pool: int = POOL
) -> list[list[Array]]:
    """Return sets of float32 arrays of these sizes in elements; ``fill(index, array)`` fills each in place.

    One set where every array is of ``ROTATE_FROM`` bytes or less, otherwise as many as exceed ``pool`` bytes together.
    """
    places = [0, *itertools.accumulate(-(-4 * size // 4096) * 4096 for size in sizes)]
    count = 1 if 4 * max(sizes) <= ROTATE_FROM else max(2, -(-pool // places[-1]))
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


def cycle(op: _core.Op, sets: Sequence[Sequence[object]], threads: int) -> Callable[[], object]:
    """Return a function that runs ``op`` on the next set of buffers; None is an absent one."""
    programs = []
    for buffers in sets:
        given = [i for i, buffer in enumerate(buffers) if buffer is not None]
        slots = [given.index(i) if i in given else -1 for i in range(len(buffers))]
        program = _core.Program([op], [slots], len(given), {})
        for slot, i in enumerate(given):
            program.bind(slot, buffers[i], 0, True)
        programs.append(program)
    scratch = _core.Block(max(programs[0].scratch_bytes(threads), 64))
    turn = itertools.cycle(programs)
    return lambda: next(turn).run(0, 1, threads, scratch)


def streams(
    reads: int, updates: int, writes: int, bytes_each: int, threads: int
) -> tuple[dict[str, Callable[[], object]], float]:
    """Return functions that make one pass over arrays of ``bytes_each``, and the bytes that each reads and writes.

    ``through`` the caches, and where something is only written also ``past`` them.
    """
    arrays, elements = reads + updates + writes, -(-bytes_each // (4 * UNIT)) * UNIT
    fields = {"elements": elements, "reads": reads, "updates": updates, "writes": writes}
    sets: list[list[Array | None]] = [[*s, *[None] * (8 - arrays)] for s in rotated([elements] * arrays)]
    ops = {"through": _core.Op("stream", {**fields, "past": 0})}
    if writes:
        ops["past"] = _core.Op("stream", {**fields, "past": 1})
    return {name: cycle(op, sets, threads) for name, op in ops.items()}, float(ops["through"].bytes)


def in_turn(works: dict[str, Callable[[], object]], least: float = 0.3, calls: int = 9) -> dict[str, float]:
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


def bandwidth(reads: int, updates: int, writes: int, bytes_each: int, threads: int) -> float:
    """Return GB/s of a pass over arrays of ``bytes_each``, an update counted as a read and a write.

    The better of writes through and past the caches; the median of passes over rotated operands.
    """
    works, total = streams(reads, updates, writes, bytes_each, threads)
    seconds = in_turn(works) if bytes_each >= 1 << 20 else alternate(works)
    return total / min(seconds.values()) / 1e9
