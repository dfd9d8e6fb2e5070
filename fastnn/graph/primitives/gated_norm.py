"""Batch normalization with SiLU under a squeeze-and-excitation: z = silu(batch_norm(x)), scaled by a gate.

The gate is made of the means of z over each image's pixels. Fusion puts these in place of the parts
(`graph.fusion.gated_norm`): z is in no memory, each makes it anew from x.
"""

from __future__ import annotations

from typing import Any

from ..node import Node
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


def _fields(call: Call, x: Spec) -> dict[str, Any]:
    n, c, h, w = x.shape
    return {"n": n, "pixels": h * w, "c": c, "eps": call.attrs["eps"]}


def _expect_norm(x: Spec, **vectors: Spec | None) -> None:
    if x.ndim != 4:
        raise ValueError(f"expected input of shape (N, C, H, W), got shape {x.shape}")
    for name, spec in vectors.items():
        if spec is not None and spec.shape != (x.shape[1],):
            raise ValueError(f"expected {name} of shape ({x.shape[1]},), one entry a channel, got shape {spec.shape}")


def _expect_per_image(x: Spec, **values: Spec) -> None:
    shape = (*x.shape[:2], 1, 1)
    for name, spec in values.items():
        if spec.shape != shape:
            raise ValueError(f"expected {name} of shape {shape}, one value a channel of an image, got {spec.shape}")


def _expect_gradient(dy: Spec, x: Spec) -> None:
    if dy.shape != x.shape:
        raise ValueError(f"expected dy of shape {x.shape} as the input, got shape {dy.shape}")


@register
class GatedNormPool(Primitive):
    """The mean of z over the pixels of each image: (N, C, 1, 1)."""

    name = "gated_norm_pool"
    inputs = "x:nhwc mean:c var:c ?weight:c ?bias:c"

    def infer(
        self, x: Spec, mean: Spec, var: Spec, weight: Spec | None = None, bias: Spec | None = None, *, eps: float
    ) -> Spec:
        _expect_norm(x, mean=mean, var=var, weight=weight, bias=bias)
        return Spec((*x.shape[:2], 1, 1), "float32", "nhwc")

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _fields(call, _node(call.inputs[0]).spec), [*call.inputs, call.outputs[0]])]


@register
class GatedNorm(Primitive):
    """y = z gate."""

    name = "gated_norm"
    inputs = "x:nhwc mean:c var:c gate:nhwc ?weight:c ?bias:c"
    overwrites = ("x",)

    def infer(
        self, x: Spec, mean: Spec, var: Spec, gate: Spec, weight: Spec | None = None, bias: Spec | None = None, *,
        eps: float,
    ) -> Spec:  # fmt: skip
        _expect_norm(x, mean=mean, var=var, weight=weight, bias=bias)
        _expect_per_image(x, gate=gate)
        return x

    def lower(self, call: Call) -> list[Step]:
        x, mean, var, gate, weight, bias = call.inputs
        return [Step(self.name, _fields(call, _node(x).spec), [x, mean, var, weight, bias, gate, call.outputs[0]])]


@register
class GatedNormSums(Primitive):
    """The gate's gradient, and sums that `gated_norm_bwd` needs, channel by channel of each image.

    With v what SiLU is applied to, z' its derivative there and d = x - mean: dgate is the sum of dy z, of shape
    (N, C); sums are those of dy z', z', dy z' d and z' d, of shape (4, N, C).
    """

    name = "gated_norm_sums"
    inputs = "dy:nhwc x:nhwc mean:c var:c ?weight:c ?bias:c"
    outputs = "dgate sums"

    def infer(
        self, dy: Spec, x: Spec, mean: Spec, var: Spec, weight: Spec | None = None, bias: Spec | None = None, *,
        eps: float,
    ) -> tuple[Spec, Spec]:  # fmt: skip
        _expect_norm(x, mean=mean, var=var, weight=weight, bias=bias)
        _expect_gradient(dy, x)
        return Spec(x.shape[:2]), Spec((4, *x.shape[:2]))

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _fields(call, _node(call.inputs[1]).spec), [*call.inputs, *call.outputs])]


@register
class GatedNormBwd(Primitive):
    """dx, dweight, dbias where z gets the gradient dy gate + dpool / pixels; ``training`` as in `batch_norm_bwd`."""

    name = "gated_norm_bwd"
    inputs = "dy:nhwc x:nhwc mean:c var:c gate:nhwc dpool:nhwc sums:c ?weight:c ?bias:c"
    outputs = "dx dweight dbias"
    overwrites = ("dy", "x")

    def infer(
        self, dy: Spec, x: Spec, mean: Spec, var: Spec, gate: Spec, dpool: Spec, sums: Spec,
        weight: Spec | None = None, bias: Spec | None = None, *, eps: float, training: bool,
    ) -> tuple[Spec, Spec, Spec]:  # fmt: skip
        _expect_norm(x, mean=mean, var=var, weight=weight, bias=bias)
        _expect_gradient(dy, x)
        _expect_per_image(x, gate=gate, dpool=dpool)
        if sums.shape != (4, *x.shape[:2]):
            raise ValueError(f"expected sums of shape {(4, *x.shape[:2])}, got shape {sums.shape}")
        return x, Spec(mean.shape), Spec(mean.shape)

    def lower(self, call: Call) -> list[Step]:
        dy, x, mean, var, gate, dpool, sums, weight, bias = call.inputs
        fields = {**_fields(call, _node(x).spec), "training": int(call.attrs["training"])}
        return [Step(self.name, fields, [dy, x, mean, var, weight, bias, gate, dpool, sums, *call.outputs])]
