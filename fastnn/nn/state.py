"""State dictionaries: the values of a module tree under PyTorch's keys, out as copies and in by copying."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .module import Module

__all__ = ["IncompatibleKeys", "collect_state", "restore_state"]


class IncompatibleKeys(NamedTuple):
    """Keys that a loaded state lacked and keys it had too many."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def state_arrays(module: Module, prefix: str = "") -> OrderedDict[str, np.ndarray]:
    """Return the live arrays of a module tree under their keys: own parameters, own buffers, then each child's."""
    found: OrderedDict[str, np.ndarray] = OrderedDict()
    for name, parameter in module._parameters.items():
        if parameter is not None:
            found[prefix + name] = parameter.data
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers:
            found[prefix + name] = buffer
    for name, child in module._modules.items():
        if child is not None:
            found.update(state_arrays(child, f"{prefix}{name}."))
    return found


def collect_state(module: Module, prefix: str = "") -> OrderedDict[str, np.ndarray]:
    """Return copies of the arrays of a module tree under PyTorch's keys."""
    return OrderedDict((key, array.copy()) for key, array in state_arrays(module, prefix).items())


def _optional_keys(module: Module) -> set[str]:
    """Keys that old files may lack: batch counters, which PyTorch added later and files without metadata may omit."""
    found: set[str] = set()
    for prefix, owner in module.named_modules(remove_duplicate=False):
        found.update(f"{prefix}.{name}" if prefix else name for name in owner._optional_buffers)
    return found


def _problem(key: str, value: Any, own: np.ndarray) -> str | None:
    """Say why ``value`` cannot be copied into ``own``, or return None."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        return f"{key}: expected an array, got {type(value).__name__} ({error})"
    if array.dtype.kind not in "fiub":
        return f"{key}: expected real numbers, got dtype {array.dtype}"
    if array.shape != own.shape:
        return f"size mismatch for {key}: expected shape {own.shape} as in the model, got shape {array.shape}"
    if array.dtype != own.dtype and not _holds(own.dtype, array):
        return f"{key}: expected values that {own.dtype} can hold, got dtype {array.dtype} with others"
    return None


def _holds(dtype: np.dtype[Any], array: np.ndarray) -> bool:
    """Whether a conversion loses no more than rounding: no whole number its value, no finite one its size."""
    with np.errstate(all="ignore"):
        taken = array.astype(dtype)
    if dtype.kind == "f":
        return bool((np.isfinite(taken) | ~np.isfinite(array)).all())
    return bool((taken == array).all())


def restore_state(module: Module, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
    """Copy a state into a module tree; everything is checked before the first value changes."""
    if not isinstance(state, Mapping):
        raise TypeError(f"expected state_dict to be a mapping, got {type(state).__name__}")
    own = state_arrays(module)
    optional = _optional_keys(module)
    missing = [key for key in own if key not in state and key not in optional]
    unexpected = [key for key in state if key not in own]
    problems = []
    if strict and unexpected:
        problems.append("Unexpected key(s) in state_dict: " + ", ".join(f'"{key}"' for key in unexpected) + ".")
    if strict and missing:
        problems.insert(0, "Missing key(s) in state_dict: " + ", ".join(f'"{key}"' for key in missing) + ".")
    for key, array in own.items():
        problem = _problem(key, state[key], array) if key in state else None
        if problem:
            problems.append(problem)
    if problems:
        lines = "".join(f"\n\t{problem}" for problem in problems)
        raise RuntimeError(f"Error(s) in loading state_dict for {type(module).__name__}:{lines}")
    for key, array in own.items():
        if key in state:
            array[...] = np.asarray(state[key])
    return IncompatibleKeys(missing, unexpected)
