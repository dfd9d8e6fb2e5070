"""TrainStep: forward, loss, backward and update as one plan, one call a step."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from ..graph.execute import call_hooks
from ..graph.plan import Phase, Plan, make_plan
from ..graph.prepare import flatten, is_array, prepare_all, unflatten
from ..graph.report import PlanReport
from ..graph.runtime import Runtime, epoch, runtime_of, seed_plan
from .feeding import split_batch
from .interrupt import InterruptGuard
from .step_plan import StepPlan, StepSettings, owner_of
from .step_shortcut import StepShortcut

__all__ = ["NonFiniteLossError", "TrainStep"]

SHORTCUTS_KEPT = 16  # of one step: batches of other sizes


class NonFiniteLossError(FloatingPointError):
    """The loss of a step is NaN or infinite; nothing was updated. ``layer`` names the first bad output's module."""

    def __init__(self, loss: float, layer: str) -> None:
        self.loss, self.layer = loss, layer
        super().__init__(f"the loss is {loss}: the first non-finite output is of {layer}; nothing was updated")


_numbers = itertools.count()


def _expect_parts(model: Any, loss: Any, optimizer: Any) -> None:
    """Refuse what cannot be a model, a loss or an optimizer; a class given for an instance is the usual slip."""
    for name, value, fits, wanted in (
        ("model", model, callable(model) and hasattr(model, "named_modules"), "a Module"),
        ("loss", loss, callable(loss), "a loss module or a function of nodes"),
        ("optimizer", optimizer, hasattr(optimizer, "param_groups"), "an Optimizer"),
    ):
        if not fits or isinstance(value, type):
            got = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
            raise TypeError(f"TrainStep: expected {name} to be {wanted}, got {got}")


