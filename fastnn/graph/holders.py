"""What fills an arena: the values that are alive together when it is fullest."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import CompiledPlan
from .primitive import Call
from .spec import Spec

__all__ = ["Holder", "fullest"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A value of a plan that lies in its arena from step ``birth`` to step ``death``."""

    nbytes: int
    module: str
    operation: str
    spec: Spec
    birth: int
    death: int


def fullest(plan: CompiledPlan) -> tuple[int, list[Holder]]:
    """Return the step at which the most bytes of the arena are in use, and what holds them then, the largest first."""
    change = [0] * (len(plan.lowered) + 1)
    for interval in plan.intervals.values():
        change[interval.birth] += interval.nbytes
        change[interval.death + 1] -= interval.nbytes
    used, most, at = 0, -1, 0
    for step, bytes_more in enumerate(change):
        used += bytes_more
        if used > most:
            most, at = used, step
    alive = [(root, i) for root, i in plan.intervals.items() if i.birth <= at <= i.death]
    makers: dict[int, Call] = {id(o): call for call, _ in plan.lowered for o in call.outputs}
    holders = []
    for root, interval in alive:
        call = makers.get(id(root), root.call)  # fusion may have given the value another maker
        assert call is not None
        holders.append(Holder(interval.nbytes, call.scope, call.name, root.spec, interval.birth, interval.death))
    return at, sorted(holders, key=lambda holder: -holder.nbytes)
