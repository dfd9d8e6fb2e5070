"""Batch normalization in its parts (statistics, application, running averages), local response norm, and pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec
from .linear import fused_activation

Grads = tuple[Node | None, ...]


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


def _expect_channels(x: Spec) -> int:
    """Return the channels of (N, C) or (N, C, H, W)."""
    if x.ndim not in (2, 4):
        raise ValueError(f"expected input of shape (N, C) or (N, C, H, W), got shape {x.shape}")
    return x.shape[1]


def _expect_vector(name: str, spec: Spec | None, channels: int) -> None:
    if spec is not None and spec.shape != (channels,):
        raise ValueError(f"expected {name} of shape ({channels},), one entry a channel, got shape {spec.shape}")


def _rows(x: Spec) -> dict[str, int]:
    """Return the memory of ``x`` as a matrix: all positions of all samples by channels."""
    return {"rows": x.size // max(x.shape[1], 1), "c": x.shape[1]}


def _per_channel(v: Node, ndim: int) -> Node:
    return v.reshape(1, -1, *([1] * (ndim - 2)))


# ---- batch normalization ----


@register
class BatchNormStats(Primitive):
    """Mean and biased variance of each channel, over everything but axis 1."""

    name = "batch_norm_stats"
    inputs = "x:nhwc"
    outputs = "mean var"

    def infer(self, x: Spec) -> tuple[Spec, Spec]:
        channels = _expect_channels(x)
        return Spec((channels,)), Spec((channels,))

    def lower(self, call: Call) -> list[Step]:
        x = _node(call.inputs[0])
        return [Step(self.name, _rows(x.spec), [x, *call.outputs])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        """Only for statistics used as values: batch_norm's own gradient goes through those that it was given."""
        x, (dmean, dvar) = _node(call.inputs[0]), dys
        share = 1.0 / max(_rows(x.spec)["rows"], 1)
        dx = None if dmean is None else (_per_channel(dmean, x.ndim) * share).expand(*x.shape)
        if dvar is not None:
            centred = x - _per_channel(call.outputs[0], x.ndim)
            through_var = centred * (_per_channel(dvar, x.ndim) * (2.0 * share))
            dx = through_var if dx is None else dx + through_var
        return (dx,)


