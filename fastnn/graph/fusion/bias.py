"""The gradient of a bias that batch norm takes off again: zero, without a pass over what it is the sum of."""

from __future__ import annotations

from collections.abc import Sequence

from ... import _backend
from ..node import Node
from ..primitive import Call, find
from .match import Uses

__all__ = ["bias_before_batch_norm"]

BACKWARD = ("batch_norm_bwd", "gated_norm_bwd", "norm_pool2d_bwd")  # their outputs: dx, dweight, dbias


def bias_before_batch_norm(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let the sum over each channel of a training batch norm's dx be 0 times batch norm's own dweight.

    The batch's mean takes off what a bias adds before it, so the true sum is zero; summed up, dx gives what rounding
    left of it. dweight sums dy and x: where one of those is no number, neither is the product. Not in precision
    "exact", where a layer inside a network gives the bits of the layer alone.
    """
    if _backend.get_precision() == "exact":
        return list(calls)
    uses = Uses(calls, kept)
    replaced: dict[Call, Call] = {}
    for call in calls:
        dx = call.inputs[0] if call.name == "sum" and not call.attrs["keepdims"] else None
        norm = None if dx is None else uses.maker.get(dx)
        if dx is None or norm is None or norm.name not in BACKWARD or norm.outputs[0] is not dx:
            continue
        if call.attrs["axes"] == (0, *range(2, dx.ndim)) and norm.attrs.get("training", True):
            zero = {"scale": 0.0, "shift": 0.0}
            replaced[call] = Call(find("affine"), (norm.outputs[1],), zero, call.outputs, scope=call.scope)
    return [replaced.get(call, call) for call in calls]
