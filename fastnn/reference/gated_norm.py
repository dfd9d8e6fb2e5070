"""Batch normalisation with SiLU under a squeeze-and-excitation (Hu, Shen, Sun, 2018): z = silu(batch_norm(x))."""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide


def _inner(
    x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Return x - mean, and z with its derivative by what SiLU is applied to."""
    d = x - _channels(mean)
    v = d * _channels(1.0 / np.sqrt(var + eps))
    if weight is not None:
        v = v * _channels(weight)
    if bias is not None:
        v = v + _channels(bias)
    sigmoid = 1.0 / (1.0 + np.exp(-v))
    return d, v * sigmoid, sigmoid * (1.0 + v * (1.0 - sigmoid))


def _channels(vector: Array) -> Array:
    return vector.reshape(1, -1, 1, 1)


@wide
def gated_norm_pool(
    x: Array, mean: Array, var: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float
) -> Array:
    """The mean of z over the pixels of each image."""
    z = _inner(x, mean, var, weight, bias, eps)[1]
    return z.sum(axis=(2, 3), keepdims=True) / np.float64(x.shape[2] * x.shape[3])


@wide
def gated_norm(
    x: Array,
    mean: Array,
    var: Array,
    gate: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
) -> Array:
    """z gate."""
    return _inner(x, mean, var, weight, bias, eps)[1] * gate


@wide
def gated_norm_sums(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
) -> tuple[Array, Array]:
    """Sums over each image's pixels: of dy z; of dy z', z', dy z' d and z' d, where d = x - mean."""
    d, z, slope = _inner(x, mean, var, weight, bias, eps)
    parts = [dy * slope, slope, dy * slope * d, slope * d]
    return (dy * z).sum(axis=(2, 3)), np.stack([part.sum(axis=(2, 3)) for part in parts])


@wide
def gated_norm_bwd(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    gate: Array,
    dpool: Array,
    sums: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
    training: bool,
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias where z gets the gradient dy gate + dpool / pixels; its sums come from `gated_norm_sums`."""
    d, _, slope = _inner(x, mean, var, weight, bias, eps)
    share = dpool / np.float64(x.shape[2] * x.shape[3])
    g = (dy * gate + share) * slope
    rstd = 1.0 / np.sqrt(var + eps)
    of_gate, of_share = gate[:, :, 0, 0], share[:, :, 0, 0]
    dbias = (of_gate * sums[0] + of_share * sums[1]).sum(axis=0)
    dweight = (of_gate * sums[2] + of_share * sums[3]).sum(axis=0) * rstd
    scale = rstd if weight is None else rstd * weight
    if training:
        count = np.float64(x.size // max(x.shape[1], 1))
        g = g - _channels(dbias / count) - d * _channels(rstd * dweight / count)
    return g * _channels(scale), dweight, dbias
