"""Arenas: the memory in which a model's plans run."""

from __future__ import annotations

import threading
from typing import Any

from .. import _backend

__all__ = ["Arena"]


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

    def poison(self) -> None:
        """Fill with NaN: whatever a step fails to write shows."""
        self.block.poison()
        self.scratch.poison()
