"""Primitives: the operations that plans are made of, and the registry that finds them by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .spec import Spec

if TYPE_CHECKING:
    from .node import Node

__all__ = ["Call", "InputRule", "Primitive", "Step", "all_primitives", "find", "register"]


@dataclass(frozen=True, slots=True)
class InputRule:
    """One input of a primitive: its name and what it must be converted to.

    ``demand`` is ``""`` (float32, any layout), ``"nhwc"`` (float32, channels-last where 4-D), ``"c"`` (float32, C
    order), ``"int"`` (int64, C order) or ``"any"`` (as it comes).
    """

    name: str
    demand: str
    optional: bool
    variadic: bool


def _parse_inputs(text: str) -> tuple[InputRule, ...]:
    rules = []
    for word in text.split():
        name, _, demand = word.partition(":")
        rules.append(InputRule(name.lstrip("?*"), demand, name.startswith("?"), name.startswith("*")))
    return tuple(rules)


@dataclass(slots=True)
class Step:
    """One C operation: its name, its problem's fields and its buffers in the op's order."""

    op: str
    fields: Mapping[str, Any]
    buffers: Sequence[Node | None]


class Primitive:
    """One operation of a plan: shapes, C steps and derivative. Subclasses are registered by `register`."""

    name: ClassVar[str]
    inputs: ClassVar[str]
    outputs: ClassVar[str] = "y"
    mutates: ClassVar[tuple[str, ...]] = ()
    rules: ClassVar[tuple[InputRule, ...]] = ()
    overwrites: ClassVar[tuple[str, ...]] = ()  # inputs whose memory, if of its spec, the first output may take
    host: ClassVar[bool] = False  # runs in Python: the plan is cut there, and run_host is called

    def infer(self, *specs: Any, **attrs: Any) -> Spec | tuple[Spec, ...]:
        """Return the specs of the outputs; raise ValueError or TypeError saying what was expected and what came."""
        raise NotImplementedError(self.name)

    def lower(self, call: Call) -> list[Step]:
        """Return the C steps that compute the call's outputs."""
        raise NotImplementedError(self.name)

    def run_host(self, call: Call, inputs: list[np.ndarray | None]) -> tuple[np.ndarray, ...]:
        """Compute the outputs with NumPy, for a primitive with ``host``."""
        raise NotImplementedError(self.name)

    def alias(self, call: Call) -> bool:
        """Tell whether the output is the first input's memory under another shape: no step is needed then."""
        return False

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        """Return one gradient node (or None) for each input, given the gradients of the outputs."""
        raise TypeError(f"{self.name} has no derivative")

    def flops(self, call: Call) -> float | None:
        """Return the floating-point operations of the call where the C op's own count is not the measure."""
        return None


@dataclass(eq=False, slots=True)
class Call:
    """One application of a primitive in a graph. ``fused`` holds what fusion added to it (e.g. an activation)."""

    primitive: Primitive
    inputs: tuple[Node | None, ...]
    attrs: dict[str, Any]
    outputs: tuple[Node, ...] = ()
    fused: dict[str, Any] = field(default_factory=dict)
    scope: str = ""

    @property
    def name(self) -> str:
        """The primitive's name."""
        return self.primitive.name

    @property
    def mutated(self) -> list[Node]:
        """The inputs that it writes into."""
        names = self.primitive.mutates
        pairs = zip(self.primitive.rules, self.inputs, strict=False)
        return [node for rule, node in pairs if node is not None and rule.name in names]

    def renamed(self, names: Mapping[Node, Node]) -> Call:
        """Return the call with other nodes for some of its inputs: itself where none is renamed."""
        inputs = tuple(None if node is None else names.get(node, node) for node in self.inputs)
        if inputs == self.inputs:
            return self
        return Call(self.primitive, inputs, self.attrs, self.outputs, self.fused, self.scope)

    def __repr__(self) -> str:
        shapes = ", ".join("None" if i is None else str(i.spec) for i in self.inputs)
        return f"<{self.name}({shapes}) -> {', '.join(str(o.spec) for o in self.outputs)}>"


_registry: dict[str, Primitive] = {}


def register(cls: type[Primitive]) -> type[Primitive]:
    """Class decorator: make the primitive known by its name; two of one name are an error."""
    if cls.name in _registry:
        raise ValueError(f"primitive {cls.name!r} is registered twice")
    cls.rules = _parse_inputs(cls.inputs)
    _registry[cls.name] = cls()
    return cls


def find(name: str) -> Primitive:
    """Return the primitive of this name."""
    try:
        return _registry[name]
    except KeyError:
        raise KeyError(f"no primitive named {name!r}") from None


def all_primitives() -> Mapping[str, Primitive]:
    """Return every registered primitive by name."""
    return _registry
