"""Nodes: symbolic values with NumPy's and PyTorch's operators, and `apply`, which makes every call of a graph."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .indexing import getitem, matmul
from .prepare import real_array
from .primitive import Call, InputRule, find
from .spec import Spec, default_layout
from .trace import current_trace

if TYPE_CHECKING:
    from .trace import Trace

__all__ = ["Node", "apply", "as_index", "as_node"]


LARGEST_VALUE = 2**44  # elements
_NAMED = "fastnn_named"  # marks an error whose message already says who


def as_node(value: Any, exact: bool = False) -> Node:
    """Return the node of a Node, Parameter, array or number in the current trace; ``exact`` keeps an array's dtype."""
    trace = current_trace()
    if isinstance(value, Node):
        if value.trace is not trace:
            raise RuntimeError(
                "a Node outlived its trace: values inside forward are symbolic and cannot be stored; "
                "use register_forward_hook or fastnn.capture to read them"
            )
        return value
    if trace is None:
        raise RuntimeError("operations on nodes work only while a model is traced")
    if hasattr(value, "requires_grad") and isinstance(getattr(value, "data", None), np.ndarray):
        return trace.parameter(value)
    array = value if isinstance(value, np.ndarray) else _plain_array(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"expected numbers, got an array of dtype {array.dtype}")
    if exact:
        return trace.array(array)
    if array.dtype.kind == "f" and array.dtype != np.float32:
        array = array.astype(np.float32)
    elif array.dtype.kind in "iub" and array.dtype not in (np.uint8, np.int64, np.int32, np.uint64):
        array = array.astype(np.int64)
    return trace.array(array)


def _plain_array(value: Any) -> np.ndarray:
    """Return a number or nested lists of numbers as an array."""
    if value is None or isinstance(value, (str, bytes, dict)):
        raise TypeError(f"expected an array of numbers, got {type(value).__name__}")
    if isinstance(value, (tuple, list)) and any(isinstance(v, Node) for v in value):
        raise TypeError(f"expected one array of numbers, got a {type(value).__name__} of {len(value)} values")
    return real_array(value)


def as_index(node: Node) -> Node:
    """Return an input of uint8 (labels as they lie in many files) as int64; any other node as it is.

    There is no such step in C: the plan binds a widened copy of the array.
    """
    if node.spec.dtype != "uint8" or node.source is None or node.source[0] != "input":
        return node
    key = (node, "int64", "c")
    cache = node.trace.converted
    if key not in cache:
        spec = replace(node.spec, dtype="int64", layout="c")
        cache[key] = Node(node.trace, spec, source=("index", node.source[1]))
    return cache[key]


def _converted(node: Node, rule: InputRule) -> Node:
    """Return ``node`` as the input rule demands, through a cached conversion."""
    if rule.demand == "any":
        return node
    dtype = "int64" if rule.demand == "int" else "float32"
    layout = node.spec.layout
    if rule.demand == "nhwc":
        layout = default_layout(node.ndim)
    elif rule.demand in ("c", "int"):
        layout = "c"
    if dtype == "int64":
        node = as_index(node)
    if node.spec.dtype != dtype and dtype == "int64":
        raise TypeError(f"expected whole numbers as int64 for {rule.name}, got dtype {node.spec.dtype}")
    key = (node, dtype, layout)
    cache = node.trace.converted
    if key not in cache:
        value = node
        if value.spec.dtype != dtype:
            value = _call(find("convert"), (value,), {})
        if value.spec.layout != layout:
            value = _call(find("relayout"), (value,), {"layout": layout})
        cache[key] = value
    return cache[key]


def _call(primitive: Any, inputs: tuple[Node | None, ...], attrs: dict[str, Any]) -> Any:
    trace = current_trace()
    assert trace is not None
    specs = primitive.infer(*(None if i is None else i.spec for i in inputs), **attrs)
    single = isinstance(specs, Spec)
    for spec in (specs,) if single else specs:
        _expect_addressable(spec)
    call = Call(primitive, inputs, attrs, scope=trace.scope_label)
    call.outputs = tuple(Node(trace, s, call=call, index=i) for i, s in enumerate((specs,) if single else specs))
    trace.add_call(call)
    return call.outputs[0] if single else call.outputs


def _expect_addressable(spec: Spec) -> None:
    """Refuse a value that no machine holds before its size overflows in C; extents of 0 do not hide the others."""
    size = math.prod(max(n, 1) for n in spec.shape)
    if size > LARGEST_VALUE:
        raise ValueError(f"expected values of at most {LARGEST_VALUE} elements, got shape {spec.shape} of {size}")


