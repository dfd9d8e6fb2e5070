"""Values of a traced graph: what is known of them before they exist, and what is refused because they do not yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .spec import Spec

if TYPE_CHECKING:
    from .primitive import Call
    from .trace import Trace

__all__ = ["Value"]


class Value:
    """A value's place in a graph: its spec and where it comes from. `Node` adds what can be done with it."""

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
