"""Loss layers: called with predictions and targets; ``loss.backward()`` gives the gradient of the predictions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastnn import _checks

from . import functional as F
from .functional._common import Tensor, named, naming, reduction_word
from .module import Module

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "HuberLoss", "L1Loss", "MSELoss", "MultiMarginLoss",
    "MulticlassHingeLoss", "NLLLoss", "SSELoss", "SmoothL1Loss",
]  # fmt: skip


def _floats(name: str, weight: Any) -> np.ndarray | None:
    return None if weight is None else _checks.as_real_array(name, weight).astype(np.float32)


class _Loss(Module):
    """A loss of (input, target); the target is data, so `backward` returns the gradient of the input alone."""

    differentiable_inputs: ClassVar[int] = 1

    @named
    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        with naming(type(self).__name__):
            self.reduction = reduction_word(reduction, size_average, reduce)


class _ClassLoss(_Loss):
    """A loss whose targets are class indices, with an optional weight a class."""

    @named
    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", _floats("weight", weight))


class CrossEntropyLoss(_ClassLoss):
    """Minus the log-softmax of each sample's scores at its class, or weighted by class probabilities.

    ``loss = -weight[t] * log(exp(x[t]) / sum of exp(x))``; the mean over class indices divides by the sum of the
    targets' weights, ignored ones left out.

    Parameters
    ----------
    weight : array_like (C,), optional
        A weight a class.
    size_average : bool, optional
        PyTorch's older word for ``reduction``; so is ``reduce``.
    ignore_index : int
        A class index that counts for nothing.
    reduce : bool, optional
    reduction : {"mean", "sum", "none"}
    label_smoothing : float
        The share of the target that goes to all classes alike (Szegedy et al., 2016).

    Notes
    -----
    Shape: input (N, C) or (N, C, d1, ...); target whole numbers (N,) or (N, d1, ...), or floats of the input's shape.
    Nothing is broadcast: other shapes raise ValueError, and so does an index out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> loss = nn.CrossEntropyLoss()
    >>> round(loss(np.zeros((2, 4)), np.array([0, 3])), 4)
    1.3863
    >>> loss.backward().tolist()[0]
    [-0.375, 0.125, 0.125, 0.125]
    """

    @named
    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = _checks.as_int("ignore_index", ignore_index)
        self.label_smoothing = _checks.as_probability("label_smoothing", label_smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_ClassLoss):
    """Minus the log-probability of each sample's class; the input holds log-probabilities (see `LogSoftmax`).

    Parameters
    ----------
    weight : array_like (C,), optional
        A weight a class.
    size_average : bool, optional
        PyTorch's older word for ``reduction``; so is ``reduce``.
    ignore_index : int
        A class index that counts for nothing.
    reduce : bool, optional
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    Shape: as `CrossEntropyLoss` with class indices.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.NLLLoss()(np.array([[-1.0, -2.0]]), np.array([1]))
    2.0
    """

    @named
    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = _checks.as_int("ignore_index", ignore_index)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MultiMarginLoss(_ClassLoss):
    """Sum over wrong classes j of max(0, margin - x[y] + x[j]) ** p, divided by the number of classes.

    Parameters
    ----------
    p : {1, 2}
    margin : float
    weight : array_like (C,), optional
        A weight a class.
    size_average, reduce : bool, optional
        PyTorch's older words for ``reduction``.
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    Shape: input (N, C), target whole numbers (N,). `MulticlassHingeLoss` is the same without the division.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.MultiMarginLoss()(np.array([[1.0, 0.5]]), np.array([0]))
    0.25
    """

    @named
    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, size_average, reduce, reduction)
        self.p, self.margin = _power(p), _checks.as_float("margin", margin)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MulticlassHingeLoss(_ClassLoss):
    """Sum over wrong classes j of max(0, margin - x[y] + x[j]) ** p, not divided (Weston & Watkins, 1999).

    Parameters
    ----------
    margin : float
    p : {1, 2}
        1 is the hinge, 2 its square.
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    Shape: input (N, C), target whole numbers (N,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.MulticlassHingeLoss()(np.array([[1.0, 0.5]]), np.array([0]))
    0.5
    """

    @named
    def __init__(self, margin: float = 1.0, p: int = 1, reduction: str = "mean") -> None:
        super().__init__(None, reduction=reduction)
        self.p, self.margin = _power(p), _checks.as_float("margin", margin)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multiclass_hinge_loss(input, target, self.margin, self.p, self.reduction)


def _power(p: Any) -> int:
    if p not in (1, 2):
        raise ValueError(f"expected p to be 1 or 2, got {p!r}")
    return int(p)


class MSELoss(_Loss):
    """(x - t) ** 2, averaged over all elements.

    Parameters
    ----------
    size_average, reduce : bool, optional
        PyTorch's older words for ``reduction``.
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    Shape: input and target alike; other shapes raise ValueError, nothing is broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.MSELoss()(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    2.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class SSELoss(_Loss):
    """Sum over elements of (x - t) ** 2, averaged over the batch only and without a factor 1/2.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides by the size of the batch (axis 0).

    Notes
    -----
    Shape: input and target alike; other shapes raise ValueError, nothing is broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.SSELoss()(np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[1.0, 4.0], [0.0, 2.0]]))
    4.0
    """

    @named
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction=reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.sse_loss(input, target, self.reduction)


class L1Loss(_Loss):
    """abs(x - t), averaged over all elements.

    Parameters
    ----------
    size_average, reduce : bool, optional
        PyTorch's older words for ``reduction``.
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    Shape: input and target alike; other shapes raise ValueError, nothing is broadcast.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.L1Loss()(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """d ** 2 / (2 * beta) where d = abs(x - t) < beta, d - beta / 2 elsewhere (Girshick, 2015).

    Parameters
    ----------
    size_average, reduce : bool, optional
        PyTorch's older words for ``reduction``.
    reduction : {"mean", "sum", "none"}
    beta : float
        Where the parabola ends; 0 gives the L1 loss.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.SmoothL1Loss()(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    0.75
    """

    @named
    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = _checks.as_float("beta", beta, 0.0)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """d ** 2 / 2 where d = abs(x - t) <= delta, delta * (d - delta / 2) elsewhere (Huber, 1964).

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
    delta : float
        Where the parabola ends.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.HuberLoss()(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    0.75
    """

    @named
    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self.delta = _checks.as_float("delta", delta)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCELoss(_Loss):
    """-(t * log(x) + (1 - t) * log(1 - x)) for probabilities x and t, the logarithms not below -100.

    Parameters
    ----------
    weight : array_like, optional
        A weight an element; may broadcast to the input's shape.
    size_average, reduce : bool, optional
        PyTorch's older words for ``reduction``.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> round(nn.BCELoss()(np.array([0.5]), np.array([1.0])), 4)
    0.6931
    """

    @named
    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", _floats("weight", weight))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """The binary cross entropy of sigmoid(x), computed without overflow.

    Parameters
    ----------
    weight : array_like, optional
        A weight an element; may broadcast to the input's shape.
    size_average, reduce : bool, optional
        PyTorch's older words for ``reduction``.
    reduction : {"mean", "sum", "none"}
    pos_weight : array_like, optional
        A weight of the positive part; may broadcast to the input's shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> round(nn.BCEWithLogitsLoss()(np.array([0.0]), np.array([1.0])), 4)
    0.6931
    """

    @named
    def __init__(
        self,
        weight: Any = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Any = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", _floats("weight", weight))
        self.register_buffer("pos_weight", _floats("pos_weight", pos_weight))

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )
