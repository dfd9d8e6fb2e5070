"""What vision used before networks learned it: colours, oriented edges, and words made of patches."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._checks import as_float, as_int, as_real_array
from ..nn.functional._common import naming

__all__ = ["BagOfVisualWords", "colour_histogram", "hog"]

MOST_BINS = 65536


def colour_histogram(images: Any, bins: int = 8, *, top: float | None = None) -> np.ndarray:
    """Return, for each image, the share of pixels in each interval of brightness, channel by channel.

    Where in the image a pixel lies does not matter: the feature tells a frog from a deer by their colours alone.

    Parameters
    ----------
    images : (N, C, H, W)
        With values from 0 to ``top``.
    bins : int, default 8
        Intervals a channel.
    top : float, optional
        The largest value a pixel can have; 255 for bytes and 1 for floats by default.

    Returns
    -------
    ndarray
        float32 (N, C * bins); each channel's part sums to 1.

    Raises
    ------
    ValueError
        For another shape, or values outside; not-a-number is outside.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.features import colour_histogram
    >>> colour_histogram(np.array([[[[0, 10], [250, 255]]]], np.uint8), bins=2)
    array([[0.5, 0.5]], dtype=float32)
    """
    array = _images("colour_histogram", images)
    count, channels = array.shape[:2]
    with naming("colour_histogram"):
        width = as_int("bins", bins, 1, MOST_BINS)
        largest = as_float("top", top) if top is not None else (255.0 if array.dtype == np.uint8 else 1.0)
        if not 0 < largest < np.inf:
            raise ValueError(f"expected top > 0 and finite, got {top}")
    if not (array.min() >= 0 and array.max() <= largest):
        raise ValueError(
            f"colour_histogram: expected values from 0 to {largest:g}, got {array.min():g} to {array.max():g}"
        )
    which = np.minimum((array.astype(np.float64) * (width / largest)).astype(np.intp), width - 1)
    owner = np.arange(count * channels).reshape(count, channels, 1, 1) * width
    counts = np.bincount((which + owner).ravel(), minlength=count * channels * width)
    return (counts.reshape(count, channels * width) / array[0, 0].size).astype(np.float32)


def hog(images: Any, orientations: int = 9, cell: int = 8, block: int = 2) -> np.ndarray:
    """Return histograms of oriented gradients: which way edges run, in each cell of the image.

    Parameters
    ----------
    images : (N, C, H, W)
        C is 1 or 3; of three channels the one with the steepest gradient counts, pixel by pixel.
    orientations : int, default 9
        Directions between 0 and 180 degrees.
    cell : int, default 8
        Pixels a side of the cell that a histogram is made of.
    block : int, default 2
        Cells a side of the block that histograms are normalised over.

    Returns
    -------
    ndarray
        float32 (N, features).

    Raises
    ------
    ImportError
        Without scikit-image; it names the extra.
    ValueError
        For another shape, or images smaller than a block.

    References
    ----------
    Dalal, Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.features import hog
    >>> hog(np.random.default_rng(0).random((2, 3, 32, 32))).shape  # 3 x 3 blocks of 2 x 2 cells
    (2, 324)
    """
    try:
        from skimage import feature
    except ImportError:
        raise ImportError("hog needs scikit-image: pip install 'fastnn-core[features]'") from None
    array = _images("hog", images)
    with naming("hog"):
        directions = as_int("orientations", orientations, 1, MOST_BINS)
        side, across = as_int("cell", cell, 1), as_int("block", block, 1)
    if array.shape[1] not in (1, 3) or min(array.shape[2:]) < side * across:
        raise ValueError(
            f"hog: expected images of 1 or 3 channels and at least {side * across} x {side * across} pixels, "
            f"got shape {array.shape}"
        )
    last = array.transpose(0, 2, 3, 1)
    coloured = last.shape[3] == 3
    rows = [
        feature.hog(
            image if coloured else image[..., 0],
            orientations=directions,
            pixels_per_cell=(side, side),
            cells_per_block=(across, across),
            channel_axis=-1 if coloured else None,
        )
        for image in last
    ]
    return np.array(rows, np.float32)


class BagOfVisualWords:
    """Count, for each image, which of a learned vocabulary of small patches it consists of.

    `fit` cuts patches from images, whitens them and clusters them by k-means; the centres are the words. An
    image's feature is the share of each word among its patches, in each quarter of the image.

    Parameters
    ----------
    words : int, default 64
        Size of the vocabulary.
    patch : int, default 6
        Pixels a side of a patch.
    stride : int, default 2
        Pixels from one patch to the next.
    samples : int, default 20000
        Patches to learn the words from.
    seed : int, default 0
        Of the choice of patches and of k-means.

    Raises
    ------
    ImportError
        By `fit` without scikit-learn; it names the extra.
    ValueError
        For images smaller than a patch, or fewer patches than words.
    RuntimeError
        If used before `fit`.

    References
    ----------
    Csurka, Dance, Fan, Willamowski, Bray, "Visual Categorization with Bags of Keypoints", ECCV workshop 2004;
    Coates, Lee, Ng, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011.

    Examples
    --------
    >>> import fastnn as fn
    >>> images = fn.datasets.digits().x[:100]
    >>> fn.features.BagOfVisualWords(words=8, patch=3, stride=1).fit(images)(images).shape
    (100, 32)
    """

    def __init__(self, words: int = 64, patch: int = 6, stride: int = 2, samples: int = 20000, seed: int = 0) -> None:
        with naming("BagOfVisualWords"):
            self.words, self.patch = as_int("words", words, 2), as_int("patch", patch, 1)
            self.stride, self.samples = as_int("stride", stride, 1), as_int("samples", samples, 1)
            self.seed = as_int("seed", seed, 0, 2**32 - 1)
        self._whiten: Any = None
        self._centres: Any = None

    def fit(self, images: Any) -> BagOfVisualWords:
        """Learn the words from images (N, C, H, W) and return the bag itself."""
        try:
            from sklearn.cluster import MiniBatchKMeans
        except ImportError:
            raise ImportError("BagOfVisualWords needs scikit-learn: pip install 'fastnn-core[features]'") from None
        from ..data.transforms import PCAWhitening

        array = _images("BagOfVisualWords", images)
        rng = np.random.default_rng(self.seed)
        each = max(1, -(-self.samples // max(len(array), 1)))
        found = [
            rng.permutation(self._patches(image[None])[0].reshape(-1, self._size(array)))[:each] for image in array
        ]
        rows = rng.permutation(np.concatenate(found))[: self.samples]
        if len(rows) < self.words:
            raise ValueError(f"BagOfVisualWords: expected at least {self.words} patches, got {len(rows)}")
        self._whiten = PCAWhitening(eps=1e-2).fit(rows)
        means = MiniBatchKMeans(self.words, random_state=self.seed, n_init=3, batch_size=1024)
        self._centres = means.fit(self._whiten(rows)).cluster_centers_.astype(np.float32)
        return self

    def __call__(self, images: Any) -> np.ndarray:
        """Return the shares of the words, float32 (N, 4 * words)."""
        if self._centres is None:
            raise RuntimeError("BagOfVisualWords: expected fit(images) before the first use")
        array = _images("BagOfVisualWords", images)
        return np.concatenate([self._histograms(array[i : i + 64]) for i in range(0, len(array), 64)])

    def _size(self, array: np.ndarray) -> int:
        return int(array.shape[1]) * self.patch**2

    def _patches(self, array: np.ndarray) -> np.ndarray:
        """Return contrast-normalised patches (N, rows, columns, C * patch * patch)."""
        if min(array.shape[2:]) < self.patch:
            raise ValueError(
                f"BagOfVisualWords: expected images of at least {self.patch} x {self.patch}, got shape {array.shape}"
            )
        windows = np.lib.stride_tricks.sliding_window_view(array, (self.patch, self.patch), axis=(2, 3))
        windows = windows[:, :, :: self.stride, :: self.stride].transpose(0, 2, 3, 1, 4, 5)
        flat = windows.reshape(*windows.shape[:3], -1).astype(np.float32)
        flat -= flat.mean(axis=-1, keepdims=True)
        # a tenth of the whole spread keeps flat patches, which hold noise only, from being blown up
        return flat / (flat.std(axis=-1, keepdims=True) + 0.1 * (array.std() + 1e-6))

    def _histograms(self, array: np.ndarray) -> np.ndarray:
        patches = self._patches(array)
        count, rows, columns = patches.shape[:3]
        z = self._whiten(patches.reshape(-1, patches.shape[3]))
        # the nearest centre: |z - c|^2 without its part that is the same for all
        nearest = (z @ (-2 * self._centres.T) + (self._centres**2).sum(axis=1)).argmin(axis=1)
        words = np.eye(self.words, dtype=np.float32)[nearest].reshape(count, rows, columns, self.words)
        # one row or column of patches stands in both of its halves
        top, bottom = words[:, : -(-rows // 2)], words[:, rows // 2 :]
        half, rest = -(-columns // 2), columns // 2
        quarters = [part for band in (top, bottom) for part in (band[:, :, :half], band[:, :, rest:])]
        return np.concatenate([quarter.mean(axis=(1, 2)) for quarter in quarters], axis=1)


def _images(who: str, images: Any) -> np.ndarray:
    with naming(who):
        array = as_real_array("images", images)
        if array.ndim != 4 or array.size == 0:
            raise ValueError(f"expected images (N, C, H, W), at least one of at least a pixel, got shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"expected finite pixels, got {array[~np.isfinite(array)][0]}")
    return array
