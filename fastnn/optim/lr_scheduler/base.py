"""What all learning-rate schedulers share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..._checks import as_float, as_int
from ..optimizer import Optimizer

__all__ = ["LRScheduler", "expect_numbers", "expect_whole", "plain_state"]


class LRScheduler:
    """Base class: `step` counts epochs (or batches) in `last_epoch` and writes `get_lr` into the optimizer's groups.

    A subclass overrides `get_lr`. Most rules are written, as in PyTorch, as a factor on the present rate, so that
    several schedulers can act on one optimizer and rates set by hand are kept.

    Parameters
    ----------
    optimizer : Optimizer
        Whose ``param_groups`` are written.
    last_epoch : int
        -1 starts afresh, and remembers each group's rate as ``initial_lr``.

    Raises
    ------
    TypeError
        If `optimizer` is none.
    KeyError
        If `last_epoch` says "resume" and a group has no ``initial_lr``.

    Examples
    --------
    >>> import fastnn as fn
    >>> class Halving(fn.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base * 0.5 ** self.last_epoch for base in self.base_lrs]
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=0.8)
    >>> scheduler = Halving(optimizer)
    >>> scheduler.step()
    >>> scheduler.get_last_lr()
    [0.4]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        who = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{who}: expected an Optimizer, got {type(optimizer).__name__}")
        expect_whole(who, last_epoch=last_epoch)
        self.optimizer = optimizer
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{who}: expected 'initial_lr' in parameter group {index} to resume from "
                    f"last_epoch {last_epoch}, got options {sorted(set(group) - {'params'})}"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._last_lr: list[float] = []
        self._start()

    def _start(self) -> None:
        """Set the rates of epoch 0 (or of the epoch that is resumed)."""
        self._initial = True
        self._step_count = 0
        self.step()
        self._initial = False

    def get_lr(self) -> list[float]:
        """Return the groups' rates at `last_epoch`; `step` calls it."""
        raise NotImplementedError(f"{type(self).__name__}.get_lr")

    def closed_form(self) -> list[float]:
        """Return the rates at `last_epoch` from the initial ones alone, where a rule has such a form."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """Return the rates that the last `step` set, one a group."""
        return self._last_lr

    def step(self) -> None:
        """Count one epoch (or batch) and set the groups' rates."""
        self._step_count += 1
        self.last_epoch += 1
        self._write(self.get_lr())

    def jump(self, epoch: int) -> None:
        """Set the rates of a given epoch."""
        self.last_epoch = epoch
        self._write(self.closed_form())

    def rewind(self) -> None:
        """Take back one count, rates untouched: the constructor's step is repeated by an owning scheduler."""
        self.last_epoch -= 1

    def _write(self, rates: list[float]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data (numbers, strings, lists), without the optimizer."""
        return plain_state(self)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.__dict__.update({key: value for key, value in state_dict.items() if key in self.__dict__})


def expect_numbers(who: str, **options: Any) -> None:
    """Raise TypeError or ValueError unless each option is a number (and not NaN)."""
    _expect(as_float, who, options)


def expect_whole(who: str, **options: Any) -> None:
    """Raise TypeError unless each option is a whole number."""
    _expect(as_int, who, options)


def _expect(check: Callable[[str, Any], Any], who: str, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        try:
            check(name, value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{who}: {error}") from None


def plain_state(owner: object, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the attributes of a scheduler except the optimizer and those named; lists are copied."""
    return {
        key: list(value) if isinstance(value, (list, tuple)) else value
        for key, value in vars(owner).items()
        if key != "optimizer" and key not in without
    }
