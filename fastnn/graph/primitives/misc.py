"""What a training step does to gradients: accumulate, check, measure, clip."""

from __future__ import annotations

from typing import Any

from ..node import Node
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec
from ._memory import broadcast_strides, check_ndim, in_memory_order, present

__all__ = ["Accumulate", "CheckFinite", "ClipCoef", "SumSquares"]

_SCALARS_A_STEP = 8  # of the C operation add_scalars


@register
class Accumulate(Primitive):
    """acc += g, in place; acc is in C order."""

    name = "accumulate"
    inputs = "acc:any g"
    outputs = ""
    mutates = ("acc",)

    def infer(self, acc: Spec, g: Spec) -> tuple[Spec, ...]:
        check_ndim(acc.shape)
        if acc.shape != g.shape:
            raise ValueError(f"expected a gradient of shape {acc.shape}, got {g.shape}")
        if acc.dtype != "float32":
            raise TypeError(f"expected a float32 accumulator, got {acc.dtype}")
        return ()

    def lower(self, call: Call) -> list[Step]:
        acc, g = present(call.inputs)
        spec = acc.spec
        shape, own, other = in_memory_order(spec, spec.shape, spec.strides, broadcast_strides(g.spec, spec.shape))
        fields = {"ndim": spec.ndim, "shape": shape, "a_strides": own, "b_strides": other}
        return [Step("add", fields, [acc, g, acc])]


@register
class CheckFinite(Primitive):
    """int32 flag: 1 when an element is infinite or NaN."""

    name = "check_finite"
    inputs = "x"

    def infer(self, x: Spec) -> Spec:
        return Spec((), "int32")

    def lower(self, call: Call) -> list[Step]:
        (x,) = present(call.inputs)
        return [Step("check_finite", {"n": x.spec.size}, [x, call.outputs[0]])]


@register
class SumSquares(Primitive):
    """The sum of the squares of all elements."""

    name = "sum_squares"
    inputs = "x"

    def infer(self, x: Spec) -> Spec:
        return Spec(())

    def lower(self, call: Call) -> list[Step]:
        (x,) = present(call.inputs)
        fields = {"ndim": 1, "shape": [x.spec.size], "reduced": [1], "y_strides": [0]}
        return [Step("sum_squares", fields, [x, call.outputs[0]])]


@register
class ClipCoef(Primitive):
    """The factor min(1, max_norm / (norm + 1e-6)) and the norm, from sums of squares."""

    name = "clip_coef"
    inputs = "*sums"
    outputs = "coef norm"

    def infer(self, *sums: Spec, max_norm: float) -> tuple[Spec, Spec]:
        if any(s.size != 1 for s in sums):
            raise ValueError(f"expected scalars, got shapes {', '.join(str(s.shape) for s in sums)}")
        return Spec(()), Spec(())

    def lower(self, call: Call) -> list[Step]:
        coef, norm = call.outputs
        steps: list[Step] = []
        for first in range(0, len(call.inputs), _SCALARS_A_STEP):
            part: list[Node | None] = list(call.inputs[first : first + _SCALARS_A_STEP])
            fields: dict[str, Any] = {"n": len(part)}
            part += [None] * (_SCALARS_A_STEP - len(part))
            steps.append(Step("add_scalars", fields, [norm if first else None, *part, norm]))
        if not steps:
            steps.append(Step("fill", {"n": 1, "value": 0.0}, [norm]))
        steps.append(Step("clip_coef", {"max_norm": float(call.attrs["max_norm"])}, [norm, coef, norm]))
        return steps
