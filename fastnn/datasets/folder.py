"""Images in folders, one folder a class, read through Pillow when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import as_pair
from ..data.dataset import ArrayDataset, Indices

__all__ = ["ImageFolder", "read_image"]

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


def read_image(path: str | os.PathLike[str], size: Any = None, *, grayscale: bool = False) -> np.ndarray:
    """Read an image file as bytes, channels first.

    Parameters
    ----------
    path : str or path-like
        The file, of any kind that Pillow reads. A turned photograph (EXIF) is set upright.
    size : int or (int, int), optional
        Height and width to resize to (bilinear, with antialiasing when shrinking).
    grayscale : bool, default False
        One channel of brightness instead of red, green and blue.

    Returns
    -------
    ndarray of uint8
        The image (C, H, W), C being 3, or 1 if ``grayscale``, in channels-last memory.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    OSError
        If the file cannot be opened.
    ValueError
        If it is not an image, or a damaged one; it names ``path``.

    Examples
    --------
    >>> import os, tempfile
    >>> from PIL import Image
    >>> from fastnn.datasets import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "red.png")
    ...     Image.new("RGB", (4, 3), "red").save(path)
    ...     read_image(path).shape, read_image(path, size=2)[:, 0, 0].tolist()
    ((3, 3, 4), [255, 0, 0])
    """
    image_module, ops = _pillow()
    height_width = None if size is None else as_pair("size", size, 1)
    with open(path, "rb") as file:
        try:
            with image_module.open(file) as opened:
                image = _bytes_of(image_module, ops.exif_transpose(opened)).convert("L" if grayscale else "RGB")
            if height_width is not None and image.size != height_width[::-1]:
                image = image.resize(height_width[::-1], image_module.Resampling.BILINEAR)
            pixels = np.array(image, np.uint8)
        except image_module.UnidentifiedImageError:
            raise ValueError(f"{os.fspath(path)}: expected an image, got a file of no kind that Pillow reads") from None
        # Pillow's decoders raise many kinds of errors on damaged files, bare SyntaxError among them.
        except Exception as error:
            raise ValueError(f"{os.fspath(path)}: expected an image, got {type(error).__name__}: {error}") from None
    return pixels.reshape(*pixels.shape[:2], -1).transpose(2, 0, 1)


class ImageFolder:
    """A dataset of the images in a folder's subfolders; each subfolder is a class.

    Images are read when asked for, so the folder may be larger than memory; `load` reads them all at once. It
    needs Pillow (``pip install 'fastnn-core[images]'``).

    Parameters
    ----------
    root : str or path-like
        The folder. Its subfolders, in order of name, are classes 0, 1, ...; images may lie deeper inside them.
    size : int or (int, int), optional
        Height and width to resize to; needed unless all images are of one size.
    grayscale : bool, default False
        One channel instead of three.

    Attributes
    ----------
    classes : tuple of str
        Names of the subfolders.
    paths : list of Path
        The image files.
    y : ndarray of int64
        The class of each.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    FileNotFoundError
        If there is no such folder, no subfolder in it, or no image in one of them.

    Examples
    --------
    >>> import os, tempfile
    >>> from PIL import Image
    >>> from fastnn.datasets import ImageFolder
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cat", "dog"):
    ...         os.mkdir(os.path.join(root, name))
    ...         Image.new("RGB", (4, 3)).save(os.path.join(root, name, "0.png"))
    ...     images = ImageFolder(root)
    ...     images.classes, images[1][0].shape, images.load().x.shape
    (('cat', 'dog'), (3, 3, 4), (2, 3, 3, 4))
    """

    def __init__(self, root: str | os.PathLike[str], size: Any = None, *, grayscale: bool = False) -> None:
        _pillow()
        self.root = Path(root)
        self.size = None if size is None else as_pair("size", size, 1)
        self.grayscale = bool(grayscale)
        if not self.root.is_dir():
            raise FileNotFoundError(f"ImageFolder: expected a folder with one subfolder a class, got {self.root}")
        folders = sorted(entry for entry in self.root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        if not folders:
            raise FileNotFoundError(f"ImageFolder: expected one subfolder a class in {self.root}, found none")
        self.classes = tuple(folder.name for folder in folders)
        self.paths: list[Path] = []
        labels: list[int] = []
        for label, folder in enumerate(folders):
            images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())
            if not images:
                raise FileNotFoundError(
                    f"ImageFolder: expected images ({' '.join(EXTENSIONS)}) in {folder}, found none"
                )
            self.paths += images
            labels += [label] * len(images)
        self.y = np.array(labels, np.int64)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one image (C, H, W) and its class."""
        return self._image(self.paths[index]), self.y[index]

    def batch(self, indices: Indices | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the images at ``indices`` as one array (N, C, H, W) in channels-last memory, and their classes."""
        chosen = np.arange(len(self))[indices]
        images = [self._image(self.paths[i]) for i in chosen]
        shape = images[0].shape if images else (1 if self.grayscale else 3, *(self.size or (0, 0)))
        out = np.empty((len(images), shape[1], shape[2], shape[0]), np.uint8).transpose(0, 3, 1, 2)
        for row, i, image in zip(out, chosen, images, strict=True):
            if image.shape != shape:
                raise ValueError(
                    f"{self.paths[i]}: expected an image of shape {shape} as {self.paths[chosen[0]]}, "
                    f"got {image.shape}; give ImageFolder a size"
                )
            row[...] = image
        return out, self.y[chosen]

    def load(self) -> ArrayDataset:
        """Read all images and return them as a dataset in memory."""
        return ArrayDataset(*self.batch(slice(None)), classes=self.classes, scale=1 / 255, name=self.root.name)

    def _image(self, path: Path) -> np.ndarray:
        return read_image(path, self.size, grayscale=self.grayscale)

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}: {len(self)} images in {len(self.classes)} classes)"


def _bytes_of(image_module: Any, image: Any) -> Any:
    """Return an image of 16 bits a pixel as one of 8; Pillow's own conversion would cut all values at 255."""
    if not image.mode.startswith("I;16"):
        return image
    return image_module.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise ImportError("reading images needs Pillow: pip install 'fastnn-core[images]'") from error
    return Image, ImageOps
