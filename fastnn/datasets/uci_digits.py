"""The handwritten digits that come with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data.dataset import ArrayDataset
from ..data.split import train_test_split
from ._files import Published, check, read_unpacked
from .idx import parse_idx

__all__ = ["digits"]

_IMAGES = Published(115_024, "a5adabccf8d3e2540826a202a7bfb422")
_LABELS = Published(1_805, "497796a0698e25d3920a9422b635bf34")


def digits(train: bool | None = None, *, test_size: float | int = 0.2, seed: int = 0) -> ArrayDataset:
    """Read the 1,797 handwritten digits of 8 x 8 pixels that are shipped in the package.

    They are the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak; UCI Machine
    Learning Repository, 1998; CC BY 4.0), of which fastnn keeps the attribution beside the files.

    Parameters
    ----------
    train : bool, optional
        True for a training part, False for the rest, held out; None for all.
    test_size : float or int, default 0.2
        Size of the held-out part, a share or a count, stratified by class.
    seed : int, default 0
        Seed of the split.

    Returns
    -------
    ArrayDataset
        ``x`` uint8 (N, 1, 8, 8) with values 0 to 16, ``y`` int64 (N,), with ``classes``, ``scale`` 1/16 and,
        for scaled pixels, ``mean`` and ``std``.

    Examples
    --------
    >>> from fastnn.datasets import digits
    >>> digits()
    ArrayDataset(digits: 1797 samples: (1, 8, 8) uint8, () int64)
    >>> len(digits(train=True)), len(digits(train=False))
    (1438, 359)
    """
    images = _read("digits-images-idx3-ubyte.gz", _IMAGES)
    labels = _read("digits-labels-idx1-ubyte.gz", _LABELS)
    whole = ArrayDataset(
        images.reshape(len(images), 1, *images.shape[1:]), labels.astype(np.int64),
        classes=tuple("0123456789"), scale=1 / 16, mean=[0.3053], std=[0.3760], name="digits",
    )  # fmt: skip
    if train is None:
        return whole
    part: ArrayDataset = train_test_split(whole, test_size=test_size, stratify=True, seed=seed)[0 if train else 1]
    return part


def _read(name: str, published: Published) -> np.ndarray:
    path = Path(__file__).with_name("files") / name
    content = read_unpacked(path, 2 * published.size)
    check(path, content, published)
    return parse_idx(path, content)