def apply(name: str, *inputs: Any, **attrs: Any) -> Any:
    """Apply a primitive in the current trace; errors are prefixed with the module or function that called.

    Parameters
    ----------
    name : str
        The primitive.
    *inputs : Node, Parameter, ndarray, number or None
        Converted to the dtype and layout that the primitive demands.
    **attrs
        The primitive's attributes, normalised.

    Returns
    -------
    Node or tuple of Node
    """
    primitive = find(name)
    trace = current_trace()
    try:
        rules = primitive.rules
        if rules and rules[-1].variadic:
            rules = rules[:-1] + (rules[-1],) * (len(inputs) - len(rules) + 1)
        if len(inputs) > len(rules):
            raise TypeError(f"expected at most {len(rules)} inputs of {name}, got {len(inputs)}")
        nodes: list[Node | None] = []
        for rule, value in zip(rules, inputs, strict=False):
            if value is None:
                if not rule.optional:
                    raise TypeError(f"expected an array for {rule.name} of {name}, got None")
                nodes.append(None)
            else:
                nodes.append(_converted(as_node(value, rule.demand == "any"), rule))
        nodes.extend([None] * (len(rules) - len(nodes)))
        return _call(primitive, tuple(nodes), attrs)
    except (ValueError, TypeError) as error:
        who = trace.scope_label if trace is not None else ""
        if getattr(error, _NAMED, False):
            raise
        named: Exception = type(error)(f"{who or name}: {error}")
        setattr(named, _NAMED, True)
        raise named from None


# what NumPy calls for `array + node`, and the operator that it was
_UFUNCS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "truediv", "matmul": "matmul", "power": "pow",
    "negative": "neg",
}  # fmt: skip
_COMPARISONS = ("less", "less_equal", "greater", "greater_equal")


