"""Layers that change shapes: flatten, unflatten and padding of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn import _checks

from . import functional as F
from .functional._common import Tensor, expect_ndim, named, naming
from .module import Module

__all__ = ["ConstantPad2d", "Flatten", "Unflatten", "ZeroPad2d"]


class Flatten(Module):
    """Merge the dimensions from start_dim to end_dim into one, in the C order of NCHW.

    Parameters
    ----------
    start_dim, end_dim : int

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Flatten()(np.zeros((32, 1, 5, 5))).shape
    (32, 25)
    """

    @named
    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split one dimension into several.

    Parameters
    ----------
    dim : int
    unflattened_size : sequence of int
        One of them may be -1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Unflatten(1, (2, 5, 5))(np.zeros((32, 50))).shape
    (32, 2, 5, 5)
    """

    @named
    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(unflattened_size, Sequence) or isinstance(unflattened_size, str):
            raise TypeError(f"Unflatten: expected a sequence of sizes, got {unflattened_size!r}")
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return F.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class ConstantPad2d(Module):
    """Put a border of one value around images.

    Parameters
    ----------
    padding : int, or four (left, right, top, bottom)
        Negative numbers cut.
    value : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.ConstantPad2d((1, 0, 0, 0), 3.5)(np.ones((1, 1, 1, 2))).tolist()
    [[[[3.5, 1.0, 1.0]]]]
    """

    @named
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__()
        self.padding, self.value = _checks.as_sizes("padding", padding, 4), value

    def forward(self, input: Tensor) -> Tensor:
        with naming(type(self).__name__):
            expect_ndim(input, 4)
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ZeroPad2d(ConstantPad2d):
    """Put a border of zeros around images.

    Parameters
    ----------
    padding : int, or four (left, right, top, bottom)
        Negative numbers cut.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.ZeroPad2d(2)(np.ones((1, 1, 3, 3))).shape
    (1, 1, 7, 7)
    """

    @named
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"
