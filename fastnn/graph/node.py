"""Nodes: symbolic values with NumPy's and PyTorch's operators."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from .calls import apply, as_index, as_node
from .indexing import getitem, matmul
from .shapes import axes_of, axis_of, resolved_shape
from .value import Value

__all__ = ["Node", "apply", "as_index", "as_node"]

# what NumPy calls for `array + node`, and the operator that it was
_UFUNCS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "matmul": "matmul", "power": "pow",
    "negative": "neg",
}  # fmt: skip
_COMPARISONS = ("less", "less_equal", "greater", "greater_equal")


class Node(Value):
    """A value of a traced graph: it has a shape and operators, and no data.

    Arithmetic, slicing and the methods below follow PyTorch. Anything that would need the numbers (``bool(x > 0)``,
    ``float(x)``, iteration over values) raises TypeError.
    """

    __slots__ = ()

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        # `array + node` arrives here
        operator = _UFUNCS.get(ufunc.__name__)
        if method == "__call__" and operator is not None and not kwargs:
            if isinstance(inputs[0], Node):
                return getattr(inputs[0], f"__{operator}__")(*inputs[1:])
            reflected = getattr(Node, f"__r{operator}__", None)
            if reflected is not None:
                return reflected(inputs[1], inputs[0])
        if ufunc.__name__ in _COMPARISONS:
            raise self._refuse("a comparison")
        raise TypeError(
            f"numpy.{ufunc.__name__} needs the values of a Node, which are not known while the model is traced; "
            "use fastnn's function of that kind (fastnn.exp for numpy.exp) or a Node's method"
        )

    # ---- arithmetic ----

    def __add__(self, other: Any) -> Node:
        return _binary("add", self, other)

    def __radd__(self, other: Any) -> Node:
        return _binary("add", other, self)

    def __sub__(self, other: Any) -> Node:
        return _binary("sub", self, other)

    def __rsub__(self, other: Any) -> Node:
        return _binary("sub", other, self)

    def __mul__(self, other: Any) -> Node:
        return _binary("mul", self, other)

    def __rmul__(self, other: Any) -> Node:
        return _binary("mul", other, self)

    def __truediv__(self, other: Any) -> Node:
        return _binary("div", self, other)

    def __rtruediv__(self, other: Any) -> Node:
        return _binary("div", other, self)

    def __neg__(self) -> Node:
        return apply("affine", self, scale=-1.0, shift=0.0)

    def __pow__(self, exponent: Any) -> Node:
        if not isinstance(exponent, numbers.Real):
            raise TypeError(f"expected a number as exponent, got {type(exponent).__name__}")
        return apply("pow", self, exponent=float(exponent))

    def __matmul__(self, other: Any) -> Node:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Node:
        return matmul(other, self)

    def add(self, other: Any) -> Node:
        """Return ``self + other``."""
        return self + other

    def sub(self, other: Any) -> Node:
        """Return ``self - other``."""
        return self - other

    def mul(self, other: Any) -> Node:
        """Return ``self * other``."""
        return self * other

    def div(self, other: Any) -> Node:
        """Return ``self / other``."""
        return self / other

    def matmul(self, other: Any) -> Node:
        """Return ``self @ other``."""
        return matmul(self, other)

    def pow(self, exponent: float) -> Node:
        """Return ``self ** exponent``."""
        return self**exponent

    def exp(self) -> Node:
        """Return e to the power of each element."""
        return apply("exp", self)

    def log(self) -> Node:
        """Return the natural logarithm."""
        return apply("log", self)

    def sqrt(self) -> Node:
        """Return the square root."""
        return apply("sqrt", self)

    def abs(self) -> Node:
        """Return the absolute value."""
        return apply("abs", self)

    def relu(self) -> Node:
        """Return ``max(x, 0)``."""
        return apply("relu", self)

    def sigmoid(self) -> Node:
        """Return the logistic function."""
        return apply("sigmoid", self)

    def tanh(self) -> Node:
        """Return the hyperbolic tangent."""
        return apply("tanh", self)

    def softmax(self, dim: int) -> Node:
        """Return the softmax along ``dim``."""
        return apply("softmax", self, axis=axis_of(dim, self.ndim))

    def log_softmax(self, dim: int) -> Node:
        """Return the logarithm of the softmax along ``dim``."""
        return apply("log_softmax", self, axis=axis_of(dim, self.ndim))

    def clamp(self, min: float | None = None, max: float | None = None) -> Node:
        """Return the values limited to [min, max]."""
        return apply("clamp", self, min=min, max=max)

    # ---- reductions ----

    def sum(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Node:
        """Return the sum over ``dim`` (None: all dimensions)."""
        return apply("sum", self, axes=axes_of(dim, self.ndim), keepdims=bool(keepdim))

    def mean(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Node:
        """Return the mean over ``dim`` (None: all dimensions)."""
        return apply("mean", self, axes=axes_of(dim, self.ndim), keepdims=bool(keepdim))

    def amax(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Node:
        """Return the largest element over ``dim`` (None: all dimensions)."""
        return apply("amax", self, axes=axes_of(dim, self.ndim), keepdims=bool(keepdim))

    # ---- shape ----

    def reshape(self, *shape: Any) -> Node:
        """Return the elements in C order of the logical shape under another shape; one -1 is filled in."""
        wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return apply("reshape", self, shape=resolved_shape(wanted, self))

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Node:
        """Merge the dimensions from ``start_dim`` to ``end_dim``."""
        start, end = axis_of(start_dim, max(self.ndim, 1)), axis_of(end_dim, max(self.ndim, 1))
        if start > end:
            raise ValueError(f"flatten: expected start_dim <= end_dim, got {start_dim} and {end_dim}")
        merged = math.prod(self.shape[start : end + 1])
        return self.reshape(*self.shape[:start], merged, *self.shape[end + 1 :])

    def squeeze(self, dim: int | None = None) -> Node:
        """Drop dimensions of extent 1 (all, or ``dim`` if it is one)."""
        if dim is None:
            return self.reshape(tuple(s for s in self.shape if s != 1))
        axis = axis_of(dim, self.ndim)
        return self if self.shape[axis] != 1 else self.reshape(self.shape[:axis] + self.shape[axis + 1 :])

    def unsqueeze(self, dim: int) -> Node:
        """Insert a dimension of extent 1."""
        axis = axis_of(dim, self.ndim + 1)
        return self.reshape((*self.shape[:axis], 1, *self.shape[axis:]))

    def permute(self, *dims: Any) -> Node:
        """Return the dimensions in another order."""
        order = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
        axes = tuple(axis_of(d, self.ndim) for d in order)
        if sorted(axes) != list(range(self.ndim)):
            raise ValueError(f"permute: expected each of {self.ndim} dimensions once, got {tuple(order)}")
        return apply("permute", self, dims=axes)

    def transpose(self, dim0: int, dim1: int) -> Node:
        """Swap two dimensions."""
        order = list(range(self.ndim))
        a, b = axis_of(dim0, self.ndim), axis_of(dim1, self.ndim)
        order[a], order[b] = order[b], order[a]
        return self.permute(order)

    @property
    def T(self) -> Node:
        """Return the dimensions reversed."""
        return self.permute(tuple(reversed(range(self.ndim))))

    def expand(self, *shape: Any) -> Node:
        """Repeat dimensions of extent 1 up to ``shape``; -1 keeps an extent."""
        wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        lead = len(wanted) - self.ndim
        return apply("expand", self, shape=tuple(self.shape[i - lead] if s == -1 else s for i, s in enumerate(wanted)))

    def expand_as(self, other: Any) -> Node:
        """Repeat dimensions of extent 1 up to the shape of ``other``."""
        return self.expand(other.shape)

    def __getitem__(self, key: Any) -> Node:
        return getitem(self, key)

    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Node, ...]:
        """Cut a dimension into pieces of a size, or of given sizes."""
        axis = axis_of(dim, self.ndim)
        total = self.shape[axis]
        if not isinstance(split_size, (tuple, list)):
            if not isinstance(split_size, (int, np.integer)):
                raise TypeError(f"split: expected a size or a list of sizes, got {split_size!r}")
            if split_size <= 0:
                raise ValueError(f"split: expected a positive size, got {split_size}")
            sizes = [min(split_size, total - i) for i in range(0, total, split_size)]
        else:
            sizes = list(split_size)
            if not all(isinstance(size, (int, np.integer)) and size >= 0 for size in sizes):
                raise TypeError(f"split: expected a list of sizes, got {sizes}")
        if sum(sizes) != total:
            raise ValueError(f"split: expected sizes that add up to {total}, got {sizes}")
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        return tuple(self[(slice(None),) * axis + (slice(s, s + n),)] for s, n in zip(starts, sizes, strict=True))

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Node, ...]:
        """Cut a dimension into about equal pieces."""
        if not isinstance(chunks, (int, np.integer)) or chunks <= 0:
            raise ValueError(f"chunk: expected a positive number of chunks, got {chunks!r}")
        return self.split(max(1, -(-self.shape[axis_of(dim, self.ndim)] // chunks)), dim)

    # ---- PyTorch's no-ops, so that definitions port unchanged ----

    def contiguous(self) -> Node:
        """Return the node: PyTorch's definitions call this."""
        return self

    def float(self) -> Node:
        """Return the values as float32."""
        return apply("convert", self) if self.dtype != "float32" else self

    def detach(self) -> Node:
        """Return the same value, through which no gradient flows."""
        return apply("detach", self)


def _affine(name: str, x: Any, s: float, swapped: bool) -> Node:
    """Return ``x op s`` (swapped: ``s op x``) as one affine step."""
    if name == "add":
        scale, shift = 1.0, s
    elif name == "sub":
        scale, shift = (-1.0, s) if swapped else (1.0, -s)
    elif name == "mul":
        scale, shift = s, 0.0
    elif swapped:
        x, scale, shift = apply("pow", x, exponent=-1.0), s, 0.0
    else:
        scale, shift = 1.0 / s, 0.0
    return apply("affine", x, scale=scale, shift=shift)


def _binary(name: str, a: Any, b: Any) -> Node:
    """Apply add, sub, mul or div; a plain number becomes part of one affine step."""
    scalar, other, swapped = (a, b, True) if isinstance(a, numbers.Real) else (b, a, False)
    if isinstance(scalar, numbers.Real) and not (name == "div" and not swapped and scalar == 0):
        return _affine(name, other, float(scalar), swapped)
    return apply(name, a, b)
