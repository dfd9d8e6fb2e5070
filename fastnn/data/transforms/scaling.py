"""Transforms that shift and scale: by constants, by channel or image statistics, feature by feature."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._checks import as_float, as_real_array, one_of
from .._layout import float_copy, in_memory_order
from ._statistics import mean_and_variance, require_samples
from .base import Transform

__all__ = ["Normalize", "Scale", "Standardize"]


class Scale(Transform):
    r"""Multiply by a factor, then shift: :math:`x \cdot factor + shift`, as float32.

    Parameters
    ----------
    factor : float, default 1/255
        The factor; the default brings bytes to [0, 1].
    shift : float, default 0.0
        What is added.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data.transforms import Scale
    >>> Scale(2 / 255, -1)(np.array([0, 255], np.uint8))
    array([-1.,  1.], dtype=float32)
    """

    def __init__(self, factor: float = 1 / 255, shift: float = 0.0) -> None:
        self.factor = as_float("factor", factor)
        self.shift = as_float("shift", shift)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the scaled batch."""
        out = float_copy(np.asarray(x))
        out *= np.float32(self.factor)
        if self.shift:
            out += np.float32(self.shift)
        return out

    def __repr__(self) -> str:
        return f"Scale({self.factor:g}, {self.shift:g})" if self.shift else f"Scale({self.factor:g})"


class Normalize(Transform):
    r"""Subtract a mean and divide by a standard deviation: :math:`(x \cdot scale - mean) / std`, as float32.

    Parameters
    ----------
    mean : float or array_like, optional
        One number, one a channel (C,), or an image (C, H, W). None to learn it with `fit`.
    std : float or array_like, optional
        Likewise; 1 if only the mean is given.
    scale : float, default 1.0
        Factor applied first, so that statistics published for images in [0, 1] serve for bytes.
    per : {"channel", "pixel", "image"}, default "channel"
        What `fit` learns. "channel": mean and standard deviation of each channel. "pixel": the mean pixel,
        that is the mean of each channel, with nothing divided. "image": the mean image, with nothing divided.

    Raises
    ------
    ValueError
        For a standard deviation that is zero or negative, or a batch that does not fit the statistics.
    RuntimeError
        If used before `fit` when no mean was given.

    Notes
    -----
    Channels are axis 1 of a batch (N, C, ...). A channel that never varies is divided by 1. `fastnn.nn.Normalize` is
    the same as a network's first layer, which spares the loader the conversion of bytes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data.transforms import Normalize
    >>> x = np.array([[0.0, 10.0], [2.0, 30.0]])
    >>> Normalize(per="channel").fit(x)(x)
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    >>> Normalize(per="image").fit(x)(x)
    array([[ -1., -10.],
           [  1.,  10.]], dtype=float32)
    """

    fitted = ("mean", "std")

    def __init__(self, mean: Any = None, std: Any = None, *, scale: float = 1.0, per: str = "channel") -> None:
        if mean is None and std is not None:
            raise ValueError("Normalize: expected a mean together with std, got std alone")
        self.mean: np.ndarray | None = None if mean is None else _numbers("mean", mean)
        self.std: np.ndarray | None = _numbers("std", 1.0 if std is None else std)
        if not np.all(self.std > 0):
            raise ValueError(f"Normalize: expected a positive std, got {std}")
        self.scale = as_float("scale", scale)
        self.per = one_of("per", per, ("channel", "pixel", "image"))

    def fit(self, x: np.ndarray) -> Normalize:
        """Learn the statistics of ``x`` (N, C, ...), in float64, and return the transform itself.

        Raises
        ------
        ValueError
            If ``x`` has no samples.
        """
        require_samples("Normalize", x)
        axes = (0,) if self.per == "image" else (0, *range(2, x.ndim))
        mean, variance = mean_and_variance("Normalize", x, axes)
        shape = mean.shape[1:] if self.per == "image" else mean.shape[1:2]
        self.mean = mean.reshape(shape) * self.scale
        std = np.sqrt(variance).reshape(shape) * self.scale
        self.std = _divisor(std) if self.per == "channel" else np.ones(())
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the normalised batch."""
        mean, std = self._fitted_arrays()
        # Subtracting in the units of x loses nothing to rounding where x is near its mean.
        out = float_copy(x)
        rows, shift = in_memory_order(out, self._shaped(mean, x, 1 / self.scale))
        rows -= shift
        rows, factor = in_memory_order(out, self._shaped(1 / std, x, self.scale))
        rows *= factor
        return out

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Return the batch in its original units, as float32."""
        mean, std = self._fitted_arrays()
        out = float_copy(z)
        rows, factor = in_memory_order(out, self._shaped(std, z, 1 / self.scale))
        rows *= factor
        rows, shift = in_memory_order(out, self._shaped(mean, z, 1 / self.scale))
        rows += shift
        return out

    def _shaped(self, value: np.ndarray, x: np.ndarray, factor: float) -> np.ndarray:
        """Return a statistic as float32 that broadcasts over the batch ``x``, and over nothing else."""
        scaled: np.ndarray = np.asarray(value * factor, np.float32)
        if scaled.ndim == 0:
            return scaled
        if scaled.ndim == 1:
            scaled = scaled.reshape(-1, *[1] * (x.ndim - 2))
        sizes = zip(scaled.shape, x.shape[1:], strict=False)
        if scaled.ndim != x.ndim - 1 or any(own not in (1, size) for own, size in sizes):
            raise ValueError(f"Normalize: expected a batch for statistics of shape {value.shape}, got shape {x.shape}")
        return scaled

    def __repr__(self) -> str:
        if self.mean is None or self.std is None:
            return f"Normalize(per={self.per!r})"
        if self.mean.size > 8:
            return f"Normalize(mean of shape {self.mean.shape}, scale={self.scale:g})"
        scale = f", scale={self.scale:g}" if self.scale != 1 else ""
        return f"Normalize({np.round(self.mean, 4).tolist()}, {np.round(self.std, 4).tolist()}{scale})"


