"""Squeeze-and-excitation after batch norm with SiLU: what is normalised is never stored.

z = silu(batch_norm(x)) is read by the pooling that the gate is made of, by its product with the gate and, in the
backward, by the product that the gate's gradient is summed from. Here each makes z anew from x, which batch norm's
backward needs anyway: forward one pass for the means and one for the product; backward one for all sums (the gate's
gradient and, image by image, those that batch norm's backward needs of both ways that a gradient reaches z) and one
for dx.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..node import Node
from ..primitive import Call, find
from ..spec import Spec
from .match import Uses

__all__ = ["gate_into_norm"]

SILU = {"activation": "silu"}


@dataclass(slots=True)
class _Forward:
    norm: Call
    pool: Call
    product: Call
    gate: Node


@dataclass(slots=True)
class _Backward:
    """dy gate + the pooling's gradient, into batch norm's backward; dy z, summed."""

    dy: Node
    by_gate: Call
    by_z: Call
    total: Call
    unpool: Call
    meet: Call
    norm: Call


def gate_into_norm(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Fuse batch norm, SiLU, global pooling and the product with the gate, and the backward of all of them."""
    uses = Uses(calls, kept)
    replaced: dict[Call, Call | None] = {}
    for norm in calls:
        if norm.name != "batch_norm" or norm.fused != SILU or norm.outputs[0] in kept:
            continue
        forward = _forward(uses, norm)
        if forward is None:
            continue
        rest = [c for c in uses.readers[norm.outputs[0]] if c is not forward.pool and c is not forward.product]
        backward = _backward(uses, forward, rest[0]) if len(rest) == 1 else None
        if not rest or backward is not None:
            replaced |= _fused(forward, backward)
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def _forward(uses: Uses, norm: Call) -> _Forward | None:
    z = norm.outputs[0]
    per_image = (*z.shape[:2], 1, 1)
    readers = uses.readers.get(z, [])
    pools = [c for c in readers if c.name == "adaptive_avg_pool2d" and c.outputs[0].shape == per_image]
    products = [
        (call, gate)
        for call in readers
        if call.name == "mul" and (gate := _other(call, z)) is not None and gate.shape == per_image
    ]
    if z.ndim != 4 or len(pools) != 1 or len(products) != 1 or products[0][0].outputs[0].shape != z.shape:
        return None
    return _Forward(norm, pools[0], *products[0])


def _other(call: Call, node: Node) -> Node | None:
    """Return the other operand of a product with ``node``."""
    first, second = call.inputs
    return first if second is node else second if first is node else None


def _backward(uses: Uses, forward: _Forward, by_z: Call) -> _Backward | None:
    """Find the backward of the forward found, of which ``by_z`` reads z."""
    z, gate = forward.norm.outputs[0], forward.gate
    dy = _other(by_z, z) if by_z.name == "mul" else None
    if dy is None or dy.shape != z.shape:
        return None
    total = uses.only_reader(by_z.outputs[0], "sum")
    by_gate = [c for c in uses.readers[dy] if c.name == "mul" and _other(c, dy) is gate]
    if total is None or total.attrs["axes"] != (2, 3) or len(by_gate) != 1:
        return None
    meet = uses.only_reader(by_gate[0].outputs[0], "add")
    unpool = None if meet is None else uses.made_by(_other(meet, by_gate[0].outputs[0]), "adaptive_avg_pool2d_bwd")
    if meet is None or unpool is None or unpool.inputs[0] is None or unpool.inputs[0].shape != gate.shape:
        return None
    readers = uses.readers.get(meet.outputs[0], [])
    same = (*forward.norm.inputs[:4], forward.norm.inputs[4])
    fits = len(readers) == 1 and readers[0].name == "batch_norm_bwd" and readers[0].fused == SILU
    if not fits or meet.outputs[0] in uses.kept or readers[0].inputs[1:] != same:
        return None
    if readers[0].inputs[0] is not meet.outputs[0] or readers[0].attrs["eps"] != forward.norm.attrs["eps"]:
        return None
    return _Backward(dy, by_gate[0], by_z, total, unpool, meet, readers[0])


def _fused(forward: _Forward, backward: _Backward | None) -> dict[Call, Call | None]:
    """Return the fused calls in place of the pattern's."""
    norm = forward.norm
    x, mean, var, weight, bias = norm.inputs
    eps = {"eps": norm.attrs["eps"]}

    def call(name: str, inputs: tuple[Node | None, ...], outputs: tuple[Node, ...], place: Call) -> Call:
        attrs = eps if "training" not in place.attrs else eps | {"training": place.attrs["training"]}
        return Call(find(name), inputs, attrs, outputs, scope=place.scope)

    pool, product = forward.pool, forward.product
    result: dict[Call, Call | None] = {
        norm: None,
        pool: call("gated_norm_pool", norm.inputs, pool.outputs, pool),
        product: call("gated_norm", (x, mean, var, forward.gate, weight, bias), product.outputs, product),
    }
    if backward is None:
        return result
    dy, dpool = backward.dy, backward.unpool.inputs[0]
    n, c = norm.outputs[0].shape[:2]
    total = backward.total.outputs[0]
    sums = Node(total.trace, Spec((4, n, c)), index=1)
    summing = call("gated_norm_sums", (dy, *norm.inputs), (total, sums), backward.total)
    sums.call = summing
    inputs = (dy, x, mean, var, forward.gate, dpool, sums, weight, bias)
    result |= {
        backward.by_z: None,
        backward.total: summing,
        backward.by_gate: None,
        backward.unpool: None,
        backward.meet: None,
        backward.norm: call("gated_norm_bwd", inputs, backward.norm.outputs, backward.norm),
    }
    return result