class TrainStep:
    r"""One training step as one call: forward, loss, backward, clipping and the optimizer's update.

    Parameters
    ----------
    model : Module
    loss : callable
        ``loss(output, target)`` over nodes: a loss module or a function.
    optimizer : Optimizer
        Its parameters that require gradients are updated. One without a C kernel gets gradients in ``p.grad`` and its
        own ``step()``.
    clip_norm, clip_value : float or None
        Bound on the norm of all gradients together, and on each element, before the update.
    penalties : sequence of callable
        Regularizers, e.g. `fastnn.optim.L2`; part of the loss that is returned.
    accumulate : int
        Calls whose gradients are averaged before one update.
    keep_grads : bool
        Leave the step's gradients in ``p.grad`` (otherwise it is not touched).
    recompute : bool
        Let the backward compute outputs of batch norm, activations and dropout again, where they are of 1 MB or more,
        instead of keeping them: the same numbers from about half the memory, for a few per cent of the time.

    Raises
    ------
    NonFiniteLossError
        By a call whose loss is NaN or infinite; weights, optimizer state and running statistics are as before it.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> _ = fn.manual_seed(0)
    >>> model = fn.nn.Linear(2, 1)
    >>> step = fn.TrainStep(model, fn.nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    >>> x = np.random.default_rng(0).normal(size=(64, 2))
    >>> losses = [step(x, x[:, :1]) for _ in range(50)]
    >>> losses[-1] < 0.01 * losses[0]
    True
    """

    def __init__(
        self,
        model: Any,
        loss: Any,
        optimizer: Any,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalties: Any = (),
        accumulate: int = 1,
        keep_grads: bool = False,
        recompute: bool = True,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.settings = StepSettings(clip_norm, clip_value, penalties, accumulate, keep_grads, recompute)
        _expect_parts(model, loss, optimizer)
        self._number = next(_numbers)
        self._calls = 0
        self._sums: dict[int, np.ndarray] = {}
        self._last: tuple[StepPlan, object] | None = None
        self._shortcuts: dict[tuple[Any, bool], StepShortcut] = {}
        self._output: Any = None

    @property
    def fetches_grads(self) -> bool:
        """Whether gradients leave the plan for an optimizer written in Python."""
        return not self.optimizer.fused

    def __repr__(self) -> str:
        parts = (self.model, self.loss, self.optimizer)
        names = ", ".join(getattr(part, "__name__", type(part).__name__) for part in parts)
        return f"TrainStep({names}, accumulate={self.settings.accumulate})"

    def sum_of(self, parameter: Any) -> np.ndarray:
        """Return the array in which a parameter's gradients accumulate between updates."""
        return self._sums.setdefault(id(parameter), np.zeros(parameter.data.shape, np.float32))

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept between calls while gradients accumulate, as plain data and arrays."""
        params = [p for group in self.optimizer.param_groups for p in group["params"]]
        sums = {i: self._sums[id(p)].copy() for i, p in enumerate(params) if id(p) in self._sums}
        return {"calls": self._calls, "sums": sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        params = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._calls = int(state["calls"])
        for total in self._sums.values():
            total[...] = 0.0
        for i, value in state["sums"].items():
            self.sum_of(params[int(i)])[...] = value

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts without plans; what accumulates is named by position, for its parameters are others.
        fresh: dict[str, Any] = {"_last": None, "_output": None, "_sums": {}, "_shortcuts": {}}
        return {"attributes": self.__dict__ | fresh, "accumulated": self.state_dict()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        self._number = next(_numbers)
        self.load_state_dict(state["accumulated"])

    def __call__(self, x: Any, y: Any) -> float:
        """Run one step on a batch and return its loss.

        Parameters
        ----------
        x : array_like or tuple of array_like
            The model's input(s).
        y : array_like or tuple of array_like
            The target(s), given to the loss after the output.

        Returns
        -------
        float
            The loss before the update, penalties included.
        """
        update = (self._calls + 1) % self.settings.accumulate == 0
        hooked = None
        runtime = runtime_of(self.model)
        with runtime.arena.lock:
            shortcut = self._shortcuts.get((x.shape, update)) if type(x) is np.ndarray else None
            if shortcut is not None and shortcut.serves(self, x, y):
                loss = self._run_shortcut(shortcut, runtime, x, y)
            else:
                loss, hooked = self._run(runtime, x, y, update)
            if update and self.settings.accumulate > 1:
                for total in self._sums.values():
                    total[...] = 0.0
        self._calls += 1
        if hooked is not None:
            call_hooks(*hooked)
        return loss

    def _run_shortcut(self, shortcut: StepShortcut, runtime: Runtime, x: np.ndarray, y: np.ndarray) -> float:
        shortcut.check(x, y)
        self._output, self._last = None, None
        loss, done = shortcut.run(runtime)
        if not done:
            raise NonFiniteLossError(loss, self._first_bad(shortcut.plan, {0: x, 1: y}))
        self._last = shortcut.last
        return loss

    def _run(self, runtime: Runtime, x: Any, y: Any, update: bool) -> tuple[float, tuple[Any, Any] | None]:
        """Run a step of any kind; return its loss, and the trace and values that forward hooks want."""
        structure_at = epoch()
        plan, arrays = self._plan(x, y, update)
        plan.trace.check_values(arrays)
        self._output = None
        self.optimizer.refresh()
        if self.settings.keep_grads and update:
            for p in plan.parameters:
                p.grad = np.zeros(p.data.shape, np.float32)
        seed_plan(plan.plan)
        self._last = (plan, token := object())
        runtime.last, runtime.arena.owner = None, token
        done = plan.plan.run(0, arrays)
        loss = float(plan.plan.fetch(plan.loss))
        if not done:
            self._last = None
            raise NonFiniteLossError(loss, self._first_bad(plan, arrays))
        hooked = {node: plan.plan.fetch(node) for node in plan.hook_nodes}
        if update and self.fetches_grads:
            self._update_in_python(plan)
        self._remember(plan, x, y, update, structure_at)
        return loss, (plan.trace, hooked) if hooked else None

    def _remember(self, plan: StepPlan, x: Any, y: Any, update: bool, structure_at: int) -> None:
        """Keep a shortcut for the next call like this one."""
        made = StepShortcut.make(self, plan, x, y, structure_at)
        if made is None:
            return
        if len(self._shortcuts) >= SHORTCUTS_KEPT or any(s.made_at != structure_at for s in self._shortcuts.values()):
            self._shortcuts.clear()  # of another structure or too many: plans must not live for their sake
        self._shortcuts[x.shape, update] = made

    def run(
        self, loader: Iterable[Any], n: int | None = None, *, on_step: Callable[[float, Any, Any], Any] | None = None
    ) -> list[float]:
        """Make many steps: one for each batch of a loader, at most ``n``; return their losses.

        Batches may differ in size: each size has its plan. What the loader, a step (`NonFiniteLossError` among it) or
        ``on_step`` raises ends the run; the steps before it have been made. Ctrl-C ends it after the step under way,
        with KeyboardInterrupt; a second one raises at once.

        Parameters
        ----------
        loader : iterable
            Of batches ``(x, y)``, as `fastnn.data.DataLoader` gives them; of a longer tuple the last is the target, a
            lone array is its own. An iterator is left where the run ended, with no batch taken in vain; anything else
            is begun anew, and its iterator closed at the end.
        n : int, optional
            The most steps to make; by default as many as there are batches.
        on_step : callable, optional
            Called as ``on_step(loss, x, y)`` after each step; the run ends where it returns something true.

        Returns
        -------
        list of float
            The loss of each step before its update, penalties included.

        Examples
        --------
        >>> import numpy as np, fastnn as fn
        >>> model = fn.nn.Linear(2, 1)
        >>> step = fn.TrainStep(model, fn.nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
        >>> x = np.ones((10, 2), np.float32)
        >>> loader = fn.data.DataLoader((x, x[:, :1]), batch_size=4)
        >>> len(step.run(loader)), len(step.run(loader, 2))
        (3, 2)
        """
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 0):
            raise ValueError(f"TrainStep.run: expected n to be an int >= 0 or None, got {n!r}")
        if not hasattr(loader, "__iter__"):
            raise TypeError(f"TrainStep.run: expected a loader or another iterable, got {type(loader).__name__}")
        losses: list[float] = []
        with contextlib.ExitStack() as stack:
            guard = stack.enter_context(InterruptGuard())
            batches = iter(loader)
            if batches is not loader and hasattr(batches, "close"):
                stack.callback(batches.close)
            for batch in itertools.islice(batches, n):
                x, y = split_batch(batch)
                losses.append(loss := self(x, y))
                if (on_step is not None and on_step(loss, x, y)) or guard.requested:
                    break
        if guard.requested:
            raise KeyboardInterrupt
        return losses

    def plan_of(self, x: Any, y: Any) -> Plan:
        """Return the plan that a call with these would run."""
        with runtime_of(self.model).arena.lock:
            plan, _ = self._plan(x, y, (self._calls + 1) % self.settings.accumulate == 0)
        return plan.plan

    def plan(self, x: Any, y: Any) -> PlanReport:
        """Return the plan of a call with these, printable: its operations, its arena and what fills it.

        Examples
        --------
        >>> import numpy as np, fastnn as fn
        >>> model = fn.nn.Linear(4, 2)
        >>> step = fn.TrainStep(model, fn.nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
        >>> "sgd_step" in str(step.plan(np.ones((8, 4)), np.ones((8, 2))))
        True
        """
        return PlanReport(self.plan_of(x, y), {id(p): name for name, p in self.model.named_parameters()})

    def _plan(self, x: Any, y: Any, update: bool) -> tuple[StepPlan, dict[int, np.ndarray]]:
        runtime = runtime_of(self.model)
        leaves: list[Any] = []
        structure = flatten((x, y), lambda v: is_array(v) or isinstance(v, list), leaves)
        prepared = prepare_all("TrainStep", leaves)
        specs = tuple(s for _, s in prepared)
        loss_signature = self._loss_signature()
        key = (
            "step",
            self._number,
            structure,
            specs,
            update,
            runtime.signature(self.model),
            loss_signature,
            id(self.optimizer),
            self.optimizer.signature(),
        )
        plan = runtime.plans.get(key, lambda: StepPlan(self, structure, specs, update))
        # A parameter given as input is updated before the backward has read it for the last time.
        return plan, {i: a.copy("K") if owner_of(a) in plan.updated else a for i, (a, _) in enumerate(prepared)}

    def _loss_signature(self) -> Any:
        return runtime_of(self.loss).signature(self.loss) if hasattr(self.loss, "modules") else id(self.loss)

    def _update_in_python(self, plan: StepPlan) -> None:
        """Let an optimizer without a C kernel make its step."""
        for p, g in zip(plan.parameters, plan.grads, strict=True):
            p.grad = plan.plan.fetch(g)
        self.optimizer.step()
        if not self.settings.keep_grads:
            for p in plan.parameters:
                p.grad = None

    @property
    def output(self) -> Any:
        """The model's output in the last call, as fresh arrays; RuntimeError once the model ran again."""
        if self._output is None:
            runtime = runtime_of(self.model)
            with runtime.arena.lock:
                if self._last is None or runtime.arena.owner is not self._last[1]:
                    raise RuntimeError("TrainStep.output: there was no call yet, or the model has run since")
                plan = self._last[0]
                self._output = unflatten(plan.structure, [plan.plan.fetch(o) for o in plan.outputs])
        return self._output

    def _first_bad(self, plan: StepPlan, arrays: dict[int, np.ndarray]) -> str:
        """Run the forward again, unfused, with the same random numbers; name the first non-finite output's module."""
        for i, array in arrays.items():
            if array.dtype == np.float32 and not np.isfinite(array).all():
                return f"the input number {i}"
        calls = plan.forward_calls
        nodes = [o for c in calls for o in c.outputs if o.dtype == "float32"]
        check = make_plan([Phase(list(calls), nodes)], runtime_of(self.model).arena)
        check.rng[:] = plan.plan.rng
        check.run(0, arrays)
        for call in calls:
            for node in call.outputs:
                if node.dtype == "float32" and not np.isfinite(check.fetch(node)).all():
                    return f"{call.scope or 'the model'} ({call.name})"
        return "the loss"
