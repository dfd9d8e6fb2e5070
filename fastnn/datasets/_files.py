"""Finding, unpacking and checking the files of a data set; every complaint names the file and what was expected."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = [
    "GIVE_OR_FETCH",
    "MAX_SIZE",
    "Published",
    "check",
    "find",
    "missing",
    "read_limited",
    "read_unpacked",
    "resolve_root",
]

MAX_SIZE = 1 << 31  # bytes that an unverified file may unpack to
GIVE_OR_FETCH = "its folder, or download=True"  # the command line says it in its own words
_CHUNK = 1 << 20
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"


class Published(NamedTuple):
    """Size and md5 of a file's content, unpacked, as its authors published it."""

    size: int
    md5: str


def resolve_root(root: str | os.PathLike[str] | None) -> Path:
    """Return the folder to look in: the one given, ``$FASTNN_DATA_DIR``, or a cache folder of the user's."""
    if root is not None:
        return Path(root)
    return Path(os.environ.get("FASTNN_DATA_DIR") or os.path.join("~", ".cache", "fastnn")).expanduser()


def find(folders: Iterable[Path], names: Sequence[str]) -> Path | None:
    """Return the first of the named files, plain or packed, that one of the folders holds."""
    for folder in folders:
        for name in names:
            for suffix in ("", ".gz", ".xz"):
                path = folder / (name + suffix)
                if path.is_file():
                    return path
    return None


def missing(who: str, root: Path, wanted: str, url: str) -> FileNotFoundError:
    """Return the error for files that are not there; ``url`` is where they could come from."""
    remedy = f"give {GIVE_OR_FETCH} ({url})"
    if not root.exists():
        return FileNotFoundError(f"{who}: expected {wanted} in {root}, which does not exist; {remedy}")
    if not root.is_dir():
        return FileNotFoundError(f"{who}: expected a folder with {wanted}, got the file {root}; {remedy}")
    held = sorted(os.listdir(root))
    listing = ", ".join(held[:8]) + (f" and {len(held) - 8} more" if len(held) > 8 else "") or "nothing"
    return FileNotFoundError(f"{who}: expected {wanted} in {root}, found {listing}; {remedy}")


def read_unpacked(path: Path, limit: int = MAX_SIZE) -> bytearray:
    """Return a file's content, unpacked if its first bytes say gzip or xz, whatever its name says.

    Raises
    ------
    ValueError
        If it is damaged or truncated, or unpacks to more than ``limit`` bytes; memory follows what is really there.
    """
    with open(path, "rb") as file:
        start = file.read(len(_XZ))
        file.seek(0)
        if start.startswith(_GZIP):
            import gzip

            with gzip.GzipFile(fileobj=file) as unpacked:
                return read_limited(path, unpacked, limit)  # type: ignore[arg-type]
        if start == _XZ:
            import lzma

            with lzma.LZMAFile(file) as unpacked:
                return read_limited(path, unpacked, limit)  # type: ignore[arg-type]
        return read_limited(path, file, limit)


def read_limited(path: Path | str, file: BinaryIO, limit: int) -> bytearray:
    """Return the rest of ``file``, up to ``limit`` bytes; a packed one that is damaged raises ValueError."""
    from lzma import LZMAError

    content = bytearray()
    try:
        while chunk := file.read(_CHUNK):
            content += chunk
            if len(content) > limit:
                raise ValueError(f"{path}: expected at most {limit} bytes of content, got more")
    except EOFError:
        found = f"a truncated one ({len(content)} bytes unpacked)"
        raise ValueError(f"{path}: expected a whole file, got {found}") from None
    except (zlib.error, LZMAError) as error:
        raise ValueError(f"{path}: expected packed data, got damaged ones ({error})") from None
    except OSError as error:
        # gzip reports damage as an OSError without a number; those of the system have one.
        if error.errno is not None:
            raise
        raise ValueError(f"{path}: expected packed data, got damaged ones ({error})") from None
    return content


def check(path: Path | str, content: bytes | bytearray, published: Published) -> None:
    """Refuse content that is not, byte for byte, what was published."""
    if len(content) != published.size:
        kind = "truncated?" if len(content) < published.size else "another file?"
        raise ValueError(f"{path}: expected {published.size} bytes of content, got {len(content)}; {kind}")
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != published.md5:
        raise ValueError(f"{path}: expected content with md5 {published.md5} as published, got {md5}; another file?")
