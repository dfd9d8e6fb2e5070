"""Activations and their derivatives. A backward takes ``y`` where the output alone tells, else ``x``."""

from __future__ import annotations

import math

import numpy as np

from ._precision import Array, wide

_erf_object = np.frompyfunc(math.erf, 1, 1)  # NumPy has no erf


def _erf(x: Array) -> Array:
    return np.asarray(_erf_object(x)).astype(np.float64)


def _logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), from the side on which exp cannot overflow."""
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, z) / (1.0 + z)


@wide
def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    return np.maximum(x, 0.0)


@wide
def relu_bwd(dy: Array, y: Array) -> Array:
    """dy where y > 0."""
    return np.where(y <= 0.0, 0.0, dy)


@wide
def leaky_relu(x: Array, *, negative_slope: float) -> Array:
    """x where x > 0, else negative_slope x."""
    return np.where(x > 0.0, x, negative_slope * x)


@wide
def leaky_relu_bwd(dy: Array, x: Array, *, negative_slope: float) -> Array:
    """dy where x > 0, else negative_slope dy."""
    return np.where(x > 0.0, dy, negative_slope * dy)


@wide
def prelu(x: Array, w: Array) -> Array:
    """x where x > 0, else w x; one slope, or one for each channel (axis 1)."""
    return np.where(x > 0.0, x, _slopes(w, x.ndim) * x)


@wide
def prelu_bwd(dy: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """dx, and dw = sum of dy x over the values that the slope scaled."""
    kept = x > 0.0
    dx = np.where(kept, dy, _slopes(w, x.ndim) * dy)
    dw = np.where(kept, 0.0, dy * x)
    if w.size == 1:
        return dx, np.asarray(dw.sum()).reshape(w.shape)
    return dx, dw.sum(axis=(0, *range(2, x.ndim)))


def _slopes(w: Array, ndim: int) -> Array:
    return w.reshape(-1, *([1] * (ndim - 2))) if w.size != 1 else w.reshape(())


@wide
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return _logistic(x)


@wide
def sigmoid_bwd(dy: Array, y: Array) -> Array:
    """dy y (1 - y)."""
    return dy * y * (1.0 - y)


@wide
def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return np.tanh(x)


@wide
def tanh_bwd(dy: Array, y: Array) -> Array:
    """dy (1 - y^2)."""
    return dy * (1.0 - y * y)


@wide
def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return x * _logistic(x)


@wide
def silu_bwd(dy: Array, x: Array) -> Array:
    """dy s (1 + x (1 - s)) with s = sigmoid(x)."""
    s = _logistic(x)
    return dy * s * (1.0 + x * (1.0 - s))


@wide
def hardswish(x: Array) -> Array:
    """x relu6(x + 3) / 6."""
    return x * np.clip(x + 3.0, 0.0, 6.0) / 6.0


@wide
def hardswish_bwd(dy: Array, x: Array) -> Array:
    """0 below -3, dy (x / 3 + 1 / 2) up to 3, dy from there."""
    return np.where(x <= -3.0, 0.0, np.where(x < 3.0, dy * (x / 3.0 + 0.5), dy))


@wide
def hardsigmoid(x: Array) -> Array:
    """relu6(x + 3) / 6."""
    return np.clip(x + 3.0, 0.0, 6.0) / 6.0


@wide
def hardsigmoid_bwd(dy: Array, x: Array) -> Array:
    """dy / 6 where -3 < x < 3."""
    return np.where((x > -3.0) & (x < 3.0), dy / 6.0, 0.0)


@wide
def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return np.clip(x, 0.0, 6.0)


@wide
def relu6_bwd(dy: Array, x: Array) -> Array:
    """dy where 0 < x < 6."""
    return np.where((x <= 0.0) | (x >= 6.0), 0.0, dy)


@wide
def hardtanh(x: Array, *, min_val: float, max_val: float) -> Array:
    """x limited to [min_val, max_val]; NaN stays NaN."""
    return np.clip(x, min_val, max_val)


@wide
def hardtanh_bwd(dy: Array, x: Array, *, min_val: float, max_val: float) -> Array:
    """dy where min_val < x < max_val."""
    return np.where((x <= min_val) | (x >= max_val), 0.0, dy)


@wide
def gelu(x: Array, *, approximate: str) -> Array:
    """x Phi(x), Phi the normal distribution function or its tanh form (Hendrycks and Gimpel, 2016)."""
    return x * _normal_cdf(x, approximate)[0]


@wide
def gelu_bwd(dy: Array, x: Array, *, approximate: str) -> Array:
    """dy (Phi(x) + x Phi'(x))."""
    cdf, slope = _normal_cdf(x, approximate)
    return dy * (cdf + x * slope)


def _normal_cdf(x: Array, approximate: str) -> tuple[Array, Array]:
    if approximate == "none":
        cdf = 0.5 * (1.0 + _erf(x / math.sqrt(2.0)))
        return cdf, np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    scale = math.sqrt(2.0 / math.pi)
    t = np.tanh(scale * (x + 0.044715 * x**3))
    return 0.5 * (1.0 + t), 0.5 * (1.0 - t * t) * scale * (1.0 + 3.0 * 0.044715 * x * x)


@wide
def elu(x: Array, *, alpha: float) -> Array:
    """x where x > 0, else alpha (exp(x) - 1)."""
    return np.where(x > 0.0, x, alpha * np.expm1(x))


@wide
def elu_bwd(dy: Array, x: Array, *, alpha: float) -> Array:
    """dy where x > 0, else dy alpha exp(x)."""
    return np.where(x > 0.0, dy, dy * alpha * np.exp(x))


@wide
def softplus(x: Array, *, beta: float, threshold: float) -> Array:
    """log(1 + exp(beta x)) / beta, and x itself where beta x exceeds the threshold."""
    return np.where(beta * x > threshold, x, np.logaddexp(0.0, beta * x) / beta)


@wide
def softplus_bwd(dy: Array, x: Array, *, beta: float, threshold: float) -> Array:
    """dy sigmoid(beta x), and dy where beta x exceeds the threshold."""
    return np.where(beta * x > threshold, dy, dy * _logistic(beta * x))
