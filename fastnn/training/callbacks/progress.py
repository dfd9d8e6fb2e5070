"""The progress bar."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from .base import Callback

if TYPE_CHECKING:
    from ..trainer import Trainer

__all__ = ["ProgressBar"]

REDRAW_SECONDS = 0.1
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class ProgressBar(Callback):
    """A bar while an epoch runs, redrawn at most ten times a second, then a line that stays.

    Between redraws a step pays for reading a clock. Where the stream is no terminal (a log file), there is no bar.

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

        # some pseudo-terminals claim to have no columns: this falls back to 80
        size = shutil.get_terminal_size()
        self._bar = tqdm(
            total=trainer.steps_per_epoch,
            initial=trainer.steps_in_epoch,
            file=output,
            leave=False,
            desc=f"epoch {trainer.epoch + 1}/{trainer.last_epoch}",
            unit="step",
            ncols=size.columns,
            nrows=size.lines,
            mininterval=0,
            bar_format=BAR,
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
        """Replace the bar by the epoch's line."""
        self._close()
        values = {key: value for key, value in row.items() if key not in ("epoch", "lr", "seconds")}
        text = f"epoch {row['epoch']}/{trainer.last_epoch}: {_summary(values)}, {row['seconds']:.1f} s"
        print(text, file=self._output(), flush=True)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Close a bar that was left."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _summary(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value:.4f}" for key, value in values.items() if isinstance(value, float))
