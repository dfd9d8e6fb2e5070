"""Reverse-mode differentiation: adds to a trace the calls that compute gradients."""

from __future__ import annotations

from collections.abc import Sequence

from .node import Node, apply
from .trace import Trace

__all__ = ["differentiate"]


def differentiate(trace: Trace, seeds: Sequence[tuple[Node, Node]], wrt: Sequence[Node]) -> list[Node | None]:
    """Append to ``trace`` the gradient of sum(<y, dy>) and return the gradient of each node in ``wrt``.

    Only calls on a path from ``wrt`` to a seed are differentiated, so frozen parameters cost nothing. Gradients that
    meet are added in the reverse order of the calls, which is fixed by the graph.

    Parameters
    ----------
    trace : Trace
    seeds : sequence of (Node, Node)
        Outputs and their gradients, each of its output's shape.
    wrt : sequence of Node
        Sources whose gradients are wanted; None comes back where no gradient flows.
    """
    wanted = set(wrt)
    reached = set(wanted)
    calls = list(trace.calls)
    for call in calls:
        if any(i in reached for i in call.inputs if i is not None):
            reached.update(call.outputs)
    grads: dict[Node, Node] = {}
    with trace.recording():
        for y, dy in seeds:
            if y in reached:
                _collect(grads, y, dy)
        for call in reversed(calls):
            if not any(o in grads for o in call.outputs):
                continue
            needs = tuple(i is not None and i in reached for i in call.inputs)
            if not any(needs):
                continue
            with trace.scope(call.scope or call.name):
                parts = call.primitive.gradient(call, needs, *(grads.get(o) for o in call.outputs))
                if len(parts) != len(call.inputs):
                    raise RuntimeError(f"{call.name}: {len(parts)} gradients for {len(call.inputs)} inputs")
                for node, part, need in zip(call.inputs, parts, needs, strict=True):
                    if need and node is not None and part is not None:
                        _collect(grads, node, part)
            for output in call.outputs:
                if output not in wanted:
                    grads.pop(output, None)
    return [grads.get(node) for node in wrt]


def _collect(grads: dict[Node, Node], node: Node, grad: Node) -> None:
    """Add ``grad`` to what has already come for ``node``, in the node's own layout."""
    if grad.shape != node.shape:
        raise RuntimeError(f"gradient of shape {grad.shape} for a value of shape {node.shape}")
    if grad.spec.layout != node.spec.layout:
        grad = apply("relayout", grad, layout=node.spec.layout)
    grads[node] = apply("add", grads[node], grad) if node in grads else grad
