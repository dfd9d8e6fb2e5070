"""Arenas: the memory in which a model's plans run."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

from .. import _backend

__all__ = ["Arena"]

MARGIN = 1 << 16  # poisoned bytes behind: enough to see who reads or writes there, few beside what a large plan left

_arenas: weakref.WeakSet[Arena] = weakref.WeakSet()


def _free_locks() -> None:
    """Give every arena a new lock: in a forked child nobody is left to release one that another thread held."""
    for arena in _arenas:
        arena.lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)


class Arena:
    """One block for values and one for scratch, shared by all plans of a model and as large as the largest needs.

    ``owner`` is the run whose values the arena holds; ``generation`` counts the times the block was replaced.
    """

    def __init__(self) -> None:
        self.block: Any = None
        self.scratch: Any = None
        self.generation = 0
        self.owner: object = None
        self.lock = threading.RLock()
        _arenas.add(self)

    @property
    def nbytes(self) -> int:
        """Bytes of the block that holds values."""
        return self.block.nbytes if self.block is not None else 0

    def reserve(self, nbytes: int, scratch: int) -> None:
        """Make room; what a grown block held is lost."""
        core = _backend.core()
        if self.block is None or self.block.nbytes < nbytes:
            self.block = core.Block(max(nbytes, 64))
            self.generation += 1
        if self.scratch is None or self.scratch.nbytes < scratch:
            self.scratch = core.Block(max(scratch, 64))

    def poison(self, nbytes: int, scratch: int) -> None:
        """Fill what a plan takes of each block, and a margin behind, with NaN: what a step fails to write shows."""
        self.block.poison(nbytes + MARGIN)
        self.scratch.poison(scratch + MARGIN)
