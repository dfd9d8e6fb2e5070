"""Stopping when a measure no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._checks import as_float, as_int, as_text
from ...nn.functional._common import naming
from ..history import improves, mode_of
from .base import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Stop when a measure has not improved for `patience` epochs, and bring back the best weights.

    The weights are restored however the run ends: by this callback, after its last epoch, by Ctrl-C, or by an error.

    Parameters
    ----------
    monitor : str
        A column of the history.
    patience : int
        Epochs without improvement after which the run stops.
    min_delta : float
        Smaller improvements do not count.
    mode : {"min", "max"}, optional
        Whether lower is better; losses and errors "min", anything else "max" unless given.
    restore_best_weights : bool
        False leaves the weights of the last step.

    Raises
    ------
    ValueError
        For an option out of range.
    KeyError
        When the history has no such column.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.training.EarlyStopping("val_accuracy", patience=5).mode
    'max'
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 3,
        min_delta: float = 0.0,
        mode: str | None = None,
        restore_best_weights: bool = True,
    ) -> None:
        with naming("EarlyStopping"):
            as_text("monitor", monitor)
            as_int("patience", patience)
            as_float("min_delta", min_delta)
        if patience < 1 or min_delta < 0:
            raise ValueError(f"EarlyStopping: expected patience >= 1 and min_delta >= 0, got {patience}, {min_delta}")
        if mode not in (None, "min", "max"):
            raise ValueError(f"EarlyStopping: expected mode 'min' or 'max', got {mode!r}")
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self.mode = mode or mode_of(monitor)
        self.restore_best_weights = restore_best_weights
        self.best = math.nan
        self.best_epoch = 0
        self.wait = 0
        self.best_weights: dict[str, np.ndarray] | None = None

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Remember the best weights; stop when patience is out."""
        value = trainer.monitored("EarlyStopping", self.monitor, row)
        if improves(value, self.best, self.mode, self.min_delta):
            self.best, self.best_epoch, self.wait = value, row["epoch"], 0
            if self.restore_best_weights:
                self.best_weights = dict(trainer.model.state_dict())
            return
        self.wait += 1
        if self.wait >= self.patience:
            trainer.stop(f"{self.monitor} has not improved since epoch {self.best_epoch}")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Restore the best weights."""
        if self.best_weights is not None:
            trainer.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Return what must be kept to resume."""
        return {"best": self.best, "best_epoch": self.best_epoch, "wait": self.wait, "best_weights": self.best_weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.best, self.best_epoch, self.wait = state["best"], state["best_epoch"], state["wait"]
        self.best_weights = state["best_weights"]
