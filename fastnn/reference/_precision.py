"""How every oracle computes: float64 inside, float32 out unless it was given float64."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")


def widen(value: Any) -> Any:
    """A floating array as float64; anything else as it is."""
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
        return array.astype(np.float64, copy=False) if array.dtype.kind == "f" else array
    return value


def narrow(value: Any, dtype: npt.DTypeLike) -> Any:
    """Floating results in ``dtype``; integer results (indices, flags) as they are."""
    if isinstance(value, tuple):
        return tuple(narrow(item, dtype) for item in value)
    array = np.asarray(value)
    return array.astype(dtype, copy=False) if array.dtype.kind == "f" else array


def result_dtype(inputs: tuple[Any, ...]) -> npt.DTypeLike:
    """float64 when the first floating array among the inputs is float64, else float32."""
    for value in inputs:
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind == "f":
            return np.float64 if value.dtype == np.float64 else np.float32
    return np.float32


def wide(function: Callable[P, R]) -> Callable[P, R]:
    """Give a float64 formula its contract: any float input, float64 arithmetic, one rounding at the end."""

    @functools.wraps(function)
    def run(*inputs: P.args, **attrs: P.kwargs) -> R:
        dtype = result_dtype((*inputs, *attrs.values()))
        with np.errstate(all="ignore"):  # infinities and NaN are results here, not accidents
            call = cast(Callable[..., R], function)
            result = call(*map(widen, inputs), **{name: widen(value) for name, value in attrs.items()})
            return cast(R, narrow(result, dtype))

    return run
