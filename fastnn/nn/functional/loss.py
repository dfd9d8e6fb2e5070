"""Losses: how wrong predictions are, as one number or one a sample. Shapes must agree; nothing is ever broadcast."""

from __future__ import annotations

import math
from typing import Any

from fastnn import _checks
from fastnn.graph import Node, apply, as_index, as_node, eager

from ._common import Tensor, naming, reduction_word
from ._targets import expect_classes, expect_probabilities

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss", "l1_loss", "mse_loss",
    "multi_margin_loss", "multiclass_hinge_loss", "nll_loss", "smooth_l1_loss", "sse_loss",
]  # fmt: skip


# ---- classes ----


def _rows(x: Node) -> Node:
    """Return (N, C, d1, ...) as rows of classes (N * d1 * ..., C)."""
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.reshape(1, x.shape[0])
    rows = math.prod(_class_shape(x))
    return x.permute(0, *range(2, x.ndim), 1).reshape(rows, x.shape[1])


def _per_class(name: str, weight: Tensor | None, classes: int) -> Tensor | None:
    if weight is None:
        return None
    weight = as_node(weight)
    if weight.shape != (classes,):
        raise ValueError(f"expected {name} of shape ({classes},), one entry a class, got shape {weight.shape}")
    return weight


def _class_shape(x: Node) -> tuple[int, ...]:
    """Return the shape that class indices for these scores must have."""
    return (x.shape[0], *x.shape[2:]) if x.ndim > 1 else ()


def _indices(function: str, x: Node, target: Node, ignore_index: int | None = None) -> Node:
    """Return class indices as one vector, after checking dtype and shape, and their values before each run."""
    expected = _class_shape(x)
    if target.shape != expected or target.dtype.startswith("float"):
        raise ValueError(
            f"expected class indices of shape {expected} for input of shape {x.shape}, "
            f"got {target.dtype} target of shape {target.shape}"
        )
    expect_classes(function, x, target, ignore_index)
    index = as_index(target)
    return index if index.ndim == 1 else index.reshape(index.spec.size)


def _scores(input: Tensor) -> Node:
    x = as_node(input)
    if x.ndim == 0:
        raise ValueError("expected scores of shape (N, C), got a single number")
    return x


def _unrolled(loss: Node, x: Node, reduction: str) -> Node:
    """Return one loss a row in the shape of the targets."""
    return loss.reshape(_class_shape(x)) if reduction == "none" and x.ndim != 2 else loss


@eager
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return minus the log-softmax of each sample's scores at its class, or weighted by class probabilities.

    Parameters
    ----------
    input : (N, C) or (N, C, d1, ...)
        Unnormalised scores.
    target : whole numbers (N,) or (N, d1, ...), or floats of the input's shape
        Class indices, or probabilities of the classes.
    weight : (C,), optional
        A weight a class; the mean over indices divides by the weights of the targets.
    size_average, reduce : bool, optional
        PyTorch's older words for ``reduction``.
    ignore_index : int
        A class index that counts for nothing.
    reduction : {"mean", "sum", "none"}
    label_smoothing : float
        The share of the target that goes to all classes alike (Szegedy et al., 2016).

    Raises
    ------
    ValueError
        If shapes do not match or a class index is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> round(F.cross_entropy(np.zeros((2, 4)), np.array([0, 3])), 4)
    1.3863
    """
    with naming("cross_entropy"):
        word = reduction_word(reduction, size_average, reduce)
        ignored = _checks.as_int("ignore_index", ignore_index)
        smoothing = _checks.as_probability("label_smoothing", label_smoothing)
        x, t = _scores(input), as_node(target)
        classes = x.shape[1] if x.ndim > 1 else x.shape[0]
        weight = _per_class("weight", weight, classes)
        soft = t.shape == x.shape and t.dtype.startswith("float")
        if not soft:
            t = _indices("cross_entropy", x, t, ignored)
    attrs: dict[str, Any] = {"label_smoothing": smoothing, "reduction": word}
    if soft:
        loss = apply("cross_entropy_soft", _rows(x), _rows(t), weight, **attrs)
    else:
        loss = apply("cross_entropy", _rows(x), t, weight, ignore_index=ignored, **attrs)
    return _unrolled(loss, x, word)


@eager
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return minus the log-probability of each sample's class; the input holds log-probabilities.

    Parameters and shapes are those of `cross_entropy` with class indices.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.nll_loss(np.array([[-1.0, -2.0]]), np.array([1]))
    2.0
    """
    with naming("nll_loss"):
        word = reduction_word(reduction, size_average, reduce)
        ignored = _checks.as_int("ignore_index", ignore_index)
        x, t = _scores(input), as_node(target)
        weight = _per_class("weight", weight, x.shape[1] if x.ndim > 1 else x.shape[0])
        t = _indices("nll_loss", x, t, ignored)
    return _unrolled(apply("nll_loss", _rows(x), t, weight, ignore_index=ignored, reduction=word), x, word)


def _margin(input: Tensor, target: Tensor, p: int, margin: float, weight: Any, divide: bool, word: str) -> Tensor:
    if p not in (1, 2):
        raise ValueError(f"expected p to be 1 or 2, got {p!r}")
    x, t = _scores(input), as_node(target)
    if x.ndim > 2:
        raise ValueError(f"expected scores of shape (N, C), got shape {x.shape}")
    weight = _per_class("weight", weight, x.shape[-1])
    t = _indices("multi_margin_loss" if divide else "multiclass_hinge_loss", x, t)
    width = _checks.as_float("margin", margin)
    attrs = {"p": int(p), "margin": width, "divide": divide, "reduction": word}
    return _unrolled(apply("multi_margin_loss", _rows(x), t, weight, **attrs), x, word)


