"""What a case of the comparison with PyTorch is, and how its arrays are drawn. Knows neither library."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ARCHIVE = Path(__file__).with_name("torch_values.npz")

Record = dict[str, np.ndarray]
Shape = tuple[int, ...]
IGNORED = -100  # PyTorch's default ignore_index


@dataclass(frozen=True)
class Drawn:
    """An array to be drawn: ``kind`` names a row of KINDS; ``classes`` bounds class indices."""

    kind: str
    shape: Shape
    classes: int = 0

    @property
    def has_gradient(self) -> bool:
        """Whether gradients with respect to it are compared: of inputs and weights, not of targets."""
        return self.kind in WITH_GRADIENT

    def __repr__(self) -> str:
        sizes = "x".join(map(str, self.shape)) or "number"
        return sizes if self.kind == "normal" else f"{self.kind} {sizes}"


@dataclass(frozen=True)
class Case:
    """A module, function or expression, with all that goes in.

    A module is made of ``make`` and ``options`` and called with ``args``; a function is called with ``args`` and
    ``options``; an expression is evaluated on the letters a, b, c, which are ``args``. ``torch`` is an expression on
    the same letters for what PyTorch has no name for.
    """

    kind: str
    name: str
    make: tuple[Any, ...] = ()
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    train: bool = True
    torch: str = ""

    @property
    def id(self) -> str:
        """Name of the case, in which every choice shows."""
        settings = [repr(v) for v in self.make] + [f"{k}={v!r}" for k, v in self.options.items()]
        mode = "" if self.train else " eval"
        if self.kind == "expression":
            return f"{self.name} on {', '.join(map(repr, self.args))}"
        if self.kind == "function":
            return f"F.{self.name}({', '.join([repr(v) for v in self.args] + settings)})"
        return f"{self.name}({', '.join(settings)}) on {', '.join(map(repr, self.args))}{mode}"

    @property
    def subject(self) -> str:
        """What the case is about."""
        return {"module": self.name, "function": f"F.{self.name}"}.get(self.kind, "expressions")

    def arrays(self) -> list[Drawn]:
        """All arrays to draw, those among the options last."""
        return [*_drawn_in(self.args), *_drawn_in(self.make), *_drawn_in(self.options)]


def _drawn_in(value: Any) -> list[Drawn]:
    if isinstance(value, Drawn):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [d for v in value for d in _drawn_in(v)] if isinstance(value, (tuple, list)) else []


def fill(value: Any, arrays: list[Any]) -> Any:
    """Return arguments with each `Drawn` replaced by the first of ``arrays``, which is taken out."""
    if isinstance(value, Drawn):
        return arrays.pop(0)
    if isinstance(value, dict):
        return {k: fill(v, arrays) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(fill(v, arrays) for v in value)
    return value


# ---- drawing ----

Rng = np.random.Generator


def _special(rng: Rng, shape: Shape) -> np.ndarray:
    """Numbers among which are NaN, infinities, zeros of both signs and sizes where float32 overflows."""
    x = rng.normal(size=shape)
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, 30.0, -30.0, 95.0, -95.0]
    x.reshape(-1)[rng.permutation(x.size)[: len(odd)]] = odd[: x.size]
    return x


def _big(rng: Rng, shape: Shape) -> np.ndarray:
    """Numbers that saturate, but for the first row: its values give the case its scale."""
    x = 40.0 * rng.normal(size=shape)
    x[:1] /= 30.0
    return x


def _shares(rng: Rng, shape: Shape) -> np.ndarray:
    """Probabilities that add up to 1 along the classes (axis 1, or the only one)."""
    axis = min(1, len(shape) - 1)
    x = rng.gamma(1.0, size=shape)
    return x / x.sum(axis, keepdims=True)


def _ignored(rng: Rng, shape: Shape, classes: int) -> np.ndarray:
    index = rng.integers(0, classes, shape)
    index.reshape(-1)[1::3] = IGNORED
    return index


KINDS: dict[str, Callable[[Rng, Shape, int], np.ndarray]] = {
    "normal": lambda rng, shape, _: 1.5 * rng.normal(size=shape),
    "big": lambda rng, shape, _: _big(rng, shape),
    "positive": lambda rng, shape, _: rng.uniform(0.3, 2.0, shape),
    "unit": lambda rng, shape, _: rng.uniform(0.02, 0.98, shape),
    # Multiples of 1/2: every kink of an activation, clamp or robust loss is hit, and maxima have ties.
    "steps": lambda rng, shape, _: rng.integers(-14, 15, shape) / 2.0,
    "ties": lambda rng, shape, _: rng.integers(-2, 3, shape),
    "special": lambda rng, shape, _: _special(rng, shape),
    "target": lambda rng, shape, _: 1.5 * rng.normal(size=shape),
    "target steps": lambda rng, shape, _: rng.integers(-14, 15, shape) / 2.0,
    "target unit": lambda rng, shape, _: rng.uniform(0.0, 1.0, shape),
    "binary": lambda rng, shape, _: rng.integers(0, 2, shape),
    "shares": lambda rng, shape, _: _shares(rng, shape),
    "weight": lambda rng, shape, _: rng.uniform(0.2, 2.0, shape),
    "running": lambda rng, shape, _: rng.uniform(0.3, 2.0, shape),
    "classes": lambda rng, shape, classes: rng.integers(0, classes, shape),
    "ignored classes": _ignored,
    "all ignored": lambda rng, shape, _: np.full(shape, IGNORED),
}
WITH_GRADIENT = {"normal", "big", "positive", "unit", "steps", "ties", "special"}
WHOLE = {"classes", "ignored classes", "all ignored"}


def draw(drawn: Drawn, rng: Rng) -> np.ndarray:
    """Return the array, float32 or int64."""
    found = KINDS[drawn.kind](rng, drawn.shape, drawn.classes)
    return np.asarray(found, np.int64 if drawn.kind in WHOLE else np.float32)


def draw_state(key: str, shape: Shape, rng: Rng) -> np.ndarray:
    """Return a value for an entry of a state dict; spreads and counts are positive."""
    if key.endswith("num_batches_tracked"):
        return np.asarray(rng.integers(1, 5), np.int64)
    return draw(Drawn("positive" if key.endswith("running_var") else "normal", shape), rng)


def generator(case: Case, seed: int) -> Rng:
    """Return a generator that depends on the case alone, not on those before it."""
    return np.random.default_rng([zlib.crc32(case.id.encode()), seed])


# ---- the archive ----


def save(records: dict[str, Record], version: str) -> None:
    """Write all records: one index and one run of numbers, since an entry an array would double the size."""
    keys = [f"{name}\t{key}" for name, record in records.items() for key in record]
    arrays = [np.asarray(array) for record in records.values() for array in record.values()]
    np.savez_compressed(
        ARCHIVE,
        version=np.array(version),
        keys=np.frombuffer("\n".join(keys).encode(), np.uint8),
        whole=np.array([a.dtype.kind == "i" for a in arrays]),
        ranks=np.array([a.ndim for a in arrays], np.uint8),
        sizes=np.array([s for a in arrays for s in a.shape], np.int32),
        values=np.concatenate([a.reshape(-1).astype(np.float32) for a in arrays]),
    )


def load() -> tuple[dict[str, Record], str]:
    """Return all records by the cases' ids, and the version of PyTorch that they are from."""
    with np.load(ARCHIVE) as archive:
        keys = archive["keys"].tobytes().decode().split("\n")
        whole, ranks, sizes = (archive[k].tolist() for k in ("whole", "ranks", "sizes"))
        values, version = archive["values"], str(archive["version"])
    records: dict[str, Record] = {}
    at = first = 0
    for key, is_whole, rank in zip(keys, whole, ranks, strict=True):
        shape = tuple(sizes[first : first + rank])
        size = math.prod(shape)
        array = values[at : at + size].reshape(shape)
        name, part = key.split("\t")
        records.setdefault(name, {})[part] = array.astype(np.int64) if is_whole else array
        at, first = at + size, first + rank
    return records, version
