"""Transforms of targets."""

from __future__ import annotations

import numpy as np

from ..._checks import as_int
from .base import Transform

__all__ = ["OneHot"]


class OneHot(Transform):
    """Turn class indices into rows with a single 1, as float32.

    Parameters
    ----------
    num_classes : int
        Number of classes: the length of the new last axis.

    Raises
    ------
    TypeError
        If the indices are not integers.
    ValueError
        If an index is not in [0, num_classes).

    Examples
    --------
    >>> from fastnn.data.transforms import OneHot
    >>> OneHot(3)([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = as_int("num_classes", num_classes, 1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the rows: shape of ``x`` plus (num_classes,)."""
        indices = np.asarray(x)
        if indices.dtype.kind not in "iu" and indices.size:
            raise TypeError(f"OneHot: expected integer class indices, got dtype {indices.dtype}")
        if indices.size and not (indices.min() >= 0 and indices.max() < self.num_classes):
            raise ValueError(
                f"OneHot: expected class indices from 0 to {self.num_classes - 1}, "
                f"got {int(indices.min())} to {int(indices.max())}"
            )
        out = np.zeros((*indices.shape, self.num_classes), np.float32)
        np.put_along_axis(out, indices[..., None].astype(np.intp), 1.0, axis=-1)
        return out

    def __repr__(self) -> str:
        return f"OneHot({self.num_classes})"
