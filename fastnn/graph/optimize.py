"""Optimizer steps as programs: one fused pass over each parameter, all in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .node import apply
from .plan import Phase, Plan, make_plan
from .runtime import Runtime
from .trace import Trace

__all__ = ["optimizer_program", "record_update"]


def record_update(trace: Trace, optimizer: Any, group: Any, parameter: Any, grad: Any) -> None:
    """Record the effect that updates one parameter from a gradient node."""
    state = optimizer.state_of(parameter)
    names = optimizer.state_names(group)
    arrays = [None if name is None else trace.array(state[name]) for name in names]
    apply(
        optimizer.primitive,
        trace.parameter(parameter),
        grad,
        trace.array(state["step"]),
        trace.array(optimizer.hyper(group)),
        *arrays,
        **optimizer.attrs(group),
    )


def optimizer_program(optimizer: Any) -> Callable[[], None]:
    """Return a function that updates every parameter that has a gradient, in one call without the GIL."""
    runtime = Runtime()

    def build(chosen: list[tuple[Any, Any]]) -> Plan:
        trace = Trace()
        with trace.recording():
            for group, p in chosen:
                record_update(trace, optimizer, group, p, trace.gradient_of(p))
        return make_plan([Phase(list(trace.calls) + list(trace.effects), [])], runtime.arena)

    def run() -> None:
        chosen = [(g, p) for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
        if not chosen:
            return
        key = tuple(
            (id(p), id(g), optimizer.state_names(g), tuple(sorted(optimizer.attrs(g).items()))) for g, p in chosen
        )
        # The key names parameters and groups by id: they live as long as the plan.
        _, plan = runtime.plans.get(key, lambda: (chosen, build(chosen)))
        optimizer.refresh()
        plan.run(0, {})

    return run
