"""Maxima of 2x2 windows at stride 2 over z = relu(batch_norm(x))."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._precision import Array, wide
from .normalization import batch_norm, batch_norm_bwd
from .pooling import max_pool2d, max_pool2d_bwd

WINDOWS: dict[str, Any] = {
    "kernel_size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil_mode": False,
}  # fmt: skip


@wide
def norm_pool2d(
    x: Array, mean: Array, var: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float
) -> Array:
    """The maximum of each window."""
    z = np.maximum(batch_norm(x, mean, var, weight, bias, eps=eps), 0.0)
    return max_pool2d(z, **WINDOWS)[0]


@wide
def norm_pool2d_bwd(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float,
) -> tuple[Array, Array, Array]:
    """dx, dweight, dbias for the maxima's gradient, where mean and var are those of x."""
    z = np.maximum(batch_norm(x, mean, var, weight, bias, eps=eps), 0.0)
    dz = max_pool2d_bwd(dy, max_pool2d(z, **WINDOWS)[1], input_size=x.shape[2:], **WINDOWS)
    return batch_norm_bwd(np.where(z > 0.0, dz, 0.0), x, mean, var, weight, eps=eps, training=True)
