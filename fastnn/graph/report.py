"""Plans and models as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .execute import plan_for
from .holders import fullest
from .plan import CompiledPlan, Plan
from .runtime import no_grad, runtime_of

__all__ = ["PlanReport", "module_plan", "module_summary"]

HOLDERS_SHOWN = 8


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return rows aligned under a header; columns in ``right`` are aligned to the right."""
    widths = [max(len(r[i]) for r in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = enumerate(zip(cells, widths, strict=True))
        parts = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in padded]
        return "  ".join(parts).rstrip()

    return "\n".join([line(header), line(["-" * w for w in widths]), *(line(r) for r in rows)])


def human_bytes(n: float) -> str:
    """Return a size in B, kB or MB."""
    if n < 1000:
        return f"{n:.0f} B"
    return f"{n / 1e3:.1f} kB" if n < 1e6 else f"{n / 1e6:.1f} MB"


class PlanReport:
    """A plan as a printable list of steps with their fusion, algorithm, output, FLOPs and bytes."""

    def __init__(self, plan: Plan, names: Mapping[int, str] | None = None) -> None:
        self.plan = plan
        self.names = names or {}  # of parameters, by id

    @property
    def arena_bytes(self) -> int:
        """Bytes of the arena that the plan's values need (0 on the reference backend)."""
        return self.plan.arena_bytes if isinstance(self.plan, CompiledPlan) else 0

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row a step: phase, module, operation, algorithm, output, MFLOP, bytes."""
        rows = []
        names = ("step",) if self.plan.phases[0].stop is not None else ("forward", "backward")
        for phase, name in zip(self.plan.phases, names, strict=False):
            for call in phase.calls if not isinstance(self.plan, CompiledPlan) else phase.fused:
                rows.append(self._row(name, call))
        return rows

    def _row(self, phase: str, call: Any) -> tuple[str, ...]:
        ops = []
        if isinstance(self.plan, CompiledPlan):
            lowered = [(c, s) for c, s in self.plan.lowered if s is not None]
            ops = [op for (c, _), op in zip(lowered, self.plan.ops, strict=True) if c is call]
        operation = call.name + "".join(f"+{v}" for v in call.fused.values())
        algorithm = ",".join(dict.fromkeys(op.algorithm for op in ops if op.algorithm)) or ("" if ops else "view")
        # what only writes in place has no output of its own: its row shows what it adds to
        shown = call.outputs or [n for n in call.inputs[:1] if n is not None]
        outputs = " ".join(str(o.spec) for o in shown)
        flops, nbytes = sum(op.flops for op in ops), sum(op.bytes for op in ops)
        owner = call.scope or self._parameter_of(call)
        return (phase, owner, operation, algorithm, outputs, f"{flops / 1e6:.3f}", human_bytes(nbytes))

    def _holders(self) -> str:
        """Say what the arena holds where it is fullest."""
        if not isinstance(self.plan, CompiledPlan) or not self.plan.intervals:
            return ""
        at, holders = fullest(self.plan)
        rows = [
            (human_bytes(h.nbytes), h.module, h.operation, str(h.spec), f"{h.birth} to {h.death}")
            for h in holders[:HOLDERS_SHOWN]
        ]
        table = format_table(("holds", "module", "operation", "value", "C steps"), rows, right=(0,))
        return f", fullest at C step {at} with {len(holders)} values, the largest of them\n{table}"

    def _parameter_of(self, call: Any) -> str:
        """Return the name of the parameter whose gradient the call accumulates, else nothing."""
        for node in call.inputs[:1]:
            kind, owner = (node.source if node is not None else None) or ("", None)
            if kind == "grad":
                return self.names.get(id(owner), "")
        return ""

    def __str__(self) -> str:
        header = ("phase", "module", "operation", "algorithm", "output", "MFLOP", "moves")
        rows = [(str(i), *row) for i, row in enumerate(self.rows())]
        text = format_table(("#", *header), rows, right=(0, 6, 7))
        return f"{text}\narena: {human_bytes(self.arena_bytes)}{self._holders()}"

    __repr__ = __str__


def module_plan(module: Any, *args: Any, **kwargs: Any) -> PlanReport:
    """Return the printable plan of ``module`` for these inputs."""
    with runtime_of(module).arena.lock:
        _, mp, _ = plan_for(module, args, kwargs)
        return PlanReport(mp.plan, {id(p): name for name, p in module.named_parameters()})


class Summary:
    """A model layer by layer: output shapes, parameters, FLOPs of a forward run, memory.

    ``flops`` counts all that is computed, ``multiply_adds`` the products of convolutions and linear layers, which is
    what papers publish.
    """

    def __init__(
        self, model: Any, rows: list[tuple[str, str, str, int, float]], arena: int, multiply_adds: int
    ) -> None:
        self.rows, self.arena_bytes, self.multiply_adds = rows, arena, multiply_adds
        parameters = list(model.parameters())
        self.total_params = sum(p.data.size for p in parameters)
        self.trainable_params = sum(p.data.size for p in parameters if p.requires_grad)
        self.flops = rows[0][4] if rows else 0.0

    def __str__(self) -> str:
        cells = [(name or "(model)", kind, shape, f"{n:,}", f"{f / 1e6:.3f}") for name, kind, shape, n, f in self.rows]
        table = format_table(("name", "layer", "output", "parameters", "MFLOP"), cells, right=(3, 4))
        return (
            f"{table}\nparameters: {self.total_params:,} ({self.trainable_params:,} trainable, "
            f"{human_bytes(4 * self.total_params)}); forward: {self.flops / 1e6:.3f} MFLOP, "
            f"arena {human_bytes(self.arena_bytes)}"
        )

    __repr__ = __str__


def module_summary(module: Any, *args: Any) -> Summary:
    """Return the summary of ``module`` for these inputs; nothing is run and its mode stays as it is."""
    outputs: dict[int, Any] = {}

    def keep(layer: Any, inputs: Any, output: Any) -> None:
        outputs[id(layer)] = output

    handles = [m.register_forward_hook(keep) for m in module.modules()]
    try:
        with no_grad(), runtime_of(module).arena.lock:
            _, mp, _ = plan_for(module, args, {})
    finally:
        for handle in handles:
            handle.remove()
    for _, layer, _, _, output in mp.trace.hooks:
        outputs[id(layer)] = output
    report = PlanReport(mp.plan)
    flops = _flops_by_scope(report, mp.plan)
    rows = []
    for name, layer in module.named_modules():
        label = f"{type(layer).__name__} {name!r}" if name else None
        inside = [f for scope, f in flops if label is None or scope == label or f" '{name}." in scope]
        shape = _shapes(outputs.get(id(layer)))
        own = sum(p.data.size for p in layer.parameters())
        rows.append((name, type(layer).__name__, shape, own, sum(inside)))
    return Summary(module, rows, report.arena_bytes, _multiply_adds(mp.plan))


def _multiply_adds(plan: Plan) -> int:
    """Count one for each output and weight that meets it; a convolution's border counts as if it were inside."""
    total = 0
    for call in plan.phases[0].calls:
        w = call.inputs[1] if call.name in ("conv2d", "linear") else None
        if w is not None:
            total += call.outputs[0].spec.size * math.prod(w.shape[1:])
    return total


def _flops_by_scope(report: PlanReport, plan: Plan) -> list[tuple[str, float]]:
    if not isinstance(plan, CompiledPlan):
        return []
    lowered = [(c, s) for c, s in plan.lowered if s is not None]
    return [(c.scope, op.flops) for (c, _), op in zip(lowered, plan.ops, strict=True)]


def _shapes(output: Any) -> str:
    if output is None:
        return ""
    if isinstance(output, (tuple, list)):
        return " ".join(_shapes(o) for o in output)
    if isinstance(output, dict):
        return " ".join(_shapes(o) for o in output.values())
    return str(tuple(output.shape)) if hasattr(output, "shape") else ""
