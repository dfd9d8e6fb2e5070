"""Reductions over axes, and expansion, their mirror."""

from __future__ import annotations

import math
from typing import Any

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec, default_layout
from ._memory import broadcast_strides, check_ndim, copy_step, in_memory_order, present, sum_to

__all__ = ["Expand", "Reduction"]

Axes = tuple[int, ...]


def _reduced(x: Spec, axes: Axes, keepdims: bool) -> Spec:
    check_ndim(x.shape)
    if any(not 0 <= axis < x.ndim for axis in axes) or len(set(axes)) != len(axes):
        raise ValueError(f"expected distinct axes in [0, {x.ndim}), got {axes}")
    if keepdims:
        return Spec(tuple(1 if i in axes else n for i, n in enumerate(x.shape)), "float32", x.layout)
    shape = tuple(n for i, n in enumerate(x.shape) if i not in axes)
    return Spec(shape, "float32", x.layout if len(shape) == x.ndim else "c")


def _reduce_fields(x: Spec, y: Spec, axes: Axes, keepdims: bool) -> dict[str, Any]:
    """Return the fields of a C reduction; y's strides are given along the axes that x keeps."""
    reduced = [int(i in axes) for i in range(x.ndim)]
    kept = iter(y.strides)
    strides = [(next(kept) if keepdims or not r else 0) for r in reduced]
    shape, flags, y_strides = in_memory_order(x, x.shape, reduced, strides)
    return {"ndim": x.ndim, "shape": shape, "reduced": flags, "y_strides": y_strides}


def _with_kept_axes(node: Node, x: Node, axes: Axes, keepdims: bool) -> Node:
    """Return a reduced value with the reduced axes as 1 and the layout of x, ready to be broadcast against x."""
    if not keepdims:
        node = apply("reshape", node, shape=tuple(1 if i in axes else n for i, n in enumerate(x.shape)))
    return node if node.spec.layout == x.spec.layout else apply("relayout", node, layout=x.spec.layout)


class Reduction(Primitive):
    """One value for all elements along the axes, in one memory order: a sum must not depend on the input's strides."""

    inputs = "x:nhwc"

    def infer(self, x: Spec, *, axes: Axes, keepdims: bool) -> Spec:
        return _reduced(x, axes, keepdims)

    def lower(self, call: Call) -> list[Step]:
        x, y = present((*call.inputs, *call.outputs))
        return [Step(self.name, _reduce_fields(x.spec, y.spec, **call.attrs), [x, y])]


@register
class Sum(Reduction):
    """Sum over axes."""

    name = "sum"

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        x, dy = present((*call.inputs, *dys))
        return (apply("expand", _with_kept_axes(dy, x, **call.attrs), shape=x.shape),)


@register
class Mean(Reduction):
    """Mean over axes; NaN over nothing."""

    name = "mean"

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        x, dy = present((*call.inputs, *dys))
        count = math.prod(x.shape[axis] for axis in call.attrs["axes"])
        share = apply("affine", _with_kept_axes(dy, x, **call.attrs), scale=1.0 / max(count, 1), shift=0.0)
        return (apply("expand", share, shape=x.shape),)


@register
class Amax(Reduction):
    """Maximum over axes; NaN if any element is."""

    name = "amax"

    def infer(self, x: Spec, *, axes: Axes, keepdims: bool) -> Spec:
        spec = _reduced(x, axes, keepdims)
        if spec.size and not x.size:
            raise ValueError(f"expected at least one element along axes {axes} of a maximum, got shape {x.shape}")
        return spec

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        return (apply("amax_bwd", dys[0], call.inputs[0], call.outputs[0], **call.attrs),)


@register
class AmaxBackward(Primitive):
    """dy shared evenly by the elements that equal the maximum."""

    name = "amax_bwd"
    inputs = "dy:nhwc x:nhwc y:nhwc"
    outputs = "dx"

    def infer(self, dy: Spec, x: Spec, y: Spec, *, axes: Axes, keepdims: bool) -> Spec:
        wanted = _reduced(x, axes, keepdims).shape
        if dy.shape != wanted or y.shape != wanted:
            raise ValueError(f"expected a gradient and a maximum of shape {wanted}, got {dy.shape} and {y.shape}")
        return Spec(x.shape, "float32", x.layout)

    def lower(self, call: Call) -> list[Step]:
        dy, x, y = present(call.inputs)
        return [Step("amax_bwd", _reduce_fields(x.spec, y.spec, **call.attrs), [dy, x, y, call.outputs[0]])]


@register
class Expand(Primitive):
    """x repeated along its axes of size 1, and along new leading axes, to a shape."""

    name = "expand"
    inputs = "x:any"

    def infer(self, x: Spec, *, shape: tuple[int, ...]) -> Spec:
        check_ndim(shape)
        lead = len(shape) - x.ndim
        if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[lead:], strict=True)):
            raise ValueError(f"expected a shape that {x.shape} broadcasts to, got {shape}")
        return Spec(tuple(shape), x.dtype, x.layout if lead == 0 else default_layout(len(shape)))

    def alias(self, call: Call) -> bool:
        x = call.inputs[0]
        return x is not None and x.spec == call.outputs[0].spec

    def lower(self, call: Call) -> list[Step]:
        x, y = present((*call.inputs, *call.outputs))
        return [copy_step(x, y, y.shape, broadcast_strides(x.spec, y.shape), y.spec.strides)]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> tuple[Node | None, ...]:
        x, dy = present((*call.inputs, *dys))
        return (sum_to(dy, x),)
