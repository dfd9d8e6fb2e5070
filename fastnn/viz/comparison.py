"""Networks against each other: accuracy over operations, circles as large as the number of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from .._checks import as_float
from .figure import Path, finish, panels, says_who

__all__ = ["accuracy_against_operations"]

FONT = 7.0  # points

_COLUMNS = ("name", "accuracy", "operations", "parameters")


@says_who
def accuracy_against_operations(
    rows: Iterable[Mapping[str, Any]], *, ylabel: str = "accuracy", path: Path | None = None
) -> Any:
    """Draw a circle for each network: operations across, accuracy up, area by parameters.

    With a ``"throughput"`` in each row (images a second) a second panel shows accuracy over that.

    Parameters
    ----------
    rows : iterable of mapping
        ``name``, ``accuracy``, ``operations`` (of one image), ``parameters``, and perhaps ``throughput``.
    ylabel : str
        What the accuracy is of.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For no rows, or one that lacks a column.

    Examples
    --------
    >>> from fastnn import viz
    >>> rows = [{"name": "a", "accuracy": 0.9, "operations": 1e9, "parameters": 5e6},
    ...         {"name": "b", "accuracy": 0.8, "operations": 1e8, "parameters": 1e6}]
    >>> len(viz.accuracy_against_operations(rows).axes)
    1
    """
    if not isinstance(rows, Iterable):
        raise TypeError(f"expected rows as a list of dicts, got {type(rows).__name__}")
    table = list(rows)
    for row in table:
        if not isinstance(row, Mapping):
            raise TypeError(f"expected rows as dicts, got {type(row).__name__}")
    lacking = [key for row in table for key in _COLUMNS if key not in row]
    if not table or lacking:
        got = f"no {lacking[0]}" if lacking else "no rows"
        raise ValueError(f"expected rows with {', '.join(_COLUMNS)}, got {got}")
    for row in table:
        as_float("accuracy", row["accuracy"])
        for key in ("operations", "parameters", "throughput"):
            if key in row and not 0 < as_float(key, row[key]) < np.inf:
                raise ValueError(f"expected {key} of {row['name']} > 0 and finite, got {row[key]}")
    shown = [("operations", "operations for one image")]
    if all("throughput" in row for row in table):
        shown.append(("throughput", "images a second here"))
    figure, all_axes = panels(len(shown), 2, 7.0, 5.4)
    largest = max(float(row["parameters"]) for row in table)
    areas = [max(900 * float(row["parameters"]) / largest, 4.0) for row in table]
    for axes, (key, label) in zip(all_axes, shown, strict=True):
        for i, row in enumerate(table):
            axes.scatter(row[key], row["accuracy"], s=areas[i], color=f"C{i % 10}", alpha=0.6)
        axes.set(xscale="log", xlabel=label, ylabel=ylabel)
        axes.margins(0.18)
        axes.grid(alpha=0.3)
    figure.suptitle("circle area: parameters")
    figure.draw_without_rendering()  # only then it is known where a point lies in the picture
    for axes, (key, _) in zip(all_axes, shown, strict=True):
        points = axes.transData.transform([(row[key], row["accuracy"]) for row in table]) * 72 / figure.dpi
        names = [str(row["name"]) for row in table]
        for name, row, offset in zip(names, table, _beside(names, points, np.sqrt(areas) / 2), strict=True):
            axes.annotate(name, (row[key], row["accuracy"]), offset, textcoords="offset points", fontsize=FONT)
    return finish(figure, path)


def _beside(names: list[str], points: np.ndarray, radii: np.ndarray) -> list[tuple[float, float]]:
    """Return where to write each name, relative to its circle, so that names do not cover each other where possible."""
    taken: list[tuple[float, float, float]] = []  # left, bottom, width
    offsets = []
    for name, (x, y), r in zip(names, points, radii, strict=True):
        width, found = 0.6 * FONT * len(name), []
        for away in range(4):
            up, aside = away * (FONT + 2.0), r + 3.0
            found += [(aside, up - 3), (-width / 2, r + 2 + up), (-width / 2, -r - FONT - 2 - up), (-aside - width, -3)]
        free = [
            (dx, dy)
            for dx, dy in found
            if all(abs(y + dy - b) > FONT or x + dx > a + w or a > x + dx + width for a, b, w in taken)
        ]
        dx, dy = (free or found)[0]
        taken.append((x + dx, y + dy, width))
        offsets.append((dx, dy))
    return offsets
