"""Curves: measures over epochs, losses over learning rates, anything over anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._checks import as_float, as_int, as_real_array
from .figure import Path, expect_named, finish, new_figure, panels, says_who

if TYPE_CHECKING:
    from ..training import LRFind

__all__ = ["bars", "histograms", "learning_curves", "lines", "lr_range"]


@says_who
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
    expect_named("curve", curves)
    scattered = set(points)
    if not scattered <= set(curves):
        raise ValueError(f"expected points among {list(curves)}, got {sorted(scattered - set(curves))}")
    figure, (axes,) = panels(1, 1, 6.4, 4.0)
    for name, curve in curves.items():
        x, y = _points(name, curve)
        style = {"linestyle": "", "marker": "."} if name in scattered else {}
        axes.plot(x, y, label=name, **style)
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale=xscale, yscale=yscale)
    axes.grid(alpha=0.3)
    if any(curves):
        axes.legend(frameon=False)
    return finish(figure, path, title)


def _points(name: str, curve: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return a curve's x and y: numbers, as many of one as of the other."""
    pair = curve if isinstance(curve, tuple) else (None, curve)
    if len(pair) != 2:
        raise ValueError(f"expected y or (x, y) for {name!r}, got a tuple of {len(pair)}")
    y = as_real_array(f"y of {name!r}", pair[1])
    x = np.arange(1, y.size + 1) if pair[0] is None else as_real_array(f"x of {name!r}", pair[0])
    if y.ndim != 1 or x.shape != y.shape or not y.size:
        got = f"{x.shape} and {y.shape}"
        raise ValueError(f"expected x and y of {name!r} as two sequences of one length, at least 1, got {got}")
    return x, y


@says_who
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
    for history in named.values():
        if not hasattr(history, "column"):
            raise TypeError(f"expected a History, or a dict from names to them, got {type(history).__name__}")
    if not named or not all(named.values()):
        raise ValueError("learning_curves: expected at least one epoch in each run, got an empty history")
    first = next(iter(named.values()))[-1]
    idle = ("epoch", "seconds", "lr")
    names = [name for name in first if name not in idle and not name.startswith("val_")]
    names = list(measures) if measures is not None else names
    if not names:
        raise ValueError("expected at least one measure, got none")
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


@says_who
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
    if not hasattr(found, "suggestion"):
        raise TypeError(f"expected what lr_find returned, got {type(found).__name__}")
    figure, (axes,) = panels(1, 1, 6.4, 4.0)
    axes.plot(found.rates, found.losses, alpha=0.3, label="loss")
    axes.plot(found.rates, found.smoothed, label="smoothed")
    axes.axvline(found.suggestion, color="C3", linestyle="--", label=f"suggestion {found.suggestion:.2g}")
    low, high = float(found.smoothed.min()), float(found.smoothed[0])
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - 0.2 * abs(high - low), 2 * high - low))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return finish(figure, path)


@says_who
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
    expect_named("array", values)
    count = as_int("bins", bins, 1)
    figure, all_axes = panels(len(values), columns, 2.4, 2.2)
    for axes, (name, array) in zip(all_axes, values.items(), strict=True):
        flat = as_real_array(f"values[{name!r}]", array).astype(np.float64).ravel()
        if not flat.size or not np.isfinite(flat).all():
            got = f"{np.count_nonzero(~np.isfinite(flat))} others among {flat.size}"
            raise ValueError(f"expected finite numbers in values[{name!r}], got {got}")
        axes.hist(flat, bins=count)
        axes.set_title(f"{name}\nmean {flat.mean():.2g}, std {flat.std():.2g}", fontsize="small")
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=3)
    return finish(figure, path, title)


@says_who
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
    expect_named("value", values)
    lengths = [as_float(f"values[{name!r}]", value) for name, value in values.items()]
    figure = new_figure(6.4, 1.2 + 0.34 * len(values))
    axes = figure.subplots()
    drawn = axes.barh([str(name) for name in values], lengths)
    axes.bar_label(drawn, fmt="%.4g", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel=xlabel)
    axes.margins(x=0.15)
    return finish(figure, path, title)
