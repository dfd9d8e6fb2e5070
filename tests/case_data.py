"""What a case is, and how its inputs are made: seeded, as whole numbers, as random floats or as distinct values."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn import reference

Array = npt.NDArray[Any]

MODES = ("integers", "floats", "distinct")
EXACT_LIMIT = 2**24  # whole numbers up to here are float32s
LARGEST = 4  # whole-number inputs lie in [-4, 4]


@dataclass(frozen=True, slots=True)
class Input:
    """A random input: its shape and what its values may be.

    kind: ``normal``, ``positive``, ``unit`` (between 0 and 1), ``index`` (whole numbers below ``high``, every third
    one ``ignore`` if that is given), ``uint8``, ``int64``, ``count`` (a small int64), ``small`` (normal over 100).
    """

    shape: tuple[int, ...]
    kind: str = "normal"
    high: int = 0
    ignore: int | None = None


@dataclass(frozen=True, slots=True)
class Fixed:
    """An input with given values: step counters, hyper-parameters, generator words."""

    values: Any
    dtype: str


@dataclass(frozen=True, slots=True)
class Output:
    """An input that is an output of a forward primitive, of a fresh ``Input`` or of the input at a position."""

    primitive: str
    source: Input | int
    attrs: Mapping[str, Any] = field(default_factory=dict)
    index: int = 0


Given = Input | Fixed | Output | None


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table: a primitive, a name, its inputs and attributes.

    group: what the case is about; ``big`` ones are layers of real networks and run on the best level only, ``blocks``
    go past the sizes at which an operation cuts its work, ``tails`` stand at the edges of vectors and register tiles.
    """

    primitive: str
    name: str
    inputs: tuple[Given, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    group: str = "basic"

    @property
    def id(self) -> str:
        return f"{self.primitive}-{self.name}"

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of an input that has one of its own."""
        given = self.inputs[index]
        if isinstance(given, Fixed):
            return np.shape(given.values)
        if isinstance(given, Output):
            return make_inputs(self, "integers")[index].shape
        assert isinstance(given, Input), f"{self.id} has no input {index}"
        return given.shape


def seed_of(case: Case, mode: str) -> int:
    """A seed that stays the same when other cases come and go."""
    return zlib.crc32(f"{case.id} {mode}".encode())


def make_inputs(case: Case, mode: str, terms: int = 1) -> list[Any]:
    """Inputs of a case in C order; ``terms``: the longest sum of products, which must stay exact in mode integers."""
    assert mode in MODES, mode
    generator = np.random.default_rng(seed_of(case, mode))
    arrays: list[Any] = []
    for position, given in enumerate(case.inputs):
        arrays.append(_make(given, arrays, generator, mode, terms, position))
    return arrays


def _make(given: Given, before: list[Any], generator: Any, mode: str, terms: int, position: int) -> Any:
    if given is None:
        return None
    if isinstance(given, Fixed):
        return np.array(given.values, dtype=given.dtype)
    if isinstance(given, Output):
        at = given.source
        array = before[at] if isinstance(at, int) else _make(at, before, generator, mode, terms, position)
        result = getattr(reference, given.primitive)(array, **given.attrs)
        return result[given.index] if isinstance(result, tuple) else result
    if given.kind in ("index", "uint8", "int64", "count"):
        return _whole(given, generator)
    values = {"integers": whole_numbers, "floats": random_floats, "distinct": distinct_floats}[mode]
    array = values(given, generator, terms, position)
    return np.asarray(array * array.dtype.type(0.01) if given.kind == "small" else array)


def _whole(given: Input, generator: Any) -> Array:
    if given.kind == "uint8":
        return generator.integers(0, 256, given.shape).astype(np.uint8)
    if given.kind == "count":
        return np.array(generator.integers(0, 6), dtype=np.int64)
    high = given.high or 1000
    array = generator.integers(0 if given.high else -high, high, given.shape).astype(np.int64)
    if given.ignore is not None:
        array.reshape(-1)[1::3] = given.ignore
    return array


def whole_numbers(given: Input, generator: Any, terms: int, position: int = 0) -> Array:
    """Small whole numbers as float32, zeros added where a sum of ``terms`` products could leave the exact range."""
    if given.kind == "unit":
        return (generator.integers(1, 8, given.shape) / 8.0).astype(np.float32)
    if given.kind == "positive":
        return generator.integers(1, LARGEST + 1, given.shape).astype(np.float32)
    values = generator.integers(-LARGEST, LARGEST + 1, given.shape)
    density = min(1.0, EXACT_LIMIT / (LARGEST**2 * max(terms, 1)))
    if density < 1.0:
        values = np.where(generator.random(given.shape) < density, values, 0)
    return values.astype(np.float32)


def random_floats(given: Input, generator: Any, terms: int = 1, position: int = 0) -> Array:
    """Normally distributed float32."""
    if given.kind == "unit":
        return generator.uniform(0.02, 0.98, given.shape).astype(np.float32)
    values = generator.standard_normal(given.shape)
    if given.kind == "positive":
        values = np.abs(values) + 0.1
    return values.astype(np.float32)


def distinct_floats(given: Input, generator: Any, terms: int = 1, position: int = 0) -> Array:
    """float64 values a fixed distance apart in random order: no two equal, none on a kink, also across inputs."""
    size = math.prod(given.shape)
    low, high = {"unit": (0.05, 0.95), "positive": (0.3, 3.0)}.get(given.kind, (-3.7, 3.9))
    spacing = (high - low) / max(size, 1)
    offset = (0.137 + 0.293 * position) % 1.0
    values = low + spacing * (generator.permutation(size) + offset)
    return values.reshape(given.shape)
