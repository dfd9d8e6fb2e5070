"""What is known of a value before it exists: shape, dtype and memory layout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["Spec", "default_layout"]


def default_layout(ndim: int) -> str:
    """Return the layout that activations of ``ndim`` dimensions have: channels-last for images, else C order."""
    return "nhwc" if ndim == 4 else "c"


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape, dtype and layout of a value; shapes are logical NCHW whatever the layout.

    Parameters
    ----------
    shape : tuple of int
    dtype : str
        NumPy's name: ``"float32"``, ``"int64"``, ``"uint8"``, ...
    layout : str
        ``"c"`` (last axis contiguous) or, for four dimensions only, ``"nhwc"`` (channels contiguous).
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: str = "c"

    @classmethod
    def activation(cls, shape: tuple[int, ...], dtype: str = "float32") -> Spec:
        """Return the spec of an activation of this shape: its layout is the default one."""
        return cls(tuple(shape), dtype, default_layout(len(shape)))

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the value, without padding."""
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours along each logical axis."""
        if self.layout == "nhwc":
            _, c, h, w = self.shape
            return (h * w * c, 1, w * c, c)
        strides, step = [], 1
        for extent in reversed(self.shape):
            strides.append(step)
            step *= extent
        return tuple(reversed(strides))

    @property
    def memory_shape(self) -> tuple[int, ...]:
        """Extents in memory order, slowest first."""
        if self.layout == "nhwc":
            n, c, h, w = self.shape
            return (n, h, w, c)
        return self.shape

    def same_memory(self, layout: str) -> bool:
        """Tell whether a value of this spec has the same memory under ``layout``."""
        if layout == self.layout or self.ndim != 4:
            return True
        _, c, h, w = self.shape
        return c == 1 or h * w == 1 or self.size == 0

    def __str__(self) -> str:
        mark = "" if self.dtype == "float32" else f" {self.dtype}"
        return f"({', '.join(map(str, self.shape))}{',' if self.ndim == 1 else ''}){mark}"
