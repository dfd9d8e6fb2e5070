"""Losses. Reductions: none, sum, batchmean, and mean (class indices: over the weights of the targets)."""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide
from .softmax import log_probabilities


def _reduce(loss: Array, reduction: str, weight: Array | float | None = None) -> Array:
    """``weight``: what a mean divides by where that is not the number of elements."""
    if reduction == "none":
        return loss
    return np.asarray(np.sum(loss) / _divisor(loss.shape, reduction, weight))


def _divisor(shape: tuple[int, ...], reduction: str, weight: Array | float | None = None) -> Array:
    if reduction == "mean":
        return np.asarray(float(np.prod(shape)) if weight is None else weight, dtype=np.float64)
    return np.asarray(float(shape[0]) if reduction == "batchmean" else 1.0)


# ---- class indices ----


def _chosen(x: Array, target: Array, weight: Array | None, ignore_index: int) -> tuple[Array, Array, Array]:
    """For each row: an index safe to gather with, its class weight (0: ignored, NaN: no such class)."""
    target = np.asarray(target)
    valid = (target >= 0) & (target < x.shape[1])
    index = np.where(valid, target, 0).astype(np.int64)
    weights = np.ones(target.shape) if weight is None else weight[index]
    weights = np.where(valid, weights, np.nan)
    return index, np.where(target == ignore_index, 0.0, weights), target == ignore_index


def _pick(x: Array, index: Array) -> Array:
    return np.take_along_axis(x, index[:, None], axis=1)[:, 0]


@wide
def nll_loss(x: Array, target: Array, weight: Array | None = None, *, ignore_index: int, reduction: str) -> Array:
    """-weight[t] x[t] of log-probabilities x (N, C); the mean divides by the sum of the weights."""
    index, w, ignored = _chosen(x, target, weight, ignore_index)
    return _reduce(np.where(ignored, 0.0, -w * _pick(x, index)), reduction, w.sum())


@wide
def nll_loss_bwd(
    dy: Array, x: Array, target: Array, weight: Array | None = None, *, ignore_index: int, reduction: str
) -> Array:
    """-dy weight[t] at the target's class, zero elsewhere."""
    index, w, ignored = _chosen(x, target, weight, ignore_index)
    dx = np.zeros(x.shape)
    dx[np.arange(x.shape[0]), index] = np.where(ignored, 0.0, -w * dy / _divisor(w.shape, reduction, w.sum()))
    return dx


@wide
def cross_entropy(
    x: Array,
    target: Array,
    weight: Array | None = None,
    *,
    label_smoothing: float,
    ignore_index: int,
    reduction: str,
) -> Array:
    """-(1 - e) weight[t] logp[t] - e / C sum of weight[c] logp[c]; the mean is over the targets' weights."""
    index, w, ignored = _chosen(x, target, weight, ignore_index)
    logp = log_probabilities(x, 1)
    own = -w * _pick(logp, index)
    if label_smoothing > 0.0:
        others = -(logp if weight is None else logp * weight).sum(axis=1)
        own = (1.0 - label_smoothing) * own + label_smoothing / x.shape[1] * others
    return _reduce(np.where(ignored, 0.0, own), reduction, w.sum())


@wide
def cross_entropy_bwd(
    dy: Array,
    x: Array,
    target: Array,
    weight: Array | None = None,
    *,
    label_smoothing: float,
    ignore_index: int,
    reduction: str,
) -> Array:
    """dy ((1 - e) weight[t] (softmax - onehot) + e / C (softmax sum(weight) - weight))."""
    index, w, ignored = _chosen(x, target, weight, ignore_index)
    probabilities = np.exp(log_probabilities(x, 1))
    onehot = np.zeros(x.shape)
    onehot[np.arange(x.shape[0]), index] = 1.0
    classes = np.ones(x.shape[1]) if weight is None else weight
    own = w[:, None] * (probabilities - onehot)
    others = probabilities * classes.sum() - classes
    dx = (1.0 - label_smoothing) * own + label_smoothing / x.shape[1] * others
    scale = np.broadcast_to(dy / _divisor(w.shape, reduction, w.sum()), w.shape)
    return np.where(ignored[:, None], 0.0, dx * scale[:, None])


@wide
def multi_margin_loss(
    x: Array,
    target: Array,
    weight: Array | None = None,
    *,
    p: int,
    margin: float,
    divide: bool,
    reduction: str,
) -> Array:
    """weight[t] sum over c != t of max(0, margin - x[t] + x[c])^p, over the class count with ``divide``."""
    index, w, _ = _chosen(x, target, weight, -1)
    loss = w * (_margins(x, index, margin) ** p).sum(axis=1)
    return _reduce(loss / x.shape[1] if divide else loss, reduction)


@wide
def multi_margin_loss_bwd(
    dy: Array,
    x: Array,
    target: Array,
    weight: Array | None = None,
    *,
    p: int,
    margin: float,
    divide: bool,
    reduction: str,
) -> Array:
    """p max(0, margin)^(p - 1) to each class over the margin, minus their sum to the target's."""
    index, w, _ = _chosen(x, target, weight, -1)
    gap = _margins(x, index, margin)
    slope = np.where(gap > 0.0, 1.0 if p == 1 else 2.0 * gap, 0.0)
    slope[np.arange(x.shape[0]), index] = -slope.sum(axis=1)
    scale = w * dy / _divisor(w.shape, reduction)
    return slope * (scale / x.shape[1] if divide else scale)[:, None]


