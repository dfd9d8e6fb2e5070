"""Learning curves, where matplotlib is installed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .history import History

__all__ = ["can_plot", "plot_history"]

_NOT_CURVES = ("epoch", "seconds")


def can_plot() -> bool:
    """Tell whether matplotlib is installed."""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def plot_history(history: History, path: str | os.PathLike[str] | None = None) -> Any:
    """Draw a panel for each measure, with training and validation as two lines; see `History.plot`."""
    if not history:
        raise ValueError("plot: expected at least one epoch, got an empty history")
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plotting needs matplotlib: pip install 'fastnn-core[plot]'") from None
    names = [
        name
        for name, value in history[-1].items()
        if name not in _NOT_CURVES and not name.startswith("val_") and isinstance(value, (int, float))
    ]
    figure = Figure(figsize=(4.2 * len(names), 3.4), layout="constrained")
    # without pyplot no global figure is kept and no display is needed
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _panel(axes, history, name)
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def _panel(axes: Any, history: History, name: str) -> None:
    epochs = history.column("epoch")
    has_validation = f"val_{name}" in history[-1]
    axes.plot(epochs, history.column(name), marker=".", label="training" if has_validation else name)
    if has_validation:
        axes.plot(epochs, history.column(f"val_{name}"), marker=".", label="validation")
        axes.legend(frameon=False)
    axes.set_title(name)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)
    if all(isinstance(epoch, int) for epoch in epochs) and len(epochs) < 12:
        axes.set_xticks(epochs)
