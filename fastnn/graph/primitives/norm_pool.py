"""Maxima of 2x2 windows over z = relu(batch_norm(x)), which is in no memory, nor is its gradient.

Fusion puts these in place of the parts (`graph.fusion.norm_pool`).
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
    n, c, ih, iw = x.shape
    return {"n": n, "c": c, "ih": ih, "iw": iw, "eps": call.attrs["eps"]}


def _pooled(x: Spec, **vectors: Spec | None) -> Spec:
    """Return the maxima's spec; refuse images of no window, and per-channel values of another length."""
    if x.ndim != 4 or min(x.shape[2:]) < 2:
        raise ValueError(f"expected input of shape (N, C, H, W) of at least 2x2 pixels, got shape {x.shape}")
    n, c, h, w = x.shape
    for name, spec in vectors.items():
        if spec is not None and spec.shape != (c,):
            raise ValueError(f"expected {name} of shape ({c},), one entry a channel, got shape {spec.shape}")
    return Spec.activation((n, c, h // 2, w // 2))


@register
class NormPool2d(Primitive):
    """The maximum of z over each window of 2x2 at stride 2; pixels beyond the last whole window do not count."""

    name = "norm_pool2d"
    inputs = "x:nhwc mean:c var:c ?weight:c ?bias:c"

    def infer(
        self, x: Spec, mean: Spec, var: Spec, weight: Spec | None = None, bias: Spec | None = None, *, eps: float
    ) -> Spec:
        return _pooled(x, mean=mean, var=var, weight=weight, bias=bias)

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _fields(call, _node(call.inputs[0]).spec), [*call.inputs, call.outputs[0]])]


@register
class NormPool2dBwd(Primitive):
    """dx, dweight, dbias, where mean and variance are the batch's own; of equal maxima the first has the gradient."""

    name = "norm_pool2d_bwd"
    inputs = "dy:nhwc x:nhwc mean:c var:c ?weight:c ?bias:c"
    outputs = "dx dweight dbias"
    overwrites = ("x",)

    def infer(
        self, dy: Spec, x: Spec, mean: Spec, var: Spec, weight: Spec | None = None, bias: Spec | None = None, *,
        eps: float,
    ) -> tuple[Spec, Spec, Spec]:  # fmt: skip
        pooled = _pooled(x, mean=mean, var=var, weight=weight, bias=bias)
        if dy.shape != pooled.shape:
            raise ValueError(f"expected dy of shape {pooled.shape}, one value a window, got shape {dy.shape}")
        return x, Spec(mean.shape), Spec(mean.shape)

    def lower(self, call: Call) -> list[Step]:
        return [Step(self.name, _fields(call, _node(call.inputs[1]).spec), [*call.inputs, *call.outputs])]
