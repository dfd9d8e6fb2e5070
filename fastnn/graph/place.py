"""Placement: every buffer of a plan gets an offset in one arena, by liveness."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["ALIGN", "Interval", "place"]

ALIGN = 64  # bytes; a cache line, and the widest vector


@dataclass(slots=True)
class Interval:
    """A buffer of ``nbytes`` that is written first at step ``birth`` and read last at step ``death``."""

    nbytes: int
    birth: int
    death: int
    offset: int = -1


class _FreeList:
    """Holes of an address range, sorted by offset; neighbours are merged."""

    def __init__(self) -> None:
        self.holes: list[tuple[int, int]] = []
        self.top = 0

    def take(self, size: int) -> int:
        best = min((i for i, (_, n) in enumerate(self.holes) if n >= size), key=lambda i: self.holes[i][1], default=-1)
        if best >= 0:
            offset, n = self.holes.pop(best)
            if n > size:
                bisect.insort(self.holes, (offset + size, n - size))
            return offset
        if self.holes and sum(self.holes[-1]) == self.top:
            offset, _ = self.holes.pop()
        else:
            offset = self.top
        self.top = offset + size
        return offset

    def give(self, offset: int, size: int) -> None:
        i = bisect.bisect(self.holes, (offset, size))
        if i < len(self.holes) and self.holes[i][0] == offset + size:
            size += self.holes.pop(i)[1]
        if i > 0 and sum(self.holes[i - 1]) == offset:
            start, before = self.holes.pop(i - 1)
            offset, size = start, before + size
        bisect.insort(self.holes, (offset, size))


def place(intervals: Sequence[Interval]) -> int:
    """Set the offset of every interval so that no two alive at the same step overlap; return the arena's size.

    In the order of birth, best fit, or the largest first: whichever takes less. A step never writes where it reads.
    """
    size = _by_birth(intervals)
    offsets = _by_size(intervals)
    end = max((at + _rounded(i.nbytes) for i, at in zip(intervals, offsets, strict=True)), default=0)
    if end >= size:
        return size
    for interval, offset in zip(intervals, offsets, strict=True):
        interval.offset = offset
    return end


def _by_birth(intervals: Sequence[Interval]) -> int:
    """Place in the order of birth; a buffer that dies at a step is freed after that step's outputs are placed."""
    free = _FreeList()
    by_birth = sorted(intervals, key=lambda b: (b.birth, -b.nbytes))
    by_death = sorted(intervals, key=lambda b: b.death)
    dead = 0
    for interval in by_birth:
        while dead < len(by_death) and by_death[dead].death < interval.birth:
            gone = by_death[dead]
            free.give(gone.offset, _rounded(gone.nbytes))
            dead += 1
        interval.offset = free.take(_rounded(interval.nbytes))
    return free.top


def _by_size(intervals: Sequence[Interval]) -> list[int]:
    """Return offsets where the largest are placed first, each as low as those that live with it allow."""
    births = np.array([i.birth for i in intervals], np.int64)
    deaths = np.array([i.death for i in intervals], np.int64)
    sizes = np.array([_rounded(i.nbytes) for i in intervals], np.int64)
    offsets = np.zeros(len(intervals), np.int64)
    placed = np.zeros(len(intervals), bool)
    for i in np.lexsort((births, -sizes)):
        others = np.flatnonzero(placed & (births <= deaths[i]) & (deaths >= births[i]))
        others = others[np.argsort(offsets[others], kind="stable")]
        starts, ends = offsets[others], np.maximum.accumulate(offsets[others] + sizes[others])
        before = np.concatenate([[0], ends])
        fits = np.flatnonzero(np.append(starts, np.iinfo(np.int64).max) - before >= sizes[i])
        offsets[i], placed[i] = before[fits[0]], True
    return [int(at) for at in offsets]


def _rounded(nbytes: int) -> int:
    return max(ALIGN, -(-nbytes // ALIGN) * ALIGN)
