"""Batch normalisation (Ioffe and Szegedy, 2015), local response normalisation (Krizhevsky et al., 2012), pixels."""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide


def _other_axes(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


def _per_channel(value: Array, ndim: int) -> Array:
    return value.reshape(-1, *([1] * (ndim - 2)))


@wide
def batch_norm_stats(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel (axis 1)."""
    axes = _other_axes(x.ndim)
    count = np.float64(x.size // max(x.shape[1], 1))
    mean = x.sum(axis=axes) / count
    centred = x - _per_channel(mean, x.ndim)
    return mean, (centred * centred).sum(axis=axes) / count


@wide
def batch_norm(
    x: Array, mean: Array, var: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float
) -> Array:
    """(x - mean) / sqrt(var + eps) weight + bias."""
    scale = 1.0 / np.sqrt(var + eps)
    if weight is not None:
        scale = scale * weight
    y = (x - _per_channel(mean, x.ndim)) * _per_channel(scale, x.ndim)
    return y if bias is None else y + _per_channel(bias, x.ndim)


@wide
def batch_norm_bwd(
    dy: Array, x: Array, mean: Array, var: Array, weight: Array | None = None, *, eps: float, training: bool
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias; with ``training`` dx also flows through the batch's own mean and variance."""
    axes = _other_axes(x.ndim)
    rstd = 1.0 / np.sqrt(var + eps)
    normal = (x - _per_channel(mean, x.ndim)) * _per_channel(rstd, x.ndim)
    dweight, dbias = (dy * normal).sum(axis=axes), dy.sum(axis=axes)
    scale = rstd if weight is None else rstd * weight
    if training:
        count = np.float64(x.size // max(x.shape[1], 1))
        dy = dy - _per_channel(dbias / count, x.ndim) - normal * _per_channel(dweight / count, x.ndim)
    return dy * _per_channel(scale, x.ndim), dweight, dbias


@wide
def batch_norm_fold(
    w: Array,
    mean: Array,
    var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    offset: Array | None = None,
    *,
    eps: float,
) -> tuple[Array, Array]:
    """Weights and bias that give batch norm's output where ``w`` and ``offset`` give its input."""
    scale = 1.0 / np.sqrt(var + eps)
    if weight is not None:
        scale = scale * weight
    shift = ((0.0 if offset is None else offset) - mean) * scale
    return w * scale.reshape(-1, *[1] * (w.ndim - 1)), shift if bias is None else shift + bias


def batch_norm_update(
    running_mean: Array,
    running_var: Array,
    num_batches: Array,
    mean: Array,
    var: Array,
    *,
    momentum: float | None,
    count: int,
) -> None:
    """running += momentum (new - running), the variance unbiased; momentum None: mean over all batches."""
    rate = 1.0 / (int(num_batches) + 1) if momentum is None else momentum
    unbiased = var.astype(np.float64) * (count / max(count - 1, 1))
    for running, new in ((running_mean, mean.astype(np.float64)), (running_var, unbiased)):
        old = running.astype(np.float64)
        running[...] = old + rate * (new - old)
    num_batches += 1


@wide
def normalize_channels(x: Array, shift: Array, factor: Array) -> Array:
    """(x - shift) factor, one of each a channel."""
    return (x - _per_channel(shift, x.ndim)) * _per_channel(factor, x.ndim)


@wide
def local_response_norm(x: Array, *, size: int, alpha: float, beta: float, k: float) -> Array:
    """x / (k + alpha / size * sum of x^2 over ``size`` neighbouring channels)^beta."""
    return x * _lrn_base(x, size, alpha, k) ** -beta


@wide
def local_response_norm_bwd(dy: Array, x: Array, *, size: int, alpha: float, beta: float, k: float) -> Array:
    """dy base^-beta - 2 alpha beta / size x (sum of dy x base^(-beta - 1) over its windows)."""
    base = _lrn_base(x, size, alpha, k)
    spread = _channel_windows(dy * x * base ** (-beta - 1.0), size, before=(size - 1) // 2)
    return dy * base**-beta - (2.0 * alpha * beta / size) * x * spread


def _lrn_base(x: Array, size: int, alpha: float, k: float) -> Array:
    return k + (alpha / size) * _channel_windows(x * x, size, before=size // 2)


def _channel_windows(x: Array, size: int, before: int) -> Array:
    """Sum over channels c - before .. c - before + size - 1, those outside counting as zero."""
    edges = [(0, 0)] * x.ndim
    edges[1] = (before, size - 1 - before)
    full = np.pad(x, edges)
    return np.sum([full[:, at : at + x.shape[1]] for at in range(size)], axis=0)
