"""The progress bar."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from .base import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer

__all__ = ["ProgressBar"]

REDRAW_SECONDS = 0.1


class ProgressBar(Callback):
    """A bar an epoch, with the running loss, redrawn at most ten times a second.

    Between redraws a step pays for reading a clock. Where the stream is no terminal (a log file), a line an epoch is
    written instead.

    Parameters
    ----------
    stream : file, optional
        Where to write; standard error unless given.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.training.ProgressBar().order
    50
    """

    order = 50

    def __init__(self, stream: Any = None) -> None:
        self.stream = stream
        self._bar: Any = None
        self._next = 0.0

    def _output(self) -> Any:
        return self.stream if self.stream is not None else sys.stderr

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Begin a bar."""
        output = self._output()
        self._next = float("inf")
        if not getattr(output, "isatty", lambda: False)():
            return
        from tqdm import tqdm

        self._bar = tqdm(
            total=trainer.steps_per_epoch,
            initial=trainer.steps_in_epoch,
            file=output,
            leave=True,
            desc=f"epoch {trainer.epoch + 1}/{trainer.last_epoch}",
            unit="step",
            dynamic_ncols=True,
            mininterval=0,
        )
        self._next = time.monotonic() + REDRAW_SECONDS

    def on_step(self, trainer: Trainer) -> None:
        """Redraw the bar if it is time."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REDRAW_SECONDS
        self._draw(trainer, {"loss": trainer.running_loss})

    def _draw(self, trainer: Trainer, values: dict[str, Any]) -> None:
        self._bar.set_postfix_str(_summary(values), refresh=False)
        self._bar.n = trainer.steps_in_epoch
        self._bar.refresh()

    def on_epoch_end(self, trainer: Trainer, row: dict[str, Any]) -> None:
        """Finish the bar, or write the line."""
        values = {key: value for key, value in row.items() if key not in ("epoch", "lr", "seconds")}
        if self._bar is not None:
            self._bar.n = trainer.steps_per_epoch or self._bar.n
            self._bar.set_postfix_str(_summary(values), refresh=False)
            self._close()
        else:
            text = f"epoch {row['epoch']}/{trainer.last_epoch}: {_summary(values)}, {row['seconds']:.1f} s"
            print(text, file=self._output(), flush=True)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close a bar that was left."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None


def _summary(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.4f}" for key, value in values.items() if isinstance(value, float))
