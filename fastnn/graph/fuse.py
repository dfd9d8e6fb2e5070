"""Fusion: rewrite rules over the list of calls that a plan runs.

A rule takes the calls and the nodes that must keep existing and returns new calls; the trace itself stays as it was,
since the reference backend runs it unfused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from .fold import add_into_epilogue, batch_norm_into_weights, silu_into_epilogue
from .fusion import gate_into_norm, norm_into_depthwise
from .node import Node
from .primitive import Call
from .residual import relu_bwd_into_bwd_data, sum_into_batch_norm, sum_into_bwd_data

__all__ = ["RULES", "fuse"]

# Their lower() honours call.fused.
WITH_EPILOGUE = ("linear", "conv2d", "batch_norm")
WITH_GRADIENT = ("sgd_step", "adagrad_step", "rmsprop_step", "adam_step")

Rule = Callable[[Sequence[Call], set[Node]], list[Call]]


def _uses(calls: Sequence[Call]) -> Counter[Node]:
    return Counter(node for call in calls for node in call.inputs if node is not None)


def relu_into_epilogue(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let linear, convolution and batch norm apply the ReLU that is the only reader of their output.

    ReLU's backward needs its own output only, so the pre-activation never reaches memory.
    """
    uses = _uses(calls)
    producer = {o: call for call in calls for o in call.outputs}
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        if call.name != "relu" or call.inputs[0] is None:
            continue
        x = call.inputs[0]
        source = producer.get(x)
        if source is None or source.name not in WITH_EPILOGUE or uses[x] != 1 or x in kept:
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
    uses = _uses(calls)
    producer = {o: call for call in calls for o in call.outputs}
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        dy = call.inputs[0] if call.name == "batch_norm_bwd" and not call.fused else None
        if dy is None or uses[dy] != 1 or dy in kept:
            continue
        relu = producer.get(dy)
        if relu is None or relu.name != "relu_bwd" or relu.inputs[1] is None:
            continue
        forward = producer.get(relu.inputs[1])
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
    readers: dict[Node, list[Call]] = {}
    for call in calls:
        for node in call.inputs:
            if node is not None:
                readers.setdefault(node, []).append(call)
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


def gradient_into_update(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let an optimizer's step make the gradient of a linear layer's weights that it alone reads, block by block.

    The fused call has dy in the gradient's place and x behind the last of its inputs; the gradient is nowhere as a
    whole. Where it stands among the calls follows from what reads the weights (`graph.schedule`).
    """
    uses = _uses(calls)
    producer = {o: call for call in calls for o in call.outputs}
    written = {node for call in calls for node in call.mutated}
    replaced: dict[Call, Call | None] = {}
    for call in calls:
        dw = call.inputs[1] if call.name in WITH_GRADIENT and not call.fused else None
        source = producer.get(dw) if dw is not None else None
        if dw is None or source is None or source.name != "linear_bwd_weights" or uses[dw] != 1 or dw in kept:
            continue
        (p, _, *rest), (dy, x) = call.inputs, source.inputs
        if any(_memory(node, producer) in written for node in (dy, x)):
            continue  # it would be read later than now, after an update perhaps
        absent: list[Node | None] = [None] * (len(call.primitive.rules) - len(call.inputs))
        inputs = (p, dy, *rest, *absent, x)
        replaced[call] = Call(call.primitive, inputs, call.attrs, (), {"gradient": source.name}, call.scope)
        replaced[source] = None
    return [new for call in calls if (new := replaced.get(call, call)) is not None]


def _memory(node: Node | None, producer: dict[Node, Call]) -> Node | None:
    """Return the node whose memory a view shows, else the node itself."""
    while node is not None and node in producer and producer[node].primitive.alias(producer[node]):
        node = producer[node].inputs[0]
    return node


RULES: tuple[Rule, ...] = (
    batch_norm_into_weights,
    add_into_epilogue,
    sum_into_batch_norm,
    relu_into_epilogue,
    relu_bwd_into_batch_norm_bwd,
    silu_into_batch_norm,
    gate_into_norm,
    norm_into_depthwise,
    silu_into_epilogue,
    sum_into_bwd_data,
    relu_bwd_into_bwd_data,
    gradient_into_update,
)


def fuse(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Apply every rule in order; ``kept`` are nodes read from outside (outputs of the plan)."""
    result = list(calls)
    for rule in RULES:
        result = rule(result, kept)
    return result
