"""Figures without pyplot: no global state, no display."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._checks import as_real_array

__all__ = ["Path", "as_grey_or_rgb", "finish", "new_figure", "panels"]

Path = str | os.PathLike[str]


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of a size in inches."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plotting needs matplotlib: pip install 'fastnn-core[plot]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(count: int, columns: int, width: float, height: float) -> tuple[Any, list[Any]]:
    """Return a figure and ``count`` axes in rows of ``columns``, each of a size in inches."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = new_figure(columns * width, rows * height)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for idle in axes[count:]:
        idle.set_axis_off()
    return figure, axes[:count]


def finish(figure: Any, path: Path | None, title: str = "") -> Any:
    """Give the figure its title, save it where asked, and return it."""
    if title:
        figure.suptitle(title)
    if path is not None:
        figure.savefig(path, dpi=110)
    return figure


def as_grey_or_rgb(who: str, images: Any, titles: Sequence[str] | None = None) -> np.ndarray:
    """Return images (N, H, W), (N, 1, H, W) or (N, 3, H, W) as (N, H, W) or (N, H, W, 3), each scaled to [0, 1]."""
    array = as_real_array("images", images).astype(np.float64)
    if array.ndim == 4 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 4 and array.shape[1] == 3:
        array = array.transpose(0, 2, 3, 1)
    elif array.ndim != 3:
        raise ValueError(f"{who}: expected images (N, H, W), (N, 1, H, W) or (N, 3, H, W), got shape {array.shape}")
    if len(array) == 0:
        raise ValueError(f"{who}: expected at least one image, got none")
    if titles is not None and len(titles) != len(array):
        raise ValueError(f"{who}: expected {len(array)} titles, got {len(titles)}")
    axes = tuple(range(1, array.ndim))
    low, high = array.min(axis=axes, keepdims=True), array.max(axis=axes, keepdims=True)
    return (array - low) / np.where(high > low, high - low, 1.0)
