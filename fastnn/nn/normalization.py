"""Normalization layers: batch norm over images, signals and vectors, local response norm, and of pixels as stored."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastnn import _checks
from fastnn.graph import as_node

from . import functional as F
from . import init
from .functional._common import Tensor, expect_ndim, named, naming
from .functional.normalization import batch_norm_in_trace
from .module import Module
from .parameter import Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "LocalResponseNorm", "Normalize"]


class _BatchNorm(Module):
    """Settings, parameters and running statistics; the subclasses say which inputs they take."""

    _ndims: ClassVar[tuple[int, ...]]
    _optional_buffers = frozenset({"num_batches_tracked"})

    weight: Parameter | None
    bias: Parameter | None
    running_mean: np.ndarray | None
    running_var: np.ndarray | None
    num_batches_tracked: np.ndarray | None

    @named
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-05,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        n = self.num_features = _checks.as_int("num_features", num_features, 1)
        self.eps = _checks.as_float("eps", eps, 0.0)
        self.momentum = None if momentum is None else _checks.as_float("momentum", momentum)
        self.affine, self.track_running_stats = affine, track_running_stats
        self.register_parameter("weight", Parameter(np.ones(n)) if affine else None)
        self.register_parameter("bias", Parameter(np.ones(n)) if affine and bias else None)
        self.register_buffer("running_mean", np.zeros(n) if track_running_stats else None)
        self.register_buffer("running_var", np.ones(n) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Set the running mean to 0, the running variance to 1 and the count of batches to 0."""
        for buffer, value in ((self.running_mean, 0), (self.running_var, 1), (self.num_batches_tracked, 0)):
            if buffer is not None:
                buffer[...] = value

    def reset_parameters(self) -> None:
        """Reset the running statistics, the weight to 1 and the bias to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        x = as_node(input)
        with naming(type(self).__name__):
            expect_ndim(x, *self._ndims)
            if x.shape[1] != self.num_features:
                raise ValueError(f"expected input with {self.num_features} channels, got shape {x.shape}")
        # Without running statistics the batch's own serve in eval mode too.
        by_batch = self.training or self.running_mean is None
        return batch_norm_in_trace(
            x,
            self.running_mean,
            self.running_var,
            self.num_batches_tracked,
            self.weight,
            self.bias,
            by_batch,
            self.momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm2d(_BatchNorm):
    """Normalise each channel of images by its mean and variance over batch and pixels (Ioffe & Szegedy, 2015).

    ``y = (x - mean) / sqrt(var + eps) * weight + bias``: in training with the batch's mean and biased variance, which
    also move the running ones; in eval mode with the running ones.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float or None
        The share of a new batch in the running statistics; None averages all batches alike.
    affine : bool
        Whether there are a trainable weight (starting at 1) and bias (starting at 0).
    track_running_stats : bool
        False keeps none: eval mode then uses the batch's own.
    bias : bool
        False leaves out the bias of an affine layer.

    Attributes
    ----------
    weight, bias : Parameter (C,) or None
    running_mean, running_var : ndarray (C,) or None
        The variance is the unbiased one.
    num_batches_tracked : ndarray () of int64, or None

    Notes
    -----
    Shape: input and output (N, C, H, W). Training with one value a channel raises ValueError.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> norm = nn.BatchNorm2d(3)
    >>> norm(np.ones((2, 3, 4, 4))).shape, int(norm.num_batches_tracked)
    ((2, 3, 4, 4), 1)
    """

    _ndims = (4,)


class BatchNorm1d(_BatchNorm):
    """Normalise each feature of vectors (N, C) or channel of signals (N, C, L); all else as `BatchNorm2d`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> nn.BatchNorm1d(1, eps=0.0)(np.array([[1.0], [3.0]])).tolist()
    [[-1.0], [1.0]]
    """

    _ndims = (2, 3)


class LocalResponseNorm(Module):
    """Divide by a power of the sum of squares over neighbouring channels (Krizhevsky et al., 2012).

    ``y = x / (k + alpha / size * sum of squares over size channels) ** beta``

    Parameters
    ----------
    size : int
        How many neighbouring channels count, this one included.
    alpha, beta, k : float

    Notes
    -----
    Shape: input and output (N, C, L) or (N, C, H, W).

    Examples
    --------
    >>> from fastnn import nn
    >>> nn.LocalResponseNorm(5)
    LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)
    """

    @named
    def __init__(self, size: int, alpha: float = 0.0001, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class Normalize(Module):
    r"""Normalise images as they are stored, each channel by its own mean and standard deviation.

    :math:`y = (x \cdot scale - mean) / std`, with the bits of `fastnn.data.transforms.Normalize`: but as the first
    layer of a network, so that loaders hand over bytes, a quarter of the memory, and convert nothing.

    Parameters
    ----------
    mean : float or sequence of float
        One number, or one a channel.
    std : float or sequence of float, default 1.0
        Likewise.
    scale : float, default 1.0
        Factor applied first: 1/255 where ``mean`` and ``std`` are of pixels in [0, 1] and bytes come in.

    Notes
    -----
    Shape: input (N, C, ...) of bytes or any other real numbers, output the same as float32.

    There are no parameters and no state: ``nn.Sequential(nn.Normalize(...), model)`` trains ``model``, whose own
    ``state_dict`` stays as it was.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import nn
    >>> pixels = nn.Normalize([0.5, 0.5, 0.0], [0.25, 0.5, 1.0], scale=1 / 255)
    >>> pixels
    Normalize(mean=[0.5, 0.5, 0.0], std=[0.25, 0.5, 1.0], scale=0.00392157)
    >>> pixels(np.full((1, 3, 1, 1), 255, np.uint8)).ravel()
    array([2., 1., 1.], dtype=float32)
    """

    @named
    def __init__(self, mean: Any, std: Any = 1.0, *, scale: float = 1.0) -> None:
        super().__init__()
        self.mean, self.std = _per_channel("mean", mean), _per_channel("std", std)
        self.scale = _checks.as_float("scale", scale)
        if not all(s > 0 for s in self.std):
            raise ValueError(f"expected std > 0, got {std}")
        if not self.scale > 0:
            raise ValueError(f"expected scale > 0, got {scale}")
        if 1 != len(self.mean) != len(self.std) != 1:
            raise ValueError(f"expected as many means as stds, got {len(self.mean)} and {len(self.std)}")
        if any(abs(v) > np.finfo(np.float32).max for v in (*self._shift(), *self._factor())):
            raise ValueError(f"expected mean / scale and scale / std within float32, got {self.extra_repr()}")

    def _shift(self) -> np.ndarray:
        """Return the mean in the units of the input: subtracting there loses nothing to rounding."""
        with np.errstate(over="ignore"):
            return np.array(self.mean) * (1 / self.scale)

    def _factor(self) -> np.ndarray:
        with np.errstate(over="ignore"):
            return 1 / np.array(self.std) * self.scale

    def forward(self, input: Tensor) -> Tensor:
        channels = max(len(self.mean), len(self.std))
        if channels == 1 and input.ndim > 1:
            channels = input.shape[1]
        both = (np.broadcast_to(v, channels).astype(np.float32) for v in (self._shift(), self._factor()))
        return F.normalize_channels(input, *both)

    def extra_repr(self) -> str:
        return f"mean={list(self.mean)}, std={list(self.std)}, scale={self.scale:g}"


def _per_channel(name: str, value: Any) -> tuple[float, ...]:
    """Return one number, or one a channel, as a tuple."""
    array = _checks.as_real_array(name, value).astype(np.float64)
    if array.ndim > 1 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"expected {name} to be a finite number, or one a channel, got {value!r:.80}")
    return tuple(array.reshape(-1).tolist())
