"""Random changes of images that leave their label true; each image of a batch gets its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._checks import as_float, as_pair, as_probability, one_of
from .._layout import channels_last_view, is_channels_last
from .base import RandomTransform

__all__ = ["RandomCrop", "RandomHorizontalFlip"]


class RandomCrop(RandomTransform):
    """Cut a window out of each image at a random place, after padding its border.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    padding : int or (int, int), default 0
        Rows added above and below, columns added left and right.
    fill : float, default 0
        Value of the padding, in the units and the dtype of the batch.
    padding_mode : {"constant", "edge", "reflect", "symmetric"}, default "constant"
        What the padding holds: `fill`, the border's pixels, or the image mirrored without or with its border.

    Raises
    ------
    ValueError
        If a batch is not of shape (N, C, H, W), or its padded images are smaller than the window.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data.transforms import RandomCrop
    >>> x = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    >>> RandomCrop(4, padding=1)(x, np.random.default_rng(0))
    array([[[[ 4,  5,  6,  7],
             [ 8,  9, 10, 11],
             [12, 13, 14, 15],
             [ 0,  0,  0,  0]]]], dtype=uint8)
    """

    def __init__(self, size: Any, padding: Any = 0, fill: float = 0, padding_mode: str = "constant") -> None:
        self.size = as_pair("size", size, 1)
        self.padding = as_pair("padding", padding, 0)
        self.fill = as_float("fill", fill)
        self.padding_mode = one_of("padding_mode", padding_mode, ("constant", "edge", "reflect", "symmetric"))

    def apply(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the windows, in the memory order of ``x``."""
        _require_images("RandomCrop", x)
        turned = is_channels_last(x)
        images = channels_last_view(x)
        (oh, ow), (ph, pw) = self.size, self.padding
        n, ih, iw, c = images.shape
        if ih + 2 * ph < oh or iw + 2 * pw < ow:
            raise ValueError(
                f"RandomCrop: expected images of at least {(oh, ow)} with padding {(ph, pw)}, got shape {x.shape}"
            )
        border = ((0, 0), (ph, ph), (pw, pw), (0, 0))
        if self.padding_mode == "constant":
            padded = np.full((n, ih + 2 * ph, iw + 2 * pw, c), self.fill, x.dtype)
            padded[:, ph : ph + ih, pw : pw + iw] = images
        else:
            padded = np.pad(images, border, self.padding_mode)  # type: ignore[call-overload]
        out = np.empty((n, oh, ow, c), x.dtype)
        tops = rng.integers(0, ih + 2 * ph - oh + 1, n).tolist()
        lefts = rng.integers(0, iw + 2 * pw - ow + 1, n).tolist()
        for image, source, top, left in zip(out, padded, tops, lefts, strict=True):
            image[...] = source[top : top + oh, left : left + ow]
        windows = out.transpose(0, 3, 1, 2)
        return windows if turned else np.ascontiguousarray(windows)

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding}, padding_mode={self.padding_mode!r})"


class RandomHorizontalFlip(RandomTransform):
    """Mirror each image, left to right, with probability p.

    Parameters
    ----------
    p : float, default 0.5
        The probability.

    Raises
    ------
    ValueError
        If p is not in [0, 1], or a batch is not of shape (N, C, H, W).

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data.transforms import RandomHorizontalFlip
    >>> RandomHorizontalFlip(1.0)(np.arange(4).reshape(1, 1, 2, 2))
    array([[[[1, 0],
             [3, 2]]]])
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = as_probability("p", p)

    def apply(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the images, in the memory order of ``x``."""
        _require_images("RandomHorizontalFlip", x)
        out = np.array(x, order="K")
        chosen = np.flatnonzero(rng.random(len(x)) < self.p)
        channels_last_view(out)[chosen] = channels_last_view(x)[chosen, :, ::-1]
        return out

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip({self.p:g})"


def _require_images(who: str, x: np.ndarray) -> None:
    if x.ndim != 4:
        raise ValueError(f"{who}: expected images of shape (N, C, H, W), got shape {x.shape}")
