"""Matrix products: linear layers with their gradients, and matmul."""

from __future__ import annotations

import math
from typing import Any

from ..node import Node, apply
from ..primitive import Call, Primitive, Step, register
from ..spec import Spec

__all__ = ["ACTIVATIONS", "fused_activation"]

ACTIVATIONS = {None: 0, "relu": 1, "leaky_relu": 2, "silu": 3}  # fnn_activation of src/kernels/types.h

Grads = tuple[Node | None, ...]


def fused_activation(call: Call) -> dict[str, Any]:
    """Return the C fields of the activation that fusion gave to a call."""
    return {
        "activation": ACTIVATIONS[call.fused.get("activation")],
        "slope": float(call.fused.get("negative_slope", 0.0)),
    }


def _node(node: Node | None) -> Node:
    assert node is not None
    return node


def _expect_weight(w: Spec) -> None:
    if w.ndim != 2:
        raise ValueError(f"expected weight of shape (out_features, in_features), got shape {w.shape}")


def _plain(*shape: int) -> Spec:
    return Spec(shape, "float32", "c")


def _rows(x: Spec) -> int:
    return math.prod(x.shape[:-1])


@register
class Linear(Primitive):
    """y = x w^T + bias over the last axis."""

    name = "linear"
    inputs = "x:c w:c ?bias:c"

    def infer(self, x: Spec, w: Spec, bias: Spec | None) -> Spec:
        _expect_weight(w)
        out_features, in_features = w.shape
        if x.ndim < 1 or x.shape[-1] != in_features:
            raise ValueError(f"expected input with {in_features} features, got shape {x.shape}")
        if bias is not None and bias.shape != (out_features,):
            raise ValueError(f"expected bias of shape ({out_features},), got shape {bias.shape}")
        return _plain(*x.shape[:-1], out_features)

    def lower(self, call: Call) -> list[Step]:
        x, w, bias, *residual = call.inputs  # see graph/fusion/fold.py
        out_features, in_features = _node(w).shape
        fields = {"rows": _rows(_node(x).spec), "in_features": in_features, "out_features": out_features}
        fields |= fused_activation(call) | {"accumulate": 0}
        return [Step(self.name, fields, [x, w, bias, *(residual or [None]), call.outputs[0]])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        x, w, _ = call.inputs
        dy = _node(dys[0])
        dw = apply("linear_bwd_weights", dy, x) if needs[1] else None
        db = apply("sum", dy, axes=tuple(range(dy.ndim - 1)), keepdims=False) if needs[2] else None
        return apply("linear_bwd_data", dy, w) if needs[0] else None, dw, db


@register
class LinearBwdData(Primitive):
    """dx = dy w."""

    name = "linear_bwd_data"
    inputs = "dy:c w:c"
    outputs = "dx"

    def infer(self, dy: Spec, w: Spec) -> Spec:
        _expect_weight(w)
        if dy.ndim < 1 or dy.shape[-1] != w.shape[0]:
            raise ValueError(f"expected dy with {w.shape[0]} features, got shape {dy.shape}")
        return _plain(*dy.shape[:-1], w.shape[1])

    def lower(self, call: Call) -> list[Step]:
        dy, w = call.inputs
        out_features, in_features = _node(w).shape
        fields = {"rows": _rows(_node(dy).spec), "in_features": in_features, "out_features": out_features}
        return [Step(self.name, fields, [dy, w, call.outputs[0]])]


@register
class LinearBwdWeights(Primitive):
    """dw = dy^T x over all rows."""

    name = "linear_bwd_weights"
    inputs = "dy:c x:c"
    outputs = "dw"

    def infer(self, dy: Spec, x: Spec) -> Spec:
        if dy.ndim < 1 or dy.ndim != x.ndim or dy.shape[:-1] != x.shape[:-1]:
            raise ValueError(f"expected dy and x with equal leading sizes, got shapes {dy.shape} and {x.shape}")
        return _plain(dy.shape[-1], x.shape[-1])

    def lower(self, call: Call) -> list[Step]:
        dy, x = call.inputs
        out_features, in_features = call.outputs[0].shape
        fields = {"rows": _rows(_node(dy).spec), "in_features": in_features, "out_features": out_features}
        return [Step(self.name, fields, [dy, x, call.outputs[0]])]


@register
class Matmul(Primitive):
    """op(a) op(b) over the last two axes, op being the transpose where asked; leading axes are a batch."""

    name = "matmul"
    inputs = "a:c b:c"

    def infer(self, a: Spec, b: Spec, *, transpose_a: bool, transpose_b: bool) -> Spec:
        if a.ndim < 2 or a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2]:
            raise ValueError(
                f"expected matrices, or batches of them with equal leading sizes, got shapes {a.shape} and {b.shape}"
            )
        (m, k), (k_b, n) = self._operands(a, b, transpose_a, transpose_b)
        if k != k_b:
            raise ValueError(f"expected equal inner sizes, got {k} and {k_b} from shapes {a.shape} and {b.shape}")
        return _plain(*a.shape[:-2], m, n)

    @staticmethod
    def _operands(a: Spec, b: Spec, transpose_a: bool, transpose_b: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        left, right = a.shape[-2:], b.shape[-2:]
        return left[::-1] if transpose_a else left, right[::-1] if transpose_b else right

    def lower(self, call: Call) -> list[Step]:
        a, b = (_node(i) for i in call.inputs)
        transposes = {name: int(call.attrs[name]) for name in ("transpose_a", "transpose_b")}
        (m, k), (_, n) = self._operands(a.spec, b.spec, **{name: bool(t) for name, t in transposes.items()})
        fields = {"batch": math.prod(a.shape[:-2]), "m": m, "n": n, "k": k} | transposes
        return [Step(self.name, fields, [a, b, call.outputs[0]])]

    def gradient(self, call: Call, needs: tuple[bool, ...], *dys: Node | None) -> Grads:
        (a, b), dy = call.inputs, _node(dys[0])
        ta, tb = call.attrs["transpose_a"], call.attrs["transpose_b"]
        da = db = None
        if needs[0]:
            left, right, left_t, right_t = (b, dy, tb, True) if ta else (dy, b, False, not tb)
            da = apply("matmul", left, right, transpose_a=left_t, transpose_b=right_t)
        if needs[1]:
            left, right, left_t, right_t = (dy, a, True, ta) if tb else (a, dy, not ta, False)
            db = apply("matmul", left, right, transpose_a=left_t, transpose_b=right_t)
        return da, db
