"""PyTorch's functions of whole tensors: arithmetic, joining, cutting, reducing and reordering."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastnn import _checks
from fastnn.graph import Node, apply, as_node, eager

from ._common import Tensor, naming, operation

__all__ = [
    "abs", "add", "amax", "cat", "chunk", "clamp", "div", "exp", "log", "matmul", "maximum", "mean", "minimum", "mul",
    "permute", "pow", "reshape", "split", "sqrt", "squeeze", "stack", "sub", "sum", "transpose", "unsqueeze",
]  # fmt: skip


# ---- joining and cutting ----


def _several(tensors: Any) -> list[Any]:
    if not isinstance(tensors, Iterable):
        raise TypeError(f"expected a sequence of arrays, got {type(tensors).__name__}")
    return [as_node(t) for t in tensors]


@operation
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors joined along an existing dimension; the other sizes agree.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn as fn
    >>> fn.cat([np.ones((1, 2)), np.zeros((2, 2))]).shape
    (3, 2)
    """
    with naming("cat"):
        nodes = _several(tensors)
        if not nodes:
            raise ValueError("expected at least one tensor, got none")
        axis = _checks.as_axis("dim", dim, nodes[0].ndim)
        for node in nodes[1:]:
            fits = node.ndim == nodes[0].ndim and all(
                i == axis or a == b for i, (a, b) in enumerate(zip(node.shape, nodes[0].shape, strict=True))
            )
            if not fits:
                shapes = ", ".join(str(n.shape) for n in nodes)
                raise ValueError(f"expected shapes that agree but for dimension {dim}, got {shapes}")
    return nodes[0].float() if len(nodes) == 1 else apply("cat", *nodes, axis=axis)


@operation
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return the tensors, all of one shape, joined along a new dimension.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.stack([np.ones(2), np.zeros(2)], dim=1).tolist()
    [[1.0, 0.0], [1.0, 0.0]]
    """
    with naming("stack"):
        nodes = _several(tensors)
        if not nodes:
            raise ValueError("expected at least one tensor, got none")
        if any(n.shape != nodes[0].shape for n in nodes):
            raise ValueError(f"expected tensors of one shape, got {', '.join(str(n.shape) for n in nodes)}")
        axis = _checks.as_axis("dim", dim, nodes[0].ndim + 1)
    return cat([n.unsqueeze(axis) for n in nodes], axis)


@operation
def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Return the pieces of a tensor cut along a dimension, by one size or a list of sizes.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> [piece.shape for piece in F.split(np.ones((5, 2)), 2)]
    [(2, 2), (2, 2), (1, 2)]
    """
    return as_node(tensor).split(split_size_or_sections, dim)


