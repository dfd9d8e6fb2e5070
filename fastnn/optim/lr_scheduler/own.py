"""Rates by a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, expect_numbers, plain_state

__all__ = ["LambdaLR", "MultiplicativeLR"]

Rule = Callable[[int], float]


class LambdaLR(LRScheduler):
    """Multiply the initial rate by a function of the epoch.

    The function is no part of `state_dict`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    lr_lambda : callable or list of callable
        Epoch to factor; a list gives one a group.
    last_epoch : int
        -1 starts afresh.

    Raises
    ------
    ValueError
        For a list of another length than the groups.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Rule | Sequence[Rule], last_epoch: int = -1) -> None:
        self.lr_lambdas = _one_each(type(self).__name__, optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        factors = _factors("LambdaLR", self.lr_lambdas, self.last_epoch)
        return [base * factor for base, factor in zip(self.base_lrs, factors, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return plain_state(self, without=("lr_lambdas",))


class MultiplicativeLR(LRScheduler):
    """Multiply the present rate by a function of the epoch.

    The function is no part of `state_dict`.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    lr_lambda : callable or list of callable
        Epoch to factor; a list gives one a group.
    last_epoch : int
        -1 starts afresh.

    Raises
    ------
    ValueError
        For a list of another length than the groups.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.MultiplicativeLR(optimizer, lambda epoch: 0.5)
    >>> scheduler.step(); scheduler.step(); scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, lr_lambda: Rule | Sequence[Rule], last_epoch: int = -1) -> None:
        self.lr_lambdas = _one_each(type(self).__name__, optimizer, lr_lambda)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`."""
        if self._initial:
            return self._rates()
        factors = _factors("MultiplicativeLR", self.lr_lambdas, self.last_epoch)
        return [rate * factor for rate, factor in zip(self._rates(), factors, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return plain_state(self, without=("lr_lambdas",))


def _factors(who: str, rules: Sequence[Rule], epoch: int) -> list[float]:
    factors = [rule(epoch) for rule in rules]
    for factor in factors:
        expect_numbers(who, **{"what lr_lambda returns": factor})
    return factors


def _one_each(who: str, optimizer: Optimizer, given: Rule | Sequence[Rule]) -> list[Rule]:
    groups = len(optimizer.param_groups)
    if not callable(given) and not (isinstance(given, Sequence) and all(map(callable, given))):
        raise TypeError(f"{who}: expected lr_lambda to be a function of the epoch, or one a group, got {given!r}")
    rules = [given] * groups if callable(given) else list(given)
    if len(rules) != groups:
        raise ValueError(f"{who}: expected {groups} functions, one a parameter group, got {len(rules)}")
    return rules
