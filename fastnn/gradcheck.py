"""gradcheck: the active backend's gradients against central differences of the float64 oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .graph.execute import ModulePlan, trace_module
from .graph.node import Node
from .graph.plan import Phase, ReferencePlan
from .graph.prepare import flatten, prepare_all
from .graph.runtime import Runtime, seed_plan

__all__ = ["GradcheckError", "gradcheck"]

EPS = 1e-6  # step of the central difference; float64 leaves 1e-10 of error at unit scale


class GradcheckError(AssertionError):
    """An analytic gradient differs from the numeric one; the message names the worst element."""


class _FunctionModule:
    """A function over nodes, dressed as a module without parameters."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.fn(*args, **kwargs)

    def named_modules(self) -> list[tuple[str, Any]]:
        return [("", self)]

    def parameters(self) -> list[Any]:
        return []


def gradcheck(
    model: Any, inputs: Any, *, rtol: float = 1e-3, atol: float = 1e-4, seed: int = 0, raise_exception: bool = True
) -> bool:
    """Compare analytic gradients with central differences, for every float input and every trainable parameter.

    The function checked is ``sum(y * v)`` with a fixed random ``v`` of the output's shape. The analytic gradient comes
    from the active backend in float32; the numeric one from `fastnn.reference` in float64, so it is the more exact.

    Parameters
    ----------
    model : Module or callable
        A module, or a function over nodes such as ``fastnn.nn.functional.relu``.
    inputs : array_like or tuple of array_like
        Keep them away from kinks (0 for relu, ties for max pooling).
    rtol, atol : float
        Allowed error relative to the largest numeric gradient of the array, and absolute.
    seed : int
        Of ``v``.
    raise_exception : bool
        Return False instead of raising.

    Raises
    ------
    GradcheckError
        Naming the array, the worst element's index and both values.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> fn.gradcheck(fn.nn.Linear(3, 2), np.arange(6.0).reshape(2, 3))
    True
    """
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    module = model if hasattr(model, "named_parameters") else _FunctionModule(model)
    leaves: list[Any] = []
    structure = flatten((args, {}), lambda v: hasattr(v, "__array__") or isinstance(v, list), leaves)
    prepared = prepare_all("gradcheck", leaves)
    specs = [s for _, s in prepared]
    analytic, seeds, rng = _analytic(module, structure, specs, [a for a, _ in prepared], seed)
    worst = ""
    numeric = _Numeric(module, structure, specs, leaves, seeds, rng)
    for name, got, node, value in numeric.targets(analytic):
        want = numeric.gradient(node, value)
        error = np.abs(got - want)
        bound = atol + rtol * float(np.abs(want).max(initial=0.0))
        if error.size and not error.max() <= bound:
            # argmax takes a NaN for the largest: the worst there is
            index = tuple(int(i) for i in np.unravel_index(int(np.argmax(error)), error.shape))
            worst = (
                f"gradcheck: the gradient of {name} at {index} is {got[index]:.7g}, the numeric one "
                f"{want[index]:.7g} (error {error[index]:.3g}, allowed {bound:.3g})"
            )
            break
    if worst and raise_exception:
        raise GradcheckError(worst)
    return not worst


def _analytic(module: Any, structure: Any, specs: Sequence[Any], arrays: list[np.ndarray], seed: int) -> Any:
    """Run forward and backward on the active backend without touching ``p.grad`` for good."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    saved = [p.grad for p in parameters]
    buffers = [b.copy() for b in module.buffers()] if hasattr(module, "buffers") else []
    for p in parameters:
        p.grad = None
    try:
        mp = ModulePlan(module, structure, specs, Runtime(), True)
        plan = mp.whole()
        seed_plan(plan)
        values = dict(enumerate(arrays))
        plan.run(0, values)
        draw = np.random.default_rng(seed)
        seeds = [None if dy is None else draw.uniform(0.5, 1.5, dy.shape).astype(np.float32) for dy in mp.dys]
        for dy, v in zip(mp.dys, seeds, strict=True):
            if dy is not None and v is not None and dy.source is not None:
                memory = v.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2) if dy.spec.layout == "nhwc" else v
                values[dy.source[1]] = memory
        plan.run(1, values)
        inputs = [None if d is None else plan.fetch(d) for d in mp.dxs]
        grads = [None if p.grad is None else p.grad.copy() for p in parameters]
        return (inputs, list(zip(parameters, grads, strict=True))), seeds, plan.rng.copy()
    finally:
        for p, g in zip(parameters, saved, strict=True):
            p.grad = g
        for b, old in zip(module.buffers() if buffers else [], buffers, strict=True):
            b[...] = old


class _Numeric:
    """The float64 oracle of ``sum(y * v)`` as a function of one array at a time."""

    def __init__(
        self, module: Any, structure: Any, specs: Sequence[Any], leaves: list[Any], seeds: list[Any], rng: np.ndarray
    ) -> None:
        self.module = module
        trace, self.inputs, _, self.outputs = trace_module(module, structure, specs)
        self.plan = ReferencePlan([Phase(list(trace.calls), self.outputs)], np.float64)
        self.plan.rng[:] = rng
        self.seeds = seeds
        sources = [(n, n.source) for n in trace.sources.values() if n.source is not None]
        self.parameters = {id(source[1]): n for n, source in sources if source[0] == "parameter"}
        self.values = {
            i: np.array(leaf, np.float64) if s.dtype == "float32" else np.asarray(leaf).astype(s.dtype)
            for i, (leaf, s) in enumerate(zip(leaves, specs, strict=True))
        }
        names = {id(p): n for n, p in module.named_parameters()} if hasattr(module, "named_parameters") else {}
        self.names = names

    def targets(self, analytic: Any) -> list[tuple[str, np.ndarray, Node, np.ndarray]]:
        """Return (name, analytic gradient, node, value) of everything to check."""
        inputs, parameters = analytic
        found = []
        for i, (node, got) in enumerate(zip(self.inputs, inputs, strict=True)):
            if got is not None:
                found.append((f"input {i}", got, node, self.values[i]))
        for p, got in parameters:
            if got is not None:
                name = f"parameter {self.names.get(id(p), '?')!r}"
                found.append((name, got, self.parameters[id(p)], p.data.astype(np.float64)))
        return found

    def loss(self) -> float:
        self.plan.run(0, self.values)
        pairs = zip(self.outputs, self.seeds, strict=True)
        return sum(float(np.sum(self.plan.values[o] * v)) for o, v in pairs if v is not None)

    def gradient(self, node: Node, value: np.ndarray) -> np.ndarray:
        """Return the central difference for each element of ``value``."""
        moved = value.copy()
        self.plan.overrides = {node: moved}
        grad = np.empty(value.shape)
        flat, out = moved.reshape(-1), grad.reshape(-1)
        for i in range(flat.size):
            keep = flat[i]
            flat[i] = keep + EPS
            high = self.loss()
            flat[i] = keep - EPS
            low = self.loss()
            flat[i] = keep
            out[i] = (high - low) / (2 * EPS)
        self.plan.overrides = {}
        return grad
