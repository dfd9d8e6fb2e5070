"""Linear: every output from every input."""

from __future__ import annotations

import numpy as np

from fastnn import _checks

from . import functional as F
from . import init
from .functional._common import Tensor, named
from .module import Module
from .parameter import Parameter

__all__ = ["Linear"]


class Linear(Module):
    """Affine map ``y = x @ weight.T + bias`` of the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Extents of the last axis of input and output.
    bias : bool
        Whether to add a trainable bias.

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
        Drawn uniformly from +-1 / sqrt(in_features).
    bias : Parameter (out_features,) or None
        Drawn likewise.

    Notes
    -----
    Shape: input (..., in_features), output (..., out_features).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Linear(20, 30)(np.zeros((128, 20))).shape
    (128, 30)
    """

    weight: Parameter
    bias: Parameter | None

    @named
    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features = _checks.as_int("in_features", in_features, 0)
        self.out_features = _checks.as_int("out_features", out_features, 0)
        self.weight = Parameter(np.empty((out_features, in_features), np.float32))
        self.register_parameter("bias", Parameter(np.empty(out_features, np.float32)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new values for weight and bias."""
        init.fan_in_uniform_(self.weight)
        if self.bias is not None:
            init.fan_in_uniform_(self.bias, self.in_features)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
