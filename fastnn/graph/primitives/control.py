"""Primitives that steer a graph rather than compute: stopped gradients and operations written in Python."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec, default_layout
from ..trace import untraced

__all__ = ["Detach", "PythonBackward", "PythonFunction", "apply_function"]


@register
class Detach(Primitive):
    """The same value, through which no gradient flows."""

    name = "detach"
    inputs = "x:any"

    def infer(self, x: Spec) -> Spec:
        return x

    def alias(self, call: Call) -> bool:
        return True

    def lower(self, call: Call) -> list[Step]:
        return []

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        return (None,)


def _arrays(inputs: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """Copy, so that a user's function can keep or change what it is given."""
    return [None if x is None else np.array(x) for x in inputs]


def _expect_numbers(array: np.ndarray, who: str) -> None:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{who}: expected a result of real numbers, got dtype {array.dtype}")


def _results(value: Any, specs: list[Spec], who: str) -> tuple[np.ndarray, ...]:
    values = value if isinstance(value, tuple) else (value,)
    if len(values) != len(specs):
        raise ValueError(f"{who}: expected {len(specs)} results, got {len(values)}")
    arrays = tuple(np.asarray(v) for v in values)
    for array, spec in zip(arrays, specs, strict=True):
        _expect_numbers(array, who)
        if array.shape != spec.shape:
            raise ValueError(f"{who}: expected a result of shape {spec.shape}, got {array.shape}")
    return arrays


@register
class PythonFunction(Primitive):
    """A user's Function: the plan is cut here and NumPy runs. attrs: ``function`` (a bound application), ``shapes``."""

    name = "python_function"
    host = True
    inputs = "*xs:any"

    def infer(self, *xs: Spec, function: Any, shapes: tuple[tuple[int, ...], ...]) -> tuple[Spec, ...]:
        return tuple(Spec.activation(shape) for shape in shapes)

    def run_host(self, call: Call, inputs: list[np.ndarray | None]) -> tuple[np.ndarray, ...]:
        function = call.attrs["function"]
        return _results(function.forward(_arrays(inputs)), [o.spec for o in call.outputs], f"{function.name}.forward")

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        seeds = [dy if dy is not None else o * 0.0 for dy, o in zip(dys, call.outputs, strict=True)]
        needed = [(i, x) for i, (need, x) in enumerate(zip(needs, call.inputs, strict=True)) if need and x is not None]
        wanted = tuple(i for i, _ in needed)
        shapes = tuple(x.shape for _, x in needed)
        grads = apply("python_backward", *seeds, function=call.attrs["function"], wanted=wanted, shapes=shapes)
        by_input = dict(zip(wanted, grads, strict=True))
        return tuple(by_input.get(i) for i in range(len(call.inputs)))


@register
class PythonBackward(Primitive):
    """The backward of a user's Function, for the inputs named in ``wanted``."""

    name = "python_backward"
    host = True
    inputs = "*dys:any"

    def infer(self, *dys: Spec, function: Any, wanted: tuple[int, ...], shapes: Any) -> tuple[Spec, ...]:
        return tuple(Spec(s, "float32", default_layout(len(s))) for s in shapes)

    def run_host(self, call: Call, inputs: list[np.ndarray | None]) -> tuple[np.ndarray, ...]:
        function, wanted = call.attrs["function"], call.attrs["wanted"]
        value = function.backward(_arrays(inputs))
        values = value if isinstance(value, tuple) else (value,)
        who = f"{function.name}.backward"
        if len(values) < max(wanted, default=-1) + 1:
            raise ValueError(f"{who}: expected a gradient (or None) for each of the inputs, got {len(values)}")
        grads = tuple(
            np.zeros(o.shape, np.float32) if values[i] is None else values[i]
            for i, o in zip(wanted, call.outputs, strict=True)
        )
        return _results(grads, [o.spec for o in call.outputs], who)


class _Application:
    """One application of a Function in a graph: its context lives from forward to backward of a run."""

    def __init__(self, cls: Any, layout: Any, kwargs: dict[str, Any]) -> None:
        self.cls, self.layout, self.kwargs = cls, layout, kwargs
        self.name = cls.__name__
        self.ctx: Any = None

    @contextlib.contextmanager
    def naming(self, what: str) -> Iterator[None]:
        """Note on an exception which operation raised it."""
        try:
            yield
        except Exception as error:
            error.add_note(f"in {self.name}.{what}: the rest of the step was not run")
            raise

    def arguments(self, arrays: list[np.ndarray | None]) -> list[Any]:
        return [arrays[entry] if is_value else entry for is_value, entry in self.layout]

    def forward(self, arrays: list[np.ndarray | None]) -> Any:
        self.ctx = self.cls.new_context()
        with self.naming("forward"):
            return self.cls.forward(self.ctx, *self.arguments(arrays), **self.kwargs)

    def backward(self, dys: list[np.ndarray | None]) -> Any:
        with self.naming("backward"):
            grads = self.cls.backward(self.ctx, *dys)
        values = grads if isinstance(grads, tuple) else (grads,)
        return tuple(v for (is_value, _), v in zip(self.layout, values, strict=False) if is_value)


def apply_function(cls: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply a `fastnn.nn.Function` in the current trace.

    The outputs' shapes come from ``cls.output_shape(*input_shapes)`` where it is defined, else from one trial call of
    ``forward`` on zeros.
    """
    values: list[Any] = []
    layout: list[tuple[bool, Any]] = []
    for value in inputs:
        if isinstance(value, (Node, np.ndarray)) or hasattr(value, "requires_grad"):
            layout.append((True, len(values)))
            values.append(value)
        else:
            layout.append((False, value))
    function = _Application(cls, layout, kwargs)
    from ..node import as_node

    nodes = [as_node(v) for v in values]
    if getattr(cls, "output_shape", None) is not None:
        shapes = cls.output_shape(*(n.shape for n in nodes), **kwargs)
        shapes = (shapes,) if not shapes or not isinstance(shapes[0], tuple) else shapes
        single = len(shapes) == 1
    else:
        with untraced():  # its forward may use fastnn on the arrays
            trial = function.forward([np.zeros(n.shape, n.dtype) for n in nodes])
        single = not isinstance(trial, tuple)
        arrays = [np.asarray(t) for t in ((trial,) if single else trial)]
        for array in arrays:
            _expect_numbers(array, f"{function.name}.forward")
        shapes = tuple(array.shape for array in arrays)
    outputs = apply("python_function", *nodes, function=function, shapes=tuple(tuple(s) for s in shapes))
    return outputs[0] if single else outputs
