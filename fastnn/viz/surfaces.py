"""Functions of two numbers: losses over weights with the paths of optimizers, and classes over a plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .._checks import as_float, as_int, as_real_array
from .figure import Path, expect_callable, finish, panels, says_who

__all__ = ["boundary", "contour", "loss_surface"]

Interval = tuple[float, float]


@says_who
def contour(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray],
    x: Interval,
    y: Interval,
    paths: Mapping[str, Any] | None = None,
    *,
    levels: int = 30,
    title: str = "",
    path: Path | None = None,
) -> Any:
    """Draw lines of equal value of a function of two numbers, and paths over them.

    Parameters
    ----------
    function : callable
        Takes two arrays of one shape and returns one of that shape.
    x, y : (float, float)
        The part of the plane.
    paths : mapping of str to (N, 2), optional
        What optimizers walked, by name.
    levels : int
        Lines; they lie densest near the lowest value.
    title : str
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from fastnn import viz
    >>> figure = viz.contour(lambda a, b: a**2 + 10 * b**2, (-1, 1), (-1, 1), {"down": [(1, 1), (0.5, 0), (0, 0)]})
    >>> len(figure.axes[0].get_lines())
    1
    """
    expect_callable("function", function)
    if not isinstance(paths or {}, Mapping):
        raise TypeError(f"expected paths as a dict from names to points, got {type(paths).__name__}")
    count, across, up = as_int("levels", levels, 1), _interval("x", x), _interval("y", y)
    a, b = np.meshgrid(np.linspace(*across, 161), np.linspace(*up, 161))
    z = as_real_array("what function returns", function(a, b))
    if z.shape != a.shape or not np.isfinite(z).all():
        got = f"shape {z.shape}" if z.shape != a.shape else f"{z[~np.isfinite(z)][0]}"
        raise ValueError(f"expected a function that returns finite numbers of shape {a.shape} for two such, got {got}")
    low, high = float(z.min()), float(z.max())
    figure, (axes,) = panels(1, 1, 6.4, 4.8)
    if high > low:
        axes.contour(
            a, b, z, levels=low + (high - low) * np.linspace(0.02, 1.0, count) ** 2, cmap="Greys_r", linewidths=0.5
        )
    for name, points in (paths or {}).items():
        walked = as_real_array(f"paths[{name!r}]", points).astype(np.float64)
        if walked.ndim != 2 or walked.shape[1] != 2:
            raise ValueError(f"expected paths[{name!r}] of shape (N, 2), got shape {walked.shape}")
        axes.plot(walked[:, 0], walked[:, 1], marker=".", markersize=3, linewidth=1, label=name)
    axes.set(xlim=across, ylim=up)
    if paths:
        axes.legend(frameon=True, fontsize="small")
    return finish(figure, path, title)


def _interval(name: str, given: Any) -> Interval:
    """Return two different finite numbers."""
    if not isinstance(given, Sequence) or len(given) != 2:
        raise ValueError(f"expected {name} as a pair of numbers, got {given!r}")
    low, high = (as_float(name, end) for end in given)
    if low == high or not np.isfinite([low, high]).all():
        raise ValueError(f"expected {name} as two different finite numbers, got {given!r}")
    return low, high


@says_who
def loss_surface(
    model: Any,
    loss: Callable[[Any, Any], Any],
    x: Any,
    y: Any,
    *,
    span: float = 1.0,
    points: int = 21,
    seed: int = 0,
    path: Path | None = None,
) -> Any:
    """Draw the loss around a model's weights, along two random directions.

    A direction's part for each weight array is scaled, filter by filter (rows of the first axis), to the norm of
    what it is added to; biases and norms' parameters stay (Li, Xu, Taylor, Studer, Goldstein, "Visualizing the
    Loss Landscape of Neural Nets", NeurIPS 2018). The weights are restored.

    Parameters
    ----------
    model : Module
    loss : callable
        Takes predictions and targets.
    x, y : array_like
        Inputs and targets: a few hundred will do.
    span : float
        How far to go each way; 1 is as long as the weights themselves.
    points : int
        On each axis.
    seed : int
        Of the directions.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> model = fn.nn.Linear(4, 2)
    >>> figure = fn.viz.loss_surface(model, fn.nn.CrossEntropyLoss(), np.ones((8, 4)), np.zeros(8, int), points=5)
    >>> len(figure.axes)  # the surface and its scale
    2
    """
    from ..training.evaluation import eval_mode

    count, reach = as_int("points", points, 2), as_float("span", span, 0.0)
    if not hasattr(model, "parameters"):
        raise TypeError(f"expected a Module, got {type(model).__name__}")
    expect_callable("loss", loss)
    weights = [p for p in model.parameters() if p.data.ndim > 1]
    keep = [p.data.copy() for p in weights]
    rng = np.random.default_rng(as_int("seed", seed, 0))
    directions = [[_like(w, rng) for w in keep] for _ in range(2)]
    steps = np.linspace(-reach, reach, count)
    values = np.empty((count, count))
    try:
        with eval_mode(model):
            for i, b in enumerate(steps):
                for j, a in enumerate(steps):
                    for p, w, first, second in zip(weights, keep, *directions, strict=True):
                        p.data[...] = w + a * first + b * second
                    values[i, j] = float(np.mean(loss(model(x), y)))
    finally:
        for p, w in zip(weights, keep, strict=True):
            p.data[...] = w
    figure, (axes,) = panels(1, 1, 5.6, 4.6)
    drawn = axes.contourf(steps, steps, np.log10(np.maximum(values, 1e-12)), levels=30, cmap="viridis")
    axes.plot(0, 0, "r+", markersize=12)
    axes.set(xlabel="first direction", ylabel="second direction")
    figure.colorbar(drawn, ax=axes, label="log10 of the loss")
    return finish(figure, path)


def _like(weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random direction whose rows have the norms of the weight's."""
    direction = rng.normal(size=weight.shape)
    axes = tuple(range(1, weight.ndim))
    norms = [np.sqrt((a**2).sum(axis=axes, keepdims=True)) for a in (weight, direction)]
    return direction * norms[0] / np.maximum(norms[1], 1e-12)


