"""Dropout from a counter-based generator: the mask depends on seed, counter and position only.

Philox-4x32 of seven rounds: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_QUARTER = np.uint64(16)


def philox(
    counter: tuple[Array, Array, Array, Array], key: tuple[int, int], rounds: int = 7
) -> tuple[Array, Array, Array, Array]:
    """Rounds over four counter words and two key words of 32 bits, kept in uint64 arrays."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        left, right = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            (right >> _HALF) ^ c1 ^ np.uint64(k0),
            right & _LOW,
            (left >> _HALF) ^ c3 ^ np.uint64(k1),
            left & _LOW,
        )
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def random_words(count: int, rng: Array, stream: int) -> Array:
    """Random 32-bit words 0 .. count - 1 of a stream; ``rng`` = (seed, counter)."""
    seed, draw = (int(value) for value in rng)
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    counter = (
        block & _LOW,
        block >> _HALF,
        np.full_like(block, stream & 0xFFFFFFFF),
        np.full_like(block, draw & 0xFFFFFFFF),
    )
    words = philox(counter, (seed & 0xFFFFFFFF, seed >> 32))
    return np.stack(words, axis=-1).reshape(-1)[:count]


def draws(count: int, rng: Array, stream: int) -> Array:
    """Draws 0 .. count - 1: of each 32 the first 16 are words, the others those words with their halves exchanged."""
    words = random_words((count + 31) // 32 * 16, rng, stream).reshape(-1, 16)
    exchanged = ((words << _QUARTER) & _LOW) | (words >> _QUARTER)
    return np.stack((words, exchanged), axis=1).reshape(-1)[:count]


def keep_mask(shape: tuple[int, ...], rng: Array, p: float, stream: int, mode: str) -> Array:
    """What survives, broadcastable to ``shape``; entries are numbered in memory order (4-D: NHWC)."""
    ones = (1,) * (len(shape) - 1)
    drawn = {
        "element": shape,
        "channel": (*shape[:2], *ones[1:]),
        "sample": (*shape[:1], *ones),
        "batch": (1,) * len(shape),
    }[mode]
    count = int(np.prod(drawn))
    keep = draws(count, rng, stream) >= np.uint64(round(p * 2.0**32))
    if mode == "element" and len(shape) == 4:
        n, c, h, w = shape
        return keep.reshape(n, h, w, c).transpose(0, 3, 1, 2)
    return keep.reshape(drawn)


@wide
def dropout(x: Array, rng: Array, *, p: float, stream: int, mode: str) -> Array:
    """x / (1 - p) where the mask keeps it, else 0. It is its own backward (Srivastava et al., 2014)."""
    keep = keep_mask(x.shape, rng, p, stream, mode)
    return np.where(keep, x / (1.0 - p), 0.0) if p < 1.0 else np.zeros(x.shape)
