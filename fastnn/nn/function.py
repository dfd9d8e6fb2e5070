"""Function: a user's own operation, written in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.graph import apply_function, current_trace

from .parameter import Parameter

__all__ = ["Function", "FunctionContext"]


class FunctionContext:
    """What a Function's ``forward`` hands to its ``backward``; attributes may be set on it freely."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()

    def save_for_backward(self, *arrays: Any) -> None:
        """Keep values for ``backward``, where `saved_tensors` gives them back."""
        self._saved = arrays

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """The values given to `save_for_backward`."""
        return self._saved


class Function:
    """An operation written in NumPy, with its derivative, in PyTorch's form.

    A subclass defines the static methods `forward` and `backward` and is used through `apply`. In a model the compiled
    plan is cut at this point: Python runs, then the plan goes on. The output's shape is learnt from one call of
    `forward` on zeros, or from a static method ``output_shape(*input_shapes, **kwargs)`` where the class defines one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> class Square(nn.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, dy):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * dy
    >>> Square.apply(np.array([3.0])).tolist()
    [9.0]
    >>> class Model(nn.Module):
    ...     def forward(self, x):
    ...         return Square.apply(x) + 1.0
    >>> model = Model()
    >>> model(np.array([3.0])).tolist(), model.backward(np.array([1.0])).tolist()
    ([10.0], [6.0])
    """

    output_shape: Any = None

    @staticmethod
    def forward(ctx: Any, *inputs: Any, **kwargs: Any) -> Any:
        """Return the output array, or a tuple of them; ``ctx`` keeps what `backward` needs."""
        raise NotImplementedError("a Function defines the static method forward(ctx, ...)")

    @staticmethod
    def backward(ctx: Any, *dys: Any) -> Any:
        """Return one gradient (or None) for each input of `forward`, given one for each output."""
        raise NotImplementedError("a Function defines the static method backward(ctx, ...) to be trained through")

    @classmethod
    def new_context(cls) -> FunctionContext:
        """Return the context of one application."""
        return FunctionContext()

    @classmethod
    def apply(cls, *inputs: Any, **kwargs: Any) -> Any:
        """Apply the function: on arrays at once, on nodes as a step of the plan.

        Parameters
        ----------
        *inputs
            Arrays, nodes and Parameters are values; anything else is passed on as it is.
        **kwargs
            Passed on as they are.
        """
        if current_trace() is not None:
            return apply_function(cls, inputs, kwargs)
        plain = tuple(i.data if isinstance(i, Parameter) else i for i in inputs)
        result = cls.forward(cls.new_context(), *plain, **kwargs)
        single = not isinstance(result, tuple)
        arrays = tuple(np.array(r, dtype=np.float32) for r in ((result,) if single else result))
        return arrays[0] if single else arrays
