"""Figures without pyplot: no global state, no display."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np

from .._checks import as_int, as_real_array

__all__ = ["Path", "as_grey_or_rgb", "as_names", "expect_callable", "expect_named", "finish", "new_figure", "panels",
           "says_who"]  # fmt: skip

Path = str | os.PathLike[str]

_F = TypeVar("_F", bound=Callable[..., Any])


def says_who(draw: _F) -> _F:
    """Decorate a function that draws: its errors, and matplotlib's, begin with its name."""

    @functools.wraps(draw)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return draw(*args, **kwargs)
        except (ValueError, TypeError) as error:
            # other classes than these two carry more than a message
            if type(error) not in (ValueError, TypeError) or str(error).startswith(f"{draw.__name__}: "):
                raise
            raise type(error)(f"{draw.__name__}: {error}") from error

    return cast(_F, wrapper)


def expect_named(what: str, values: Any) -> None:
    """Raise TypeError or ValueError unless there is a mapping from names to at least one thing to draw."""
    if not isinstance(values, Mapping):
        raise TypeError(f"expected a dict from names to {what}s, got {type(values).__name__}")
    if not values:
        raise ValueError(f"expected at least one {what}, got none")


def expect_callable(name: str, value: Any) -> None:
    """Raise TypeError unless an argument can be called."""
    if not callable(value):
        raise TypeError(f"expected {name} to be a function, got {value!r}")


def as_names(name: str, given: Sequence[Any] | None, count: int) -> list[str]:
    """Return as many names as asked for: those given, else the numbers from 0."""
    if given is None:
        return [str(i) for i in range(count)]
    if len(given) != count:
        raise ValueError(f"expected {count} {name}, got {len(given)}")
    return [str(one) for one in given]


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
    columns = min(as_int("columns", columns, 1), count)
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
        if not isinstance(path, (str, os.PathLike)) and not hasattr(path, "write"):
            raise TypeError(f"expected path to be a file's name, got {path!r}")
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
    if array.size == 0:
        raise ValueError(f"{who}: expected images of at least one pixel, got shape {array.shape}")
    if titles is not None and len(titles) != len(array):
        raise ValueError(f"{who}: expected {len(array)} titles, got {len(titles)}")
    if not np.isfinite(array).all():
        raise ValueError(f"{who}: expected finite pixels, got {array[~np.isfinite(array)][0]}")
    axes = tuple(range(1, array.ndim))
    low, high = array.min(axis=axes, keepdims=True), array.max(axis=axes, keepdims=True)
    return (array - low) / np.where(high > low, high - low, 1.0)
