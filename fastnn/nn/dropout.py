"""Layers that drop at random in training and pass everything through in eval mode."""

from __future__ import annotations

from fastnn import _checks

from . import functional as F
from .functional._common import Tensor, named
from .module import Module

__all__ = ["Dropout", "Dropout2d", "StochasticDepth"]


class _Dropout(Module):
    @named
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p, self.inplace = _checks.as_probability("p", p), inplace

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Zero each element with probability p in training and divide the rest by 1 - p (Srivastava et al., 2014).

    The mask is a function of seed, run and position (a counter-based generator), so it does not depend on threads.

    Parameters
    ----------
    p : float
        The probability of zero.
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Dropout(0.5).eval()(np.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)


class Dropout2d(_Dropout):
    """Zero whole channels of each sample with probability p in training (Tompson et al., 2015).

    Parameters
    ----------
    p : float
        The probability of zero.
    inplace : bool
        Accepted and without effect.

    Notes
    -----
    Shape: input and output (N, C, H, W) or (N, C, L).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> maps = nn.Dropout2d(0.5)(np.ones((2, 4, 3, 3)))
    >>> bool((maps == maps[:, :, :1, :1]).all())
    True
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training)


class StochasticDepth(Module):
    """Zero a residual branch with probability p in training, for each sample or the whole batch (Huang et al., 2016).

    Parameters
    ----------
    p : float
        The probability of zero.
    mode : {"batch", "row"}
        One draw a batch, or one a sample.

    Examples
    --------
    >>> from fastnn import nn
    >>> nn.StochasticDepth(0.2, "row")
    StochasticDepth(p=0.2, mode=row)
    """

    @named
    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = _checks.as_probability("p", p), _checks.one_of("mode", mode, ("batch", "row"))

    def forward(self, input: Tensor) -> Tensor:
        return F.stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"