class Node:
    """A value of a traced graph: it has a shape and operators, and no data.

    Arithmetic, slicing and the methods below follow PyTorch. Anything that would need the numbers (``bool(x > 0)``,
    ``float(x)``, iteration over values) raises TypeError.
    """

    __slots__ = ("call", "index", "name", "source", "spec", "trace")

    def __init__(
        self,
        trace: Trace,
        spec: Spec,
        *,
        call: Call | None = None,
        index: int = 0,
        source: tuple[str, Any] | None = None,
        name: str = "",
    ) -> None:
        self.trace, self.spec, self.call, self.index, self.source, self.name = trace, spec, call, index, source, name

    # ---- what is known ----

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the logical (NCHW) shape."""
        return self.spec.shape

    @property
    def dtype(self) -> str:
        """NumPy's name of the dtype."""
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.spec.ndim

    def dim(self) -> int:
        """Return the number of dimensions."""
        return self.spec.ndim

    def numel(self) -> int:
        """Return the number of elements."""
        return self.spec.size

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the extent of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a scalar Node has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        origin = self.call.name if self.call else (self.source or ("?",))[0]
        return f"Node({self.spec}, from {origin})"

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

    def _refuse(self, what: str) -> TypeError:
        return TypeError(
            f"{what} needs the values of a Node, which are not known while the model is traced; "
            "control flow may depend on shapes and settings only (write data-dependent steps as a fastnn.nn.Function)"
        )

    def __bool__(self) -> bool:
        raise self._refuse("bool()")

    def __lt__(self, other: Any) -> bool:
        raise self._refuse("a comparison")

    __le__ = __gt__ = __ge__ = __lt__

    def __float__(self) -> float:
        raise self._refuse("float()")

    def __int__(self) -> int:
        raise self._refuse("int()")

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise self._refuse("conversion to an array")

    def item(self) -> float:
        """Refuse: there are no numbers while tracing."""
        raise self._refuse("item()")

    def numpy(self) -> np.ndarray:
        """Refuse: there are no numbers while tracing."""
        raise self._refuse("numpy()")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"Node has no operation {name!r}; compose it from the operations there are, or write it with NumPy as a "
            "fastnn.nn.Function"
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
        return apply("softmax", self, axis=_axis(dim, self.ndim))

    def log_softmax(self, dim: int) -> Node:
        """Return the logarithm of the softmax along ``dim``."""
        return apply("log_softmax", self, axis=_axis(dim, self.ndim))

    def clamp(self, min: float | None = None, max: float | None = None) -> Node:
        """Return the values limited to [min, max]."""
        return apply("clamp", self, min=min, max=max)

    # ---- reductions ----

    def sum(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Node:
        """Return the sum over ``dim`` (None: all dimensions)."""
        return apply("sum", self, axes=_axes(dim, self.ndim), keepdims=bool(keepdim))

    def mean(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Node:
        """Return the mean over ``dim`` (None: all dimensions)."""
        return apply("mean", self, axes=_axes(dim, self.ndim), keepdims=bool(keepdim))

    def amax(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Node:
        """Return the largest element over ``dim`` (None: all dimensions)."""
        return apply("amax", self, axes=_axes(dim, self.ndim), keepdims=bool(keepdim))

    # ---- shape ----

    def reshape(self, *shape: Any) -> Node:
        """Return the elements in C order of the logical shape under another shape; one -1 is filled in."""
        wanted = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return apply("reshape", self, shape=_resolve(wanted, self))

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Node:
        """Merge the dimensions from ``start_dim`` to ``end_dim``."""
        start, end = _axis(start_dim, max(self.ndim, 1)), _axis(end_dim, max(self.ndim, 1))
        if start > end:
            raise ValueError(f"flatten: expected start_dim <= end_dim, got {start_dim} and {end_dim}")
        merged = math.prod(self.shape[start : end + 1])
        return self.reshape(*self.shape[:start], merged, *self.shape[end + 1 :])

    def squeeze(self, dim: int | None = None) -> Node:
        """Drop dimensions of extent 1 (all, or ``dim`` if it is one)."""
        if dim is None:
            return self.reshape(tuple(s for s in self.shape if s != 1))
        axis = _axis(dim, self.ndim)
        return self if self.shape[axis] != 1 else self.reshape(self.shape[:axis] + self.shape[axis + 1 :])

    def unsqueeze(self, dim: int) -> Node:
        """Insert a dimension of extent 1."""
        axis = _axis(dim, self.ndim + 1)
        return self.reshape((*self.shape[:axis], 1, *self.shape[axis:]))

    def permute(self, *dims: Any) -> Node:
        """Return the dimensions in another order."""
        order = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
        axes = tuple(_axis(d, self.ndim) for d in order)
        if sorted(axes) != list(range(self.ndim)):
            raise ValueError(f"permute: expected each of {self.ndim} dimensions once, got {tuple(order)}")
        return apply("permute", self, dims=axes)

    def transpose(self, dim0: int, dim1: int) -> Node:
        """Swap two dimensions."""
        order = list(range(self.ndim))
        a, b = _axis(dim0, self.ndim), _axis(dim1, self.ndim)
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
        axis = _axis(dim, self.ndim)
        total = self.shape[axis]
        if not isinstance(split_size, (tuple, list)):
            if not isinstance(split_size, (int, np.integer)):
                raise TypeError(f"split: expected a size or a list of sizes, got {split_size!r}")
            if split_size <= 0:
                raise ValueError(f"split: expected a positive size, got {split_size}")
            sizes = [min(split_size, total - i) for i in range(0, total, split_size)]
        else:
            sizes = list(split_size)
        if sum(sizes) != total:
            raise ValueError(f"split: expected sizes that add up to {total}, got {sizes}")
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        return tuple(self[(slice(None),) * axis + (slice(s, s + n),)] for s, n in zip(starts, sizes, strict=True))

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Node, ...]:
        """Cut a dimension into about equal pieces."""
        if not isinstance(chunks, (int, np.integer)) or chunks <= 0:
            raise ValueError(f"chunk: expected a positive number of chunks, got {chunks!r}")
        return self.split(max(1, -(-self.shape[_axis(dim, self.ndim)] // chunks)), dim)

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


def _axis(dim: int, ndim: int) -> int:
    if not isinstance(dim, (int, np.integer)):
        raise TypeError(f"expected a dimension in [{-ndim}, {ndim - 1}], got {dim!r}")
    if not -ndim <= dim < ndim:
        raise ValueError(f"expected a dimension in [{-ndim}, {ndim - 1}], got {dim}")
    return dim % ndim


def _axes(dim: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    if dim is None:
        return tuple(range(ndim))
    axes = tuple(_axis(d, ndim) for d in (dim if isinstance(dim, Sequence) else (dim,)))
    if len(set(axes)) != len(axes):
        raise ValueError(f"expected each dimension once, got {dim}")
    return axes


def _resolve(shape: Sequence[int], node: Node) -> tuple[int, ...]:
    """Fill in one -1 so that the sizes agree."""
    if not all(isinstance(s, (int, np.integer)) for s in shape):
        raise TypeError(f"reshape: expected a shape of ints, got {tuple(shape)}")
    known = math.prod(s for s in shape if s != -1)
    unknown = sum(s == -1 for s in shape)
    size = node.spec.size
    if unknown == 1 and known > 0 and size % known == 0:
        return tuple(size // known if s == -1 else int(s) for s in shape)
    if unknown or known != size or any(s < 0 for s in shape):
        raise ValueError(f"reshape: expected a shape of {size} elements for {node.shape}, got {tuple(shape)}")
    return tuple(int(s) for s in shape)


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
