"""TrainStep: forward, loss, backward and update as one plan, one call a step."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..graph.differentiate import differentiate
from ..graph.execute import call_hooks, hook_nodes
from ..graph.node import Node, apply
from ..graph.optimize import record_update
from ..graph.plan import Phase, Plan, make_plan
from ..graph.prepare import flatten, is_array, prepare_all, unflatten
from ..graph.runtime import runtime_of, seed_plan
from ..graph.spec import Spec
from ..graph.trace import Trace

__all__ = ["NonFiniteLossError", "TrainStep"]


class NonFiniteLossError(FloatingPointError):
    """The loss of a step is NaN or infinite; nothing was updated. ``layer`` names the first bad output's module."""

    def __init__(self, loss: float, layer: str) -> None:
        self.loss, self.layer = loss, layer
        super().__init__(f"the loss is {loss}: the first non-finite output is of {layer}; nothing was updated")


class _Settings:
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


_numbers = itertools.count()


def _owner(array: np.ndarray) -> int:
    """Return the id of the array that owns the memory of this one."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array)


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


class _StepPlan:
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
        self.updated = {_owner(p.data) for p in self.parameters}
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
        self.settings = _Settings(clip_norm, clip_value, penalties, accumulate, keep_grads, recompute)
        _expect_parts(model, loss, optimizer)
        self._number = next(_numbers)
        self._calls = 0
        self._sums: dict[int, np.ndarray] = {}
        self._last: tuple[_StepPlan, object] | None = None
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
        fresh: dict[str, Any] = {"_last": None, "_output": None, "_sums": {}}
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
        runtime = runtime_of(self.model)
        with runtime.arena.lock:
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
            if update:
                self._finish(plan)
        self._calls += 1
        if hooked:
            call_hooks(plan.trace, hooked)
        return loss

    def plan_of(self, x: Any, y: Any) -> Plan:
        """Return the plan that a call with these would run."""
        with runtime_of(self.model).arena.lock:
            plan, _ = self._plan(x, y, (self._calls + 1) % self.settings.accumulate == 0)
        return plan.plan

    def _plan(self, x: Any, y: Any, update: bool) -> tuple[_StepPlan, dict[int, np.ndarray]]:
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
        plan = runtime.plans.get(key, lambda: _StepPlan(self, structure, specs, update))
        # A parameter given as input is updated before the backward has read it for the last time.
        return plan, {i: a.copy("K") if _owner(a) in plan.updated else a for i, (a, _) in enumerate(prepared)}

    def _loss_signature(self) -> Any:
        return runtime_of(self.loss).signature(self.loss) if hasattr(self.loss, "modules") else id(self.loss)

    def _finish(self, plan: _StepPlan) -> None:
        """Do after the run what no step of the plan does."""
        if self.fetches_grads:
            for p, g in zip(plan.parameters, plan.grads, strict=True):
                p.grad = plan.plan.fetch(g)
            self.optimizer.step()
            if not self.settings.keep_grads:
                for p in plan.parameters:
                    p.grad = None
        for total in self._sums.values():
            total[...] = 0.0

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

    def _first_bad(self, plan: _StepPlan, arrays: dict[int, np.ndarray]) -> str:
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
