"""Helpers over parameters: gradient clipping, all parameters as one vector, modules without first values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from fastnn import _checks
from fastnn.graph import run_primitive

from .init import draws_left_out
from .module import Module
from .parameter import Parameter

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "skip_init", "vector_to_parameters"]

M = TypeVar("M", bound=Module)


def _gradients(parameters: Parameter | Iterable[Parameter]) -> list[np.ndarray]:
    given = [parameters] if isinstance(parameters, Parameter) else list(parameters)
    return [p.grad for p in given if p.grad is not None]


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients in place by one factor such that their common norm is at most ``max_norm``.

    Parameters
    ----------
    parameters : Parameter or iterable of them
    max_norm : float
    norm_type : float
        2 for the Euclidean norm, infinity for the largest absolute value, or another power.
    error_if_nonfinite : bool
        Whether a NaN or infinite norm raises RuntimeError.

    Returns
    -------
    float
        The norm before clipping.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> p = nn.Parameter(np.zeros(2))
    >>> p.grad = np.array([3.0, 4.0])
    >>> nn.utils.clip_grad_norm_([p], 1.0), p.grad.round(3).tolist()
    (5.0, [0.6000000238418579, 0.800000011920929])
    """
    gradients = _gradients(parameters)
    limit, power = _checks.as_float("max_norm", max_norm), _checks.as_float("norm_type", norm_type)
    if not gradients:
        return 0.0
    if power == 2.0:
        # The same two operations that a training step clips with, so that both ways give the same bits.
        sums = [np.asarray(run_primitive("sum_squares", g), np.float32) for g in gradients]
        coefficient, norm = run_primitive("clip_coef", *sums, max_norm=limit)
    else:
        norm = _norm(gradients, power)
        coefficient = min(1.0, limit / (norm + 1e-6))
    norm = float(norm)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm_: expected a finite norm of the gradients, got {norm}")
    for gradient in gradients:
        gradient *= np.float32(coefficient)
    return norm


def _norm(gradients: list[np.ndarray], power: float) -> float:
    if math.isinf(power):
        return float(np.max([np.abs(g).max(initial=0.0) for g in gradients]))
    total = sum(float((np.abs(g.astype(np.float64)) ** power).sum()) for g in gradients)
    return float(total ** (1.0 / power))


def clip_grad_value_(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Cut every element of the gradients to [-clip_value, clip_value], in place.

    Parameters
    ----------
    parameters : Parameter or iterable of them
    clip_value : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> p = nn.Parameter(np.zeros(2))
    >>> p.grad = np.array([3.0, -0.5])
    >>> nn.utils.clip_grad_value_([p], 1.0)
    >>> p.grad.tolist()
    [1.0, -0.5]
    """
    limit = _checks.as_float("clip_value", clip_value, 0.0)
    for gradient in _gradients(parameters):
        np.clip(gradient, -limit, limit, out=gradient)


def parameters_to_vector(parameters: Iterable[Parameter]) -> np.ndarray:
    """Return a copy of all values in one vector."""
    return np.concatenate([p.data.ravel() for p in parameters])


def vector_to_parameters(vec: np.ndarray, parameters: Iterable[Parameter]) -> None:
    """Copy one vector into the parameters, in order.

    Raises
    ------
    ValueError
        If the vector has more or fewer entries than the parameters.
    """
    owners = list(parameters)
    total = sum(p.data.size for p in owners)
    flat = _checks.as_real_array("vec", vec)
    if flat.shape != (total,):
        raise ValueError(f"vector_to_parameters: expected a vector of {total} entries, got shape {flat.shape}")
    start = 0
    for p in owners:
        p.data = flat[start : start + p.data.size].reshape(p.shape)
        start += p.data.size


def skip_init(module_cls: Callable[..., M], *args: Any, **kwargs: Any) -> M:
    """Make a module without drawing its first values: those of a file are loaded into it next.

    Drawing takes most of the time in which a large network is made. Until `load_state_dict`, what is not drawn holds
    anything at all, NaN included; constants (those of batch norm) are set.

    Parameters
    ----------
    module_cls : type, or callable that returns a module
    *args, **kwargs
        What it is called with.

    Examples
    --------
    >>> from fastnn import nn
    >>> nn.utils.skip_init(nn.Linear, 20, 30)
    Linear(in_features=20, out_features=30, bias=True)
    """
    with draws_left_out():
        return module_cls(*args, **kwargs)
