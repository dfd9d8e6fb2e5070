"""Fusion into the linear map before: batch norm of given statistics into its weights, a sum into its epilogue."""

from __future__ import annotations

from collections.abc import Sequence

from ... import _backend
from ..node import Node
from ..primitive import Call, find
from .match import Uses

__all__ = ["add_into_epilogue", "batch_norm_into_weights", "silu_into_epilogue"]

LINEAR = ("linear", "conv2d")  # their lower() takes a residual, and their epilogue adds it before the activation


def batch_norm_into_weights(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Scale the weights before a convolution or linear layer instead of its output after it.

    For batch norm of running statistics, where the weights are fewer than the outputs and nobody else reads what is
    between the two. The weights are scaled in each run: a copy that lasts would go stale when they are written in
    place, and this costs less than reading the output again. Sums round differently: not in precision "exact", where
    a layer inside a network gives the bits of the layer alone.
    """
    if _backend.get_precision() == "exact":
        return list(calls)
    uses = Uses(calls, kept)
    replaced: dict[Call, list[Call]] = {}
    for norm in calls:
        x = norm.inputs[0] if norm.name == "batch_norm" and not norm.fused else None
        source = None if x is None else uses.maker.get(x)
        if source is None or not uses.read_once(x) or not _folds(source, norm):
            continue
        if [call.name for call in uses.readers.get(norm.outputs[0], [])] == ["silu"] and not _ends_in_silu(source):
            continue  # batch norm's own pass does both
        inner, w, offset, *rest = source.inputs
        fold = _new_call("batch_norm_fold", (w, *norm.inputs[1:], offset), norm)
        inputs = (inner, *fold.outputs, *rest)
        fused = {"norm": "batch_norm"}
        replaced[source] = [fold, Call(source.primitive, inputs, source.attrs, norm.outputs, fused, source.scope)]
        replaced[norm] = []
    return [new for call in calls for new in replaced.get(call, [call])]


def _folds(source: Call, norm: Call) -> bool:
    """Tell whether batch norm can become part of this call, and is cheaper there."""
    if source.name not in LINEAR or source.fused:
        return False
    x, w = norm.inputs[0], source.inputs[1]
    if x is None or w is None:
        return False
    if any(node is not None and node.call is not None for node in norm.inputs[1:]):
        return False
    known = x.ndim == 4 or (source.name == "linear" and x.ndim == 2)
    return known and 0 < w.spec.size <= x.spec.size


def silu_into_epilogue(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let a convolution that can end in SiLU do so, where that alone reads its output: the same bits."""
    uses = Uses(calls, kept)
    replaced: dict[Call, list[Call]] = {}
    for call in calls:
        x = call.inputs[0] if call.name == "silu" else None
        source = None if x is None else uses.maker.get(x)
        if source is None or not uses.read_once(x):
            continue
        if not _ends_in_silu(source) or "activation" in source.fused:
            continue
        fused = {**source.fused, "activation": "silu"}
        replaced[source] = [Call(source.primitive, source.inputs, source.attrs, call.outputs, fused, source.scope)]
        replaced[call] = []
    return [new for call in calls for new in replaced.get(call, [call])]


def _ends_in_silu(source: Call) -> bool:
    """Tell whether the algorithms that are fast for this convolution can end in SiLU (src/ops/conv2d/conv2d.c)."""
    x, w = source.inputs[:2] if source.name == "conv2d" else (None, None)
    if x is None or w is None or source.attrs["algorithm"] != "auto":
        return False
    oc, _, *kernel = w.shape
    if source.attrs["groups"] == 1:
        return kernel == [1, 1]
    depthwise = source.attrs["groups"] == oc == x.shape[1]
    narrow = source.attrs["stride"] in ((1, 1), (2, 2)) and source.attrs["dilation"] == (1, 1)
    return depthwise and narrow and kernel in ([3, 3], [5, 5])


def add_into_epilogue(calls: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Let convolution or linear layer add what is ready by then to its output, where the sum alone reads that.

    Bias, sum and activation are applied in this order, each rounded: the bits stay.
    """
    uses = Uses(calls, kept)
    place = {o: i for i, call in enumerate(calls) for o in call.outputs}
    replaced: dict[Call, list[Call]] = {}
    for call in calls:
        a, b = call.inputs if call.name == "add" else (None, None)
        if a is None or b is None or not a.spec == b.spec == call.outputs[0].spec:
            continue
        for x, other in ((a, b), (b, a)):
            source = calls[place[x]] if x in place else None
            if source is None or source.name not in LINEAR or "activation" in source.fused or source in replaced:
                continue
            if uses.read_once(x) and len(source.inputs) == 3 and place.get(other, -1) < place[x]:
                fused = {**source.fused, "residual": "add"}
                inputs = (*source.inputs, other)
                replaced[source] = [Call(source.primitive, inputs, source.attrs, call.outputs, fused, source.scope)]
                replaced[call] = []
                break
    return [new for call in calls for new in replaced.get(call, [call])]


def _new_call(name: str, inputs: tuple[Node | None, ...], origin: Call) -> Call:
    """Return a call that fusion makes, with its outputs, in the place of another of the same attributes."""
    primitive = find(name)
    call = Call(primitive, inputs, origin.attrs, scope=origin.scope)
    specs = primitive.infer(*(None if node is None else node.spec for node in inputs), **origin.attrs)
    trace = origin.outputs[0].trace
    many = specs if isinstance(specs, tuple) else (specs,)
    call.outputs = tuple(Node(trace, spec, call=call, index=i) for i, spec in enumerate(many))
    return call
