"""CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 bytes in ten classes, from any of its published forms."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data._layout import channels_last_view
from ..data.dataset import ArrayDataset
from ._files import MAX_SIZE, Published, check, find, missing, read_limited, read_unpacked, resolve_root
from .cifar_pickle import parse_python_batch
from .download import Remote, fetch

__all__ = ["cifar10"]

_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS
_SIZE = 10_000 * _RECORD
_FOLDERS = ("cifar-10", "cifar10", "cifar-10-batches-bin", "cifar-10-batches-py")
_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_REMOTE = Remote((_URL,), "c32a1d4ab5d03f1284b67883e8d87530", 200_000_000)
_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = ("test_batch",)

_BINARY = {
    "data_batch_1": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch": "803d5f7f4d78ea53de84dbe85f74fb6d",
}

Records = np.ndarray
Reader = Callable[[str, bytearray, str, bool], Records]


class _Form(NamedTuple):
    """One of the published forms: the batches' file names, the archive that holds them, how to read one."""

    suffix: str
    archive: str
    read: Reader


def _read_binary(path: str, content: bytearray, batch: str, verify: bool) -> Records:
    if verify:
        check(path, content, Published(_SIZE, _BINARY[batch]))
    if not content or len(content) % _RECORD:
        raise ValueError(f"{path}: expected records of {_RECORD} bytes, got {len(content)} bytes")
    return np.frombuffer(content, np.uint8).reshape(-1, _RECORD)


def _read_python(path: str, content: bytearray, batch: str, verify: bool) -> Records:
    # The two forms hold the same records in the same order: one published sum serves both.
    records = parse_python_batch(path, bytes(content), _PIXELS)
    if verify:
        check(f"{path}, as binary records", records.tobytes(), Published(_SIZE, _BINARY[batch]))
    return records


_FORMS = (
    _Form(".bin", "cifar-10-binary.tar.gz", _read_binary),
    _Form("", "cifar-10-python.tar.gz", _read_python),
)


def cifar10(
    root: str | os.PathLike[str] | None = None, train: bool = True, *, download: bool = False, verify: bool = True
) -> ArrayDataset:
    """Read CIFAR-10 (Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009).

    Parameters
    ----------
    root : str or path-like, optional
        Folder with the binary batches (``data_batch_1.bin`` and so on, plain, ``.gz`` or ``.xz``), the python batches
        (``data_batch_1``), or one of the published archives, in itself or in a subfolder with the archive's own name
        (``cifar-10-batches-bin``, ``cifar-10-batches-py``) or ``cifar-10``. By default ``$FASTNN_DATA_DIR``,
        or ``~/.cache/fastnn``.
    train : bool, default True
        The 50,000 training images, or the 10,000 test images.
    download : bool, default False
        Fetch the archive of binary batches (162 MB) if nothing is there.
    verify : bool, default True
        Refuse files whose content is not what was published. False serves files of one's own in the same format.

    Returns
    -------
    ArrayDataset
        ``x`` uint8 (N, 3, 32, 32) in channels-last memory, ``y`` int64 (N,), with ``classes``, ``scale`` 1/255
        and, for scaled pixels, ``mean`` and ``std``.

    Raises
    ------
    FileNotFoundError
        If a file is not there; it says which and where it was looked for.
    ValueError
        If a file is truncated, damaged or another one; it names the file and what was expected.
    OSError
        If a file cannot be read or fetched.

    Notes
    -----
    Python batches are pickles. They are read by a reader of exactly the few opcodes such a batch consists of:
    nothing in a file can name a class or call a function.
    """
    folder = resolve_root(root)
    batches = _TRAIN if train else _TEST
    parts = [_split(path, records) for path, records in _batches(folder, batches, download, verify)]
    count = sum(len(labels) for labels, _ in parts)
    x = np.empty((count, 32, 32, 3), np.uint8)
    y = np.empty(count, np.int64)
    begin = 0
    for labels, images in parts:
        end = begin + len(labels)
        x[begin:end], y[begin:end] = channels_last_view(images), labels
        begin = end
    return ArrayDataset(
        x.transpose(0, 3, 1, 2), y, classes=_CLASSES, scale=1 / 255, name="cifar10",
        mean=[0.4914, 0.4822, 0.4465], std=[0.2470, 0.2435, 0.2616],
    )  # fmt: skip


def _split(path: str, records: Records) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and the images (N, 3, 32, 32) of a batch's records."""
    labels = records[:, 0]
    if labels.max() >= len(_CLASSES):
        raise ValueError(f"{path}: expected labels from 0 to {len(_CLASSES) - 1}, got {labels.max()}")
    return labels, records[:, 1:].reshape(-1, 3, 32, 32)


def _batches(root: Path, batches: tuple[str, ...], download: bool, verify: bool) -> Iterator[tuple[str, Records]]:
    """Yield the records of each batch and the path to name in errors, from the first form that is there."""
    folders = [*(root / folder for folder in _FOLDERS), root]
    incomplete = ""
    for form in _FORMS:
        found = {batch: find(folders, [batch + form.suffix]) for batch in batches}
        paths = {batch: path for batch, path in found.items() if path is not None}
        if len(paths) == len(batches):
            for batch, path in paths.items():
                yield str(path), form.read(str(path), read_unpacked(path, _limit(verify)), batch, verify)
            return
        if paths and not incomplete:
            incomplete = ", ".join(batch + form.suffix for batch in batches if batch not in paths)
    for form in _FORMS:
        archive = next((folder / form.archive for folder in folders if (folder / form.archive).is_file()), None)
        if archive is not None:
            yield from _from_archive(archive, form, batches, verify)
            return
    if not download:
        wanted = incomplete or f"{batches[0]}.bin (or .bin.gz, .bin.xz), {batches[0]}, or {_FORMS[0].archive}"
        raise missing("cifar10", root, wanted, _URL)
    yield from _from_archive(fetch("cifar10", _REMOTE, root / _FORMS[0].archive), _FORMS[0], batches, verify)


def _limit(verify: bool) -> int:
    return 2 * _SIZE if verify else MAX_SIZE


def _from_archive(archive: Path, form: _Form, batches: tuple[str, ...], verify: bool) -> Iterator[tuple[str, Records]]:
    """Yield batches in their order; members are read in memory, nothing is extracted."""
    contents = _members(archive, {batch + form.suffix for batch in batches}, _limit(verify))
    for batch in batches:
        name = batch + form.suffix
        if name not in contents:
            raise ValueError(f"{archive}: expected a member {name}, got none; a truncated or another archive?")
        label = f"{archive}:{name}"
        yield label, form.read(label, contents.pop(name), batch, verify)


def _members(archive: Path, names: set[str], limit: int) -> dict[str, bytearray]:
    import tarfile

    contents: dict[str, bytearray] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                file = tar.extractfile(member) if member.isfile() and name in names else None
                if file is not None:
                    contents[name] = read_limited(f"{archive}:{name}", file, limit)  # type: ignore[arg-type]
                if len(contents) == len(names):
                    break
    except (tarfile.TarError, EOFError, ArithmeticError, LookupError) as error:
        raise ValueError(f"{archive}: expected a whole tar archive, got a damaged one ({error})") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(f"{archive}: expected a whole tar archive, got a damaged one ({error})") from None
    return contents
