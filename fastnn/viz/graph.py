"""The chain rule to look at: a graph of numbers with what each is and how steeply the result depends on it."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

from .figure import Path, finish, panels, says_who

__all__ = ["computation"]

MOST = 200  # nodes: more cannot be read


@says_who
def computation(result: Any, *, title: str = "", path: Path | None = None) -> Any:
    """Draw how a number was computed: values above the lines (green), gradients below them (red).

    Parameters
    ----------
    result : object
        With ``name``, ``value``, ``gradient`` and ``made_of``: pairs of such an object and the slope towards it.
    title : str
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        For an object without one of these attributes.
    ValueError
        For more than 200 numbers: a graph that leads back to itself has no end.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from fastnn import viz
    >>> x = SimpleNamespace(name="x", value=3.0, gradient=6.0, made_of=())
    >>> square = SimpleNamespace(name="x * x", value=9.0, gradient=1.0, made_of=((x, 3.0), (x, 3.0)))
    >>> [text.get_text() for text in viz.computation(square).axes[0].texts]
    ['x * x', '9.00', '1.00', 'x', '3.00', '6.00', 'x', '3.00', '6.00']
    """
    places: list[tuple[Any, int, float]] = []
    rows = _place(result, 0, 0.0, places) - 1.0
    deepest = max(depth for _, depth, _ in places)
    figure, (axes,) = panels(1, 1, 2.2 * (deepest + 1), 1.4 + 0.75 * rows)
    for node, depth, row in places:
        x, y = float(deepest - depth), -row
        name, box = "\n".join(wrap(str(node.name), 18)), {"boxstyle": "round", "facecolor": "white"}
        axes.text(x, y, name, ha="center", va="center", fontsize="small", bbox=box)
        off = 0.2 + 0.1 * len(name.split("\n"))
        axes.text(x, y + off, f"{float(node.value):.2f}", ha="center", va="center", color="green", fontsize="small")
        axes.text(x, y - off, f"{float(node.gradient):.2f}", ha="center", va="center", color="red", fontsize="small")
    for x0, y0, x1, y1 in _lines(places, deepest):
        axes.plot([x0, x1], [y0, y1], color="grey", linewidth=1, zorder=0)
    axes.set(xlim=(-0.5, deepest + 0.5), ylim=(-rows - 0.6, 0.6))
    axes.set_axis_off()
    return finish(figure, path, title)


def _place(node: Any, depth: int, row: float, places: list[tuple[Any, int, float]]) -> float:
    """Note each number's column and row, the result in the middle of what it is made of; return the next free row."""
    for name in ("name", "value", "gradient", "made_of"):
        if not hasattr(node, name):
            raise TypeError(f"expected objects with name, value, gradient and made_of, got a {type(node).__name__}")
    at = len(places)
    if at >= MOST:
        raise ValueError(f"expected at most {MOST} numbers, got more, or a graph that leads back to itself")
    places.append((node, depth, row))
    below = row
    for child, _ in node.made_of:
        below = _place(child, depth + 1, below, places)
    below = max(below, row + 1.0)
    places[at] = (node, depth, (row + below - 1.0) / 2)
    return below


def _lines(places: list[tuple[Any, int, float]], deepest: int) -> list[tuple[float, float, float, float]]:
    """Return the ends of the line from each number to the one that it goes into."""
    found = []
    last: dict[int, float] = {}  # by column; what a number goes into comes before it
    for _, depth, row in places:
        if depth:
            found.append((float(deepest - depth), -row, float(deepest - depth + 1), -last[depth - 1]))
        last[depth] = row
    return found
