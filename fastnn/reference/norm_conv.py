"""Depthwise convolution of z = act(batch_norm(x))."""

from __future__ import annotations

import numpy as np

from ._precision import Array, wide
from .conv import Pair, Quad, conv2d, conv2d_bwd_weights
from .normalization import batch_norm


def _inner(
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
    activation: str | None,
) -> Array:
    v = batch_norm(x, mean, var, weight, bias, eps=eps)
    if activation is None:
        return v
    return np.maximum(v, 0.0) if activation == "relu" else v / (1.0 + np.exp(-v))


@wide
def norm_conv2d(
    x: Array,
    w: Array,
    mean: Array,
    var: Array,
    bias: Array | None = None,
    norm_weight: Array | None = None,
    norm_bias: Array | None = None,
    *,
    stride: Pair,
    padding: Quad,
    dilation: Pair,
    groups: int,
    algorithm: str,
    eps: float,
    activation: str | None,
) -> Array:
    """The convolution of z; padding is around z."""
    z = _inner(x, mean, var, norm_weight, norm_bias, eps, activation)
    return conv2d(
        z, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups, algorithm=algorithm
    )  # fmt: skip


@wide
def norm_conv2d_bwd_weights(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    norm_weight: Array | None = None,
    norm_bias: Array | None = None,
    *,
    kernel_size: Pair,
    stride: Pair,
    padding: Quad,
    dilation: Pair,
    groups: int,
    algorithm: str,
    eps: float,
    activation: str | None,
) -> Array:
    """The gradient of w for the gradient dy of y."""
    z = _inner(x, mean, var, norm_weight, norm_bias, eps, activation)
    return conv2d_bwd_weights(
        dy, z, kernel_size=kernel_size, stride=stride, padding=padding, dilation=dilation, groups=groups,
        algorithm=algorithm,
    )  # fmt: skip
