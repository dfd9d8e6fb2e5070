"""What the functional modules share: who speaks in an error, signals as images, the reductions of losses."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar, cast

from fastnn.graph import as_node, current_trace, eager

__all__ = ["Tensor", "as_image", "expect_ndim", "named", "naming", "operation", "reduction_word"]

Tensor: TypeAlias = Any
"""A Node while a model is traced, a NumPy array (or Parameter) elsewhere."""

_F = TypeVar("_F", bound=Callable[..., Any])
_AXES = {1: "(C,)", 2: "(N, C)", 3: "(N, C, L)", 4: "(N, C, H, W)"}


@contextmanager
def naming(function: str) -> Iterator[None]:
    """Prefix errors raised inside with the module being traced or, outside one, with the function's name."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if getattr(error, "fastnn_named", False) or str(error).startswith((f"{function}: ", f"{function}() ")):
            raise
        trace = current_trace()
        who = (trace.scope_label if trace is not None else "") or function
        named = type(error)(f"{who}: {error}")
        named.fastnn_named = True  # type: ignore[union-attr]
        raise named from None


def named(init: _F) -> _F:
    """Decorate a layer's ``__init__``: its errors say which layer was to be made."""

    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        with naming(type(self).__name__):
            for word in ("device", "dtype"):
                if word in kwargs:
                    raise TypeError(f"expected no {word} (all is float32 on the CPU), got {word}={kwargs[word]!r}")
            try:
                init(self, *args, **kwargs)
            except TypeError as error:
                # Python names the function, which may be that of a private base.
                own = f"{init.__qualname__}() "
                if not str(error).startswith(own):
                    raise
                raise TypeError(str(error).removeprefix(own)) from None

    return cast(_F, wrapper)


def operation(function: _F) -> _F:
    """Decorate a function of nodes: it takes arrays too, and its errors begin with its name."""

    @functools.wraps(function)
    def spoken(*args: Any, **kwargs: Any) -> Any:
        with naming(function.__name__):
            return function(*args, **kwargs)

    return cast(_F, eager(spoken))


def expect_ndim(input: Any, *ndims: int) -> None:
    """Raise TypeError or ValueError unless the input is an array of one of these numbers of dimensions."""
    wanted = " or ".join(f"{n}-D {_AXES[n]}" for n in ndims)
    if not hasattr(input, "ndim"):
        raise TypeError(f"expected {wanted} input, got {type(input).__name__}")
    if input.ndim not in ndims:
        raise ValueError(f"expected {wanted} input, got shape {tuple(input.shape)}")


def as_image(input: Any, op: Callable[[Any], Any]) -> Any:
    """Run an op for images on signals: (N, C, L) goes in as (N, C, 1, L), and the result comes back without the 1."""
    n, c, length = input.shape
    y = op(as_node(input).reshape(n, c, 1, length))
    return y.reshape(y.shape[0], y.shape[1], y.shape[3])


_REDUCTIONS = ("none", "mean", "sum")


def reduction_word(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """Return the reduction; PyTorch's two older flags, where given, decide as they did."""
    if size_average is not None or reduce is not None:
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in _REDUCTIONS:
        raise ValueError(f"expected reduction to be 'none', 'mean' or 'sum', got {reduction!r}")
    return reduction