@says_who
def boundary(
    predict: Callable[[np.ndarray], np.ndarray], x: Any, y: Any, *, title: str = "", path: Path | None = None
) -> Any:
    """Draw points of a plane in the colours of their classes, over the classes that a model gives the plane.

    Parameters
    ----------
    predict : callable
        Takes points (N, 2) and returns classes (N,).
    x : (N, 2)
    y : (N,)
        Classes, as indices.
    title : str
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For points that do not lie in a plane.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import viz
    >>> figure = viz.boundary(lambda p: (p[:, 0] > 0).astype(int), [[-1, 0], [1, 0]], [0, 1])
    >>> len(figure.axes)
    1
    """
    expect_callable("predict", predict)
    points, labels = as_real_array("x", x).astype(np.float64), as_real_array("y", y)
    if points.ndim != 2 or points.shape[1] != 2 or labels.shape != (len(points),) or not len(points):
        raise ValueError(f"expected points (N, 2) and classes (N,), got {points.shape} and {labels.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"expected finite points, got {points[~np.isfinite(points)][0]}")
    margin = 0.1 * (np.ptp(points, axis=0) + 1e-9)
    (x0, y0), (x1, y1) = points.min(axis=0) - margin, points.max(axis=0) + margin
    a, b = np.meshgrid(np.linspace(x0, x1, 200), np.linspace(y0, y1, 200))
    classes = as_real_array("what predict returns", predict(np.column_stack([a.ravel(), b.ravel()]).astype(np.float32)))
    if classes.shape != (a.size,):
        raise ValueError(f"expected predict to return classes ({a.size},) for so many points, got {classes.shape}")
    classes = classes.reshape(a.shape)
    top = int(max(labels.max(), classes.max(), 1))
    figure, (axes,) = panels(1, 1, 5.0, 4.2)
    axes.imshow(
        classes,
        origin="lower",
        extent=(x0, x1, y0, y1),
        aspect="auto",
        cmap="tab10",
        vmin=0,
        vmax=max(top, 9),
        alpha=0.3,
    )
    axes.scatter(points[:, 0], points[:, 1], c=labels, cmap="tab10", vmin=0, vmax=max(top, 9), s=14)
    return finish(figure, path, title)
