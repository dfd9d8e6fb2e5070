"""What goes into a plan and what comes out: arrays made ready, nested arguments flattened and put together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .spec import Spec

__all__ = ["flatten", "is_array", "prepare", "prepare_all", "real_array", "unflatten"]

_EXACT = ("float32", "int64", "uint8")
_NAMES = {np.dtype(name): name for name in _EXACT}  # of the machine's own byte order


def is_array(value: Any) -> bool:
    """Tell whether a value is data for a plan: an array of any library, not a number or a string."""
    return isinstance(value, np.ndarray) or hasattr(value, "__array__") or hasattr(value, "__dlpack__")


def real_array(value: Any) -> np.ndarray:
    """Return nested lists or another library's array as an array; lists that are no box of numbers are refused."""
    try:
        return np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"expected an array, or lists of numbers of equal lengths, got {value!r:.80}") from error


def prepare(value: Any, exact: bool = False) -> tuple[np.ndarray, Spec]:
    """Return an array as plans read it, and its spec.

    Floats become float32 and whole numbers int64, except that uint8 stays; 4-D arrays stay channels-last where they
    are (also where one channel or a 1x1 map makes both layouts the same memory); other strides are copied once.

    Parameters
    ----------
    value : array_like
    exact : bool
        Keep the dtype whatever it is.

    Raises
    ------
    TypeError
        For complex numbers, strings and objects.
    """
    if not isinstance(value, np.ndarray):
        has_array = hasattr(value, "__array__") or not hasattr(value, "__dlpack__")
        value = real_array(value) if has_array else np.from_dlpack(value)
    name = _NAMES.get(value.dtype)
    if name is None:
        value = _converted(value, exact)
        name = value.dtype.name
    if value.ndim == 4 and value.transpose(0, 2, 3, 1).flags.c_contiguous:
        return value, Spec(value.shape, name, "nhwc")
    if not value.flags.c_contiguous:
        value = np.ascontiguousarray(value)
    return value, Spec(value.shape, name, "c")


def _converted(value: np.ndarray, exact: bool) -> np.ndarray:
    """Return an array of numbers in a dtype and byte order that plans take."""
    kind = value.dtype.kind
    if kind not in "fiub":
        raise TypeError(f"expected an array of numbers, got dtype {value.dtype}")
    if not exact and value.dtype.name not in _EXACT:
        return value.astype(np.float32 if kind == "f" else np.int64)
    return value if value.dtype.isnative else value.astype(value.dtype.newbyteorder("="))


def prepare_all(who: str, values: Sequence[Any], exact: Sequence[bool] = ()) -> list[tuple[np.ndarray, Spec]]:
    """Prepare several arrays; errors say who was called."""
    flags = exact or [False] * len(values)
    try:
        return [prepare(value, flag) for value, flag in zip(values, flags, strict=True)]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{who}: {error}") from None


class _Slot:
    """Stands for the i-th array in a flattened structure."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Slot) and other.index == self.index

    def __hash__(self) -> int:
        return hash(("slot", self.index))


def flatten(value: Any, is_leaf: Callable[[Any], bool], leaves: list[Any]) -> Any:
    """Append the leaves of nested tuples, lists and dicts to ``leaves``; return the hashable rest of the structure."""
    if is_leaf(value):
        leaves.append(value)
        return _Slot(len(leaves) - 1)
    if isinstance(value, dict):
        return ("dict", tuple((k, flatten(v, is_leaf, leaves)) for k, v in value.items()))
    if isinstance(value, (tuple, list)):
        kind: Any = type(value).__name__
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            kind = type(value)
        return (kind, tuple(flatten(v, is_leaf, leaves) for v in value))
    return ("static", type(value).__name__, value)


def unflatten(structure: Any, leaves: list[Any]) -> Any:
    """Undo `flatten` with other leaves in the places of the first."""
    if isinstance(structure, _Slot):
        return leaves[structure.index]
    if structure[0] == "dict":
        return {k: unflatten(v, leaves) for k, v in structure[1]}
    if structure[0] == "static":
        return structure[2]
    parts = [unflatten(v, leaves) for v in structure[1]]
    if structure[0] == "list":
        return parts
    return tuple(parts) if structure[0] == "tuple" else structure[0](*parts)
