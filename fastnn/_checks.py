"""Normalisation of arguments: each helper knows the argument's name and says what was expected and what came."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "as_axis",
    "as_extent",
    "as_float",
    "as_int",
    "as_pair",
    "as_probability",
    "as_real_array",
    "as_single",
    "as_sizes",
    "as_text",
    "one_of",
]


LARGEST_INT = 2**63 - 1  # what a field of a C operation holds
LARGEST_EXTENT = 2**31 - 1  # of an axis, a window or a border: products of a few of them still fit such a field


def as_int(name: str, value: Any, minimum: int | None = None, maximum: int | None = LARGEST_INT) -> int:
    """Return ``value`` as an int between ``minimum`` and ``maximum`` (None: any); bools and floats are refused.

    Raises
    ------
    TypeError, ValueError
        With the argument's name, what was expected and what came.
    """
    wanted = "an int" if minimum is None else f"an int >= {minimum}"
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"expected {name} to be {wanted}, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"expected {name} to be {wanted}, got {value!r}") from None
    if minimum is not None and number < minimum:
        raise ValueError(f"expected {name} to be {wanted}, got {number}")
    if maximum is not None and abs(number) > maximum:
        raise ValueError(f"expected {name} to be at most {maximum} in size, got {number}")
    return number


def as_extent(name: str, value: Any, minimum: int | None = None) -> int:
    """Return ``value`` as an int that can be the extent of an axis, a window or a border."""
    return as_int(name, value, minimum, LARGEST_EXTENT)


def as_sizes(name: str, value: Any, count: int, minimum: int | None = None) -> tuple[int, ...]:
    """Return an int, repeated, or a sequence of ``count`` ints, as a tuple of ``count`` extents."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        items = tuple(value)
        if len(items) == 1:
            items *= count
        if len(items) != count:
            kind = "a pair of ints" if count == 2 else f"{count} ints" if count > 1 else "one int"
            raise ValueError(f"expected {name} to be an int or {kind}, got {items}")
    else:
        items = (value,) * count
    return tuple(as_extent(name, item, minimum) for item in items)


def as_pair(name: str, value: Any, minimum: int | None = None) -> tuple[int, int]:
    """Return an int or a pair of ints as the pair (h, w)."""
    h, w = as_sizes(name, value, 2, minimum)
    return h, w


def as_single(name: str, value: Any, minimum: int | None = None) -> int:
    """Return an int or a sequence of one int as an int."""
    return as_sizes(name, value, 1, minimum)[0]


def as_float(name: str, value: Any, minimum: float | None = None) -> float:
    """Return ``value`` as a float that is at least ``minimum`` (and not NaN)."""
    wanted = "a number" if minimum is None else f"a number >= {minimum}"
    if isinstance(value, (str, bytes, bool)):
        raise TypeError(f"expected {name} to be {wanted}, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"expected {name} to be {wanted}, got {value!r}") from None
    if number != number or (minimum is not None and number < minimum):
        raise ValueError(f"expected {name} to be {wanted}, got {number}")
    return number


def as_probability(name: str, value: Any) -> float:
    """Return ``value`` as a float in [0, 1]."""
    number = as_float(name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"expected {name} to be a probability between 0 and 1, got {number}")
    return number


def as_axis(name: str, value: Any, ndim: int) -> int:
    """Return an axis counted from the end as one counted from the start."""
    axis = as_int(name, value)
    if not -ndim <= axis < ndim:
        raise ValueError(f"expected {name} to be in [{-ndim}, {ndim - 1}] for {ndim} dimensions, got {axis}")
    return axis % ndim


def as_text(name: str, value: Any) -> str:
    """Return a string."""
    if not isinstance(value, str):
        raise TypeError(f"expected {name} to be a str, got {value!r}")
    return value


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return ``value`` if it is one of the words allowed."""
    if value not in choices:
        raise ValueError(f"expected {name} to be one of {', '.join(map(repr, choices))}, got {value!r}")
    return str(value)


def as_real_array(name: str, value: Any) -> np.ndarray:
    """Return ``value`` as an array of real numbers; complex numbers, objects and strings are refused."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected {name} to hold real numbers, got dtype {array.dtype}")
    return array
