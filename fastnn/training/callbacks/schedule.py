"""Learning-rate schedulers as callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau
from .base import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer

__all__ = ["LRSchedulerCallback", "as_callbacks"]


class LRSchedulerCallback(Callback):
    """Step a scheduler after every epoch or after every step.

    A scheduler given to ``Trainer(callbacks=)`` as it is becomes one of these, with the default interval.

    Parameters
    ----------
    scheduler : LRScheduler or ReduceLROnPlateau
        Of the trainer's optimizer.
    interval : {"epoch", "step"}, optional
        "epoch" unless given; `OneCycleLR` counts steps.
    monitor : str
        Column of the history that `ReduceLROnPlateau` watches.

    Raises
    ------
    TypeError
        If `scheduler` is none.
    ValueError
        For another interval, or a plateau scheduler by steps.

    Examples
    --------
    >>> import fastnn as fn
    >>> optimizer = fn.optim.SGD(fn.nn.Linear(2, 1).parameters(), lr=0.1)
    >>> scheduler = fn.optim.lr_scheduler.StepLR(optimizer, 10)
    >>> fn.training.LRSchedulerCallback(scheduler).interval
    'epoch'
    """

    order = -10

    def __init__(self, scheduler: Any, interval: str | None = None, monitor: str = "val_loss") -> None:
        if not isinstance(scheduler, (LRScheduler, ReduceLROnPlateau)):
            raise TypeError(f"LRSchedulerCallback: expected a scheduler, got {type(scheduler).__name__}")
        self.scheduler: Any = scheduler
        self.interval = interval or _default_interval(scheduler)
        self.monitor = monitor
        if self.interval not in ("epoch", "step"):
            raise ValueError(f"LRSchedulerCallback: expected interval 'epoch' or 'step', got {interval!r}")
        if self.interval == "step" and isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError("LRSchedulerCallback: expected interval 'epoch' for ReduceLROnPlateau, got 'step'")

    def on_step(self, trainer: Trainer) -> None:
        """Step the scheduler, if it counts steps."""
        if self.interval == "step":
            self.scheduler.step()

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Step the scheduler, if it counts epochs."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(trainer.monitored("LRSchedulerCallback", self.monitor, row))
        elif self.interval == "epoch":
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what must be kept to resume."""
        return self.scheduler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.scheduler.load_state_dict(state)


def _default_interval(scheduler: Any) -> str:
    return "step" if isinstance(scheduler, OneCycleLR) else "epoch"


def as_callbacks(given: Iterable[Any]) -> list[Callback]:
    """Return callbacks as a list, with schedulers wrapped."""
    callbacks: list[Callback] = []
    if not isinstance(given, Iterable):
        raise TypeError(f"Trainer: expected a list of callbacks or schedulers, got {type(given).__name__}")
    for entry in given:
        if isinstance(entry, (LRScheduler, ReduceLROnPlateau)):
            callbacks.append(LRSchedulerCallback(entry))
        elif isinstance(entry, Callback):
            callbacks.append(entry)
        else:
            raise TypeError(f"Trainer: expected callbacks or schedulers, got {type(entry).__name__}")
    return callbacks
