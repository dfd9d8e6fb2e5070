"""What a callback may do, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..trainer import Trainer

__all__ = ["Callback"]


class Callback:
    """Base class of callbacks: the trainer calls these methods; override those that you need.

    They may read ``trainer.model``, ``trainer.optimizer``, ``trainer.history``, ``trainer.epoch`` (from 0),
    ``trainer.steps`` (all so far) and ``trainer.last_loss``; ``trainer.stop(reason)`` ends the run after this step or
    epoch, and ``trainer.save(path)`` saves a state to resume from. Only callbacks that override `on_step` cost time in
    a step.

    Attributes
    ----------
    order : int
        Callbacks run by rising order: schedulers -10, others 0, the progress bar 50, what saves states 100.

    Examples
    --------
    >>> import fastnn as fn
    >>> class Report(fn.training.Callback):
    ...     def on_epoch_end(self, trainer, row):
    ...         print(f"epoch {row['epoch']}: loss {row['loss']:.3f}")
    >>> Report().order
    0
    """

    order = 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Before the first step, after a state that is resumed has been loaded."""

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Before an epoch's first step (also when the rest of an interrupted epoch begins)."""

    def on_step(self, trainer: Trainer) -> None:
        """After every step."""

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """After an epoch's validation; `row` is its entry in the history and may be added to."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """When the run ends, whichever way: ``trainer.history.status`` tells."""

    def state_dict(self) -> dict[str, Any]:
        """Return what must be kept to resume, as plain data and arrays."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