def _margins(x: Array, index: Array, margin: float) -> Array:
    gap = np.maximum(margin - _pick(x, index)[:, None] + x, 0.0)
    gap[np.arange(x.shape[0]), index] = 0.0
    return gap


# ---- class probabilities ----


@wide
def cross_entropy_soft(
    x: Array, target: Array, weight: Array | None = None, *, label_smoothing: float, reduction: str
) -> Array:
    """-sum over c of weight[c] t[c] logp[c], t smoothed to (1 - e) t + e / C; the mean is over rows."""
    loss = -(_smoothed(target, weight, label_smoothing) * log_probabilities(x, 1)).sum(axis=1)
    return _reduce(loss, reduction)


@wide
def cross_entropy_soft_bwd(
    dy: Array, x: Array, target: Array, weight: Array | None = None, *, label_smoothing: float, reduction: str
) -> Array:
    """dy (softmax sum(weight t) - weight t)."""
    t = _smoothed(target, weight, label_smoothing)
    dx = np.exp(log_probabilities(x, 1)) * t.sum(axis=1, keepdims=True) - t
    scale = np.broadcast_to(dy / _divisor(x.shape[:1], reduction), x.shape[:1])
    return dx * scale[:, None]


def _smoothed(target: Array, weight: Array | None, label_smoothing: float) -> Array:
    t = (1.0 - label_smoothing) * target + label_smoothing / target.shape[1]
    return t if weight is None else t * weight


# ---- element by element ----


@wide
def mse_loss(x: Array, t: Array, *, reduction: str) -> Array:
    """(x - t)^2."""
    return _reduce((x - t) ** 2, reduction)


@wide
def mse_loss_bwd(dy: Array, x: Array, t: Array, *, reduction: str) -> Array:
    """2 dy (x - t)."""
    return dy * 2.0 * (x - t) / _divisor(x.shape, reduction)


@wide
def l1_loss(x: Array, t: Array, *, reduction: str) -> Array:
    """|x - t|."""
    return _reduce(np.abs(x - t), reduction)


@wide
def l1_loss_bwd(dy: Array, x: Array, t: Array, *, reduction: str) -> Array:
    """dy sign(x - t)."""
    return dy * np.sign(x - t) / _divisor(x.shape, reduction)


@wide
def smooth_l1_loss(x: Array, t: Array, *, beta: float, reduction: str) -> Array:
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2."""
    d = np.abs(x - t)
    return _reduce(d if beta == 0.0 else np.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta), reduction)


@wide
def smooth_l1_loss_bwd(dy: Array, x: Array, t: Array, *, beta: float, reduction: str) -> Array:
    """dy d / beta where |d| < beta, else dy sign(d)."""
    d = x - t
    slope = np.sign(d) if beta == 0.0 else np.clip(d / beta, -1.0, 1.0)
    return dy * slope / _divisor(x.shape, reduction)


@wide
def huber_loss(x: Array, t: Array, *, delta: float, reduction: str) -> Array:
    """d^2 / 2 where |d| < delta, else delta (|d| - delta / 2)."""
    d = np.abs(x - t)
    return _reduce(np.where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


@wide
def huber_loss_bwd(dy: Array, x: Array, t: Array, *, delta: float, reduction: str) -> Array:
    """dy d limited to [-delta, delta]."""
    return dy * np.clip(x - t, -delta, delta) / _divisor(x.shape, reduction)


@wide
def bce_loss(x: Array, t: Array, weight: Array | None = None, *, reduction: str) -> Array:
    """-weight (t log(x) + (1 - t) log(1 - x)), each logarithm at least -100."""
    loss = -(t * np.maximum(np.log(x), -100.0) + (1.0 - t) * np.maximum(np.log1p(-x), -100.0))
    return _reduce(loss if weight is None else loss * weight, reduction)


@wide
def bce_loss_bwd(dy: Array, x: Array, t: Array, weight: Array | None = None, *, reduction: str) -> Array:
    """dy weight (x - t) / max(x (1 - x), 1e-12)."""
    dx = dy * (x - t) / np.maximum(x * (1.0 - x), 1e-12) / _divisor(x.shape, reduction)
    return dx if weight is None else dx * weight


@wide
def bce_with_logits(
    x: Array, t: Array, weight: Array | None = None, pos_weight: Array | None = None, *, reduction: str
) -> Array:
    """-weight (pos_weight t log(s) + (1 - t) log(1 - s)), s = sigmoid(x), in stable form."""
    positive = t if pos_weight is None else t * pos_weight
    loss = positive * np.logaddexp(0.0, -x) + (1.0 - t) * np.logaddexp(0.0, x)
    return _reduce(loss if weight is None else loss * weight, reduction)


@wide
def bce_with_logits_bwd(
    dy: Array,
    x: Array,
    t: Array,
    weight: Array | None = None,
    pos_weight: Array | None = None,
    *,
    reduction: str,
) -> Array:
    """dy weight ((1 - t) s - pos_weight t (1 - s)) with s = sigmoid(x)."""
    positive = t if pos_weight is None else t * pos_weight
    s = np.exp(-np.logaddexp(0.0, -x))
    dx = dy * ((1.0 - t) * s - positive * np.exp(-np.logaddexp(0.0, x))) / _divisor(x.shape, reduction)
    return dx if weight is None else dx * weight
