"""Rates that fall by a factor: in steps, at milestones, linearly, exponentially, polynomially."""

from __future__ import annotations

from collections.abc import Iterable

from ..optimizer import Optimizer
from .base import LRScheduler, expect_numbers, expect_whole

__all__ = ["ConstantLR", "ExponentialLR", "LinearLR", "MultiStepLR", "PolynomialLR", "StepLR"]


class StepLR(LRScheduler):
    """Multiply the rate by `gamma` every `step_size` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    step_size : int
        Epochs between two decays.
    gamma : float
        Factor of a decay.
    last_epoch : int
        -1 starts afresh.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> scheduler.step(); scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        expect_whole("StepLR", step_size=step_size)
        expect_numbers("StepLR", gamma=gamma)
        if step_size < 1:
            raise ValueError(f"StepLR: expected step_size >= 1, got {step_size}")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._rates()
        return self._scaled(self.gamma)

    def closed_form(self) -> list[float]:
        """Return the rates at `last_epoch` from the initial ones alone."""
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    """Multiply the rate by `gamma` at each of the milestones.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    milestones : iterable of int
        Epochs of the decays; one named twice decays twice.
    gamma : float
        Factor of a decay.
    last_epoch : int
        -1 starts afresh.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3], gamma=0.5)
    >>> [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(4)]
    [0.5, 0.5, 0.25, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if not isinstance(milestones, Iterable):
            raise TypeError(f"MultiStepLR: expected milestones as a list of epochs, got {milestones!r}")
        epochs = list(milestones)
        expect_whole("MultiStepLR", **{f"milestones[{i}]": epoch for i, epoch in enumerate(epochs)})
        expect_numbers("MultiStepLR", gamma=gamma)
        self.milestones = sorted(epochs)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        times = self.milestones.count(self.last_epoch)
        return self._scaled(self.gamma**times) if times else self._rates()

    def closed_form(self) -> list[float]:
        """Return the rates at `last_epoch` from the initial ones alone."""
        passed = sum(milestone <= self.last_epoch for milestone in self.milestones)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    """Multiply the rate by `factor` for the first `total_iters` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    factor : float
        In [0, 1].
    total_iters : int
        Epochs before the rate returns to its own value.
    last_epoch : int
        -1 starts afresh.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=2)
    >>> [scheduler.get_last_lr()[0]] + [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(2)]
    [0.5, 0.5, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        expect_numbers("ConstantLR", factor=factor, total_iters=total_iters)
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: expected factor in [0, 1], got {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        return self._rates() if self.last_epoch != self.total_iters else self._scaled(1.0 / self.factor)

    def closed_form(self) -> list[float]:
        """Return the rates at `last_epoch` from the initial ones alone."""
        inside = self.last_epoch < self.total_iters
        return [base * (self.factor if inside else 1.0) for base in self.base_lrs]


class LinearLR(LRScheduler):
    """Move the rate's factor linearly from `start_factor` to `end_factor` over `total_iters` epochs: a warm-up.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    start_factor : float
        In (0, 1].
    end_factor : float
        In [0, 1].
    total_iters : int
        Epochs of the change.
    last_epoch : int
        -1 starts afresh.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.5, total_iters=2)
    >>> [scheduler.get_last_lr()[0]] + [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(2)]
    [0.5, 0.75, 1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        expect_numbers("LinearLR", start_factor=start_factor, end_factor=end_factor, total_iters=total_iters)
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: expected start_factor in (0, 1], got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: expected end_factor in [0, 1], got {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._initial or self.last_epoch > self.total_iters:
            return self._rates()
        change = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * change
        return self._scaled(1.0 + change / before)

    def closed_form(self) -> list[float]:
        """Return the rates at `last_epoch` from the initial ones alone."""
        change = self.end_factor - self.start_factor
        return [
            base * (self.start_factor + change * min(self.total_iters, self.last_epoch) / self.total_iters)
            for base in self.base_lrs
        ]


class ExponentialLR(LRScheduler):
    """Multiply the rate by `gamma` every epoch.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    gamma : float
        Factor of an epoch.
    last_epoch : int
        -1 starts afresh.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(3)]
    [0.5, 0.25, 0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        expect_numbers("ExponentialLR", gamma=gamma)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        return self._rates() if self._initial else self._scaled(self.gamma)

    def closed_form(self) -> list[float]:
        """Return the rates at `last_epoch` from the initial ones alone."""
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    """Let the rate fall to zero as ``(1 - epoch / total_iters) ** power``.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    total_iters : int
        Epochs until zero.
    power : float
        1 falls linearly.
    last_epoch : int
        -1 starts afresh.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=2)
    >>> [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(2)]
    [0.5, 0.0]
    """

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        expect_numbers("PolynomialLR", total_iters=total_iters, power=power)
        if total_iters < 1:
            raise ValueError(f"PolynomialLR: expected total_iters >= 1, got {total_iters}")
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        if self._initial or self.last_epoch > self.total_iters:
            return self._rates()
        now = 1.0 - self.last_epoch / self.total_iters
        before = 1.0 - (self.last_epoch - 1) / self.total_iters
        return self._scaled((now / before) ** self.power)

    def closed_form(self) -> list[float]:
        """Return the rates at `last_epoch` from the initial ones alone."""
        left = 1.0 - min(self.total_iters, self.last_epoch) / self.total_iters
        return [base * left**self.power for base in self.base_lrs]
