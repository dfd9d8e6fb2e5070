"""What a model keeps between its runs: its arena, its plans (a small LRU) and the run that `backward` belongs to."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from .. import _backend, _random
from .arena import Arena
from .plan import Plan

__all__ = [
    "PlanCache",
    "Runtime",
    "grad_enabled",
    "no_grad",
    "runtime_of",
    "seed_plan",
    "signature",
    "structure_changed",
]

PLANS_KEPT = 16

_local = threading.local()
_epoch = 0


def structure_changed() -> None:
    """Say that some module's attribute, mode or requires_grad changed: signatures must be taken again."""
    global _epoch
    _epoch += 1


def epoch() -> int:
    """Return the count of structural changes so far."""
    return _epoch


def grad_enabled() -> bool:
    """Tell whether a forward run in this thread keeps what backward needs."""
    return getattr(_local, "grad", True)


@contextlib.contextmanager
def no_grad() -> Iterator[None]:
    """Keep nothing for backward inside the block: less memory, and ``backward`` raises RuntimeError.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> with fn.no_grad():
    ...     y = fn.nn.Linear(3, 2)(np.ones((1, 3), np.float32))
    >>> y.shape
    (1, 2)
    """
    outer = grad_enabled()
    _local.grad = False
    try:
        yield
    finally:
        _local.grad = outer


def signature(module: Any) -> tuple[Any, ...]:
    """Return what a plan of this module depends on: versions, modes and requires_grad flags, all the way down."""
    return tuple(
        (id(m), m._version, m.training, tuple(p.requires_grad for p in m._parameters.values() if p is not None))
        for m in module.modules()
    )


class PlanCache:
    """The most recently used plans by key, dropped when the settings they were made under change."""

    def __init__(self) -> None:
        self._plans: OrderedDict[Any, Any] = OrderedDict()

    def get(self, key: Any, build: Callable[[], Any]) -> Any:
        """Return the plan of this key under the settings in force, built where there is none."""
        key = (key, _backend.plan_settings())
        if key in self._plans:
            self._plans.move_to_end(key)
            return self._plans[key]
        plan = self._plans[key] = build()
        while len(self._plans) > PLANS_KEPT:
            self._plans.popitem(last=False)
        return plan

    def __len__(self) -> int:
        return len(self._plans)


class Runtime:
    """A model's arena, plans and last run."""

    def __init__(self) -> None:
        self.arena = Arena()
        self.plans = PlanCache()
        self.last: Any = None
        self.shortcuts: list[tuple[Any, Any, Any]] = []  # key, shortcut and plan of calls, the last one first
        self._signatures: dict[tuple[Any, ...], int] = {}
        self._taken = 0
        self._current = (-1, 0)

    def signature(self, module: Any) -> int:
        """Return the number of the module's present signature, taken again only after a structural change somewhere."""
        if self._current[0] != _epoch:
            taken = signature(module)
            if len(self._signatures) > 4 * PLANS_KEPT:
                self._signatures.clear()
            self._taken += taken not in self._signatures
            self._current = (_epoch, self._signatures.setdefault(taken, self._taken))
        return self._current[1]


def runtime_of(module: Any) -> Runtime:
    """Return the module's runtime, made at its first run."""
    runtime = module.__dict__.get("_runtime")
    if runtime is None:
        runtime = module.__dict__["_runtime"] = Runtime()
    return runtime


def seed_plan(plan: Plan) -> None:
    """Give a plan with random operations the seed and the next counter."""
    if plan.random:
        plan.rng[0], plan.rng[1] = _random.next_key()