@register
class BatchNorm(Primitive):
    """``(x - mean) / sqrt(var + eps) weight + bias``."""

    name = "batch_norm"
    inputs = "x:nhwc mean:c var:c ?weight:c ?bias:c"
    overwrites = ("x",)

    def infer(
        self, x: Spec, mean: Spec, var: Spec, weight: Spec | None = None, bias: Spec | None = None, *, eps: float
    ) -> Spec:
        channels = _expect_channels(x)
        for name, spec in (("mean", mean), ("var", var), ("weight", weight), ("bias", bias)):
            _expect_vector(name, spec, channels)
        return x

    def lower(self, call: Call) -> list[Step]:
        *inputs, residual = (*call.inputs, None)[:6]  # a sixth one is fusion's: see graph/fusion/residual.py
        fields = {**_rows(_node(call.inputs[0]).spec), "eps": call.attrs["eps"], **fused_activation(call)}
        return [Step(self.name, fields | {"residual": int(residual is not None)}, [*inputs, residual, call.outputs[0]])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        """Where mean and variance are those of this very input, dx flows through them here, in one pass."""
        x, mean, var, weight, _ = call.inputs
        own = _is_own_statistics(x, mean, var)
        dx, dweight, dbias = apply("batch_norm_bwd", dys[0], x, mean, var, weight, eps=call.attrs["eps"], training=own)
        dmean = dvar = None
        if not own and (needs[1] or needs[2]):
            rstd = (_node(var) + call.attrs["eps"]) ** -0.5
            scale = rstd if weight is None else rstd * weight
            dmean = -(dbias * scale)
            dvar = dweight * scale * rstd * -0.5
        return dx, dmean, dvar, dweight if needs[3] else None, dbias if needs[4] else None


def _is_own_statistics(x: Node | None, mean: Node | None, var: Node | None) -> bool:
    call = _node(mean).call
    return call is not None and call.name == "batch_norm_stats" and (mean, var) == call.outputs and call.inputs[0] is x


@register
class BatchNormBwd(Primitive):
    """dx, dweight, dbias; with ``training`` dx also flows through the batch's own mean and variance."""

    name = "batch_norm_bwd"
    inputs = "dy:nhwc x:nhwc mean:c var:c ?weight:c"
    outputs = "dx dweight dbias"
    overwrites = ("dy", "x")

    def infer(
        self, dy: Spec, x: Spec, mean: Spec, var: Spec, weight: Spec | None = None, *, eps: float, training: bool
    ) -> tuple[Spec, Spec, Spec]:
        channels = _expect_channels(x)
        if dy.shape != x.shape:
            raise ValueError(f"expected dy of shape {x.shape} as the input, got shape {dy.shape}")
        for name, spec in (("mean", mean), ("var", var), ("weight", weight)):
            _expect_vector(name, spec, channels)
        return x, Spec((channels,)), Spec((channels,))

    def lower(self, call: Call) -> list[Step]:
        attrs = call.attrs
        fields = {**_rows(_node(call.inputs[1]).spec), "eps": attrs["eps"], "training": int(attrs["training"])}
        bias = call.inputs[5] if call.fused else None  # see graph/fusion
        activation = fused_activation(call)["activation"]
        return [Step(self.name, {**fields, "activation": activation}, [*call.inputs[:5], bias, *call.outputs])]


@register
class BatchNormFold(Primitive):
    """Weights ``w scale`` and bias ``bias + (offset - mean) scale``: batch norm in the linear map before it.

    Only fusion makes it (`graph.fusion.fold`).
    """

    name = "batch_norm_fold"
    inputs = "w:c mean:c var:c ?weight:c ?bias:c ?offset:c"
    outputs = "folded shift"

    def infer(
        self, w: Spec, mean: Spec, var: Spec, weight: Spec | None = None, bias: Spec | None = None,
        offset: Spec | None = None, *, eps: float,
    ) -> tuple[Spec, Spec]:  # fmt: skip
        if w.ndim < 2 or w.size == 0:
            raise ValueError(f"expected weights of output channels by inputs, got shape {w.shape}")
        vectors = {"mean": mean, "var": var, "weight": weight, "bias": bias, "offset": offset}
        for name, spec in vectors.items():
            _expect_vector(name, spec, w.shape[0])
        return w, Spec((w.shape[0],))

    def lower(self, call: Call) -> list[Step]:
        w = _node(call.inputs[0])
        fields = {"c": w.shape[0], "filter": w.spec.size // w.shape[0], "eps": call.attrs["eps"]}
        return [Step(self.name, fields, [*call.inputs, *call.outputs])]


@register
class BatchNormUpdate(Primitive):
    """``running += momentum (new - running)``, the variance unbiased; momentum None: the mean over all batches."""

    name = "batch_norm_update"
    inputs = "running_mean:any running_var:any num_batches:any mean:c var:c"
    outputs = ""
    mutates = ("running_mean", "running_var", "num_batches")

    def infer(
        self, running_mean: Spec, running_var: Spec, num_batches: Spec, mean: Spec, var: Spec, *,
        momentum: float | None, count: int,
    ) -> tuple[Spec, ...]:  # fmt: skip
        if mean.ndim != 1:
            raise ValueError(f"expected mean of shape (C,), got shape {mean.shape}")
        for name, spec in (("running_mean", running_mean), ("running_var", running_var), ("var", var)):
            _expect_vector(name, spec, mean.shape[0])
            if spec.dtype != "float32":
                raise TypeError(f"expected {name} as float32, got {spec.dtype}")
        if num_batches.dtype != "int64" or num_batches.size != 1:
            raise TypeError(f"expected num_batches as one int64, got {num_batches.dtype} of shape {num_batches.shape}")
        return ()

    def lower(self, call: Call) -> list[Step]:
        momentum = call.attrs["momentum"]
        fields = {
            "c": _node(call.inputs[3]).shape[0],
            "count": call.attrs["count"],
            "momentum": 0.0 if momentum is None else momentum,
            "cumulative": int(momentum is None),
        }
        return [Step(self.name, fields, list(call.inputs))]


# ---- local response normalization ----


def _lrn_fields(call: Call, x: Spec) -> dict[str, Any]:
    rows = _rows(x)
    return {"pixels": rows["rows"], "c": rows["c"], **call.attrs}


@register
class LocalResponseNorm(Primitive):
    """``x / (k + alpha / size * sum of x^2 over size neighbouring channels)^beta``."""

    name = "local_response_norm"
    inputs = "x:nhwc"

    def infer(self, x: Spec, *, size: int, alpha: float, beta: float, k: float) -> Spec:
        _expect_channels(x)
        if size < 1:
            raise ValueError(f"expected size >= 1, got {size}")
        return x

    def lower(self, call: Call) -> list[Step]:
        x = _node(call.inputs[0])
        return [Step(self.name, _lrn_fields(call, x.spec), [x, call.outputs[0]])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        return (apply("local_response_norm_bwd", dys[0], call.inputs[0], **call.attrs),)


@register
class LocalResponseNormBwd(Primitive):
    """The gradient of local response normalization, from its input alone."""

    name = "local_response_norm_bwd"
    inputs = "dy:nhwc x:nhwc"
    outputs = "dx"

    def infer(self, dy: Spec, x: Spec, *, size: int, alpha: float, beta: float, k: float) -> Spec:
        _expect_channels(x)
        if dy.shape != x.shape:
            raise ValueError(f"expected dy of shape {x.shape} as the input, got shape {dy.shape}")
        return x

    def lower(self, call: Call) -> list[Step]:
        fields = _lrn_fields(call, _node(call.inputs[1]).spec)
        return [Step(self.name, fields, [*call.inputs, call.outputs[0]])]


# ---- pixels as they are stored ----

_STORED = {"float32": 0, "uint8": 1}  # fnn_dtype


@register
class NormalizeChannels(Primitive):
    """(x - shift) factor by channel as float32, bytes read as they are."""

    name = "normalize_channels"
    inputs = "x:any shift:c factor:c"

    def infer(self, x: Spec, shift: Spec, factor: Spec) -> Spec:
        if x.ndim < 2:
            raise ValueError(f"expected input of shape (N, C, ...), got shape {x.shape}")
        if x.dtype not in _STORED:
            raise TypeError(f"expected input of dtype {' or '.join(_STORED)}, got {x.dtype}")
        if shift.shape == factor.shape and shift.ndim == 1 and shift.shape[0] != x.shape[1]:
            raise ValueError(f"expected input with {shift.shape[0]} channels, got shape {x.shape}")
        _expect_vector("shift", shift, x.shape[1])
        _expect_vector("factor", factor, x.shape[1])
        return Spec.activation(x.shape)

    def lower(self, call: Call) -> list[Step]:
        x, shift, factor = (_node(i) for i in call.inputs)
        y = call.outputs[0]
        n, c, *size = x.shape
        sizes = {"n": n, "c": c, "pixels": math.prod(size)}
        last = {f"{name}_last": int(_channels_last(v.spec)) for name, v in (("x", x), ("y", y))}
        return [Step(self.name, {"dtype": _STORED[x.dtype], **sizes, **last}, [x, shift, factor, y])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        x, shift, factor = (_node(i) for i in call.inputs)
        dy, axes = _node(dys[0]), (0, *range(2, x.ndim))
        dx = apply("mul", dy, _per_channel(factor, x.ndim)) if needs[0] or needs[1] else None
        dshift = (
            apply("affine", apply("sum", dx, axes=axes, keepdims=False), scale=-1.0, shift=0.0) if needs[1] else None
        )
        dfactor = None
        if needs[2]:
            one = apply("normalize_channels", x, shift, np.ones(factor.shape, np.float32))
            dfactor = apply("sum", apply("mul", dy, one), axes=axes, keepdims=False)
        return dx if needs[0] else None, dshift, dfactor


def _channels_last(x: Spec) -> bool:
    """Whether the values of a pixel lie side by side; so they do, too, where an image is one pixel or one channel."""
    return x.layout == "nhwc" or x.shape[1] == 1 or math.prod(x.shape[2:]) == 1
