"""Steps made again: a call of a `TrainStep` like the one before goes straight to the program."""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _backend
from ..graph.plan import CompiledPlan
from ..graph.runtime import Runtime, epoch, seed_plan
from ..graph.shortcut import as_planned
from .step_plan import StepPlan, owner_of

if TYPE_CHECKING:
    from .step import TrainStep

__all__ = ["StepShortcut"]

_CONSTANT = (int, float, bool, str, type(None))


class _OptimizerWatch:
    """Tells quickly whether an optimizer still is what its signature said."""

    def __init__(self, optimizer: Any, parameters: list[Any]) -> None:
        self.optimizer, self.signature = optimizer, optimizer.signature()
        self.groups = list(optimizer.param_groups)
        self.members = [list(group["params"]) for group in self.groups]
        self.options = [dict(group) for group in self.groups]
        self.parameters = parameters
        self.states = [optimizer.state.get(p) for p in parameters]

    def can_watch(self) -> bool:
        """Tell whether a changed option shows: one that is changed in place would not."""
        values = [v for group in self.options for name, v in group.items() if name not in ("params", "param_names")]
        parts = [part for v in values for part in (v if type(v) is tuple else (v,))]
        return all(type(part) in _CONSTANT for part in parts)

    def unchanged(self) -> bool:
        """Tell whether groups, members, options and the identity of all states are as they were."""
        optimizer = self.optimizer
        groups = optimizer.param_groups
        if len(groups) != len(self.groups) or not all(map(is_, groups, self.groups)):
            return False
        if [group["params"] for group in groups] != self.members:
            return False
        if not all(map(is_, map(optimizer.state.get, self.parameters), self.states)):
            return False
        if groups != self.options:
            if optimizer.signature() != self.signature:  # more than numbers that are read at each run
                return False
            self.options = [dict(group) for group in groups]
            return self.can_watch()
        return True


class StepShortcut:
    """The plan of one call, for calls with arrays of the same shapes, dtypes and strides under the same settings.

    Whatever the key of a plan names is compared: the model's and the loss's structure by the count of all structural
    changes, the optimizer by `_OptimizerWatch`, the arrays in C.
    """

    def __init__(self, step: TrainStep, plan: StepPlan, shortcut: Any, made_at: int) -> None:
        self.plan, self.shortcut, self.made_at = plan, shortcut, made_at
        compiled = plan.plan
        assert isinstance(compiled, CompiledPlan)
        self.compiled = compiled
        self.loss_slot = compiled.slot_of(plan.loss)
        self.parts = (step.model, step.loss, step.optimizer)
        self.precision = _backend.state.precision
        self.watch = _OptimizerWatch(step.optimizer, plan.parameters)
        self.last = (plan, object())

    @classmethod
    def make(cls, step: TrainStep, plan: StepPlan, x: Any, y: Any, made_at: int) -> StepShortcut | None:
        """Return a shortcut for calls like this one, or None where Python has a part in it."""
        compiled, inputs = plan.plan, plan.trace.inputs
        if not isinstance(compiled, CompiledPlan) or type(x) is not np.ndarray or type(y) is not np.ndarray:
            return None
        if step.fetches_grads or step.settings.keep_grads or plan.hook_nodes or len(inputs) != 2:
            return None
        if not compiled.is_one_program() or not compiled.reads_late(("input",)) or compiled.returns_inputs():
            return None
        if compiled.slot_of(plan.loss) < 0 or not as_planned(x, inputs[0].spec) or not as_planned(y, inputs[1].spec):
            return None
        slots = [compiled.slot_of(node) for node in inputs]
        try:
            shortcut = _backend.core().Shortcut(compiled.program, compiled, (x, y), {}, slots, [], _nothing, np.ndarray)
        except ValueError:
            return None
        made = cls(step, plan, shortcut, made_at)
        return made if made.watch.can_watch() else None

    def serves(self, step: TrainStep, x: Any, y: Any) -> bool:
        """Tell whether a call may go this way; if so, the program points at the arrays."""
        model, loss, optimizer = self.parts
        state = _backend.state
        return (
            self.made_at == epoch()
            and step.loss is loss
            and step.optimizer is optimizer
            and step.model is model
            and state.precision == self.precision
            and state.core is not None
            and self.watch.unchanged()
            and self.shortcut.takes((x, y), {})
            and self._outside(x)
            and self._outside(y)
        )

    def _outside(self, array: np.ndarray) -> bool:
        """Tell whether an input is no memory that the step updates."""
        return (id(array) if array.base is None else owner_of(array)) not in self.plan.updated

    def check(self, x: np.ndarray, y: np.ndarray) -> None:
        """Refuse values that are out of range."""
        for index, check in self.plan.trace.checks:
            check(y if index else x)

    def run(self, runtime: Runtime) -> tuple[float, bool]:
        """Run the step; return its loss, and whether it came to its end."""
        self.parts[2].refresh()
        seed_plan(self.compiled)
        runtime.last, runtime.arena.owner = None, self.last[1]
        self.shortcut.run(_backend.state.threads, self.compiled.seconds)
        return self.compiled.program.number(self.loss_slot), self.shortcut.finished


def _nothing(made: list[Any]) -> None:
    """Give nothing back: what a step computes stays in the arena."""
