"""The backward of a 1x1 convolution and of batch norm, with its activation, after it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._precision import Array, wide
from .activation import silu_bwd
from .conv import conv2d_bwd_data, conv2d_bwd_weights
from .normalization import batch_norm, batch_norm_bwd

POINTWISE: dict[str, Any] = {
    "stride": (1, 1), "padding": (0, 0, 0, 0), "dilation": (1, 1), "groups": 1, "algorithm": "auto",
}  # fmt: skip


@wide
def norm_pointwise_bwd(
    dy: Array,
    x: Array,
    mean: Array,
    var: Array,
    u: Array,
    w: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    total: Array | None = None,
    gate: Array | None = None,
    *,
    eps: float,
    activation: str | None,
) -> tuple[Array, Array, Array, Array]:
    """du, dw, dweight, dbias for the gradient dy of act(batch_norm(x)), where mean and var are those of x."""
    v = batch_norm(x, mean, var, weight, bias, eps=eps)
    if activation == "relu":
        dy = np.where(v > 0.0, dy, 0.0)
    elif activation == "silu":
        dy = silu_bwd(dy, v)
    g, dweight, dbias = batch_norm_bwd(dy, x, mean, var, weight, eps=eps, training=True)
    du = conv2d_bwd_data(g, w, input_size=u.shape[2:], **POINTWISE)
    if total is not None:
        du = du + total
    if gate is not None:
        du = np.where(gate <= 0.0, 0.0, du)
    return du, conv2d_bwd_weights(g, u, kernel_size=(1, 1), **POINTWISE), dweight, dbias
