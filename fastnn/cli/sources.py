"""The data sets by their names on the command line, and what `--augment` does to their images."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

__all__ = ["augmented", "held_out", "quick_parts", "training_parts"]

MIRRORED = ("fashion-mnist", "cifar10")  # data whose images mean the same in a mirror; digits do not
SHAPES = {"mnist": (1, 28, 28), "fashion-mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
QUICK = 256  # images of each part in a quick run
HOLD_OUT = 0.2  # share of the digits that is never trained on


def augmented(data: str, shape: tuple[int, ...]) -> Any:
    """Return random crops (an eighth of the image each way) and, where they mean the same, mirrorings."""
    from ..data.transforms import Compose, RandomCrop, RandomHorizontalFlip

    size = (shape[1], shape[2])
    changes: list[Any] = [RandomCrop(size, padding=(size[0] // 8, size[1] // 8))]
    if data in MIRRORED:
        changes.append(RandomHorizontalFlip())
    return Compose(changes)


def _read(name: str, folder: str | None, download: bool, *, train: bool, seed: int) -> Any:
    from .. import datasets
    from ..datasets._files import GIVE_OR_FETCH

    if name == "digits":
        if folder is not None:
            raise ValueError(f"the digits are shipped: expected --data of the files in {folder}, or no --data-dir")
        return datasets.digits(train, test_size=HOLD_OUT, seed=seed)
    readers = {"mnist": datasets.mnist, "fashion-mnist": datasets.fashion_mnist, "cifar10": datasets.cifar10}
    if name not in readers:
        raise ValueError(f"expected the data to be one of digits, {', '.join(readers)}, got {name!r}")
    try:
        return readers[name](folder, train, download=download)
    except FileNotFoundError as error:
        raise FileNotFoundError(str(error).replace(GIVE_OR_FETCH, "its folder (--data-dir), or --download")) from None


def training_parts(name: str, folder: str | None, download: bool, seed: int) -> tuple[Any, Any]:
    """Return the training part of a data set and its held-out part: the published test set; a fifth of the digits."""
    train = _read(name, folder, download, train=True, seed=seed)
    return train, held_out(name, folder, download, seed)


def held_out(name: str, folder: str | None, download: bool, seed: int) -> Any:
    """Return the held-out part of a data set; the seed matters for the digits only."""
    return _read(name, folder, download, train=False, seed=seed)


def quick_parts(name: str, folder: str | None, download: bool, seed: int) -> tuple[Any, Any]:
    """Return a few images of both parts; where no folder is named, the digits, enlarged to the shape of the data."""
    named = folder is not None or download or "FASTNN_DATA_DIR" in os.environ
    if named or name not in SHAPES:
        train, test = training_parts(name, folder, download, seed)
        return train[:QUICK], test[:QUICK]
    train, test = (_enlarged(part[:QUICK], SHAPES[name]) for part in training_parts("digits", None, False, seed))
    return train, test


def _enlarged(part: Any, shape: tuple[int, ...]) -> Any:
    """Return the 8 x 8 digits four times as large, cut to the shape, the same in each channel."""
    from ..data import ArrayDataset

    edge = (32 - shape[1]) // 2
    x = part.x.repeat(4, axis=2).repeat(4, axis=3).repeat(shape[0], axis=1)
    mean, std = list(part.mean) * shape[0], list(part.std) * shape[0]
    return ArrayDataset(
        np.ascontiguousarray(x[:, :, edge : edge + shape[1], edge : edge + shape[2]]), part.y,
        classes=part.classes, scale=part.scale, mean=mean, std=std, name=part.name,
    )  # fmt: skip
