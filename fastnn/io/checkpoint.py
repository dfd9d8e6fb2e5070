"""Whole states in one safetensors file: plain data nested in any way, with arrays among it.

A state is a tree of dicts, lists, tuples, numbers, strings, None and arrays. Its arrays become tensors named
by their path in the tree; the rest becomes JSON in the file's metadata, in which ``{"$": kind, ...}`` stands
for what JSON lacks. Reading a state runs nothing and names no class.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .atomic import atomic_write
from .weights import _checked_metadata, _encode, _load, _plain_array

__all__ = ["load_state", "save_state"]

Path = str | os.PathLike[str]

FORMAT = "fastnn-state-1"
MAX_DEPTH = 100  # far beyond any real state, far below Python's recursion limit


def save_state(path: Path, tree: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Save a state, plain data with arrays in it, to one file in one atomic step.

    Everything round-trips exactly: integers of any size (a NumPy generator's state has 128 bits), every float
    and its sign, NaN and infinities, tuples, dict keys that are not strings, array dtypes and shapes, NumPy scalars.

    Parameters
    ----------
    path : str or path-like
        The file to make or replace.
    tree : dict, list, tuple, int, float, str, bool, None, ndarray or NumPy scalar
        The state; dict keys are strings, integers, floats, booleans or None.
    metadata : mapping of str to str, optional
        Free text beside the state.

    Raises
    ------
    TypeError
        For a value of another type; it gives the path to it.
    ValueError
        For a tree deeper than 100 levels (or one that contains itself).
    OSError
        If the file cannot be written; it names ``path``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastnn.io import load_state, save_state
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.state")
    ...     save_state(path, {"epoch": 3, "lr": 0.1, "state": {0: {"step": np.float32(7), "momentum": np.zeros(2)}}})
    ...     load_state(path)
    {'epoch': 3, 'lr': 0.1, 'state': {0: {'step': np.float32(7.0), 'momentum': array([0., 0.])}}}
    """
    arrays: dict[str, np.ndarray] = {}
    plain = _Encoder(arrays).encode(tree, ())
    notes = _checked_metadata(metadata)
    if not {"format", "state"}.isdisjoint(notes):
        raise ValueError("save_state: the metadata keys 'format' and 'state' are taken by the state itself")
    text = json.dumps(plain, separators=(",", ":"), allow_nan=False)
    atomic_write(path, _encode(arrays, {"format": FORMAT, "state": text, **notes}))


def load_state(path: Path) -> Any:
    """Load a state made by `save_state`.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    object
        The tree, with fresh arrays.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is damaged or holds something else (weights, say); it names ``path``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastnn.io import load_state, save_state
    >>> generator = np.random.default_rng(0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "generator.state")
    ...     save_state(path, generator.bit_generator.state)
    ...     drawn = generator.random()
    ...     generator.bit_generator.state = load_state(path)
    >>> drawn == generator.random()
    True
    """
    arrays, metadata = _load(path)
    if metadata.get("format") != FORMAT or "state" not in metadata:
        raise ValueError(
            f"{os.fspath(path)}: expected a state of format {FORMAT!r}, got "
            f"{metadata.get('format', 'a file of arrays alone')!r}"
        )
    try:
        return _decode(json.loads(metadata["state"]), arrays, 0)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"{os.fspath(path)}: expected a state of format {FORMAT!r}, got damaged data ({error})"
        ) from None


class _Encoder:
    """Turns a tree into what JSON can say, and puts its arrays aside under names unique in the file."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays

    def encode(self, value: Any, path: tuple[Any, ...]) -> Any:
        if len(path) > MAX_DEPTH:
            raise ValueError(f"save_state: expected at most {MAX_DEPTH} levels, got more at {_show(path[:4])}...")
        if value is None or type(value) in (bool, str, int):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$": "float", "value": repr(value)}
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(value, path)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if type(value) is list:
            return [self.encode(item, (*path, i)) for i, item in enumerate(value)]
        if isinstance(value, tuple):
            return {"$": "tuple", "items": [self.encode(item, (*path, i)) for i, item in enumerate(value)]}
        raise TypeError(f"save_state: expected plain data and arrays only, got {type(value).__name__} at {_show(path)}")

    def _array(self, value: Any, path: tuple[Any, ...]) -> dict[str, Any]:
        # Surrogates are legal in a str and not in a file; a clash of names is settled by a suffix.
        name = _show(path).encode("utf-8", "backslashreplace").decode()
        while name in self.arrays or name == "__metadata__":
            name += "~"
        self.arrays[name] = _plain_array(name, value)
        return {"$": "scalar" if isinstance(value, np.generic) else "array", "name": name}

    def _mapping(self, value: Mapping[Any, Any], path: tuple[Any, ...]) -> dict[str, Any]:
        for key in value:
            if key is not None and type(key) not in (str, int, float, bool):
                raise TypeError(
                    f"save_state: expected plain dict keys, got {type(key).__name__} {key!r} at {_show(path)}"
                )
        entries = [(key, self.encode(item, (*path, key))) for key, item in value.items()]
        if all(type(key) is str for key, _ in entries) and "$" not in value:
            return dict(entries)
        return {"$": "dict", "items": [[self.encode(key, path), item] for key, item in entries]}


def _show(path: tuple[Any, ...]) -> str:
    return "/".join(map(str, path)) or "state"


def _decode(value: Any, arrays: Mapping[str, np.ndarray], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [_decode(item, arrays, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("$")
    if kind is None:
        return {key: _decode(item, arrays, depth + 1) for key, item in value.items()}
    if kind == "array":
        return arrays[value["name"]]
    if kind == "scalar":
        return arrays[value["name"]][()]
    if kind == "float":
        return float(value["value"])
    if kind == "tuple":
        return tuple(_decode(item, arrays, depth + 1) for item in value["items"])
    if kind == "dict":
        return {_decode(key, arrays, depth + 1): _decode(item, arrays, depth + 1) for key, item in value["items"]}
    raise ValueError(f"unknown kind {kind!r}")
