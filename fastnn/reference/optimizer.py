"""One optimizer step for one parameter, in place: parameter, counter and state change, not the gradient."""

from __future__ import annotations

import numpy as np

from ._precision import Array


def _gradient(p: Array, g: Array, weight_decay: float, maximize: bool) -> Array:
    gradient = -g.astype(np.float64) if maximize else g.astype(np.float64)
    return gradient + weight_decay * p.astype(np.float64) if weight_decay != 0.0 else gradient


def sgd_step(
    p: Array,
    g: Array,
    step: Array,
    hyper: Array,
    momentum_buffer: Array | None = None,
    *,
    nesterov: bool,
    maximize: bool,
) -> None:
    """p -= lr b, b = momentum b + (1 - dampening) g, at first g; nesterov: p -= lr (g + momentum b)."""
    lr, momentum, dampening, weight_decay = (float(value) for value in hyper)
    gradient = _gradient(p, g, weight_decay, maximize)
    if momentum_buffer is not None:
        first = float(step) == 0.0
        moved = gradient if first else momentum * momentum_buffer.astype(np.float64) + (1.0 - dampening) * gradient
        momentum_buffer[...] = moved
        gradient = gradient + momentum * moved if nesterov else moved
    p[...] = p.astype(np.float64) - lr * gradient
    step += 1


def adagrad_step(p: Array, g: Array, step: Array, hyper: Array, state_sum: Array, *, maximize: bool) -> None:
    """s += g^2, p -= lr / (1 + step lr_decay) g / (sqrt(s) + eps) (Duchi, Hazan and Singer, 2011)."""
    lr, lr_decay, weight_decay, eps = (float(value) for value in hyper)
    gradient = _gradient(p, g, weight_decay, maximize)
    total = state_sum.astype(np.float64) + gradient * gradient
    state_sum[...] = total
    p[...] = p.astype(np.float64) - lr / (1.0 + float(step) * lr_decay) * gradient / (np.sqrt(total) + eps)
    step += 1


def rmsprop_step(
    p: Array,
    g: Array,
    step: Array,
    hyper: Array,
    square_avg: Array,
    grad_avg: Array | None = None,
    momentum_buffer: Array | None = None,
    *,
    maximize: bool,
) -> None:
    """v = alpha v + (1 - alpha) g^2, p -= lr g / (sqrt(v) + eps); centred: v - mean(g)^2 (Hinton, 2012)."""
    lr, alpha, eps, weight_decay, momentum = (float(value) for value in hyper)
    gradient = _gradient(p, g, weight_decay, maximize)
    average = alpha * square_avg.astype(np.float64) + (1.0 - alpha) * gradient * gradient
    square_avg[...] = average
    if grad_avg is not None:
        centre = alpha * grad_avg.astype(np.float64) + (1.0 - alpha) * gradient
        grad_avg[...] = centre
        average = average - centre * centre
    update = gradient / (np.sqrt(average) + eps)
    if momentum_buffer is not None:
        update = momentum * momentum_buffer.astype(np.float64) + update
        momentum_buffer[...] = update
    p[...] = p.astype(np.float64) - lr * update
    step += 1


def adam_step(
    p: Array,
    g: Array,
    step: Array,
    hyper: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    max_exp_avg_sq: Array | None = None,
    *,
    decoupled: bool,
    maximize: bool,
) -> None:
    """Adam (Kingma, Ba, 2015), AdamW if ``decoupled`` (Loshchilov and Hutter, 2019); AMSGrad with a max."""
    lr, beta1, beta2, eps, weight_decay = (float(value) for value in hyper)
    gradient = _gradient(p, g, 0.0 if decoupled else weight_decay, maximize)
    value = p.astype(np.float64) * (1.0 - lr * weight_decay if decoupled else 1.0)
    count = float(step) + 1.0
    mean = beta1 * exp_avg.astype(np.float64) + (1.0 - beta1) * gradient
    square = beta2 * exp_avg_sq.astype(np.float64) + (1.0 - beta2) * gradient * gradient
    exp_avg[...], exp_avg_sq[...] = mean, square
    if max_exp_avg_sq is not None:
        square = np.maximum(max_exp_avg_sq.astype(np.float64), square)
        max_exp_avg_sq[...] = square
    denominator = np.sqrt(square / (1.0 - beta2**count)) + eps
    p[...] = value - lr / (1.0 - beta1**count) * mean / denominator
    step += 1
