"""Activations: one C operation each for the value and for the derivative."""

from __future__ import annotations

from typing import Any, ClassVar

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec
from ._memory import broadcast_strides, check_ndim, in_memory_order, merged_sizes, present

__all__ = ["Unary", "UnaryBackward"]


def _numbers(attrs: dict[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    """Return the two numbers a, b of an elementwise C operation from the attributes in ``names``."""
    values = [float(attrs[name]) for name in names] + [0.0, 0.0]
    return {"a": values[0], "b": values[1]}


class Unary(Primitive):
    """y = f(x), element by element: ``numbers`` names the attributes that f takes, at most two."""

    inputs = "x"
    overwrites = ("x",)
    numbers: ClassVar[tuple[str, ...]] = ()
    saved: ClassVar[str] = "x"  # what the backward reads besides dy: the input or the output

    def infer(self, x: Spec, **attrs: Any) -> Spec:
        return Spec(x.shape, "float32", x.layout)

    def lower(self, call: Call) -> list[Step]:
        x = call.inputs[0]
        y = call.outputs[0]
        return [Step(self.name, {"n": y.spec.size, **_numbers(call.attrs, self.numbers)}, [x, y])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        saved = call.inputs[0] if self.saved == "x" else call.outputs[0]
        return (apply(f"{self.name}_bwd", dys[0], saved, **call.attrs),)


class UnaryBackward(Primitive):
    """dx from dy and what the activation saved, element by element."""

    inputs = "dy:nhwc x:nhwc"
    outputs = "dx"
    overwrites = ("dy", "x", "y")
    numbers: ClassVar[tuple[str, ...]] = ()

    def infer(self, dy: Spec, x: Spec, **attrs: Any) -> Spec:
        if dy.shape != x.shape:
            raise ValueError(f"expected a gradient of shape {x.shape}, got {dy.shape}")
        return Spec(x.shape, "float32", x.layout)

    def lower(self, call: Call) -> list[Step]:
        dx = call.outputs[0]
        return [Step(self.name, {"n": dx.spec.size, **_numbers(call.attrs, self.numbers)}, [*call.inputs, dx])]


def _activation(activation: str, *, saved: str = "x", numbers: tuple[str, ...] = ()) -> None:
    """Register an activation and its backward, which are C operations of the same names."""
    title = activation.title().replace("_", "")
    fields = {"name": activation, "saved": saved, "numbers": numbers, "__module__": __name__}
    register(type(title, (Unary,), {**fields, "__doc__": f"{activation}, element by element."}))
    inputs = f"dy:nhwc {saved}:nhwc"
    fields = {"name": f"{activation}_bwd", "inputs": inputs, "numbers": numbers, "__module__": __name__}
    register(type(f"{title}Backward", (UnaryBackward,), {**fields, "__doc__": f"The derivative of {activation}."}))


_activation("relu", saved="y")
_activation("leaky_relu", numbers=("negative_slope",))
_activation("sigmoid", saved="y")
_activation("tanh", saved="y")
_activation("silu")
_activation("hardswish")
_activation("hardsigmoid")
_activation("relu6")
_activation("hardtanh", numbers=("min_val", "max_val"))
_activation("elu", numbers=("alpha",))
_activation("softplus", numbers=("beta", "threshold"))


def _gelu_fields(call: Call) -> dict[str, Any]:
    return {"n": call.outputs[0].spec.size, "a": float(call.attrs["approximate"] == "tanh"), "b": 0.0}


def _check_gelu(approximate: str) -> None:
    if approximate not in ("none", "tanh"):
        raise ValueError(f"expected approximate 'none' or 'tanh', got {approximate!r}")


@register
class Gelu(Unary):
    """x times the normal distribution function of x, or its form with tanh."""

    name = "gelu"

    def infer(self, x: Spec, *, approximate: str) -> Spec:  # type: ignore[override]
        _check_gelu(approximate)
        return super().infer(x)

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _gelu_fields(call), [call.inputs[0], call.outputs[0]])]


@register
class GeluBackward(UnaryBackward):
    """The derivative of gelu."""

    name = "gelu_bwd"

    def infer(self, dy: Spec, x: Spec, *, approximate: str) -> Spec:  # type: ignore[override]
        _check_gelu(approximate)
        return super().infer(dy, x)

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _gelu_fields(call), [*call.inputs, call.outputs[0]])]


def _check_slopes(x: Spec, w: Spec) -> None:
    channels = x.shape[1] if x.ndim > 1 else 1
    if w.ndim != 1 or w.size not in (1, channels):
        wanted = "1" if channels == 1 else f"1 or {channels}"
        raise ValueError(f"expected {wanted} slopes for shape {x.shape}, got shape {w.shape}")


@register
class Prelu(Primitive):
    """x where x > 0, else w x: one slope for all, or one a channel."""

    name = "prelu"
    inputs = "x w:c"

    def infer(self, x: Spec, w: Spec) -> Spec:
        check_ndim(x.shape)
        _check_slopes(x, w)
        return Spec(x.shape, "float32", x.layout)

    def lower(self, call: Call) -> list[Step]:
        y = call.outputs[0].spec
        _, w = present(call.inputs)
        w_strides = [int(axis == 1 and w.spec.size > 1) for axis in range(y.ndim)]
        shape, a, b = in_memory_order(y, y.shape, broadcast_strides(y, y.shape), w_strides)
        fields = {"ndim": y.ndim, "shape": shape, "a_strides": a, "b_strides": b}
        return [Step("prelu", fields, [*call.inputs, call.outputs[0]])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        dx, dw = apply("prelu_bwd", dys[0], call.inputs[0], call.inputs[1])
        return (dx, dw)


@register
class PreluBackward(Primitive):
    """The gradients of prelu by its input and by its slopes."""

    name = "prelu_bwd"
    inputs = "dy:nhwc x:nhwc w:c"
    outputs = "dx dw"

    def infer(self, dy: Spec, x: Spec, w: Spec) -> tuple[Spec, Spec]:
        if dy.shape != x.shape:
            raise ValueError(f"expected a gradient of shape {x.shape}, got {dy.shape}")
        _check_slopes(x, w)
        return Spec(x.shape, "float32", x.layout), w

    def lower(self, call: Call) -> list[Step]:
        dx, dw = call.outputs
        outer, channels, inner = (1, 1, dx.spec.size) if dw.spec.size == 1 else merged_sizes(dx.spec, 1)
        fields = {"outer": outer, "channels": channels, "inner": inner}
        return [Step("prelu_bwd", fields, [*call.inputs, dx, dw])]
