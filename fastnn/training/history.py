"""What a training run measured, epoch by epoch, as plain data."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..graph.report import format_table

__all__ = ["History", "improves", "mode_of"]

Path = str | os.PathLike[str]


class History(list[dict[str, Any]]):
    """A list of one dict an epoch: ``epoch`` (from 1), ``loss``, metrics, the same with ``val_``, ``lr``, ``seconds``.

    Attributes
    ----------
    status : str
        "empty", "running", "completed", "stopped" (by a callback), "interrupted" (Ctrl-C) or "failed".

    Examples
    --------
    >>> from fastnn.training import History
    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> history.column("loss"), history.best("loss")["epoch"]
    ([0.5, 0.25], 2)
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), status: str = "empty") -> None:
        super().__init__(dict(row) for row in rows)
        self.status = status

    def __str__(self) -> str:
        columns = list(dict.fromkeys(name for row in self for name in row))
        if not columns:
            return f"History({self.status}, no epochs)"
        cells = [[_short(row.get(name, "")) for name in columns] for row in self]
        return format_table(columns, cells, right=range(len(columns)))

    def column(self, name: str) -> list[Any]:
        """Return one measure over the epochs; None where an epoch lacks it."""
        if self and all(name not in row for row in self):
            raise KeyError(f"history: expected one of {sorted(self[0])}, got {name!r}")
        return [row.get(name) for row in self]

    def best(self, monitor: str, mode: str | None = None) -> dict[str, Any]:
        """Return the epoch with the lowest (``mode="min"``) or highest (``"max"``) value of a measure."""
        mode = mode or mode_of(monitor)
        best: dict[str, Any] | None = None
        for row in self:
            if monitor in row and (best is None or improves(row[monitor], best[monitor], mode)):
                best = row
        if best is None:
            raise KeyError(f"history: expected an epoch with {monitor!r}, got none among {len(self)}")
        return best

    def to_csv(self) -> str:
        """Return the history as CSV text; the columns are those of all epochs, in order of appearance."""
        columns = list(dict.fromkeys(name for row in self for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self)
        return text.getvalue()

    def save_csv(self, path: Path) -> None:
        """Write `to_csv` to a file, replacing it in one step."""
        from ..io.atomic import atomic_write

        atomic_write(path, [self.to_csv().encode()])

    def plot(self, path: Path | None = None) -> Any:
        """Draw loss and metrics over the epochs, training and validation together.

        Parameters
        ----------
        path : str or path-like, optional
            Where to save the picture (its ending gives the format).

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib; it names the extra.
        ValueError
            For an empty history.
        """
        from .curves import plot_history

        return plot_history(self, path)


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def mode_of(monitor: str) -> str:
    """Tell whether a measure should fall ("min": losses and errors) or rise ("max")."""
    return "min" if any(word in monitor for word in ("loss", "error", "mae", "mse")) else "max"


def improves(value: float, best: float, mode: str, min_delta: float = 0.0) -> bool:
    """Tell whether a value is better than the best by more than `min_delta`; NaN never is, and is always beaten."""
    if value != value:
        return False
    if best != best:
        return True
    return value < best - min_delta if mode == "min" else value > best + min_delta
