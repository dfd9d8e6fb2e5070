"""Checks of targets' values: they need the arrays, so they run on the host before each run of a plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import _backend
from fastnn.graph import Node, current_trace

__all__ = ["expect_classes", "expect_probabilities"]


def _who(function: str) -> str:
    trace = current_trace()
    return (trace.scope_label if trace is not None else "") or function


def _extremes(array: np.ndarray) -> tuple[Any, Any]:
    """Return the least and the greatest of an array that is not empty; for few indices NumPy's own take longest."""
    core = _backend.state.core
    if core is not None and array.dtype.char in "lq" and array.itemsize == 8 and array.flags.c_contiguous:
        return core.extremes(array)
    return array.min(), array.max()


def expect_classes(function: str, x: Node, target: Node, ignore_index: int | None = None) -> None:
    """Have class indices that are not in 0 .. C - 1 (nor ``ignore_index``) refused before each run."""
    who, shape = _who(function), x.shape
    classes = shape[1] if len(shape) > 1 else shape[0]

    def check(array: np.ndarray) -> None:
        if array.size == 0:
            return
        low, high = _extremes(array)
        if low >= 0 and high < classes:
            return
        wrong = (array < 0) | (array >= classes)
        if ignore_index is not None:
            wrong &= array != ignore_index
        if wrong.any():
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"{who}: expected class indices from 0 to {classes - 1} for input of shape {shape}, "
                f"got {int(array[where])} at {where}"
            )

    target.trace.check_input(target, check)


def expect_probabilities(function: str, name: str, value: Node) -> None:
    """Have values outside [0, 1] refused before each run."""
    who = _who(function)

    def check(array: np.ndarray) -> None:
        if array.size and (array.min() < 0 or array.max() > 1):
            raise ValueError(f"{who}: expected {name} values between 0 and 1, got {array.min()} to {array.max()}")

    value.trace.check_input(value, check)
