"""PyTorch's makers of tensors as NumPy makes them, so that ``nn.Parameter(torch.ones(8))`` ports with its import."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _random
from .graph import current_trace

__all__ = ["arange", "empty", "full", "ones", "rand", "randn", "tensor", "zeros"]


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    """Return sizes that are given one by one or as one sequence."""
    sizes = size[0] if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    return tuple(operator.index(s) for s in sizes)


def zeros(*size: int | Sequence[int], dtype: Any = np.float32) -> np.ndarray:
    """Return an array of zeros.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.zeros(2, 3).shape
    (2, 3)
    """
    return np.zeros(_shape(size), dtype)


def ones(*size: int | Sequence[int], dtype: Any = np.float32) -> np.ndarray:
    """Return an array of ones.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.ones((2,)).tolist()
    [1.0, 1.0]
    """
    return np.ones(_shape(size), dtype)


def empty(*size: int | Sequence[int], dtype: Any = np.float32) -> np.ndarray:
    """Return an array whose values are yet to be written (zeros, to be safe).

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.empty(4).shape
    (4,)
    """
    return np.zeros(_shape(size), dtype)


def full(size: int | Sequence[int], fill_value: float, dtype: Any = np.float32) -> np.ndarray:
    """Return an array of one value.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.full((2,), 0.5).tolist()
    [0.5, 0.5]
    """
    return np.full(size, fill_value, dtype)


def tensor(data: Any, dtype: Any = None) -> np.ndarray:
    """Return the data as a new array: floats as float32, whole numbers as int64.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.tensor([0.5, 1.0]).dtype.name, fn.tensor([1, 2]).dtype.name
    ('float32', 'int64')
    """
    array = np.array(data)
    if dtype is None:
        dtype = {"f": np.float32, "i": np.int64}.get(array.dtype.kind, array.dtype)
    return array.astype(dtype)


def arange(*bounds: float, dtype: Any = None) -> np.ndarray:
    """Return numbers from start (0) to stop, stop left out, in steps (1).

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.arange(1, 6, 2).tolist()
    [1, 3, 5]
    """
    return tensor(np.arange(*bounds), dtype)


def _not_in_a_trace(name: str) -> None:
    if current_trace() is not None:
        raise RuntimeError(
            f"{name} inside forward would draw once, when the model is traced, and never again; "
            "use the functions of nn.functional that draw at each run (dropout, dropout2d, stochastic_depth)"
        )


def rand(*size: int | Sequence[int], generator: np.random.Generator | None = None) -> np.ndarray:
    """Return draws from the uniform distribution on [0, 1).

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.rand(2, 2).shape
    (2, 2)
    """
    _not_in_a_trace("rand")
    return (generator or _random.generator()).random(_shape(size), dtype=np.float32)


def randn(*size: int | Sequence[int], generator: np.random.Generator | None = None) -> np.ndarray:
    """Return draws from the standard normal distribution.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.randn(2, 2).shape
    (2, 2)
    """
    _not_in_a_trace("randn")
    return (generator or _random.generator()).standard_normal(_shape(size), dtype=np.float32)
