"""MNIST and Fashion-MNIST: 60,000 + 10,000 images of 28 x 28 bytes in ten classes, from their original IDX files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data.dataset import ArrayDataset
from ._files import MAX_SIZE, Published, check, find, missing, read_unpacked, resolve_root
from .download import Remote, fetch
from .idx import parse_idx

__all__ = ["fashion_mnist", "mnist"]


class _Source(NamedTuple):
    """What is particular to one data set of this format."""

    name: str
    folders: tuple[str, ...]
    urls: tuple[str, ...]
    published: dict[str, Published]
    packed_md5: dict[str, str]
    classes: tuple[str, ...]
    mean: float
    std: float


_IMAGES, _LABELS = 47_040_016, 60_008
_TEST_IMAGES, _TEST_LABELS = 7_840_016, 10_008

_MNIST = _Source(
    name="mnist",
    folders=("mnist", "MNIST", "MNIST/raw"),
    urls=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
    published={
        "train-images-idx3-ubyte": Published(_IMAGES, "6bbc9ace898e44ae57da46a324031adb"),
        "train-labels-idx1-ubyte": Published(_LABELS, "a25bea736e30d166cdddb491f175f624"),
        "t10k-images-idx3-ubyte": Published(_TEST_IMAGES, "2646ac647ad5339dbf082846283269ea"),
        "t10k-labels-idx1-ubyte": Published(_TEST_LABELS, "27ae3e4e09519cfbb04c329615203637"),
    },
    packed_md5={
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    classes=tuple("0123456789"),
    mean=0.1307,
    std=0.3081,
)

_FASHION = _Source(
    name="fashion_mnist",
    folders=("fashion-mnist", "fashion_mnist", "FashionMNIST", "FashionMNIST/raw"),
    urls=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    published={
        "train-images-idx3-ubyte": Published(_IMAGES, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        "train-labels-idx1-ubyte": Published(_LABELS, "9018921c3c673c538a1fc5bad174d6f9"),
        "t10k-images-idx3-ubyte": Published(_TEST_IMAGES, "8181f5470baa50b63fa0f6fddb340f0a"),
        "t10k-labels-idx1-ubyte": Published(_TEST_LABELS, "15d484375f8d13e6eb1aabb0c3f46965"),
    },
    packed_md5={
        "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    classes=(
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    mean=0.2860,
    std=0.3530,
)  # fmt: skip


def mnist(
    root: str | os.PathLike[str] | None = None, train: bool = True, *, download: bool = False, verify: bool = True
) -> ArrayDataset:
    """Read MNIST, the handwritten digits (LeCun, Bottou, Bengio, Haffner; Proc. IEEE 1998).

    PyTorch's ``transform`` is an argument of `fastnn.data.DataLoader` here, and works on whole batches.

    Parameters
    ----------
    root : str or path-like, optional
        Folder with the original files, ``train-images-idx3-ubyte.gz`` and so on, packed or not, in itself or
        in a subfolder named ``mnist`` or ``MNIST/raw``. By default ``$FASTNN_DATA_DIR``, or ``~/.cache/fastnn``.
    train : bool, default True
        The 60,000 training images, or the 10,000 test images.
    download : bool, default False
        Fetch files that are not there.
    verify : bool, default True
        Refuse files whose content is not what was published. False serves files of one's own in the same format.

    Returns
    -------
    ArrayDataset
        ``x`` uint8 (N, 1, 28, 28), ``y`` int64 (N,), with ``classes``, ``scale`` 1/255 and, for scaled pixels,
        ``mean`` and ``std``.

    Raises
    ------
    FileNotFoundError
        If a file is not there; it says which and where it was looked for.
    ValueError
        If a file is truncated, damaged or another one; it names the file and what was expected.
    OSError
        If a file cannot be read or fetched.
    """
    return _load(_MNIST, root, train, download, verify)


def fashion_mnist(
    root: str | os.PathLike[str] | None = None, train: bool = True, *, download: bool = False, verify: bool = True
) -> ArrayDataset:
    """Read Fashion-MNIST, ten kinds of garments (Xiao, Rasul, Vollgraf; arXiv:1708.07747; MIT licence).

    Parameters
    ----------
    root : str or path-like, optional
        Folder with the original files, ``train-images-idx3-ubyte.gz`` and so on, packed or not, in itself or
        in a subfolder named ``fashion-mnist`` or ``FashionMNIST/raw``. By default ``$FASTNN_DATA_DIR``, or
        ``~/.cache/fastnn``.
    train : bool, default True
        The 60,000 training images, or the 10,000 test images.
    download : bool, default False
        Fetch files that are not there.
    verify : bool, default True
        Refuse files whose content is not what was published. False serves files of one's own in the same format.

    Returns
    -------
    ArrayDataset
        ``x`` uint8 (N, 1, 28, 28), ``y`` int64 (N,), with ``classes``, ``scale`` 1/255 and, for scaled pixels,
        ``mean`` and ``std``.

    Raises
    ------
    FileNotFoundError
        If a file is not there; it says which and where it was looked for.
    ValueError
        If a file is truncated, damaged or another one; it names the file and what was expected.
    OSError
        If a file cannot be read or fetched.
    """
    return _load(_FASHION, root, train, download, verify)


def _load(
    source: _Source, root: str | os.PathLike[str] | None, train: bool, download: bool, verify: bool
) -> ArrayDataset:
    folder = resolve_root(root)
    part = "train" if train else "t10k"
    paths = [_path(source, folder, f"{part}-{kind}", download) for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    images, labels = (_array(source, path, verify) for path in paths)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(
            f"{source.name}: expected as many images (N, H, W) as labels (N,), got {images.shape} in {paths[0]} "
            f"and {labels.shape} in {paths[1]}"
        )
    if labels.size and labels.max() >= len(source.classes):
        raise ValueError(f"{paths[1]}: expected labels from 0 to {len(source.classes) - 1}, got {labels.max()}")
    return ArrayDataset(
        images.reshape(len(images), 1, *images.shape[1:]), labels.astype(np.int64),
        classes=source.classes, scale=1 / 255, mean=[source.mean], std=[source.std], name=source.name,
    )  # fmt: skip


def _path(source: _Source, root: Path, name: str, download: bool) -> Path:
    # Some mirrors write a dot where the original name has its second dash.
    names = (name, name.replace("-idx", ".idx"))
    path = find([*(root / folder for folder in source.folders), root], names)
    if path is not None:
        return path
    if not download:
        raise missing(source.name, root, f"{name}.gz or {name}", source.urls[0])
    urls = tuple(url + name + ".gz" for url in source.urls)
    return fetch(source.name, Remote(urls, source.packed_md5[name], MAX_SIZE), root / source.folders[0] / f"{name}.gz")


def _array(source: _Source, path: Path, verify: bool) -> np.ndarray:
    published = source.published[_original_name(path)]
    # A little beyond the size that is right, so that "too long" is told with both numbers.
    content = read_unpacked(path, 2 * published.size if verify else MAX_SIZE)
    if verify:
        check(path, content, published)
    return parse_idx(path, content)


def _original_name(path: Path) -> str:
    return path.name.replace(".idx", "-idx").removesuffix(".gz").removesuffix(".xz")