class Standardize(Transform):
    r"""Bring each feature to mean 0 and standard deviation 1: :math:`(x - \mu) / \sigma`, as float32.

    Every position of a sample is a feature of its own, with statistics over the samples `fit` saw. A feature
    that did not vary is only shifted.

    Raises
    ------
    ValueError
        If a batch's samples have another shape than those fitted to.
    RuntimeError
        If used before `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data.transforms import Standardize
    >>> x = np.array([[1.0, 5.0, 7.0], [3.0, 9.0, 7.0]])
    >>> Standardize().fit(x)(x)
    array([[-1., -1.,  0.],
           [ 1.,  1.,  0.]], dtype=float32)
    """

    fitted = ("mean", "std")

    def __init__(self) -> None:
        self.mean: np.ndarray | None = None
        self.std: np.ndarray | None = None

    def fit(self, x: np.ndarray) -> Standardize:
        """Learn the statistics of ``x`` (N, ...), in float64, and return the transform itself."""
        mean, variance = mean_and_variance("Standardize", x, (0,))
        self.mean, self.std = mean[0], _divisor(np.sqrt(variance[0]))
        return self

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the standardised batch."""
        mean, std = self._statistics(x)
        out = float_copy(x)
        rows, shift = in_memory_order(out, mean.astype(np.float32))
        rows -= shift
        rows, factor = in_memory_order(out, (1 / std).astype(np.float32))
        rows *= factor
        return out

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Return the batch in its original units, as float32."""
        mean, std = self._statistics(z)
        out = float_copy(z)
        rows, factor = in_memory_order(out, std.astype(np.float32))
        rows *= factor
        rows, shift = in_memory_order(out, mean.astype(np.float32))
        rows += shift
        return out

    def _statistics(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, std = self._fitted_arrays()
        if x.shape[1:] != mean.shape:
            raise ValueError(f"Standardize: expected samples of shape {mean.shape}, got a batch of shape {x.shape}")
        return mean, std


def _numbers(name: str, value: Any) -> np.ndarray:
    return as_real_array(f"Normalize's {name}", value).astype(np.float64)


def _divisor(std: np.ndarray) -> np.ndarray:
    return np.where(std > 0, std, 1.0)
