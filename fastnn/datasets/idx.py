"""The IDX format of MNIST: a magic number, big-endian sizes, then bytes in C order."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from ._files import read_unpacked

__all__ = ["parse_idx", "read_idx"]

_UNSIGNED_BYTE = 8
_MAX_NDIM = 4


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an IDX file of unsigned bytes, plain or packed with gzip or xz.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    ndarray of uint8
        Its array, of one to four axes.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a whole IDX file of unsigned bytes; it names ``path``.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.datasets import read_idx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "tiny.idx")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 6, 7]))
    ...     read_idx(path)
    array([5, 6, 7], dtype=uint8)
    """
    return parse_idx(path, read_unpacked(Path(path)))


def parse_idx(path: str | os.PathLike[str], content: bytes | bytearray) -> np.ndarray:
    """Return the array of an IDX file's content; ``path`` is what errors name."""
    name = os.fspath(path)
    if len(content) < 4 or content[0] or content[1] or content[2] != _UNSIGNED_BYTE or not 1 <= content[3] <= _MAX_NDIM:
        start = bytes(content[:4]).hex(" ") or "nothing"
        raise ValueError(f"{name}: expected an IDX file of unsigned bytes (00 00 08 and 1 to {_MAX_NDIM}), got {start}")
    ndim = content[3]
    begin = 4 + 4 * ndim
    if len(content) < begin:
        raise ValueError(f"{name}: expected an IDX header of {begin} bytes, got {len(content)} bytes in all")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, begin, 4))
    if len(content) - begin != math.prod(shape):
        raise ValueError(f"{name}: expected {math.prod(shape)} bytes for shape {shape}, got {len(content) - begin}")
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)
