"""Activations, each elementwise but for the softmax family."""

from __future__ import annotations

from typing import Any

from fastnn import _checks
from fastnn.graph import apply, as_node, eager

from ._common import Tensor, naming

__all__ = [
    "elu", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu",
    "relu", "relu6", "sigmoid", "silu", "softmax", "softmin", "softplus", "softsign", "tanh",
]  # fmt: skip

# ``inplace`` is accepted everywhere PyTorch has it and changes nothing: a plan reuses memory by itself, and an input is
# never modified.


@eager
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return max(x, 0); NaN stays NaN.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.relu(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    return apply("relu", input)


@eager
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """Return min(max(x, 0), 6).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.relu6(np.array([-1.0, 2.0, 7.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return apply("relu6", input)


@eager
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return x where x > 0, ``negative_slope`` * x elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.leaky_relu(np.array([-1.0, 2.0]), 0.5).tolist()
    [-0.5, 2.0]
    """
    with naming("leaky_relu"):
        slope = _checks.as_float("negative_slope", negative_slope)
    return apply("leaky_relu", input, negative_slope=slope)


@eager
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Return x where x > 0, weight * x elsewhere; the weight has one entry, or one a channel (axis 1).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.prelu(np.array([[-1.0, -1.0]]), np.array([0.5, 0.25])).tolist()
    [[-0.5, -0.25]]
    """
    return apply("prelu", input, weight)


@eager
def sigmoid(input: Tensor) -> Tensor:
    """Return 1 / (1 + exp(-x)).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.sigmoid(np.array([0.0])).tolist()
    [0.5]
    """
    return apply("sigmoid", input)


@eager
def tanh(input: Tensor) -> Tensor:
    """Return the hyperbolic tangent.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.tanh(np.array([0.0])).tolist()
    [0.0]
    """
    return apply("tanh", input)


@eager
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x * sigmoid(x), also called swish.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.silu(np.array([0.0])).tolist()
    [0.0]
    """
    return apply("silu", input)


@eager
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x * min(max(x + 3, 0), 6) / 6 (Howard et al., 2019).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.hardswish(np.array([0.0, 4.0])).tolist()
    [0.0, 4.0]
    """
    return apply("hardswish", input)


@eager
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """Return min(max(x + 3, 0), 6) / 6.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.hardsigmoid(np.array([-3.0, 0.0, 3.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return apply("hardsigmoid", input)


@eager
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x cut to [``min_val``, ``max_val``].

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.hardtanh(np.array([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    with naming("hardtanh"):
        low, high = _checks.as_float("min_val", min_val), _checks.as_float("max_val", max_val)
        if low > high:
            raise ValueError(f"expected min_val <= max_val, got {low} and {high}")
    return apply("hardtanh", input, min_val=low, max_val=high)


@eager
def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Return x times the normal distribution function of x (Hendrycks & Gimpel, 2016), or its tanh approximation.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.gelu(np.array([0.0])).tolist()
    [0.0]
    """
    with naming("gelu"):
        word = _checks.one_of("approximate", approximate, ("none", "tanh"))
    return apply("gelu", input, approximate=word)


@eager
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """Return x where x > 0, ``alpha`` * (exp(x) - 1) elsewhere (Clevert et al., 2016).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.elu(np.array([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    with naming("elu"):
        scale = _checks.as_float("alpha", alpha)
    return apply("elu", input, alpha=scale)


@eager
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return log(1 + exp(beta * x)) / beta; where beta * x exceeds ``threshold``, x itself.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.softplus(np.array([30.0])).tolist()
    [30.0]
    """
    with naming("softplus"):
        slope, limit = _checks.as_float("beta", beta), _checks.as_float("threshold", threshold)
        if slope == 0.0:
            raise ValueError("expected beta not to be zero")
    return apply("softplus", input, beta=slope, threshold=limit)


@eager
def logsigmoid(input: Tensor) -> Tensor:
    """Return log(1 / (1 + exp(-x))).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> round(float(F.logsigmoid(np.array([0.0]))[0]), 4)
    -0.6931
    """
    return -apply("softplus", -as_node(input).float(), beta=1.0, threshold=20.0)


@eager
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """Return x * tanh(softplus(x)) (Misra, 2019).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.mish(np.array([0.0])).tolist()
    [0.0]
    """
    x = as_node(input)
    return x * apply("tanh", apply("softplus", x, beta=1.0, threshold=20.0))


@eager
def softsign(input: Tensor) -> Tensor:
    """Return x / (1 + abs(x)).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.softsign(np.array([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """
    x = as_node(input)
    return x / (x.abs() + 1.0)


def _softmax_axis(dim: Any, ndim: int) -> int:
    """Return the axis; without one, PyTorch's old rule: 0 for 0, 1 or 3 dimensions, else 1."""
    if dim is None:
        return 0 if ndim in (0, 1, 3) else 1
    return _checks.as_axis("dim", dim, max(ndim, 1))


@eager
def softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Return exp(x) over its sum along ``dim``, computed without overflow.

    Where ``dim`` is None PyTorch's old rule chooses it: 0 for one or three dimensions, else 1. Better name it.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.softmax(np.array([[1.0, 1.0]]), dim=1).tolist()
    [[0.5, 0.5]]
    """
    with naming("softmax"):
        axis = _softmax_axis(dim, as_node(input).ndim)
    return apply("softmax", input, axis=axis)


@eager
def softmin(input: Tensor, dim: int | None = None) -> Tensor:
    """Return the softmax of -x along ``dim``.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.softmin(np.array([[1.0, 1.0]]), dim=1).tolist()
    [[0.5, 0.5]]
    """
    with naming("softmin"):
        axis = _softmax_axis(dim, as_node(input).ndim)
    return apply("softmax", -as_node(input).float(), axis=axis)


@eager
def log_softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Return the logarithm of the softmax along ``dim``, computed without overflow or cancellation.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> round(float(F.log_softmax(np.array([[0.0, 0.0]]), dim=1)[0, 1]), 4)
    -0.6931
    """
    with naming("log_softmax"):
        axis = _softmax_axis(dim, as_node(input).ndim)
    return apply("log_softmax", input, axis=axis)
