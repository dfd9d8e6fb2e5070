"""Parameters: the trainable arrays of a model, each in one buffer that never moves."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import _checks
from fastnn._memory import empty_aligned
from fastnn.graph import as_node, current_trace, structure_changed

__all__ = ["Parameter"]


class Parameter:
    """A trainable array: float32, C-contiguous, at an address that stays the same for life.

    `data` is the only truth about its values: plans and optimizers read and write that buffer, so writing
    ``p.data[...] = x``, ``p.data = x`` or loading a state all take effect at the next call. Inside a ``forward`` that
    is being traced a Parameter works as a node (``x * self.scale``); elsewhere its operators give NumPy arrays.

    Parameters
    ----------
    data : array_like
        The first values; they are copied.
    requires_grad : bool
        Whether gradients are computed for it. A frozen parameter costs no gradient work.

    Attributes
    ----------
    data : ndarray
        The values. Assignment copies into the buffer and demands the same shape.
    grad : ndarray or None
        The gradient that backward passes have added up since it was last cleared.
    requires_grad : bool

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> p = nn.Parameter(np.zeros((2, 3)))
    >>> p.data = np.ones((2, 3))
    >>> p.shape, p.dtype.name, float(p.data.sum())
    ((2, 3), 'float32', 6.0)
    """

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        source = _checks.as_real_array("data of a Parameter", data)
        self._data: np.ndarray = empty_aligned(source.shape)
        self._data[...] = source
        self._grad: np.ndarray | None = None
        self._requires_grad = bool(requires_grad)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)  # of a copy, whose buffer NumPy placed
        self._data = empty_aligned(state["_data"].shape)
        self._data[...] = state["_data"]

    # ---- values and gradient ----

    @property
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        array = _checks.as_real_array("data of a Parameter", value)
        if array.shape != self._data.shape:
            raise ValueError(f"Parameter: expected data of shape {self._data.shape}, got shape {array.shape}")
        if array is not self._data:  # `p.data *= 2` assigns the buffer to itself
            self._data[...] = array

    @property
    def grad(self) -> np.ndarray | None:
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is None:
            self._grad = None
            return
        array = _checks.as_real_array("grad of a Parameter", value)
        if array.shape != self._data.shape:
            raise ValueError(f"Parameter: expected grad of shape {self._data.shape}, got shape {array.shape}")
        self._grad = np.ascontiguousarray(array, dtype=np.float32).reshape(array.shape)

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if bool(value) != self._requires_grad:
            self._requires_grad = bool(value)
            structure_changed()

    def requires_grad_(self, requires_grad: bool = True) -> Parameter:
        """Set `requires_grad` and return the parameter."""
        self.requires_grad = requires_grad
        return self

    # ---- what is known ----

    @property
    def shape(self) -> tuple[int, ...]:
        return self._data.shape

    @property
    def ndim(self) -> int:
        return self._data.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._data.dtype

    @property
    def nbytes(self) -> int:
        return self._data.nbytes

    @property
    def is_leaf(self) -> bool:
        return True

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or one of its entries, as PyTorch's ``size()`` does."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Return the number of dimensions."""
        return self._data.ndim

    def numel(self) -> int:
        """Return the number of elements."""
        return int(self._data.size)

    def numpy(self) -> np.ndarray:
        """Return the buffer itself, not a copy."""
        return self._data

    def detach(self) -> np.ndarray:
        """Return the buffer itself: an array carries no gradient."""
        return self._data

    def item(self) -> float:
        """Return the value of a parameter of one element."""
        return float(self._data.item())

    def tolist(self) -> Any:
        """Return the values as nested lists."""
        return self._data.tolist()

    def __len__(self) -> int:
        return len(self._data)

    def __float__(self) -> float:
        return float(self._data.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy:
            return np.array(self._data, dtype=dtype)
        return self._data if dtype is None else self._data.astype(dtype, copy=False)

    def __repr__(self) -> str:
        frozen = "" if self._requires_grad else ", requires_grad=False"
        values = np.array2string(self._data, separator=", ", prefix="Parameter(", threshold=100)
        return f"Parameter({values}, shape={self.shape}{frozen})"

    # ---- arithmetic ----

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        # `array + parameter` arrives here: a number-crunching NumPy would cut the parameter out of the trace.
        if current_trace() is not None:
            binary = _TRACED_UFUNCS.get(ufunc.__name__)
            if method != "__call__" or binary is None or kwargs:
                raise TypeError(f"numpy.{ufunc.__name__} cannot be traced; use fastnn's function or a Node's method")
            return getattr(as_node(inputs[0]), binary)(*inputs[1:])
        plain = tuple(i._data if isinstance(i, Parameter) else i for i in inputs)
        if "out" in kwargs:
            kwargs["out"] = tuple(o._data if isinstance(o, Parameter) else o for o in kwargs["out"])
        return getattr(ufunc, method)(*plain, **kwargs)

    def _value(self) -> Any:
        """Return what operators work on: a node inside a trace, the array elsewhere."""
        return self._data if current_trace() is None else as_node(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return getattr(self._value(), name)
        except AttributeError:
            raise AttributeError(f"Parameter has no attribute {name!r}") from None

    def __getitem__(self, key: Any) -> Any:
        return self._value()[key]

    def __add__(self, other: Any) -> Any:
        return self._value() + _plain(other)

    def __radd__(self, other: Any) -> Any:
        return _plain(other) + self._value()

    def __sub__(self, other: Any) -> Any:
        return self._value() - _plain(other)

    def __rsub__(self, other: Any) -> Any:
        return _plain(other) - self._value()

    def __mul__(self, other: Any) -> Any:
        return self._value() * _plain(other)

    def __rmul__(self, other: Any) -> Any:
        return _plain(other) * self._value()

    def __truediv__(self, other: Any) -> Any:
        return self._value() / _plain(other)

    def __rtruediv__(self, other: Any) -> Any:
        return _plain(other) / self._value()

    def __matmul__(self, other: Any) -> Any:
        return self._value() @ _plain(other)

    def __rmatmul__(self, other: Any) -> Any:
        return _plain(other) @ self._value()

    def __pow__(self, exponent: Any) -> Any:
        return self._value() ** exponent

    def __neg__(self) -> Any:
        return -self._value()

    # In place, the buffer changes; inside a trace the result is a node, as for any other operator.

    def __iadd__(self, other: Any) -> Any:
        return self._in_place("__iadd__", other)

    def __isub__(self, other: Any) -> Any:
        return self._in_place("__isub__", other)

    def __imul__(self, other: Any) -> Any:
        return self._in_place("__imul__", other)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place("__itruediv__", other)

    def _in_place(self, name: str, other: Any) -> Any:
        if current_trace() is not None:
            return getattr(self._value(), name.replace("__i", "__", 1))(_plain(other))
        getattr(self._data, name)(_plain(other))
        return self

    @property
    def T(self) -> Any:
        return self._value().T


_TRACED_UFUNCS = {
    "add": "__add__", "subtract": "__sub__", "multiply": "__mul__", "divide": "__truediv__", "matmul": "__matmul__",
    "power": "__pow__", "negative": "__neg__",
}  # fmt: skip


def _plain(value: Any) -> Any:
    """Return a Parameter's node or array; anything else as it is."""
    return value._value() if isinstance(value, Parameter) else value
