"""Slopes of any function by evaluating it: slow, simple, and without calculus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._checks import as_float, as_real_array, one_of
from .graph.prepare import real_array
from .nn.functional._common import naming

__all__ = ["numeric_gradient"]


def numeric_gradient(function: Callable[[Any], Any], x: Any, h: float = 1e-5, *, kind: str = "central") -> np.ndarray:
    r"""Return the gradient of a function of an array, by moving one element at a time.

    Central: :math:`(f(x + h e_i) - f(x - h e_i)) / 2h`, whose error falls with :math:`h^2`. Forward:
    :math:`(f(x + h e_i) - f(x)) / h`, whose error falls with :math:`h`, at half the evaluations.

    Parameters
    ----------
    function : callable
        Takes an array of the shape of ``x`` in float64 and returns one number.
    x : array_like
        Where; it is not changed.
    h : float, default 1e-5
        The step, > 0.
    kind : {"central", "forward"}

    Returns
    -------
    ndarray
        float64, of the shape of ``x``.

    Raises
    ------
    ValueError
        For a step that is not positive, or a function that returns anything but one number.
    TypeError
        For what is no function, or no array of numbers.

    See Also
    --------
    gradcheck : compares a model's gradients with numeric ones.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.numeric_gradient(lambda x: (x ** 2).sum(), [1.0, -3.0]).round(6)
    array([ 2., -6.])
    >>> float(fn.numeric_gradient(lambda x: x**4 + x + 2, 1.0, h=0.001, kind="forward").round(3))
    5.006
    """
    with naming("numeric_gradient"):
        one_of("kind", kind, ("central", "forward"))
        step = as_float("h", h)
        if not 0 < step < np.inf:
            raise ValueError(f"expected h > 0 and finite, got {h}")
        if not callable(function):
            raise TypeError(f"expected a function, got {function!r}")
        moved = as_real_array("x", real_array(x)).astype(np.float64)
    grad = np.empty(moved.shape)
    flat, out = moved.reshape(-1), grad.reshape(-1)
    here = _value(function, moved) if kind == "forward" else 0.0
    for i, keep in enumerate(flat.copy()):
        flat[i] = keep + step
        high = _value(function, moved)
        if kind == "forward":
            out[i] = (high - here) / step
        else:
            flat[i] = keep - step
            out[i] = (high - _value(function, moved)) / (2 * step)
        flat[i] = keep
    return grad


def _value(function: Callable[[Any], Any], x: np.ndarray) -> float:
    # a copy: a function may keep its argument
    value = np.asarray(function(x.copy()))
    if value.size != 1 or value.dtype.kind not in "fiub":
        got = f"shape {value.shape}" if value.size != 1 else repr(value[()])
        raise ValueError(f"numeric_gradient: expected a function that returns one number, got {got}")
    return float(value.reshape(()))
