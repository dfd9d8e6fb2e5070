"""Rates that fall when a measure stops improving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..optimizer import Optimizer
from .base import expect_numbers, expect_whole, plain_state

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau:
    """Multiply the rate by `factor` when a measure has not improved for more than `patience` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    mode : {"min", "max"}
        Whether a lower or a higher measure is better.
    factor : float
        Below 1.
    patience : int
        Epochs without improvement that are borne.
    threshold : float
        Improvement that counts.
    threshold_mode : {"rel", "abs"}
        Whether `threshold` is a share of the best measure or a difference.
    cooldown : int
        Epochs after a reduction in which none is counted.
    min_lr : float or sequence of float
        Lowest rate, one for all groups or one each.
    eps : float
        Smaller changes of the rate are left out.

    Raises
    ------
    TypeError
        If `optimizer` is none.
    ValueError
        For an option out of range.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    >>> scheduler.step(0.5); scheduler.step(0.6); scheduler.get_last_lr()
    [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        who = "ReduceLROnPlateau"
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{who}: expected an Optimizer, got {type(optimizer).__name__}")
        expect_whole(who, patience=patience, cooldown=cooldown)
        expect_numbers(who, factor=factor, threshold=threshold, eps=eps)
        if not factor < 1.0:
            raise ValueError(f"{who}: expected factor < 1, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"{who}: expected mode 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"{who}: expected threshold_mode 'rel' or 'abs', got {threshold_mode!r}")
        groups = len(optimizer.param_groups)
        several = isinstance(min_lr, Sequence) and not isinstance(min_lr, str)
        self.min_lrs: list[Any] = list(min_lr) if several else [min_lr] * groups  # type: ignore[arg-type]
        for least in self.min_lrs:
            expect_numbers(who, min_lr=least)
        if len(self.min_lrs) != groups:
            raise ValueError(f"{who}: expected {groups} values of min_lr, one a group, got {len(self.min_lrs)}")
        self.optimizer = optimizer
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps = cooldown, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self.last_epoch = 0
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def get_last_lr(self) -> list[float]:
        """Return the rates that the last `step` left, one a group."""
        return self._last_lr

    @property
    def in_cooldown(self) -> bool:
        """Whether reductions are suspended."""
        return self.cooldown_counter > 0

    def _better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "max" else -1.0
        if self.threshold_mode == "rel":
            bar = self.best * (1.0 + sign * self.threshold)
        else:
            bar = self.best + sign * self.threshold
        return value > bar if self.mode == "max" else value < bar

    def step(self, metrics: float) -> None:
        """Take the epoch's measure and lower the rates if it is time."""
        try:
            value = float(metrics)
        except (TypeError, ValueError):
            raise TypeError(f"ReduceLROnPlateau: expected metrics to be a number, got {metrics!r}") from None
        self.last_epoch += 1
        if self._better(value):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _reduce(self) -> None:
        for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
            lowered = max(group["lr"] * self.factor, least)
            if group["lr"] - lowered > self.eps:
                group["lr"] = lowered

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data, without the optimizer; `best` is None before the first step."""
        state = plain_state(self)
        if math.isinf(self.best):
            state["best"] = None
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.__dict__.update({key: value for key, value in state_dict.items() if key in self.__dict__})
        if state_dict["best"] is None:
            self.best = math.inf if self.mode == "min" else -math.inf
