"""Values that the backward computes again rather than keeping them since the forward."""

from __future__ import annotations

from collections.abc import Sequence

from .node import Node
from .primitive import Call

__all__ = ["LEAST", "recompute"]

LEAST = 1 << 20  # bytes of a value worth it
LEAST_SUM = 16 << 20  # the same where a residual is read too
SMALL = 16  # an input so many times smaller than the value may live longer for it

# One pass over their input, which the backward needs anyway.
CHEAP = (
    "batch_norm",
    "relu",
    "leaky_relu",
    "relu6",
    "silu",
    "hardswish",
    "sigmoid",
    "hardsigmoid",
    "mul",
    "dropout",
    "normalize_channels",
)


def recompute(calls: Sequence[Call], stop: Node | None, kept: set[Node]) -> list[Call]:
    """Return the calls with cheap forward values made anew where the backward first reads them.

    The backward is what follows the call that sets ``stop``. A value qualifies if it is large, the backward reads it,
    and all that it is made of is there, unchanged, until then in any case: so its memory is free between its last use
    in the forward and that point, for one more pass. The last layers are looked at first, so that a chain (batch
    norm, then an activation) is made anew as a whole from the one value that is kept.
    """
    border = next((i for i, call in enumerate(calls) if stop in call.outputs), len(calls))
    uses: dict[Node, list[int]] = {}
    for i in range(border + 1, len(calls)):
        for node in calls[i].inputs:
            if node is not None:
                uses.setdefault(node, []).append(i)
    roots, written = _first_writes(calls, border)
    clones: dict[int, list[Call]] = {}
    renamed: dict[Node, Node] = {}
    for call in reversed(calls[:border]):
        y = call.outputs[0] if call.outputs else None
        if y is None or call.name not in CHEAP or y in kept or y not in uses:
            continue
        if y.spec.nbytes < (LEAST_SUM if "residual" in call.fused else LEAST):
            continue
        at = min(uses[y])
        inputs = [node for node in call.inputs if node is not None]
        if not all(_is_there(node, at, uses, y) for node in inputs):
            continue
        if any(written.get(roots.get(node, node), at) < at for node in inputs):
            continue
        clone = Call(call.primitive, call.inputs, call.attrs, (), call.fused, call.scope)
        clone.outputs = (Node(y.trace, y.spec, call=clone, name=y.name),)
        renamed[y] = clone.outputs[0]
        clones.setdefault(at, []).insert(0, clone)
        for node in call.inputs:
            if node is not None:
                uses.setdefault(node, []).append(at)
    result = list(calls[: border + 1])
    for i in range(border + 1, len(calls)):
        result += [clone.renamed(renamed) for clone in clones.get(i, [])]
        result.append(calls[i].renamed(renamed))
    return result


def _first_writes(calls: Sequence[Call], border: int) -> tuple[dict[Node, Node], dict[Node, int]]:
    """Return what each view shows, and where after the border memory that is not the plan's is written first."""
    roots: dict[Node, Node] = {}
    written: dict[Node, int] = {}
    for i, call in enumerate(calls):
        if call.inputs and call.inputs[0] is not None and call.primitive.alias(call):
            roots[call.outputs[0]] = roots.get(call.inputs[0], call.inputs[0])
        if i > border:
            for node in call.mutated:
                written.setdefault(roots.get(node, node), i)
    return roots, written


def _is_there(node: Node, at: int, uses: dict[Node, list[int]], y: Node) -> bool:
    """Whether the memory of an input is in use at position ``at`` anyway, or too small to matter."""
    return node.call is None or node.spec.nbytes * SMALL <= y.spec.nbytes or max(uses.get(node, [-1])) >= at
