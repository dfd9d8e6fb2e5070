"""Checkpoints: segments of a model whose inner values the backward makes again instead of keeping them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from .node import Node
from .primitive import Call
from .trace import current_trace

__all__ = ["checkpoint", "replay"]

SMALL = 16  # an output so many times smaller than what it is made of is kept: statistics cost a pass to make


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """Compute a segment whose inner values are not kept for the backward, which makes them again.

    The numbers are the same to the bit: dropout gives the same mask, running statistics are updated once. What is
    kept of the segment are its inputs, its outputs and its statistics. It costs about one more forward pass of the
    segment, and saves the memory of what is inside it.

    Parameters
    ----------
    function : Module or callable
        The segment. A module alone, without ``args``, is marked: all its later calls are checkpoints.
    *args, **kwargs
        What it is called with, within some ``forward``.
    use_reentrant : bool, optional
        PyTorch's, taken and ignored.

    Returns
    -------
    object
        What ``function`` returns; or the module that was marked.

    Raises
    ------
    TypeError
        For something that cannot be called.

    References
    ----------
    Chen et al., "Training deep nets with sublinear memory cost", 2016.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> layers = [fn.nn.Sequential(fn.nn.Linear(8, 8), fn.nn.Tanh()) for _ in range(4)]
    >>> model = fn.nn.Sequential(*(fn.checkpoint(layer) for layer in layers))
    >>> model(np.ones((2, 8), np.float32)).shape
    (2, 8)
    """
    if not callable(function) or isinstance(function, type):
        got = f"the class {function.__name__}" if isinstance(function, type) else type(function).__name__
        raise TypeError(f"checkpoint: expected a module or a function, got {got}")
    if not args and not kwargs and hasattr(function, "named_modules"):
        return _marked(function)
    trace = current_trace()
    if trace is None:
        return function(*args, **kwargs)
    with trace.checkpointed():
        return function(*args, **kwargs)


def _marked(module: Any) -> Any:
    if not isinstance(module.__dict__.get("forward"), functools.partial):
        module.forward = functools.partial(checkpoint, module.forward)
    return module


def replay(before: Sequence[Call], after: Sequence[Call], kept: set[Node]) -> list[Call]:
    """Return the calls of ``after``, the backward, reading values of checkpoints that it makes anew.

    The values of a segment are made at its first read, all together. What other parts of the forward read, what is
    small, and what Python computes stays as it was made.
    """
    members: dict[int, list[Call]] = {}
    for call in before:
        numbers = {call.outputs[0].trace.segments.get(o) for o in call.outputs} if call.outputs else {None}
        (number, *others) = numbers
        if number is not None and not others and not call.primitive.host and not call.primitive.mutates:
            members.setdefault(number, []).append(call)
    result = list(after)
    for number in sorted(members, reverse=True):
        result = _replay_segment(members[number], before, result, kept)
    return result


def _replay_segment(segment: list[Call], before: Sequence[Call], after: list[Call], kept: set[Node]) -> list[Call]:
    inside = {id(call) for call in segment}
    stays = kept | {node for call in before if id(call) not in inside for node in call.inputs if node is not None}
    maker = {o: call for call in segment for o in call.outputs if o not in stays and not _is_small(o, call)}
    reads = [i for i, call in enumerate(after) if any(node in maker for node in call.inputs)]
    if not reads:
        return after
    wanted = [node for i in reads for node in after[i].inputs if node in maker]
    again: set[int] = set()
    while wanted:
        call = maker[wanted.pop()]
        if id(call) not in again:
            again.add(id(call))
            wanted.extend(node for node in call.inputs if node in maker)
    renamed: dict[Node, Node] = {}
    made = [_again(call, maker, renamed) for call in segment if id(call) in again]
    first = reads[0]
    return [*after[:first], *made, *(call.renamed(renamed) for call in after[first:])]


def _is_small(output: Node, call: Call) -> bool:
    size = max((node.spec.nbytes for node in call.inputs if node is not None and node.call is not None), default=0)
    return not call.primitive.alias(call) and output.spec.nbytes * SMALL <= size


def _again(call: Call, maker: dict[Node, Call], renamed: dict[Node, Node]) -> Call:
    """Return the call once more, on values that were made again before it."""
    inputs = tuple(node if node is None else renamed.get(node, node) for node in call.inputs)
    clone = Call(call.primitive, inputs, call.attrs, (), call.fused, call.scope)
    clone.outputs = tuple(Node(o.trace, o.spec, call=clone, index=o.index, name=o.name) for o in call.outputs)
    renamed.update((old, new) for old, new in zip(call.outputs, clone.outputs, strict=True) if old in maker)
    return clone
