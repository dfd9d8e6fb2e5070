"""Sizes at which kernels change their path: vector lanes and register tiles of the levels that this machine runs."""

from __future__ import annotations

import functools


@functools.cache
def tiles() -> tuple[dict[str, int], ...]:
    """``{"vl", "mr", "nr"}`` of each level, lowest first; typical ones where there is no extension module."""
    try:
        from fastnn import _core
    except ImportError:
        return ({"vl": 4, "mr": 4, "nr": 8}, {"vl": 16, "mr": 14, "nr": 32})
    active = _core.active_level()
    found = []
    for level in _core.levels():
        _core.set_level(level)
        found.append(_core.tile())
    _core.set_level(active)
    return tuple(found)


def around(*sizes: int) -> list[int]:
    """Each size with its neighbours, once, smallest first."""
    return sorted({size + step for size in sizes for step in (-1, 0, 1) if size + step > 0})


def lane_tails() -> list[int]:
    """One to a few vectors, one more and one less."""
    return around(*(lanes * k for lanes in {tile["vl"] for tile in tiles()} for k in (1, 2, 4)))


def row_tails() -> list[int]:
    """Rows of a register tile, one more and one less."""
    return around(*(tile["mr"] * k for tile in tiles() for k in (1, 2)))


def column_tails() -> list[int]:
    """Columns of a register tile, one more and one less."""
    return around(*(tile["nr"] * k for tile in tiles() for k in (1, 2)))
