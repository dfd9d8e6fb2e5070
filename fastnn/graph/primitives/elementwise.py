"""Arithmetic, element by element: powers and roots, scalars, and two operands with NumPy's broadcasting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec
from ._memory import broadcast_strides, check_ndim, in_memory_order, present, sum_to
from .activation import Unary, UnaryBackward

__all__ = ["Binary"]

Gradients = tuple[Node | None, ...]


@register
class Exp(Unary):
    """e^x."""

    name = "exp"

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (apply("mul", dys[0], call.outputs[0]),)


@register
class Log(Unary):
    """Natural logarithm: -inf at 0, NaN below."""

    name = "log"

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (apply("div", dys[0], call.inputs[0]),)


@register
class Sqrt(Unary):
    """Square root: NaN below 0."""

    name = "sqrt"

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (apply("div", apply("affine", dys[0], scale=0.5, shift=0.0), call.outputs[0]),)


@register
class Abs(Unary):
    """|x|; the derivative at 0 is 0."""

    name = "abs"

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (apply("mul", dys[0], apply("sign", call.inputs[0])),)


@register
class Sign(Unary):
    """-1, 0 or 1; no gradient flows."""

    name = "sign"

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (None,)


@register
class Pow(Unary):
    """x^exponent for one number."""

    name = "pow"
    numbers = ("exponent",)

    def infer(self, x: Spec, *, exponent: float) -> Spec:  # type: ignore[override]
        if not math.isfinite(exponent):
            raise ValueError(f"expected a finite exponent, got {exponent}")
        return super().infer(x)

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        x, exponent = call.inputs[0], call.attrs["exponent"]
        if exponent in (0.0, 1.0):
            return (apply("affine", dys[0], scale=exponent, shift=0.0),)
        power = x if exponent == 2.0 else apply("pow", x, exponent=exponent - 1.0)
        return (apply("mul", dys[0], apply("affine", power, scale=exponent, shift=0.0)),)


@register
class Affine(Unary):
    """scale x + shift, with one rounding where the machine has a fused multiply-add."""

    name = "affine"
    numbers = ("scale", "shift")

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        return (apply("affine", dys[0], scale=call.attrs["scale"], shift=0.0),)


def _bounds(call: Call) -> dict[str, Any]:
    low, high = call.attrs["min"], call.attrs["max"]
    return {
        "n": call.outputs[0].spec.size,
        "a": -math.inf if low is None else float(low),
        "b": math.inf if high is None else float(high),
    }


@register
class Clamp(Unary):
    """x limited to [min, max]; None is no limit."""

    name = "clamp"

    def infer(self, x: Spec, *, min: float | None, max: float | None) -> Spec:  # type: ignore[override]
        if min is None and max is None:
            raise ValueError("expected min or max (or both), got neither")
        return super().infer(x)

    def lower(self, call: Call) -> list[Step]:
        return [Step("clamp", _bounds(call), [call.inputs[0], call.outputs[0]])]


@register
class ClampBackward(UnaryBackward):
    """dy where x is within the limits, both included."""

    name = "clamp_bwd"

    def infer(self, dy: Spec, x: Spec, *, min: float | None, max: float | None) -> Spec:  # type: ignore[override]
        return super().infer(dy, x)

    def lower(self, call: Call) -> list[Step]:
        return [Step("clamp_bwd", _bounds(call), [*call.inputs, call.outputs[0]])]


def _broadcast(a: Spec, b: Spec) -> Spec:
    """Return the spec of a result of two operands: channels-last if an operand is."""
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(f"expected shapes that broadcast, got {a.shape} and {b.shape}") from None
    check_ndim(shape)
    layouts = {s.layout for s in (a, b) if s.ndim == 4}
    # A smaller operand brings no layout of its own; two 4-D ones in C order (parameters) stay so.
    channels_last = len(shape) == 4 and layouts != {"c"}
    return Spec(shape, "float32", "nhwc" if channels_last else "c")


def _operand_fields(y: Spec, a: Spec, b: Spec) -> dict[str, Any]:
    shape, a_strides, b_strides = in_memory_order(
        y, y.shape, broadcast_strides(a, y.shape), broadcast_strides(b, y.shape)
    )
    return {"ndim": y.ndim, "shape": shape, "a_strides": a_strides, "b_strides": b_strides}


class Binary(Primitive):
    """y = f(a, b) with NumPy's broadcasting; ``partial`` gives the derivative by one operand before it is summed."""

    inputs = "a b"
    overwrites = ("a", "b")

    def infer(self, a: Spec, b: Spec) -> Spec:
        return _broadcast(a, b)

    def lower(self, call: Call) -> list[Step]:
        a, b = present(call.inputs)
        y = call.outputs[0]
        return [Step(self.name, _operand_fields(y.spec, a.spec, b.spec), [a, b, y])]

    def partial(self, call: Call, which: int, dy: Node) -> Node:
        """Return dy times the derivative by operand 0 or 1, in the shape of y."""
        raise NotImplementedError

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        (dy,) = present(dys)
        return tuple(
            sum_to(self.partial(call, i, dy), x) if needs[i] else None for i, x in enumerate(present(call.inputs))
        )


@register
class Add(Binary):
    """a + b."""

    name = "add"

    def partial(self, call: Call, which: int, dy: Node) -> Node:
        return dy


@register
class Sub(Binary):
    """a - b."""

    name = "sub"

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Gradients:
        a, b, dy = present((*call.inputs, *dys))
        da = sum_to(dy, a) if needs[0] else None
        db = apply("affine", sum_to(dy, b), scale=-1.0, shift=0.0) if needs[1] else None
        return (da, db)


@register
class Mul(Binary):
    """a b."""

    name = "mul"

    def partial(self, call: Call, which: int, dy: Node) -> Node:
        result: Node = apply("mul", dy, call.inputs[1 - which])
        return result


@register
class Div(Binary):
    """a / b."""

    name = "div"

    def partial(self, call: Call, which: int, dy: Node) -> Node:
        quotient: Node = apply("div", dy, call.inputs[1])
        if which == 0:
            return quotient
        return apply("mul", apply("affine", quotient, scale=-1.0, shift=0.0), call.outputs[0])


class _Extremum(Binary):
    """maximum or minimum: a tie shares the gradient evenly."""

    largest: bool

    def partial(self, call: Call, which: int, dy: Node) -> Node:
        a, b = call.inputs
        return apply("extremum_bwd", dy, a, b, which=which, largest=self.largest)


@register
class Maximum(_Extremum):
    """The larger of two; NaN if either is."""

    name = "maximum"
    largest = True


@register
class Minimum(_Extremum):
    """The smaller of two; NaN if either is."""

    name = "minimum"
    largest = False


@register
class ExtremumBackward(Primitive):
    """The gradient of maximum or minimum by operand ``which``, before it is summed to the operand's shape."""

    name = "extremum_bwd"
    inputs = "dy a b"
    outputs = "dx"

    def infer(self, dy: Spec, a: Spec, b: Spec, *, which: int, largest: bool) -> Spec:
        shape = _broadcast(a, b).shape
        if dy.shape != shape:
            raise ValueError(f"expected a gradient of shape {shape}, got {dy.shape}")
        return Spec(dy.shape, "float32", dy.layout)

    def lower(self, call: Call) -> list[Step]:
        dy, a, b = present(call.inputs)
        fields = _operand_fields(dy.spec, a.spec, b.spec)
        fields.update(which=int(call.attrs["which"]), largest=int(call.attrs["largest"]))
        return [Step("extremum_bwd", fields, [dy, a, b, call.outputs[0]])]
