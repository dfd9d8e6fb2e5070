"""Modules and functions on arrays: trace, plan, run, and give back what the caller can keep."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from .. import _backend
from .differentiate import differentiate
from .node import Node, apply, as_node
from .plan import Phase, Plan, make_plan
from .prepare import flatten, is_array, prepare_all, real_array, unflatten
from .primitive import find
from .runtime import Runtime, grad_enabled, runtime_of, seed_plan
from .shortcut import recall, remember, shortcut_of
from .spec import Spec, default_layout
from .trace import Trace, current_trace

__all__ = ["ModulePlan", "backward_module", "eager", "execute_module", "run_primitive", "trace_module"]

F = TypeVar("F", bound=Callable[..., Any])


def _leaf(value: Any) -> bool:
    return is_array(value) or (isinstance(value, list) and bool(value) and not _holds_arrays(value))


def _holds_arrays(value: Any) -> bool:
    return any(is_array(v) or isinstance(v, (dict, tuple)) or v is None for v in value)


def to_memory(array: Any, spec: Spec, who: str) -> np.ndarray:
    """Return ``array`` as float32 in the memory order of ``spec``; its shape must be the spec's."""
    value = real_array(array)
    if value.dtype.kind not in "fiub":
        raise TypeError(f"{who}: expected an array of numbers, got dtype {value.dtype}")
    value = value.astype(np.float32, copy=False)
    if value.shape != spec.shape:
        raise ValueError(f"{who}: expected shape {spec.shape}, got {value.shape}")
    if spec.layout == "nhwc":
        return np.ascontiguousarray(value.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return np.asarray(value, order="C")  # np.ascontiguousarray would give a single number an axis


class ModulePlan:
    """A module traced for inputs of given specs: forward, and backward where gradients are kept.

    In eval mode the plan is of the forward alone and keeps nothing, for a backward is rare there: one that comes runs
    the forward again, in the plan of both. Not where a second run is no repetition: with random masks, effects, or
    Python's operations.
    """

    def __init__(self, module: Any, structure: Any, specs: Sequence[Spec], runtime: Runtime, keep: bool) -> None:
        self.trace, self.inputs, self.structure, self.outputs = trace_module(module, structure, specs)
        self.calls = list(self.trace.calls) + list(self.trace.effects)
        self.hook_nodes = hook_nodes(self.trace)
        self.dys: list[Node | None] = []
        self.dxs: list[Node | None] = []
        self.keep, self.arena = keep, runtime.arena
        self.differentiable_inputs: int | None = getattr(module, "differentiable_inputs", None)
        self.parameters = [p for p in module.parameters() if p.requires_grad] if keep else []
        self.replayed = keep and not getattr(module, "training", True) and _repeats(self.trace)
        self.plan: Plan = self._plan(keep and not self.replayed)
        self._whole: Plan | None = None

    def _plan(self, backward: bool) -> Plan:
        phases = [Phase(list(self.calls), self.outputs + self.hook_nodes, hand_out=not backward)]
        if backward:
            phases.append(self._backward())
        return make_plan(phases, self.arena)

    def whole(self) -> Plan:
        """Return the plan of forward and backward; one that is ``replayed`` must run its forward before."""
        if self._whole is None:
            self._whole = self._plan(True) if self.replayed else self.plan
        return self._whole

    def _backward(self) -> Phase:
        """Differentiate all float outputs with respect to float inputs and trainable parameters."""
        trace = self.trace
        n_calls, n_effects = len(trace.calls), len(trace.effects)
        with trace.recording():
            self.dys = [trace.add_input(o.spec, "dy") if o.dtype == "float32" else None for o in self.outputs]
        nodes = {id(n.source[1]): n for n in trace.sources.values() if n.source and n.source[0] == "parameter"}
        self.parameters = [p for p in self.parameters if id(p) in nodes]
        given = self.inputs[: self.differentiable_inputs]
        sources = [i for i in given if i.dtype == "float32"]
        wrt = sources + [nodes[id(p)] for p in self.parameters]
        seeds = [(o, dy) for o, dy in zip(self.outputs, self.dys, strict=True) if dy is not None]
        grads = differentiate(trace, seeds, wrt)
        by_input = dict(zip(sources, grads, strict=False))
        self.dxs = [by_input.get(i) for i in self.inputs]
        with trace.recording():
            for p, g in zip(self.parameters, grads[len(sources) :], strict=True):
                if g is not None:
                    apply("accumulate", trace.gradient_of(p), g)
        outputs = [d for d in self.dxs if d is not None]
        return Phase(trace.calls[n_calls:] + trace.effects[n_effects:], outputs)


def _repeats(trace: Trace) -> bool:
    """Tell whether a second run gives the same values and changes nothing."""
    if trace.effects or any(call.primitive.host for call in trace.calls):
        return False
    return not any(kind == "rng" for kind, _ in trace.sources)


def hook_nodes(trace: Trace) -> list[Node]:
    """Nodes that forward hooks want to see."""
    nodes: list[Any] = []
    for _, _, args, kwargs, output in trace.hooks:
        flatten((args, kwargs, output), lambda v: isinstance(v, Node), nodes)
    return list(dict.fromkeys(nodes))


def _as_given_out(node: Node) -> Node:
    """Return a value in the layout that callers get: images are channels-last."""
    layout = default_layout(node.ndim)
    return node if node.spec.layout == layout else apply("relayout", node, layout=layout)


def trace_module(module: Any, structure: Any, specs: Sequence[Spec]) -> tuple[Trace, list[Node], Any, list[Node]]:
    """Run a module's forward on symbolic inputs; return the trace, its inputs and the outputs' structure and nodes."""
    trace = Trace()
    trace.module_names = {id(m): name for name, m in module.named_modules()}
    with trace.recording():
        inputs = [trace.add_input(s) for s in specs]
        args, kwargs = unflatten(structure, inputs)
        result = module(*args, **kwargs)
        leaves: list[Any] = []
        out_structure = flatten(result, lambda v: isinstance(v, Node) or hasattr(v, "requires_grad"), leaves)
        outputs = [_as_given_out(as_node(leaf)) for leaf in leaves]
    if not outputs:
        raise TypeError(f"{type(module).__name__}: forward returned no values (got {type(result).__name__})")
    return trace, inputs, out_structure, outputs


def plan_for(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Runtime, ModulePlan, dict[int, Any]]:
    """Return the module's runtime, its plan for these arguments and the arrays by input index."""
    runtime = runtime_of(module)
    leaves: list[Any] = []
    structure = flatten((args, kwargs), _leaf, leaves)
    prepared = prepare_all(type(module).__name__, leaves)
    specs = tuple(s for _, s in prepared)
    keep = grad_enabled()
    key = (structure, specs, keep, runtime.signature(module))
    plan = runtime.plans.get(key, lambda: ModulePlan(module, structure, specs, runtime, keep))
    return runtime, plan, {i: a for i, (a, _) in enumerate(prepared)}


def execute_module(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
    """Call a module on arrays: what ``module(x)`` does outside a trace."""
    kwargs = {} if kwargs is None else kwargs
    with runtime_of(module).arena.lock:
        result = _recalled(module, args, kwargs)
        if result is not None:
            return result
        runtime, mp, arrays = plan_for(module, args, kwargs)
        mp.trace.check_values(arrays)
        seed_plan(mp.plan)
        runtime.last = runtime.arena.owner = None
        mp.plan.run(0, arrays)
        values = [_given(mp.plan.fetch(o)) for o in mp.outputs]
        runtime.last = runtime.arena.owner = (mp, arrays)
        hooked = {n: mp.plan.fetch(n) for n in mp.hook_nodes}
        _remember_module(module, mp, args, kwargs)
    if hooked:
        call_hooks(mp.trace, hooked)
    return unflatten(mp.structure, values)


SHORTCUTS = 4  # of one module, most recently used first


def _shortcut_key(runtime: Runtime, module: Any) -> tuple[Any, ...]:
    return (runtime.signature(module), grad_enabled(), _backend.plan_settings())


def _recalled(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the module's result by a shortcut, or None where none serves this call."""
    runtime = runtime_of(module)
    if not runtime.shortcuts:
        return None
    key, threads = _shortcut_key(runtime, module), _backend.state.threads
    for i, (its, shortcut, mp) in enumerate(runtime.shortcuts):
        if its == key and shortcut.takes(args, kwargs):
            result = shortcut.run(threads, mp.plan.seconds)
            if result is not None:
                runtime.last = runtime.arena.owner = (mp, (args, kwargs))
                if i > 0:
                    runtime.shortcuts.insert(0, runtime.shortcuts.pop(i))
                return result
    return None


def _remember_module(module: Any, mp: ModulePlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Keep a shortcut for calls like this one, where all that it does is to run a forward plan."""
    if mp.hook_nodes or mp.trace.checks or len(mp.plan.phases) > 1:
        return
    shortcut = shortcut_of(args, kwargs, mp.inputs, mp.plan, mp.structure, mp.outputs)
    if shortcut is not None:
        runtime = runtime_of(module)
        runtime.shortcuts.insert(0, (_shortcut_key(runtime, module), shortcut, mp))
        del runtime.shortcuts[SHORTCUTS:]


def _arrays_of(module: Any, call: Any) -> dict[int, np.ndarray]:
    """Return the arrays of a call by input index; a shortcut left its arguments as they were."""
    if isinstance(call, dict):
        return call
    leaves: list[Any] = []
    flatten(call, _leaf, leaves)
    return {i: a for i, (a, _) in enumerate(prepare_all(type(module).__name__, leaves))}


def _given(value: np.ndarray) -> Any:
    return float(value) if value.ndim == 0 and value.dtype == np.float32 else value


def call_hooks(trace: Trace, values: dict[Node, np.ndarray]) -> None:
    """Call each forward hook with the arrays of this run."""
    for hook, module, *symbolic in trace.hooks:
        leaves: list[Any] = []
        structure = flatten(tuple(symbolic), lambda v: isinstance(v, Node), leaves)
        args, kwargs, output = unflatten(structure, [values[n] for n in leaves])
        changed = hook(module, args, output) if kwargs is None else hook(module, args, kwargs, output)
        if changed is not None:
            raise RuntimeError(
                f"{type(module).__name__}: a forward hook sees the arrays after the run and cannot replace the output; "
                "return None, and change the output in forward"
            )


def backward_module(module: Any, *dys: Any) -> Any:
    """Run the backward of the module's last call: add into ``p.grad``, return the gradient of the input(s).

    Raises
    ------
    RuntimeError
        If there was no call that keeps gradients since, or ``backward`` ran already, or other plans of the model did.
    """
    who = type(module).__name__
    runtime = runtime_of(module)
    with runtime.arena.lock:
        last: tuple[ModulePlan, Any] | None = runtime.last
        if last is None or runtime.arena.owner is not last:
            raise RuntimeError(
                f"{who}.backward: there is no forward run to go back from: call the module first; each call serves one "
                "backward, and a later call of the same model (or a training step) ends it"
            )
        mp, arrays = last[0], _arrays_of(module, last[1])
        if not mp.keep:
            raise RuntimeError(f"{who}.backward: the last call ran under no_grad and kept nothing")
        plan = mp.whole()
        arrays = arrays | _seed_arrays(mp, dys, who)
        runtime.last = runtime.arena.owner = None
        if mp.replayed:
            plan.run(0, arrays)
        plan.run(1, arrays)
        grads = [None if d is None else plan.fetch(d) for d in mp.dxs]
    first = getattr(module, "differentiable_inputs", len(grads))
    return grads[0] if min(first, len(grads)) == 1 else tuple(grads[:first])


def _seed_arrays(mp: ModulePlan, dys: tuple[Any, ...], who: str) -> dict[int, np.ndarray]:
    wanted = [d for d in mp.dys if d is not None]
    if not dys and all(d.shape == () for d in wanted):
        dys = (1.0,) * len(wanted)
    if len(dys) == 1 and isinstance(dys[0], (tuple, list)) and len(wanted) > 1:
        dys = tuple(dys[0])
    if any(isinstance(dy, (tuple, list)) and any(item is None for item in dy) for dy in dys):
        raise TypeError(
            f"{who}.backward: expected an array for each output, got a tuple with None in it (a loss of your own "
            "gives a gradient for each input; the class attribute differentiable_inputs = 1 makes it return the first)"
        )
    if len(dys) != len(wanted):
        raise ValueError(f"{who}.backward: expected {len(wanted)} gradients, one for each output, got {len(dys)}")
    return {
        cast(tuple[str, int], d.source)[1]: to_memory(dy, d.spec, f"{who}.backward")
        for d, dy in zip(wanted, dys, strict=True)
    }


_thread = threading.local()


def _eager_runtime() -> Runtime:
    """Functions on arrays share one arena a thread."""
    if not hasattr(_thread, "runtime"):
        _thread.runtime = Runtime()
    return cast(Runtime, _thread.runtime)


def _run_function(fn: Callable[..., Any], key: Any, args: Any, kwargs: Any, exact: Sequence[bool] | None = None) -> Any:
    """Trace ``fn`` over the array arguments, run the plan (cached by key and specs) and return fresh arrays.

    ``exact``, for primitives: which arrays keep their dtype; the results then keep their layout too.
    """
    runtime = _eager_runtime()
    leaves: list[Any] = []
    structure = flatten((args, kwargs), lambda v: is_array(v), leaves)
    leaves = [getattr(v, "data", v) if hasattr(v, "requires_grad") else v for v in leaves]
    prepared = prepare_all(getattr(fn, "__name__", str(key)), leaves, exact or ())
    specs = tuple(s for _, s in prepared)

    def build() -> tuple[Trace, Plan, Any, list[Node]]:
        trace = Trace()
        with trace.recording(), trace.scope(getattr(fn, "__name__", str(key))):
            nodes = [trace.add_input(s) for s in specs]
            a, k = unflatten(structure, nodes)
            outputs: list[Any] = []
            shape = flatten(fn(*a, **k), lambda v: isinstance(v, Node), outputs)
            outputs = outputs if exact is not None else [_as_given_out(o) for o in outputs]
        phase = Phase(list(trace.calls) + list(trace.effects), list(outputs), hand_out=True)
        return trace, make_plan([phase], runtime.arena), shape, outputs

    trace, plan, shape, outputs = runtime.plans.get((key, structure, specs), build)
    arrays = {i: a for i, (a, _) in enumerate(prepared)}
    trace.check_values(arrays)
    seed_plan(plan)
    plan.run(0, arrays)
    if exact is None:
        remember(fn, args, kwargs, trace, plan, shape, outputs)
    return unflatten(shape, [_given(plan.fetch(o)) for o in outputs])


def eager(fn: F) -> F:
    """Make a function work on nodes inside a trace, and on arrays, at once, outside.

    Arrays (and Parameters) among the arguments become inputs of a one-function plan; everything else is static.
    """

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if current_trace() is not None:
            return fn(*args, **kwargs)
        result = recall(fn, args, kwargs)
        return _run_function(fn, fn, args, kwargs) if result is None else result

    return cast(F, wrapper)


def run_primitive(name: str, *arrays: Any, **attrs: Any) -> Any:
    """Run one primitive on the active backend; inputs that it mutates are written in place.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.graph import run_primitive
    >>> run_primitive("relu", np.array([-1.0, 2.0], np.float32))
    array([0., 2.], dtype=float32)
    """
    rules = find(name).rules
    given = [a for a in arrays if a is not None]
    exact = [rules[min(i, len(rules) - 1)].demand == "any" for i, a in enumerate(arrays) if a is not None]
    if len(given) > 0 and not all(is_array(a) for a in given):
        raise TypeError(f"{name}: expected arrays, got {[type(a).__name__ for a in given]}")

    def call(*nodes: Any, **static: Any) -> Any:
        return apply(name, *nodes, **static)

    call.__name__ = name
    return _run_function(call, ("primitive", name), arrays, attrs, exact)
