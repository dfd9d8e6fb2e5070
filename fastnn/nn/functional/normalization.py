"""Normalization: batch norm, local response norm, pixels by channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import _checks
from fastnn.graph import apply, as_node, current_trace, eager, run_primitive

from ._common import Tensor, as_image, expect_ndim, naming

__all__ = ["batch_norm", "local_response_norm", "normalize", "normalize_channels"]


def _as_planes(input: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return the input as (N, C) or (N, C, H, W), the two forms that the kernels know, and its own shape."""
    x = as_node(input)
    with naming("batch_norm"):
        expect_ndim(x, 2, 3, 4)
    shape = x.shape
    return (x.reshape(shape[0], shape[1], 1, shape[2]) if x.ndim == 3 else x), shape


def batch_norm_with_batch(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Return (normalised input, mean, biased variance, values a channel), by the statistics of this batch."""
    x, shape = _as_planes(input)
    count = x.spec.size // max(x.shape[1], 1)
    if count == 1:
        with naming("batch_norm"):
            raise ValueError(f"expected more than 1 value per channel when training, got input shape {shape}")
    mean, var = apply("batch_norm_stats", x)
    y = apply("batch_norm", x, mean, var, weight, bias, eps=float(eps))
    return (y if y.shape == shape else y.reshape(shape)), mean, var, count


def batch_norm_in_trace(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    num_batches: Any,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | None,
    eps: float,
) -> Tensor:
    """Batch norm on nodes; in training the running statistics are updated at the end of the step, unless it fails."""
    if not training:
        x, shape = _as_planes(input)
        y = apply("batch_norm", x, running_mean, running_var, weight, bias, eps=float(eps))
        return y if y.shape == shape else y.reshape(shape)
    y, mean, var, count = batch_norm_with_batch(input, weight, bias, eps)
    if running_mean is not None:
        statistics = (running_mean, running_var, num_batches, mean, var)
        trace = current_trace()
        assert trace is not None
        trace.effect("batch_norm_update", *statistics, momentum=momentum, count=count)
    return y


# Errors on arrays are prefixed with the traced function's name.
batch_norm_in_trace.__name__ = batch_norm_with_batch.__name__ = "batch_norm"
_batch_norm_on_arrays = eager(batch_norm_in_trace)
_batch_norm_by_batch = eager(batch_norm_with_batch)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """Return (x - mean) / sqrt(var + eps) * weight + bias, a channel (axis 1) at a time (Ioffe & Szegedy, 2015).

    Parameters
    ----------
    input : (N, C), (N, C, L) or (N, C, H, W)
    running_mean, running_var : (C,), or None when training
        Used when not training; moved towards the batch's by ``momentum`` when training (the arrays are written).
    weight, bias : (C,), optional
    training : bool
        Normalise by the batch's own mean and biased variance.
    momentum : float
        The share of the new batch in the running statistics.
    eps : float
        Added to the variance.

    Raises
    ------
    ValueError
        If a channel has only one value to take statistics of.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.batch_norm(np.array([[1.0], [3.0]]), None, None, training=True, eps=0.0).tolist()
    [[-1.0], [1.0]]
    """
    with naming("batch_norm"):
        if (running_mean is None) != (running_var is None):
            raise ValueError("expected running_mean and running_var both or neither")
        if not training and running_mean is None:
            raise ValueError("expected running_mean and running_var when not training")
        momentum, eps = _checks.as_float("momentum", momentum), _checks.as_float("eps", eps, 0.0)
    if current_trace() is not None:
        num_batches = np.zeros((), np.int64)
        return batch_norm_in_trace(input, running_mean, running_var, num_batches, weight, bias, training, momentum, eps)
    if not training:
        return _batch_norm_on_arrays(input, running_mean, running_var, None, weight, bias, False, momentum, eps)
    y, mean, var, count = _batch_norm_by_batch(input, weight, bias, eps)
    if running_mean is not None and running_var is not None:
        kept = [np.array(r, np.float32) for r in (running_mean, running_var)]
        num_batches = np.zeros((), np.int64)
        run_primitive("batch_norm_update", *kept, num_batches, mean, var, momentum=momentum, count=count)
        for running, new in zip((running_mean, running_var), kept, strict=True):
            (running if isinstance(running, np.ndarray) else running.data)[...] = new
    return y


@eager
def local_response_norm(input: Tensor, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """Return x / (k + alpha / size * sum of squares over ``size`` channels) ** beta (Krizhevsky et al., 2012).

    Shape: input and output (N, C, L) or (N, C, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.local_response_norm(np.ones((1, 1, 1, 1)), 1, alpha=3.0, beta=0.5).tolist()
    [[[[0.5]]]]
    """
    with naming("local_response_norm"):
        expect_ndim(input, 3, 4)
        attrs: dict[str, Any] = {"size": _checks.as_extent("size", size, 1)}
        for name, value in (("alpha", alpha), ("beta", beta), ("k", k)):
            attrs[name] = _checks.as_float(name, value)
    if input.ndim == 3:
        return as_image(input, lambda x: apply("local_response_norm", x, **attrs))
    return apply("local_response_norm", input, **attrs)


@eager
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Return the input divided by max(its p-norm along ``dim``, ``eps``).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.normalize(np.array([[3.0, 4.0]])).round(4).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    x = as_node(input)
    with naming("normalize"):
        power, floor = _checks.as_float("p", p, 1.0), _checks.as_float("eps", eps, 0.0)
        axis = _checks.as_axis("dim", dim, x.ndim)
    size = x.abs()
    norm = ((size**power).sum(axis, True)) ** (1.0 / power) if power != 1.0 else size.sum(axis, True)
    return x / norm.clamp(min=floor)


@eager
def normalize_channels(input: Tensor, shift: Tensor, factor: Tensor) -> Tensor:
    """Return (input - shift) * factor with one shift and factor a channel, as float32; `nn.Normalize` is the layer.

    Bytes and float32 are read as they are, other numbers converted first. Each of the two operations is rounded, as
    in NumPy.

    Shape: input and output (N, C, ...); shift and factor (C,).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.normalize_channels(np.array([[3, 9]], np.uint8), np.array([1.0, 5.0]), np.array([0.5, 2.0])).tolist()
    [[1.0, 8.0]]
    """
    x = as_node(input)
    if x.dtype not in ("float32", "uint8"):
        x = apply("convert", x)
    return apply("normalize_channels", x, shift, factor)
