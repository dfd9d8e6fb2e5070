"""Activation layers. ``inplace`` is accepted as in PyTorch and changes nothing: inputs are never modified."""

from __future__ import annotations

import numpy as np

from fastnn import _checks

from . import functional as F
from . import init
from .functional._common import Tensor, named
from .module import Module
from .parameter import Parameter

__all__ = [
    "ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU",
    "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softsign", "Tanh",
]  # fmt: skip


class _Inplace(Module):
    @named
    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_Inplace):
    """max(x, 0); NaN stays NaN.

    Parameters
    ----------
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.ReLU()(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)


class ReLU6(_Inplace):
    """min(max(x, 0), 6).

    Parameters
    ----------
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.ReLU6()(np.array([-1.0, 2.0, 7.0])).tolist()
    [0.0, 2.0, 6.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Hardtanh(Module):
    """x cut to [min_val, max_val].

    Parameters
    ----------
    min_val, max_val : float
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Hardtanh()(np.array([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """

    @named
    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class LeakyReLU(Module):
    """x where x > 0, negative_slope * x elsewhere.

    Parameters
    ----------
    negative_slope : float
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.LeakyReLU(0.5)(np.array([-1.0, 2.0])).tolist()
    [-0.5, 2.0]
    """

    @named
    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope, self.inplace = _checks.as_float("negative_slope", negative_slope), inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class PReLU(Module):
    """x where x > 0, weight * x elsewhere, with a trainable weight (He et al., 2015).

    Parameters
    ----------
    num_parameters : int
        1 for one slope in all, or the number of channels (axis 1).
    init : float
        The slope at the start.

    Attributes
    ----------
    weight : Parameter (num_parameters,)

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.PReLU()(np.array([[-1.0, 2.0]])).tolist()
    [[-0.25, 2.0]]
    """

    weight: Parameter

    @named
    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = _checks.as_int("num_parameters", num_parameters, 1)
        self.init = _checks.as_float("init", init)
        self.weight = Parameter(np.full(self.num_parameters, self.init))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every slope to its start."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class Sigmoid(Module):
    """1 / (1 + exp(-x)).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Sigmoid()(np.array([0.0])).tolist()
    [0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Tanh()(np.array([0.0])).tolist()
    [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class SiLU(_Inplace):
    """x * sigmoid(x), also called swish (Elfwing et al., 2017).

    Parameters
    ----------
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.SiLU()(np.array([0.0])).tolist()
    [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input)


class Mish(_Inplace):
    """x * tanh(softplus(x)) (Misra, 2019).

    Parameters
    ----------
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Mish()(np.array([0.0])).tolist()
    [0.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input)


class Hardswish(_Inplace):
    """x * min(max(x + 3, 0), 6) / 6 (Howard et al., 2019).

    Parameters
    ----------
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Hardswish()(np.array([0.0, 4.0])).tolist()
    [0.0, 4.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input)

    def extra_repr(self) -> str:
        return ""


class Hardsigmoid(_Inplace):
    """min(max(x + 3, 0), 6) / 6.

    Parameters
    ----------
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Hardsigmoid()(np.array([-3.0, 0.0, 3.0])).tolist()
    [0.0, 0.5, 1.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input)

    def extra_repr(self) -> str:
        return ""


class GELU(Module):
    """x times the normal distribution function of x (Hendrycks & Gimpel, 2016).

    Parameters
    ----------
    approximate : {"none", "tanh"}

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.GELU()(np.array([0.0])).tolist()
    [0.0]
    """

    @named
    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = _checks.one_of("approximate", approximate, ("none", "tanh"))

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class ELU(Module):
    """x where x > 0, alpha * (exp(x) - 1) elsewhere (Clevert et al., 2016).

    Parameters
    ----------
    alpha : float
    inplace : bool
        Accepted and without effect.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.ELU()(np.array([0.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    @named
    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha, self.inplace = _checks.as_float("alpha", alpha), inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class Softplus(Module):
    """log(1 + exp(beta * x)) / beta; where beta * x exceeds the threshold, x itself.

    Parameters
    ----------
    beta : float
    threshold : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Softplus()(np.array([30.0])).tolist()
    [30.0]
    """

    @named
    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """x / (1 + abs(x)).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Softsign()(np.array([-1.0, 3.0])).tolist()
    [-0.5, 0.75]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


class LogSigmoid(Module):
    """log(1 / (1 + exp(-x))).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> round(float(nn.LogSigmoid()(np.array([0.0]))[0]), 4)
    -0.6931
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


class _Softmax(Module):
    @named
    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim


class Softmax(_Softmax):
    """exp(x) over its sum along ``dim``.

    Parameters
    ----------
    dim : int, optional
        Better named: without it PyTorch's old rule takes 0 for one or three dimensions, else 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Softmax(dim=1)(np.array([[1.0, 1.0]])).tolist()
    [[0.5, 0.5]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(_Softmax):
    """The logarithm of the softmax along ``dim``.

    Parameters
    ----------
    dim : int, optional
        As in `Softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> round(float(nn.LogSoftmax(dim=1)(np.array([[0.0, 0.0]]))[0, 1]), 4)
    -0.6931
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmin(_Softmax):
    """The softmax of -x along ``dim``.

    Parameters
    ----------
    dim : int, optional
        As in `Softmax`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Softmin(dim=1)(np.array([[1.0, 1.0]])).tolist()
    [[0.5, 0.5]]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax2d(Module):
    """The softmax over the channels of every pixel of images (N, C, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.Softmax2d()(np.ones((1, 2, 1, 1))).ravel().tolist()
    [0.5, 0.5]
    """

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, -3)
