"""Batch norm's backward into that of the 1x1 convolution before it: the gradient between them is not stored."""

from __future__ import annotations

from collections.abc import Sequence

from ... import _backend
from ..node import Node
from ..primitive import Call, find
from ..primitives.norm_pointwise import NORM_ACTIVATIONS
from .match import Uses

__all__ = ["norm_bwd_into_pointwise_bwd"]

LEAST = 1 << 20  # elements of the gradient: fewer stay in the caches between the parts anyway
MOST_WEIGHTS = 1 << 14  # with more the products take their time, not the memory


def norm_bwd_into_pointwise_bwd(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let a 1x1 convolution's backward make the gradient of batch norm's input, which it alone reads.

    The gradient of its weights is summed in another order, so not in precision "exact", where a layer inside a network
    gives the bits of the layer alone.
    """
    if _backend.get_precision() == "exact":
        return list(calls)
    uses = Uses(calls, kept)
    at = {call: i for i, call in enumerate(calls)}
    replaced: dict[Call, Call | None] = {}
    for norm in calls:
        parts = _parts(uses, norm)
        if parts is None:
            continue
        data, weights = parts
        x, mean, var, weight, bias = (*norm.inputs[1:], None, None)[:5]
        total, gate = (*data.inputs[2:], None, None)[:2]
        inputs = (norm.inputs[0], x, mean, var, weights.inputs[1], data.inputs[1], weight, bias, total, gate)
        attrs = {"eps": norm.attrs["eps"], "activation": norm.fused.get("activation")}
        outputs = (data.outputs[0], weights.outputs[0], *norm.outputs[1:])
        first, last = sorted((data, weights), key=lambda call: at[call])
        if any(at[reader] < at[last] for node in outputs for reader in uses.readers.get(node, ())):
            continue
        fused = Call(find("norm_pointwise_bwd"), inputs, attrs, outputs, scope=data.scope)
        replaced |= {norm: None, first: None, last: fused}
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def _parts(uses: Uses, norm: Call) -> tuple[Call, Call] | None:
    """Return the two calls of a 1x1 convolution's backward that alone read what batch norm's backward makes."""
    if norm.name != "batch_norm_bwd" or not norm.attrs["training"] or set(norm.fused) - {"activation"}:
        return None
    g = norm.outputs[0]
    readers = uses.readers.get(g, [])
    if g in uses.kept or len(readers) != 2 or norm.fused.get("activation") not in NORM_ACTIVATIONS:
        return None
    data, weights = sorted(readers, key=lambda call: call.name)
    if (data.name, weights.name) != ("conv2d_bwd_data", "conv2d_bwd_weights") or not _is_pointwise(data):
        return None
    alone = data.inputs[0] is weights.inputs[0] is g and g not in (*data.inputs[1:], *weights.inputs[1:])
    return (data, weights) if alone and _pays(g, data) else None


def _is_pointwise(data: Call) -> bool:
    w, attrs = data.inputs[1], data.attrs
    plain = attrs["stride"] == (1, 1) and attrs["groups"] == 1 and not any(attrs["padding"])
    return w is not None and w.shape[2:] == (1, 1) and plain and attrs["algorithm"] in ("auto", "direct")


def _pays(g: Node, data: Call) -> bool:
    w = data.inputs[1]
    assert w is not None
    return g.spec.size >= LEAST and w.spec.size <= MOST_WEIGHTS
