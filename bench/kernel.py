"""What a measured kernel is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roof import ROTATE_FROM

__all__ = ["Kernel", "primitive"]

Array = np.ndarray


@dataclass(frozen=True)
class Kernel:
    """One computation to time.

    ``traffic``: for each time that it goes over memory, how many arrays of ``each`` floats it reads, updates
    in place and writes; ``more`` counts bytes besides. With them the roof is bandwidth as well as multiply-adds.
    ``networks`` says how often each network has it, for weighted means.
    """

    suite: str
    name: str
    what: str  # the peers' computation
    call: Callable[..., Any]  # nodes in, nodes out
    operands: Callable[[np.random.Generator], list[Array]]
    flops: float
    check: Callable[[list[Array], list[Array]], None]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    traffic: tuple[tuple[int, int, int], ...] = ()
    each: int = 0
    more: float = 0.0
    largest: int = 0  # elements of the largest tensor, where that is not ``each``
    networks: Mapping[str, int] = field(default_factory=dict)
    quick: bool = False
    whole: bool = False  # operands are checked as whole numbers, and timed as what ``fill`` makes of them
    setup: Callable[..., Any] | None = None  # run once before: its nodes are the call's last arguments

    def fill(self, arrays: list[Array]) -> None:
        """Put floats of all bits where whole numbers were: a processor's clock may follow what it multiplies."""
        rng = np.random.default_rng(1)
        for array in arrays if self.whole else ():
            array[...] = rng.standard_normal(array.shape, np.float32)

    @property
    def bytes(self) -> float:
        """Bytes that it must move; an update is a read and a write."""
        arrays = sum(reads + 2 * updates + writes for reads, updates, writes in self.traffic)
        return 4.0 * arrays * self.each + self.more

    @property
    def rotates(self) -> bool:
        """Whether each call takes other operands, for a cache would hold them until the next."""
        return 4 * max(self.each, self.largest) > ROTATE_FROM


def primitive(name: str, **attrs: Any) -> Callable[..., Any]:
    """Return a primitive as a function of nodes."""
    from fastnn.graph import apply

    def call(*nodes: Any) -> Any:
        return apply(name, *nodes, **attrs)

    return call
