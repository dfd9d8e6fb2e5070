"""Where lasting arrays begin: NumPy's own start 16 bytes past a cache line, so that every vector lies in two lines."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["empty_aligned"]

LINE = 64
PAGE = 4096
APART = 8 * LINE
LARGE = 4 * PAGE


def empty_aligned(shape: tuple[int, ...], beside: np.ndarray | None = None, place: int = 0) -> np.ndarray:
    """Return an uninitialised float32 array that begins with a cache line.

    Parameters
    ----------
    shape : tuple of int
    beside : ndarray, optional
        An array that loops read and write together with this one. A processor takes a load for dependent on a store
        before it where their addresses differ by whole pages: large arrays begin elsewhere within a page.
    place : int
        Which of several arrays beside that one this is.
    """
    count = math.prod(shape)
    large = beside is not None and 4 * count >= LARGE
    room = np.empty(count + (PAGE if large else LINE) // 4, np.float32)
    start = room.__array_interface__["data"][0]
    if beside is not None and large:
        skip = (beside.__array_interface__["data"][0] // LINE * LINE + (place + 1) * APART - start) % PAGE
    else:
        skip = -start % LINE
    return room[skip // 4 : skip // 4 + count].reshape(shape)
