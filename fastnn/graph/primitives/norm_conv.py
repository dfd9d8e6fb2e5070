"""Depthwise convolution of batch norm with an activation, z = act(batch_norm(x)), which is in no memory as a whole.

Fusion puts these in place of the parts (`graph.fusion.norm_conv`): the C ops make a few lines of z at a time.
"""

from __future__ import annotations

from typing import Any

from ..node import Node
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec
from .conv import Conv2d, Conv2dBwdWeights, _geometry
from .linear import ACTIVATIONS

__all__ = ["is_depthwise"]

Pair = tuple[int, int]
Quad = tuple[int, int, int, int]
NORM_ACTIVATIONS = (None, "relu", "silu")


def is_depthwise(
    x: tuple[int, ...], kernel: Pair, channels: int, stride: Pair, dilation: Pair, groups: int, algorithm: str
) -> bool:
    """Tell whether the ops take this convolution: of 3x3 or 5x5 at stride 1 or 2, on maps that every tap meets."""
    return (
        len(x) == 4
        and 1 < groups == x[1] == channels
        and kernel in ((3, 3), (5, 5))
        and stride in ((1, 1), (2, 2))
        and dilation == (1, 1)
        and min(x[2:]) >= kernel[0]
        and algorithm in ("auto", "direct")
    )


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


def _expect(x: Spec, kernel: Pair, channels: int, attrs: dict[str, Any], **vectors: Spec | None) -> None:
    """Refuse what the ops do not take, and per-channel values of another length."""
    geometry = {name: attrs[name] for name in ("stride", "dilation", "groups", "algorithm")}
    if not is_depthwise(x.shape, kernel, channels, **geometry):
        raise ValueError(
            f"expected a depthwise convolution of 3x3 or 5x5, got kernel {kernel} on {x.shape}, {geometry}"
        )
    if attrs["activation"] not in NORM_ACTIVATIONS:
        raise ValueError(f"expected activation to be one of {NORM_ACTIVATIONS}, got {attrs['activation']!r}")
    for name, spec in vectors.items():
        if spec is not None and spec.shape != (x.shape[1],):
            raise ValueError(f"expected {name} of shape ({x.shape[1]},), one entry a channel, got shape {spec.shape}")


def _fields(call: Call, x: tuple[int, ...], y: tuple[int, ...], kernel: tuple[int, ...]) -> dict[str, Any]:
    norm = {"eps": call.attrs["eps"], "norm_activation": ACTIVATIONS[call.attrs["activation"]]}
    return _geometry(call, x, y, kernel) | norm


@register
class NormConv2d(Primitive):
    """y = z * w + bias."""

    name = "norm_conv2d"
    inputs = "x:nhwc w:c mean:c var:c ?bias:c ?norm_weight:c ?norm_bias:c"

    def infer(
        self, x: Spec, w: Spec, mean: Spec, var: Spec, bias: Spec | None = None, norm_weight: Spec | None = None,
        norm_bias: Spec | None = None, *, stride: Pair, padding: Quad, dilation: Pair, groups: int, algorithm: str,
        eps: float, activation: str | None,
    ) -> Spec:  # fmt: skip
        conv = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "algorithm": algorithm}
        y: Spec = Conv2d().infer(x, w, bias, **conv)  # type: ignore[arg-type]
        vectors = {"mean": mean, "var": var, "norm_weight": norm_weight, "norm_bias": norm_bias}
        _expect(x, (w.shape[2], w.shape[3]), w.shape[0], conv | {"activation": activation}, **vectors)
        return y

    def lower(self, call: Call) -> list[Step]:
        x, w, mean, var, bias, norm_weight, norm_bias = call.inputs
        y = call.outputs[0]
        fields = _fields(call, _node(x).shape, y.shape, _node(w).shape[2:])
        return [Step(self.name, fields, [x, w, bias, mean, var, norm_weight, norm_bias, y])]


@register
class NormConv2dBwdWeights(Primitive):
    """dw: the sum over images and pixels of dy times what each tap saw of z."""

    name = "norm_conv2d_bwd_weights"
    inputs = "dy:nhwc x:nhwc mean:c var:c ?norm_weight:c ?norm_bias:c"
    outputs = "dw"

    def infer(
        self, dy: Spec, x: Spec, mean: Spec, var: Spec, norm_weight: Spec | None = None, norm_bias: Spec | None = None,
        *, kernel_size: Pair, stride: Pair, padding: Quad, dilation: Pair, groups: int, algorithm: str, eps: float,
        activation: str | None,
    ) -> Spec:  # fmt: skip
        conv = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "algorithm": algorithm}
        dw: Spec = Conv2dBwdWeights().infer(dy, x, kernel_size=kernel_size, **conv)  # type: ignore[arg-type]
        vectors = {"mean": mean, "var": var, "norm_weight": norm_weight, "norm_bias": norm_bias}
        _expect(x, kernel_size, dy.shape[1], conv | {"activation": activation}, **vectors)
        return dw

    def lower(self, call: Call) -> list[Step]:
        dy, x = (_node(i) for i in call.inputs[:2])
        dw = call.outputs[0]
        fields = _fields(call, x.shape, dy.shape, dw.shape[2:])
        return [Step(self.name, fields, [*call.inputs, dw])]