@operation
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Return a tensor cut into at most ``chunks`` pieces of equal size (the last may be smaller).

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> [piece.shape for piece in F.chunk(np.ones((4, 2)), 2)]
    [(2, 2), (2, 2)]
    """
    return as_node(input).chunk(chunks, dim)


# ---- arithmetic ----


def _binary(name: str, input: Any, other: Any) -> Node:
    """Apply an operator of nodes; one of the two may be a number."""
    return getattr(as_node(input), f"__{name}__")(other if isinstance(other, (int, float)) else as_node(other))


@operation
def add(input: Tensor, other: Any) -> Tensor:
    """Return the sum, with NumPy's broadcasting.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.add(np.ones(2), 2).tolist()
    [3.0, 3.0]
    """
    return _binary("add", input, other)


@operation
def sub(input: Tensor, other: Any) -> Tensor:
    """Return the difference, with NumPy's broadcasting.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.sub(np.ones(2), 2).tolist()
    [-1.0, -1.0]
    """
    return _binary("sub", input, other)


@operation
def mul(input: Tensor, other: Any) -> Tensor:
    """Return the product of elements, with NumPy's broadcasting.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.mul(np.ones((2, 1)), np.array([2.0, 3.0])).tolist()
    [[2.0, 3.0], [2.0, 3.0]]
    """
    return _binary("mul", input, other)


@operation
def div(input: Tensor, other: Any) -> Tensor:
    """Return the quotient of elements, with NumPy's broadcasting.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.div(np.ones(2), 2).tolist()
    [0.5, 0.5]
    """
    return _binary("truediv", input, other)


@operation
def maximum(input: Tensor, other: Tensor) -> Tensor:
    """Return the larger of each two elements; equal ones share the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.maximum(np.array([1.0, 4.0]), np.array([3.0, 2.0])).tolist()
    [3.0, 4.0]
    """
    return apply("maximum", input, other)


@operation
def minimum(input: Tensor, other: Tensor) -> Tensor:
    """Return the smaller of each two elements; equal ones share the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.minimum(np.array([1.0, 4.0]), np.array([3.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    return apply("minimum", input, other)


@eager
def _product(input: Tensor, other: Tensor) -> Tensor:
    return as_node(input) @ as_node(other)


@eager
def _product_of_turned(input: Tensor, other: Tensor, transpose_a: bool, transpose_b: bool) -> Tensor:
    return apply("matmul", input, other, transpose_a=transpose_a, transpose_b=transpose_b)


def _is_turned(value: Any) -> bool:
    """Tell whether an array is the transpose of a matrix in C order: the product reads that as it is."""
    return type(value) is np.ndarray and value.ndim == 2 and value.flags.fnc


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Return the matrix product, with PyTorch's rules for vectors and batches.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.matmul(np.ones((2, 3)), np.ones((3, 4)))[0].tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    a, b = _is_turned(input), _is_turned(other)
    if (a or b) and np.ndim(input) == np.ndim(other) == 2 and np.shape(input)[1] == np.shape(other)[0]:
        return _product_of_turned(input.T if a else input, other.T if b else other, a, b)
    return _product(input, other)


_product.__name__ = "matmul"


@operation
def pow(input: Tensor, exponent: float) -> Tensor:
    """Return each element to the power of a number.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.pow(np.array([3.0]), 2).tolist()
    [9.0]
    """
    return as_node(input) ** exponent


@operation
def exp(input: Tensor) -> Tensor:
    """Return the exponential.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.exp(np.array([0.0])).tolist()
    [1.0]
    """
    return apply("exp", input)


@operation
def log(input: Tensor) -> Tensor:
    """Return the natural logarithm.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.log(np.array([1.0])).tolist()
    [0.0]
    """
    return apply("log", input)


@operation
def sqrt(input: Tensor) -> Tensor:
    """Return the square root.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.sqrt(np.array([9.0])).tolist()
    [3.0]
    """
    return apply("sqrt", input)


@operation
def abs(input: Tensor) -> Tensor:
    """Return the absolute value.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.abs(np.array([-2.0])).tolist()
    [2.0]
    """
    return apply("abs", input)


@operation
def clamp(input: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Return each element cut to [``min``, ``max``]; None is no limit.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.clamp(np.array([-2.0, 5.0]), 0, 1).tolist()
    [0.0, 1.0]
    """
    with naming("clamp"):
        low = None if min is None else _checks.as_float("min", min)
        high = None if max is None else _checks.as_float("max", max)
        if low is None and high is None:
            raise ValueError("expected min, max or both, got neither")
    return apply("clamp", input, min=low, max=high)


# ---- reductions ----


@operation
def sum(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the sum over dimensions, all of them by default.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.sum(np.ones((2, 3)), 1).tolist()
    [3.0, 3.0]
    """
    return as_node(input).sum(dim, keepdim)


@operation
def mean(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the mean over dimensions, all of them by default.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.mean(np.array([1.0, 2.0]))
    1.5
    """
    return as_node(input).mean(dim, keepdim)


@operation
def amax(input: Tensor, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Return the maximum over dimensions, all of them by default; equal maxima share the gradient.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.amax(np.array([[1.0, 2.0], [4.0, 3.0]]), 1).tolist()
    [2.0, 4.0]
    """
    return as_node(input).amax(dim, keepdim)


# ---- shape ----


@operation
def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the elements in C order of NCHW under another shape; one size may be -1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.reshape(np.ones((2, 6)), (3, -1)).shape
    (3, 4)
    """
    return as_node(input).reshape(shape)


@operation
def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """Return the tensor with its dimensions in another order.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.permute(np.ones((2, 3, 4)), (2, 0, 1)).shape
    (4, 2, 3)
    """
    return as_node(input).permute(dims)


@operation
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Return the tensor with two dimensions swapped.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.transpose(np.ones((2, 3)), 0, 1).shape
    (3, 2)
    """
    return as_node(input).transpose(dim0, dim1)


@operation
def squeeze(input: Tensor, dim: int | None = None) -> Tensor:
    """Return the tensor without its dimensions of size 1, or without one of them.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.squeeze(np.ones((1, 3, 1)), 0).shape
    (3, 1)
    """
    return as_node(input).squeeze(dim)


@operation
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Return the tensor with a new dimension of size 1.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn.nn.functional as F
    >>> F.unsqueeze(np.ones(3), 1).shape
    (3, 1)
    """
    return as_node(input).unsqueeze(dim)
