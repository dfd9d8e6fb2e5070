"""The backward of a 1x1 convolution and of batch norm after it, whose gradient between them is in no memory as a whole.

Fusion puts this in place of the parts (`graph.fusion.norm_pointwise`): the C op makes a few rows of the gradient at a
time, and both products of the convolution's backward take them from the cache.
"""

from __future__ import annotations

from typing import Any

from ..node import Node
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec
from .linear import ACTIVATIONS

__all__ = ["NORM_ACTIVATIONS"]

NORM_ACTIVATIONS = (None, "relu", "silu")


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


@register
class NormPointwiseBwd(Primitive):
    """du, dw, dweight, dbias of act(batch_norm(u * w)), where x = u * w and mean and variance are its own.

    ``total`` is added to du; where ``gate`` is not positive, du is 0.
    """

    name = "norm_pointwise_bwd"
    inputs = "dy:nhwc x:nhwc mean:c var:c u:nhwc w:c ?weight:c ?bias:c ?total:nhwc ?gate:nhwc"
    outputs = "du dw dweight dbias"

    def infer(
        self, dy: Spec, x: Spec, mean: Spec, var: Spec, u: Spec, w: Spec, weight: Spec | None = None,
        bias: Spec | None = None, total: Spec | None = None, gate: Spec | None = None, *, eps: float,
        activation: str | None,
    ) -> tuple[Spec, Spec, Spec, Spec]:  # fmt: skip
        if activation not in NORM_ACTIVATIONS:
            raise ValueError(f"expected activation to be one of {NORM_ACTIVATIONS}, got {activation!r}")
        if u.ndim != 4 or w.ndim != 4 or w.shape[1:] != (u.shape[1], 1, 1):
            raise ValueError(f"expected weights of a 1x1 convolution of u, got shapes {w.shape} and {u.shape}")
        shape = (u.shape[0], w.shape[0], *u.shape[2:])
        if x.shape != shape or dy.shape != shape:
            raise ValueError(f"expected x and dy of shape {shape}, got shapes {x.shape} and {dy.shape}")
        for name, spec in (("mean", mean), ("var", var), ("weight", weight), ("bias", bias)):
            if spec is not None and spec.shape != shape[1:2]:
                raise ValueError(f"expected {name} of shape {shape[1:2]}, one entry a channel, got shape {spec.shape}")
        for name, spec in (("total", total), ("gate", gate)):
            if spec is not None and spec.shape != u.shape:
                raise ValueError(f"expected {name} of shape {u.shape} as u, got shape {spec.shape}")
        return u, Spec(w.shape), Spec(mean.shape), Spec(mean.shape)

    def lower(self, call: Call) -> list[Step]:
        dy, x, mean, var, u, w, weight, bias, total, gate = (*call.inputs, None, None, None, None)[:10]
        du, dw, dweight, dbias = call.outputs
        c, ic = _node(w).shape[:2]
        fields: dict[str, Any] = {"rows": _node(x).spec.size // c, "c": c, "eps": call.attrs["eps"]}
        fields["activation"] = ACTIVATIONS[call.attrs["activation"]]
        norm = [dy, x, mean, var, weight, bias]
        return [
            Step("batch_norm_bwd", {**fields, "training": 1}, [*norm, None, dweight, dbias]),
            Step(self.name, {**fields, "ic": ic}, [*norm, dweight, dbias, u, w, du, dw, total, gate]),
        ]
