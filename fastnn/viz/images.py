"""Pictures of pictures: samples, templates, filters, activation maps, mistakes, and the confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np

from .._checks import as_int, as_real_array, as_sizes
from .figure import Path, as_grey_or_rgb, as_names, finish, panels, says_who

__all__ = ["activation_maps", "confusion_matrix", "filters", "image_grid", "misclassified", "templates"]


@says_who
def image_grid(
    images: Any,
    titles: Sequence[str] | None = None,
    *,
    columns: int = 10,
    title: str = "",
    cmap: str = "gray",
    path: Path | None = None,
) -> Any:
    """Draw images in rows, each scaled to its own darkest and lightest value.

    Parameters
    ----------
    images : array_like
        (N, H, W), (N, 1, H, W) or (N, 3, H, W).
    titles : sequence of str, optional
        One for each image.
    columns : int
        Images in a row.
    title : str
        Of the whole picture.
    cmap : str
        matplotlib's name of the colours for images of one channel.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For another shape, no image, or another number of titles.

    Examples
    --------
    >>> import fastnn as fn
    >>> data = fn.datasets.digits()
    >>> figure = fn.viz.image_grid(data.x[:12], [str(label) for label in data.y[:12]])
    >>> sum(len(axes.images) for axes in figure.axes)
    12
    """
    shown = as_grey_or_rgb("image_grid", images, titles)
    labels = ["\n".join(part for line in str(t).split("\n") for part in wrap(line, 20)) for t in titles or ()]
    longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    height = max((label.count("\n") + 1 for label in labels), default=0)
    figure, all_axes = panels(len(shown), columns, max(1.1, 0.085 * longest), 1.1 + 0.16 * height)
    for i, (axes, image) in enumerate(zip(all_axes, shown, strict=True)):
        axes.imshow(image, cmap=cmap, vmin=0.0, vmax=1.0)
        axes.set_axis_off()
        if titles is not None:
            axes.set_title(labels[i], fontsize="small")
    return finish(figure, path, title)


@says_who
def templates(
    weight: Any, shape: Sequence[int], classes: Sequence[str] | None = None, *, path: Path | None = None
) -> Any:
    """Draw the rows of a linear classifier's weights as images: what each class looks for.

    Parameters
    ----------
    weight : (classes, features)
    shape : (C, H, W) or (H, W)
        Of the images that it classifies; C is 1 or 3.
    classes : sequence of str, optional
        Names.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For rows that are not images of this shape.

    Examples
    --------
    >>> import fastnn as fn
    >>> figure = fn.viz.templates(fn.nn.Linear(64, 10).weight.data, (8, 8))
    >>> len(figure.axes)
    10
    """
    rows = as_real_array("weight", weight)
    if not isinstance(shape, Sequence) or len(shape) not in (2, 3):
        raise ValueError(f"expected shape as (C, H, W) or (H, W), got {shape!r}")
    sides = as_sizes("shape", shape, len(shape), 1)
    if rows.ndim != 2 or rows.shape[1] != math.prod(sides):
        raise ValueError(f"expected rows of {sides} weights, got shape {rows.shape}")
    grey = len(sides) == 2 or sides[0] != 3
    names = as_names("classes", classes, len(rows))
    return image_grid(rows.reshape(len(rows), *sides), names, cmap="RdBu" if grey else "gray", path=path)


@says_who
def filters(weight: Any, *, columns: int = 8, path: Path | None = None) -> Any:
    """Draw a convolution's filters, as colours if they see three channels, else channel by channel.

    Parameters
    ----------
    weight : (out_channels, in_channels, H, W)
        ``layer.weight.data``, most telling for a first layer.
    columns : int
        Filters in a row.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For weights of another number of dimensions.

    Examples
    --------
    >>> import fastnn as fn
    >>> len(fn.viz.filters(fn.nn.Conv2d(3, 16, 5).weight.data).axes)
    16
    """
    array = as_real_array("weight", weight)
    if array.ndim != 4:
        raise ValueError(f"expected weights (out, in, H, W), got shape {array.shape}")
    shown = array if array.shape[1] == 3 else array.reshape(-1, *array.shape[2:])
    return image_grid(shown, columns=columns, path=path)


@says_who
def activation_maps(values: Any, *, columns: int = 8, title: str = "", path: Path | None = None) -> Any:
    """Draw the maps that a layer makes of one image.

    Parameters
    ----------
    values : (C, H, W) or (1, C, H, W)
        A layer's output, as `fastnn.capture` gives it.
    columns : int
        Maps in a row.
    title : str
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For more than one image.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> model = fn.nn.Sequential(fn.nn.Conv2d(1, 6, 3), fn.nn.ReLU())
    >>> maps = fn.capture(model, ["1"])(np.ones((1, 1, 8, 8)))["1"]
    >>> len(fn.viz.activation_maps(maps).axes)
    6
    """
    array = as_real_array("values", values)
    if array.ndim == 4 and len(array) == 1:
        array = array[0]
    if array.ndim != 3:
        raise ValueError(f"expected the maps (C, H, W) of one image, got shape {array.shape}")
    return image_grid(array, columns=columns, title=title, cmap="viridis", path=path)


@says_who
def misclassified(
    images: Any,
    targets: Any,
    probabilities: Any,
    classes: Sequence[str] | None = None,
    *,
    count: int = 20,
    path: Path | None = None,
) -> Any:
    r"""Draw the images that were classified wrongly, those that the model was surest of first.

    Parameters
    ----------
    images : (N, H, W), (N, 1, H, W) or (N, 3, H, W)
    targets : (N,)
        The right classes, as indices.
    probabilities : (N, classes)
        ``trainer.predict_proba(images)``.
    classes : sequence of str, optional
        Names.
    count : int
        At most so many.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure or None
        None if there are none.

    Raises
    ------
    ValueError
        For arrays of different lengths.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import viz
    >>> images, probabilities = np.eye(4).reshape(2, 2, 4), np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> viz.misclassified(images, [1, 1], probabilities, ["cat", "dog"]).axes[0].get_title()
    'dog: 0.10\ncat: 0.90'
    """
    p, labels, shown = as_real_array("probabilities", probabilities), np.asarray(targets), np.asarray(images)
    if p.ndim != 2 or labels.shape != (len(p),) or len(shown) != len(p):
        got = f"{shown.shape}, {labels.shape} and {p.shape}"
        raise ValueError(f"expected N images, targets (N,) and probabilities (N, classes), got {got}")
    if labels.dtype.kind not in "iu" or (labels.size and not 0 <= labels.min() <= labels.max() < p.shape[1]):
        got = f"{labels.min()} to {labels.max()}" if labels.dtype.kind in "iuf" else f"dtype {labels.dtype}"
        raise ValueError(f"expected targets as whole numbers from 0 to {p.shape[1] - 1}, got {got}")
    name = as_names("classes", classes, p.shape[1])
    guess = p.argmax(axis=1)
    wrong = np.flatnonzero(guess != labels)
    wrong = wrong[np.argsort(-p[wrong, guess[wrong]], kind="stable")][: as_int("count", count, 0)]
    if wrong.size == 0:
        return None
    titles = [f"{name[labels[i]]}: {p[i, labels[i]]:.2f}\n{name[guess[i]]}: {p[i, guess[i]]:.2f}" for i in wrong]
    return image_grid(shown[wrong], titles, columns=5, title="right class above, guess below", path=path)


@says_who
def confusion_matrix(matrix: Any, classes: Sequence[str] | None = None, *, path: Path | None = None) -> Any:
    """Draw a confusion matrix: shares of each row as colours, counts as numbers.

    Parameters
    ----------
    matrix : (C, C)
        Targets by rows, predictions by columns, as `fastnn.training.ConfusionMatrix` counts them.
    classes : sequence of str, optional
        Names.
    path : path-like, optional
        Where to save the picture.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        For a matrix that is not square.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import viz
    >>> figure = viz.confusion_matrix(np.array([[3, 1], [0, 4]]), ["cat", "dog"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['3', '1', '4']
    """
    counts = as_real_array("matrix", matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"expected a square matrix, got shape {counts.shape}")
    if not (counts >= 0).all() or np.isinf(counts).any():
        raise ValueError(f"expected counts >= 0, got {counts[~(np.isfinite(counts) & (counts >= 0))][0]}")
    size = len(counts)
    names = as_names("classes", classes, size)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = panels(1, 1, 2.0 + 0.45 * size, 1.6 + 0.42 * size)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for i, j in zip(*np.nonzero(counts), strict=True):
        color = "white" if shares[i, j] > 0.5 else "black"
        axes.text(j, i, f"{counts[i, j]:g}", ha="center", va="center", color=color, fontsize="small")
    axes.set_xticks(range(size), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(size), names)
    axes.set(xlabel="predicted", ylabel="target")
    return finish(figure, path)
