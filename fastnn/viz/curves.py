"""Curves: measures over epochs, losses over learning rates, anything over anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import Path, finish, new_figure, panels

if TYPE_CHECKING:
    from ..training import LRFind

__all__ = ["bars", "histograms", "learning_curves", "lines", "lr_range"]


def lines(
    curves: Mapping[str, Any],
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    xscale: str = "linear",
    yscale: str = "linear",
    points: Iterable[str] = (),
    path: Path | None = None,
) -> Any:
    """Draw curves by name into one panel.

    Parameters
    ----------
    curves : mapping of str to (x, y) or y
        Two sequences of equal length, or one, over 1, 2, 3, ...
    xlabel, ylabel, title : str
    xscale, yscale : str
        ``"linear"`` or ``"log"``.
    points : iterable of str
        Names of those to draw as points without a line.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For no curves.

    Examples
    --------
    >>> from fastnn import viz
    >>> figure = viz.lines({"square": ([1, 2, 3], [1, 4, 9]), "cube": [1, 8, 27]}, xlabel="x")
    >>> len(figure.axes[0].get_lines())
    2
    """
    if not curves:
        raise ValueError("lines: expected at least one curve, got none")
    scattered = set(points)
    figure, (axes,) = panels(1, 1, 6.4, 4.0)
    for name, curve in curves.items():
        x, y = curve if isinstance(curve, tuple) else (np.arange(1, len(curve) + 1), curve)
        style = {"linestyle": "", "marker": "."} if name in scattered else {}
        axes.plot(x, y, label=name, **style)
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    axes.grid(alpha=0.3)
    if any(curves):
        axes.legend(frameon=False)
    return finish(figure, path, title)


def learning_curves(runs: Any, measures: Iterable[str] | None = None, *, path: Path | None = None) -> Any:
    """Draw measures over the epochs: a panel a measure, a line a run, validation dashed.

    Parameters
    ----------
    runs : History, or mapping of str to History
        One run, or several by name.
    measures : iterable of str, optional
        Columns of the histories; loss and metrics of the first run by default.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For a history without epochs.
    KeyError
        For a measure that a history lacks.

    Examples
    --------
    >>> from fastnn import viz
    >>> from fastnn.training import History
    >>> history = History([{"epoch": 1, "loss": 0.5, "val_loss": 0.6}, {"epoch": 2, "loss": 0.3, "val_loss": 0.5}])
    >>> figure = viz.learning_curves({"plain": history})
    >>> len(figure.axes), len(figure.axes[0].get_lines())
    (1, 2)
    """
    named = runs if isinstance(runs, Mapping) else {"": runs}
    if not named or not all(named.values()):
        raise ValueError("learning_curves: expected at least one epoch in each run, got an empty history")
    first = next(iter(named.values()))[-1]
    idle = ("epoch", "seconds", "lr")
    names = [name for name in first if name not in idle and not name.startswith("val_")]
    names = list(measures) if measures is not None else names
    figure, all_axes = panels(len(names), 3, 4.6, 3.4)
    for axes, name in zip(all_axes, names, strict=True):
        for i, (run, history) in enumerate(named.items()):
            color = f"C{i}"
            axes.plot(history.column("epoch"), history.column(name), color=color, label=run or "training")
            if f"val_{name}" in history[-1]:
                label = f"{run}, validation" if run else "validation"
                axes.plot(history.column("epoch"), history.column(f"val_{name}"), "--", color=color, label=label)
        axes.set(title=name, xlabel="epoch")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    return finish(figure, path)


def lr_range(found: LRFind, *, path: Path | None = None) -> Any:
    """Draw a learning-rate range test: losses over rates, the suggestion marked.

    Parameters
    ----------
    found : LRFind
        What `fastnn.lr_find` returned.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastnn import viz
    >>> from fastnn.training import LRFind
    >>> figure = viz.lr_range(LRFind([0.01, 0.1, 1.0], [3.0, 1.0, 9.0], smoothing=0.0))
    >>> figure.axes[0].get_xscale()
    'log'
    """
    figure, (axes,) = panels(1, 1, 6.4, 4.0)
    axes.plot(found.rates, found.losses, alpha=0.3, label="loss")
    axes.plot(found.rates, found.smoothed, label="smoothed")
    axes.axvline(found.suggestion, color="C3", linestyle="--", label=f"suggestion {found.suggestion:.2g}")
    low, high = float(found.smoothed.min()), float(found.smoothed[0])
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.2 * abs(high - low), 2 * high - low))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return finish(figure, path)


def histograms(
    values: Mapping[str, Any], *, bins: int = 50, columns: int = 5, title: str = "", path: Path | None = None
) -> Any:
    """Draw a histogram for each array: activations layer by layer, weights, gradients.

    Parameters
    ----------
    values : mapping of str to array_like
        Arrays of any shape, by name.
    bins : int
    columns : int
        Panels in a row.
    title : str
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For no arrays.

    Examples
    --------
    >>> import fastnn as fn
    >>> layer = fn.nn.Linear(20, 10)
    >>> len(fn.viz.histograms({name: p.data for name, p in layer.named_parameters()}).axes)
    2
    """
    if not values:
        raise ValueError("histograms: expected at least one array, got none")
    figure, all_axes = panels(len(values), columns, 2.4, 2.2)
    for axes, (name, array) in zip(all_axes, values.items(), strict=True):
        flat = np.asarray(array, np.float64).ravel()
        axes.hist(flat, bins=bins)
        axes.set_title(f"{name}\nmean {flat.mean():.2g}, std {flat.std():.2g}", fontsize="small")
        axes.set_yticks([])
    return finish(figure, path, title)


def bars(values: Mapping[str, float], *, xlabel: str = "", title: str = "", path: Path | None = None) -> Any:
    """Draw one horizontal bar for each value, with the value written beside it.

    Parameters
    ----------
    values : mapping of str to float
    xlabel, title : str
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For no values.

    Examples
    --------
    >>> from fastnn import viz
    >>> len(viz.bars({"softmax": 0.93, "svm": 0.94}).axes[0].patches)
    2
    """
    if not values:
        raise ValueError("bars: expected at least one value, got none")
    figure = new_figure(6.4, 1.2 + 0.34 * len(values))
    axes = figure.subplots()
    drawn = axes.barh(list(values), list(values.values()))
    axes.bar_label(drawn, fmt="%.4g", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
    axes.margins(x=0.15)
    return finish(figure, path, title)
