"""Replacing a file's whole content in one step: after a crash at any moment it holds the old bytes or the new ones."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator

__all__ = ["atomic_write"]

Chunk = bytes | bytearray | memoryview


def atomic_write(path: str | os.PathLike[str], chunks: Iterable[Chunk]) -> None:
    """Write ``chunks`` to a temporary file beside ``path``, sync it, rename it over ``path``, sync the folder.

    A symbolic link stays and the file that it names is replaced. The permission bits of an existing file are kept; a
    new file gets those that the process's umask allows. Whatever raises, the temporary file is removed; only a killed
    process can leave one (``.fastnn-*.tmp``), which nothing ever reads.

    Parameters
    ----------
    path : str or path-like
        The file to make or replace. Its folder must exist.
    chunks : iterable of bytes-like
        The content, in order.

    Raises
    ------
    OSError
        With ``path`` as its filename: the disk is full, permission is denied, or ``path`` is not a regular file.
    """
    target = os.path.realpath(path)
    with _named_after(path):
        mode = _existing_mode(target)
        folder = os.path.dirname(target)
        temporary = os.path.join(folder, f".fastnn-{secrets.token_hex(8)}.tmp")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            try:
                if mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(fd, mode)
                for chunk in chunks:
                    _write_all(fd, chunk)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)


@contextlib.contextmanager
def _named_after(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an OSError name the caller's path: those of descriptors name nothing, those of the temporary mislead."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error


def _existing_mode(target: str) -> int | None:
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    # Renaming over a device or a pipe (/dev/null, say) would destroy it.
    if not stat.S_ISREG(status.st_mode):
        raise OSError(22, "expected a regular file or a new name, got something else", target)
    return stat.S_IMODE(status.st_mode)


def _write_all(fd: int, chunk: Chunk) -> None:
    view = memoryview(chunk).cast("B")
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(folder: str) -> None:
    """Make the rename itself durable, where the system lets a folder be opened and synced."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
