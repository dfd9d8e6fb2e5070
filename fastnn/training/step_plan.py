"""What a training step is made of: its settings, and the plan of forward, loss, backward and update."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph.differentiate import differentiate
from ..graph.execute import hook_nodes
from ..graph.node import Node, apply
from ..graph.optimize import record_update
from ..graph.plan import Phase, Plan, make_plan
from ..graph.prepare import flatten, unflatten
from ..graph.runtime import runtime_of
from ..graph.spec import Spec
from ..graph.trace import Trace

if TYPE_CHECKING:
    from .step import TrainStep

__all__ = ["StepPlan", "StepSettings", "owner_of"]


class StepSettings:
    """What a training step does beside forward, backward and update."""

    def __init__(
        self,
        clip_norm: float | None,
        clip_value: float | None,
        penalties: Any,
        accumulate: int,
        keep_grads: bool,
        recompute: bool,
    ) -> None:
        for name, value in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if value is not None and not (isinstance(value, numbers.Real) and value > 0):
                raise ValueError(f"TrainStep: expected {name} > 0 or None, got {value!r}")
        if isinstance(accumulate, bool) or not isinstance(accumulate, int) or accumulate < 1:
            raise ValueError(f"TrainStep: expected accumulate to be an int >= 1, got {accumulate!r}")
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.penalties: Sequence[Any] = (penalties,) if callable(penalties) else tuple(penalties)
        self.accumulate, self.keep_grads, self.recompute = accumulate, keep_grads, bool(recompute)


def owner_of(array: np.ndarray) -> int:
    """Return the id of the array that owns the memory of this one."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array)


class StepPlan:
    """One traced training step for inputs of given specs; ``update`` is False while gradients accumulate."""

    def __init__(self, owner: TrainStep, structure: Any, specs: Sequence[Spec], update: bool) -> None:
        # The key of a plan names these by id: they must live as long as the plan.
        self.keeps = (owner.loss, owner.optimizer, list(owner.optimizer.param_groups))
        self.trace = trace = Trace()
        settings = owner.settings
        trace.module_names = {id(m): name for name, m in owner.model.named_modules()}
        with trace.recording():
            x, y = unflatten(structure, [trace.add_input(s) for s in specs])
            output = owner.model(*x) if isinstance(x, tuple) else owner.model(x)
            with trace.scope(type(owner.loss).__name__ if hasattr(owner.loss, "forward") else "loss"):
                self.loss = owner.loss(output, *y) if isinstance(y, tuple) else owner.loss(output, y)
            for penalty in settings.penalties:
                with trace.scope(type(penalty).__name__):
                    self.loss = self.loss + penalty()
            if not isinstance(self.loss, Node) or self.loss.shape != ():
                raise ValueError(f"TrainStep: expected a loss of one number, got {self.loss!r}")
            self.forward_calls = list(trace.calls)
            forward_effects = list(trace.effects)
            stop = apply("check_finite", self.loss)
            one = trace.array(np.ones((), np.float32))
        leaves: list[Any] = []
        self.structure = flatten(output, lambda v: isinstance(v, Node), leaves)
        self.outputs: list[Node] = leaves
        self.parameters, self.grads = self._differentiate(owner, one)
        self.updated = {owner_of(p.data) for p in self.parameters}
        with trace.recording(), trace.scope(type(owner.optimizer).__name__):
            self._update(owner, update)
        updates = trace.effects[len(forward_effects) :]
        self.hook_nodes = hook_nodes(trace)
        kept = [self.loss, *self.outputs, *self.hook_nodes, *(self.grads if owner.fetches_grads and update else [])]
        self.plan: Plan = make_plan(
            [Phase(list(trace.calls) + updates + forward_effects, kept, stop, recompute=settings.recompute)],
            runtime_of(owner.model).arena,
        )

    def _differentiate(self, owner: TrainStep, one: Node) -> tuple[list[Any], list[Node]]:
        trace = self.trace
        nodes = {id(n.source[1]): n for n in trace.sources.values() if n.source and n.source[0] == "parameter"}
        used = [p for g in owner.optimizer.param_groups for p in g["params"] if p.requires_grad and id(p) in nodes]
        grads = differentiate(trace, [(self.loss, one)], [nodes[id(p)] for p in used])
        pairs = [(p, g) for p, g in zip(used, grads, strict=True) if g is not None]
        if not pairs:
            raise ValueError("TrainStep: no parameter of the optimizer has a gradient in this model and loss")
        return [p for p, _ in pairs], [g for _, g in pairs]

    def _update(self, owner: TrainStep, update: bool) -> None:
        """Record what happens to the gradients: accumulate, clip, keep, update."""
        settings, trace = owner.settings, self.trace
        if settings.accumulate > 1:
            self.grads = [self._accumulated(owner, p, g) for p, g in zip(self.parameters, self.grads, strict=True)]
            if not update:
                return
        if settings.clip_value is not None:
            v = float(settings.clip_value)
            self.grads = [apply("clamp", g, min=-v, max=v) for g in self.grads]
        if settings.clip_norm is not None:
            squares = [apply("sum_squares", g) for g in self.grads]
            coef, _ = apply("clip_coef", *squares, max_norm=float(settings.clip_norm))
            self.grads = [apply("mul", g, coef) for g in self.grads]
        if owner.fetches_grads:
            return
        groups = {id(p): g for g in owner.optimizer.param_groups for p in g["params"]}
        for p, g in zip(self.parameters, self.grads, strict=True):
            with trace.scope(type(owner.optimizer).__name__):
                if settings.keep_grads:
                    apply("accumulate", trace.gradient_of(p), g)
                record_update(trace, owner.optimizer, groups[id(p)], p, g)

    def _accumulated(self, owner: TrainStep, parameter: Any, grad: Node) -> Node:
        """Add the mean's share of this call's gradient to the sum of the calls so far."""
        total = self.trace.array(owner.sum_of(parameter))
        apply("accumulate", total, grad * (1.0 / owner.settings.accumulate))
        return total
