"""The one-cycle policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from ..optimizer import Optimizer
from .base import LRScheduler, expect_numbers

__all__ = ["OneCycleLR"]


class OneCycleLR(LRScheduler):
    """Raise the rate from ``max_lr / div_factor`` to `max_lr`, then let it fall far below its start; step every batch.

    Momentum (or Adam's first beta) runs the other way between `max_momentum` and `base_momentum`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates (and momenta) are set.
    max_lr : float or sequence of float
        Peak, one for all groups or one each.
    total_steps : int, optional
        Steps of the cycle; or give `epochs` and `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
        Their product is the number of steps.
    pct_start : float
        Share of the steps in which the rate rises.
    anneal_strategy : {"cos", "linear"}
        Shape of rise and fall.
    cycle_momentum : bool
        Whether momentum is cycled too.
    base_momentum, max_momentum : float or sequence of float
        Its bounds.
    div_factor, final_div_factor : float
        ``initial_lr = max_lr / div_factor``; ``min_lr = initial_lr / final_div_factor``.
    three_phase : bool
        Fall to the initial rate symmetrically first, then to the lowest.
    last_epoch : int
        -1 starts afresh.

    Raises
    ------
    ValueError
        For an option out of range, or a step beyond the last.

    References
    ----------
    Smith, Topin, "Super-convergence: very fast training of neural networks using large learning rates",
    arXiv:1708.07120.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=0.1, momentum=0.9)
    >>> scheduler = fn.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    >>> scheduler.step(); scheduler.step(); scheduler.get_last_lr()
    [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"OneCycleLR: expected an Optimizer, got {type(optimizer).__name__}")
        self.total_steps = _count_steps(total_steps, epochs, steps_per_epoch)
        expect_numbers("OneCycleLR", pct_start=pct_start, div_factor=div_factor, final_div_factor=final_div_factor)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: expected pct_start in [0, 1], got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}")
        if not (div_factor > 0 and final_div_factor > 0):
            raise ValueError(
                f"OneCycleLR: expected div_factor and final_div_factor > 0, got {div_factor} and {final_div_factor}"
            )
        self.anneal_strategy = anneal_strategy
        self._phases = _phases(self.total_steps, pct_start, three_phase)
        peaks = _one_each("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["initial_lr"] = peak / div_factor
                group["max_lr"] = peak
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._set_momenta(optimizer, base_momentum, max_momentum, fresh=last_epoch == -1)
        super().__init__(optimizer, last_epoch)

    def _set_momenta(self, optimizer: Optimizer, base: Any, top: Any, *, fresh: bool) -> None:
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"OneCycleLR: expected an optimizer with momentum or betas for cycle_momentum, "
                f"got {type(optimizer).__name__}"
            )
        bounds = zip(
            _one_each("base_momentum", optimizer, base), _one_each("max_momentum", optimizer, top), strict=True
        )
        if fresh:
            for group, (low, high) in zip(optimizer.param_groups, bounds, strict=True):
                _set_momentum(group, high)
                group["max_momentum"] = high
                group["base_momentum"] = low

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start

    def _phase(self) -> tuple[list[Any], float]:
        """Return the phase that the present step lies in, and how far it has got."""
        start = 0.0
        for phase in self._phases[:-1]:
            if self.last_epoch <= phase[0]:
                return phase, (self.last_epoch - start) / (phase[0] - start)
            start = phase[0]
        phase = self._phases[-1]
        return phase, (self.last_epoch - start) / (phase[0] - start)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        if self.last_epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: expected at most {self.total_steps} steps, got step {self.last_epoch}")
        (_, lr_from, lr_to, momentum_from, momentum_to), share = self._phase()
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[lr_from], group[lr_to], share))
            if self.cycle_momentum:
                _set_momentum(group, self._anneal(group[momentum_from], group[momentum_to], share))
        return rates


def _count_steps(total: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither")
    wanted = {"total_steps": total} if total is not None else {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    count = 1
    for name, value in wanted.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"OneCycleLR: expected {name} as a whole number >= 1, got {value}")
        count *= value
    return count


def _phases(total: int, pct_start: float, three: bool) -> list[list[Any]]:
    """Return rows of (last step, rate from, rate to, momentum from, momentum to)."""
    rise = [float(pct_start * total) - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum"]
    if not three:
        return [rise, [total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"]]
    fall = [float(2 * pct_start * total) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"]
    return [rise, fall, [total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"]]


def _set_momentum(group: dict[str, Any], value: float) -> None:
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def _one_each(name: str, optimizer: Optimizer, given: float | Sequence[float]) -> list[float]:
    groups = len(optimizer.param_groups)
    several = isinstance(given, Sequence) and not isinstance(given, str)
    values: list[Any] = list(given) if several else [given] * groups  # type: ignore[arg-type]
    if len(values) != groups:
        raise ValueError(f"OneCycleLR: expected {groups} values of {name}, one a group, got {len(values)}")
    for value in values:
        expect_numbers("OneCycleLR", **{name: value})
    return [float(value) for value in values]
