"""Schedulers made of schedulers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, expect_whole, plain_state
from .decay import LinearLR

__all__ = ["ChainedScheduler", "SequentialLR", "WarmUp"]


def _check_members(who: str, optimizer: Optimizer | None, schedulers: Sequence[Any]) -> None:
    if not isinstance(schedulers, Sequence):
        raise TypeError(f"{who}: expected a list of schedulers, got {type(schedulers).__name__}")
    if len(schedulers) < 1:
        raise ValueError(f"{who}: expected at least one scheduler, got none")
    for position, scheduler in enumerate(schedulers):
        if not isinstance(scheduler, LRScheduler):
            raise TypeError(
                f"{who}: expected schedulers whose step takes no argument, got "
                f"{type(scheduler).__name__} at position {position}"
            )
        if optimizer is not None and scheduler.optimizer is not optimizer:
            raise ValueError(f"{who}: expected schedulers of one optimizer, got another one at position {position}")


class SequentialLR(LRScheduler):
    """Run schedulers one after another, changing at the milestones.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    schedulers : list of LRScheduler
        All of `optimizer`, made before this one.
    milestones : list of int
        Epochs at which the next scheduler starts: one fewer than the schedulers.
    last_epoch : int
        -1 starts afresh.

    Raises
    ------
    ValueError
        For no schedulers, another optimizer's, or another number of milestones.

    Examples
    --------
    >>> import fastnn as fn
    >>> from fastnn.optim.lr_scheduler import ConstantLR, ExponentialLR, SequentialLR
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> parts = [ConstantLR(optimizer, 0.5, total_iters=2), ExponentialLR(optimizer, 0.5)]
    >>> scheduler = SequentialLR(optimizer, parts, milestones=[2])
    >>> [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(3)]
    [0.5, 1.0, 0.5]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRScheduler], milestones: list[int], last_epoch: int = -1
    ) -> None:
        _check_members(type(self).__name__, optimizer, schedulers)
        if not isinstance(milestones, Sequence):
            raise TypeError(f"{type(self).__name__}: expected milestones as a list, got {type(milestones).__name__}")
        expect_whole(type(self).__name__, **{f"milestones[{i}]": epoch for i, epoch in enumerate(milestones)})
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"{type(self).__name__}: expected {len(schedulers) - 1} milestones for "
                f"{len(schedulers)} schedulers, got {len(milestones)}"
            )
        self.optimizer = optimizer
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # the members' constructors have set rates: undo that, and start the one whose turn it is
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self.rewind()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def rewind(self) -> None:
        """Take back one count of every member."""
        for scheduler in self._schedulers:
            scheduler.rewind()

    def _start(self) -> None:
        # a sequence inside a sequence counts its start as a step, as PyTorch's does
        self.step()

    def step(self) -> None:
        """Count one epoch and set the rates of the scheduler whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler.jump(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        state = plain_state(self, without=("_schedulers",))
        state["_schedulers"] = [scheduler.state_dict() for scheduler in self._schedulers]
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class WarmUp(SequentialLR):
    """Raise the rate linearly over the first `steps`, then follow another scheduler.

    Parameters
    ----------
    optimizer : Optimizer
        Whose rates are set.
    steps : int
        Length of the rise, in the unit that `step` is called in.
    after : LRScheduler, optional
        What follows; without it the rate stays.
    start_factor : float
        Share of the rate at the start.

    Raises
    ------
    ValueError
        For fewer than one step.

    References
    ----------
    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", arXiv:1706.02677.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = fn.optim.lr_scheduler.WarmUp(optimizer, steps=2, start_factor=0.5)
    >>> [scheduler.get_last_lr()[0]] + [scheduler.step() or scheduler.get_last_lr()[0] for _ in range(3)]
    [0.5, 0.75, 1.0, 1.0]
    """

    def __init__(
        self, optimizer: Optimizer, steps: int, after: LRScheduler | None = None, start_factor: float = 0.1
    ) -> None:
        expect_whole("WarmUp", steps=steps)
        if steps < 1:
            raise ValueError(f"WarmUp: expected steps >= 1, got {steps}")
        if after is not None:
            # the rise starts from the rates as they were before `after` set its own
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"]
        rise = LinearLR(optimizer, start_factor=start_factor, total_iters=steps)
        super().__init__(optimizer, [rise] if after is None else [rise, after], [] if after is None else [steps])


class ChainedScheduler(LRScheduler):
    """Step several schedulers at once, each acting on the rates that the one before it left.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        All of one optimizer.
    optimizer : Optimizer, optional
        That optimizer, checked if given.

    Raises
    ------
    ValueError
        For no schedulers, or schedulers of several optimizers.

    Examples
    --------
    >>> import fastnn as fn
    >>> from fastnn.optim.lr_scheduler import ChainedScheduler, ConstantLR, ExponentialLR
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> scheduler = ChainedScheduler([ConstantLR(optimizer, 0.5, total_iters=1), ExponentialLR(optimizer, 0.5)])
    >>> scheduler.step(); scheduler.get_last_lr()
    [0.5]
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        _check_members("ChainedScheduler", optimizer, schedulers)
        _check_members("ChainedScheduler", schedulers[0].optimizer, schedulers)
        self.optimizer = schedulers[0].optimizer
        self._schedulers = list(schedulers)
        self._last_lr = self._rates()

    def step(self) -> None:
        """Step every member."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = self._rates()

    def rewind(self) -> None:
        """Take back one count of every member."""
        for scheduler in self._schedulers:
            scheduler.rewind()

    def _start(self) -> None:
        for scheduler in self._schedulers:
            scheduler._start()
        self._last_lr = self._rates()

    def jump(self, epoch: int) -> None:
        """Set the rates of a given epoch."""
        for scheduler in self._schedulers:
            scheduler.jump(epoch)
        self._last_lr = self._rates()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data."""
        return {"_last_lr": list(self._last_lr), "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._last_lr = list(state_dict["_last_lr"])
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)
