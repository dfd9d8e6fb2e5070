"""Softmax and its logarithm along one axis."""

from __future__ import annotations

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec
from ._memory import merged_sizes

__all__ = ["LogSoftmax", "LogSoftmaxBackward", "Softmax", "SoftmaxBackward"]


def _check_axis(x: Spec, axis: int) -> None:
    if not 0 <= axis < x.ndim:
        raise ValueError(f"expected an axis in [0, {x.ndim}), got {axis} for shape {x.shape}")


def _step(call: Call) -> Step:
    y = call.outputs[0]
    outer, n, inner = merged_sizes(y.spec, call.attrs["axis"])
    return Step(call.name, {"outer": outer, "n": n, "inner": inner}, [*call.inputs, y])


class _Forward(Primitive):
    inputs = "x:nhwc"  # one memory order: the sums must not depend on the input's strides

    def infer(self, x: Spec, *, axis: int) -> Spec:
        _check_axis(x, axis)
        return Spec(x.shape, "float32", x.layout)

    def lower(self, call: Call) -> list[Step]:
        return [_step(call)]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        return (apply(f"{self.name}_bwd", dys[0], call.outputs[0], **call.attrs),)


class _Backward(Primitive):
    inputs = "dy:nhwc y:nhwc"
    outputs = "dx"

    def infer(self, dy: Spec, y: Spec, *, axis: int) -> Spec:
        _check_axis(y, axis)
        if dy.shape != y.shape:
            raise ValueError(f"expected a gradient of shape {y.shape}, got {dy.shape}")
        return Spec(y.shape, "float32", y.layout)

    def lower(self, call: Call) -> list[Step]:
        return [_step(call)]


@register
class Softmax(_Forward):
    """exp(x) / sum(exp(x))."""

    name = "softmax"


@register
class SoftmaxBackward(_Backward):
    """y (dy - sum(dy y))."""

    name = "softmax_bwd"


@register
class LogSoftmax(_Forward):
    """x - log(sum(exp(x)))."""

    name = "log_softmax"


@register
class LogSoftmaxBackward(_Backward):
    """dy - exp(y) sum(dy)."""

    name = "log_softmax_bwd"
