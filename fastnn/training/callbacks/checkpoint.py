"""Saving weights and states while training."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..history import improves, mode_of
from .base import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Callback):
    """Save the best and the last weights into a folder, and a state from which the run can be resumed.

    The files are ``best.safetensors`` and ``last.safetensors`` (weights) and ``resume.state`` (for ``fit(resume=)``),
    each replaced in one step.

    Parameters
    ----------
    folder : str or path-like
        Made if missing.
    monitor : str
        Column of the history that decides which weights are best.
    mode : {"min", "max"}, optional
        Whether lower is better; losses and errors "min", anything else "max" unless given.
    save_best, save_last, save_state : bool
        Which of the three files are written.
    every_steps : int, optional
        Also save the state after every so many steps.
    metadata : mapping of str to str, optional
        Kept in the weights files.

    Raises
    ------
    ValueError
        For an option out of range.
    KeyError
        When the history has no such column.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.training.ModelCheckpoint("run", monitor="val_accuracy").mode
    'max'
    """

    order = 100

    def __init__(
        self,
        folder: str | os.PathLike[str],
        monitor: str = "val_loss",
        mode: str | None = None,
        *,
        save_best: bool = True,
        save_last: bool = True,
        save_state: bool = True,
        every_steps: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if mode not in (None, "min", "max"):
            raise ValueError(f"ModelCheckpoint: expected mode 'min' or 'max', got {mode!r}")
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"ModelCheckpoint: expected every_steps >= 1, got {every_steps}")
        self.folder = os.fspath(folder)
        self.monitor, self.mode = monitor, mode or mode_of(monitor)
        self.save_best, self.save_last, self.save_state = save_best, save_last, save_state
        self.every_steps = every_steps
        self.metadata = dict(metadata or {})
        self.best = math.nan

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Make the folder."""
        os.makedirs(self.folder, exist_ok=True)

    def on_step(self, trainer: Trainer) -> None:
        """Save the state if it is time."""
        if self.every_steps and trainer.steps % self.every_steps == 0:
            trainer.save(self._path("resume.state"))

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Save what was asked for."""
        from ...io import save

        if self.save_best:
            value = trainer.monitored("ModelCheckpoint", self.monitor, row)
            if improves(value, self.best, self.mode):
                self.best = value
                save(trainer.model, self._path("best.safetensors"), self.metadata)
        if self.save_last:
            save(trainer.model, self._path("last.safetensors"), self.metadata)
        if self.save_state:
            trainer.save(self._path("resume.state"))

    def state_dict(self) -> dict[str, Any]:
        """Return what must be kept to resume."""
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.best = state["best"]