@eager
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return sum over wrong classes j of max(0, margin - x[y] + x[j]) ** p, divided by the number of classes.

    See `multiclass_hinge_loss` for the same without the division.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.multi_margin_loss(np.array([[1.0, 0.5]]), np.array([0]))
    0.25
    """
    with naming("multi_margin_loss"):
        return _margin(input, target, p, margin, weight, True, reduction_word(reduction, size_average, reduce))


@eager
def multiclass_hinge_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, p: int = 1, reduction: str = "mean"
) -> Tensor:
    """Return sum over wrong classes j of max(0, margin - x[y] + x[j]) ** p: not divided (Weston & Watkins, 1999).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.multiclass_hinge_loss(np.array([[1.0, 0.5]]), np.array([0]))
    0.5
    """
    with naming("multiclass_hinge_loss"):
        return _margin(input, target, p, margin, None, False, reduction_word(reduction))


# ---- values ----


def _pair(input: Tensor, target: Tensor) -> tuple[Node, Node]:
    """Return both as nodes of one shape."""
    x, t = as_node(input), as_node(target)
    if x.shape != t.shape:
        raise ValueError(f"expected target of shape {x.shape} as the input, got shape {t.shape}")
    return x, t


@eager
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return (x - t) ** 2, averaged over all elements.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    2.0
    """
    with naming("mse_loss"):
        x, t = _pair(input, target)
        word = reduction_word(reduction, size_average, reduce)
    return apply("mse_loss", x, t, reduction=word)


@eager
def sse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Return the sum over elements of (x - t) ** 2, averaged over the batch (axis 0) only, without a factor 1/2.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.sse_loss(np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[1.0, 4.0], [0.0, 2.0]]))
    4.0
    """
    with naming("sse_loss"):
        x, t = _pair(input, target)
        word = reduction_word(reduction)
        if x.ndim == 0:
            raise ValueError("expected input with a batch axis, got a single number")
    return apply("mse_loss", x, t, reduction="batchmean" if word == "mean" else word)


@eager
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return abs(x - t), averaged over all elements.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.l1_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    with naming("l1_loss"):
        x, t = _pair(input, target)
        word = reduction_word(reduction, size_average, reduce)
    return apply("l1_loss", x, t, reduction=word)


@eager
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Return d ** 2 / (2 * beta) where d = abs(x - t) < beta, d - beta / 2 elsewhere (Girshick, 2015).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.smooth_l1_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    0.75
    """
    with naming("smooth_l1_loss"):
        x, t = _pair(input, target)
        word = reduction_word(reduction, size_average, reduce)
        width = _checks.as_float("beta", beta, 0.0)
    if width == 0.0:
        return apply("l1_loss", x, t, reduction=word)
    return apply("smooth_l1_loss", x, t, beta=width, reduction=word)


@eager
def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """Return d ** 2 / 2 where d = abs(x - t) <= delta, delta * (d - delta / 2) elsewhere (Huber, 1964).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.huber_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    0.75
    """
    with naming("huber_loss"):
        x, t = _pair(input, target)
        word = reduction_word(reduction)
        width = _checks.as_float("delta", delta)
        if width <= 0.0:
            raise ValueError(f"expected delta > 0, got {width}")
    return apply("huber_loss", x, t, delta=width, reduction=word)


def _expanded(name: str, weight: Tensor | None, x: Node) -> Node | None:
    """Return a weight spread to the input's shape, as PyTorch allows for weights (never for targets)."""
    if weight is None:
        return None
    w = as_node(weight)
    fits = w.ndim <= x.ndim and all(a in (1, b) for a, b in zip(reversed(w.shape), reversed(x.shape), strict=False))
    if not fits:
        raise ValueError(f"expected {name} that broadcasts to the input's shape {x.shape}, got shape {w.shape}")
    return w if w.shape == x.shape else apply("expand", w, shape=x.shape)


@eager
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return -(t * log(x) + (1 - t) * log(1 - x)), the logarithms not below -100; x and t are probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> round(F.binary_cross_entropy(np.array([0.5]), np.array([1.0])), 4)
    0.6931
    """
    with naming("binary_cross_entropy"):
        x, t = _pair(input, target)
        word = reduction_word(reduction, size_average, reduce)
        w = _expanded("weight", weight, x)
        expect_probabilities("binary_cross_entropy", "input", x)
        expect_probabilities("binary_cross_entropy", "target", t)
    return apply("bce_loss", x, t, w, reduction=word)


@eager
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the binary cross entropy of sigmoid(x), computed without overflow.

    Parameters
    ----------
    input, target : same shape
    weight : optional
        A weight an element; may broadcast to the input's shape.
    size_average, reduce : bool, optional
        PyTorch's older words for ``reduction``.
    reduction : {"mean", "sum", "none"}
    pos_weight : optional
        A weight of the positive part; may broadcast to the input's shape.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> round(F.binary_cross_entropy_with_logits(np.array([0.0]), np.array([1.0])), 4)
    0.6931
    """
    with naming("binary_cross_entropy_with_logits"):
        x, t = _pair(input, target)
        word = reduction_word(reduction, size_average, reduce)
        w, pos = _expanded("weight", weight, x), _expanded("pos_weight", pos_weight, x)
    return apply("bce_with_logits", x, t, w, pos, reduction=word)
