"""The one generator that everything draws from: initialisation, shuffling, and the counter of random masks.

Masks (dropout) do not come from a stream of numbers: they are a pure function of a seed, a counter and a position, so
they do not depend on threads. The counter rises by one with every run that draws.
"""

from __future__ import annotations

import operator
import os
from typing import Any

import numpy as np

__all__ = ["generator", "get_state", "initial_seed", "manual_seed", "next_key", "set_state"]

_SEED_BITS = 64


class _State:
    """Seed, counter and the lazily made NumPy generator (importing numpy.random costs time that few scripts need)."""

    seed: int
    counter: int
    generator: np.random.Generator | None

    def __init__(self, seed: int) -> None:
        self.reset(seed)

    def reset(self, seed: int) -> None:
        self.seed, self.counter, self.generator = seed, 0, None


_state = _State(int.from_bytes(os.urandom(8), "little") >> 1)


def manual_seed(seed: int) -> int:
    """Seed everything that draws: initialisation, shuffles, splits and dropout.

    Parameters
    ----------
    seed : int
        Any whole number from 0 to 2**64 - 1.

    Returns
    -------
    int
        The seed.

    Raises
    ------
    ValueError
        If the seed is negative or needs more than 64 bits.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.manual_seed(7)
    7
    """
    try:
        value = operator.index(seed)
    except TypeError:
        raise TypeError(f"manual_seed: expected an int, got {seed!r}") from None
    if not 0 <= value < 1 << _SEED_BITS:
        raise ValueError(f"manual_seed: expected a seed from 0 to 2**64 - 1, got {value}")
    _state.reset(value)
    return value


def initial_seed() -> int:
    """Return the seed in force: the last one given to `manual_seed`, or the random one of this process."""
    return _state.seed


def generator() -> np.random.Generator:
    """Return the global generator; drawing from it advances it."""
    if _state.generator is None:
        _state.generator = np.random.Generator(np.random.PCG64(_state.seed))
    return _state.generator


def next_key() -> tuple[int, int]:
    """Return (seed, counter) of the run that begins now, and advance the counter."""
    counter = _state.counter
    _state.counter = counter + 1
    return _state.seed, counter


def get_state() -> dict[str, Any]:
    """Return the whole state as plain data (JSON can hold it)."""
    return {"seed": _state.seed, "counter": _state.counter, "generator": generator().bit_generator.state}


def set_state(state: dict[str, Any]) -> None:
    """Restore what `get_state` returned.

    Raises
    ------
    ValueError
        If the mapping lacks one of its keys.
    """
    missing = {"seed", "counter", "generator"} - set(state)
    if missing:
        raise ValueError(f"set_state: expected the keys seed, counter and generator; missing {sorted(missing)}")
    _state.reset(int(state["seed"]))
    _state.counter = int(state["counter"])
    generator().bit_generator.state = state["generator"]
