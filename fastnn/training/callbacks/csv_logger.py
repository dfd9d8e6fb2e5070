"""The history as a file, kept up to date."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .base import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Write the history as CSV after every epoch; a resumed run goes on with its whole history.

    Parameters
    ----------
    path : str or path-like
        The file, replaced in one step each time.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.training.CSVLogger("history.csv").path
    'history.csv'
    """

    order = 60

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Write the file."""
        trainer.history.save_csv(self.path)
