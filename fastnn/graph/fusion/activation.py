"""Fusion of activations: into the epilogue of what computes their input, their derivatives into batch norm's."""

from __future__ import annotations

from collections.abc import Sequence

from ..node import Node
from ..primitive import Call
from .match import Uses

__all__ = ["WITH_EPILOGUE", "relu_bwd_into_batch_norm_bwd", "relu_into_epilogue", "silu_into_batch_norm"]

# Their lower() honours call.fused.
WITH_EPILOGUE = ("linear", "conv2d", "batch_norm")


def relu_into_epilogue(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let linear, convolution and batch norm apply the ReLU that is the only reader of their output.

    ReLU's backward needs its own output only, so the pre-activation never reaches memory.
    """
    uses = Uses(calls, kept)
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        if call.name != "relu" or call.inputs[0] is None:
            continue
        x = call.inputs[0]
        source = uses.maker.get(x)
        if source is None or source.name not in WITH_EPILOGUE or not uses.read_once(x):
            continue
        if "activation" in source.fused:
            continue
        fused = {**source.fused, "activation": "relu"}
        replaced[source] = Call(source.primitive, source.inputs, source.attrs, call.outputs, fused, source.scope)
        replaced[call] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def relu_bwd_into_batch_norm_bwd(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let batch norm's backward apply that of the ReLU in its forward's epilogue.

    The fused call has the forward's bias as a sixth input: with it the sign of the output is found again from x, so
    that neither the output nor the gradient between the two is read or written.
    """
    uses = Uses(calls, kept)
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        dy = call.inputs[0] if call.name == "batch_norm_bwd" and not call.fused else None
        if dy is None or not uses.read_once(dy):
            continue
        relu = uses.maker.get(dy)
        if relu is None or relu.name != "relu_bwd" or relu.inputs[1] is None:
            continue
        forward = uses.maker.get(relu.inputs[1])
        if forward is None or forward.name != "batch_norm" or forward.fused != {"activation": "relu"}:
            continue
        if not _is_backward_of(call, forward, dy):
            continue
        inputs = (relu.inputs[0], *call.inputs[1:], forward.inputs[4])
        replaced[call] = Call(call.primitive, inputs, call.attrs, call.outputs, {"activation": "relu"}, call.scope)
        replaced[relu] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def silu_into_batch_norm(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let batch norm apply the SiLU that reads its output, and its backward the derivative.

    SiLU's backward needs what it was applied to: batch norm's backward finds it again from x. So both are fused, or,
    where there is no backward, the forward alone; the value between the two is nowhere.
    """
    readers = Uses(calls, kept).readers
    replaced: dict[Call, Call | None] = {}
    for norm in calls:
        between = norm.outputs[0] if norm.name == "batch_norm" and not norm.fused else None
        if between is None or between in kept:
            continue
        names = [call.name for call in readers.get(between, [])]
        if sorted(names) not in (["silu"], ["silu", "silu_bwd"]):
            continue
        by_name = dict(zip(names, readers[between], strict=True))
        if "silu_bwd" in by_name:
            derivative = by_name["silu_bwd"]
            inner = derivative.outputs[0]
            (backward, *others) = readers.get(inner, [norm])
            if others or inner in kept or not _is_backward_of(backward, norm, inner):
                continue
            inputs = (derivative.inputs[0], *backward.inputs[1:], norm.inputs[4])
            fused = {"activation": "silu"}
            replaced[backward] = Call(
                backward.primitive, inputs, backward.attrs, backward.outputs, fused, backward.scope
            )
            replaced[derivative] = None
        outputs = by_name["silu"].outputs
        replaced[norm] = Call(norm.primitive, norm.inputs, norm.attrs, outputs, {"activation": "silu"}, norm.scope)
        replaced[by_name["silu"]] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def _is_backward_of(call: Call, norm: Call, dy: Node) -> bool:
    """Tell whether a call is the unfused backward of this batch norm, for this gradient."""
    return (
        call.name == "batch_norm_bwd"
        and not call.fused
        and call.inputs[0] is dy
        and call.inputs[1:5] == norm.inputs[:4]
        and call.attrs["eps"] == norm.attrs["eps"]
    )
