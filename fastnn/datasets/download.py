"""Fetching a published file: to a temporary name, checked, then renamed; the real name never holds half a file."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["Remote", "fetch"]

_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 1 << 20


class Remote(NamedTuple):
    """Where a file is published (places tried in order), the md5 it must have, and the most bytes to accept."""

    urls: tuple[str, ...]
    md5: str
    max_size: int


def fetch(who: str, remote: Remote, path: Path) -> Path:
    """Download a file to ``path`` and return ``path``.

    Raises
    ------
    OSError
        If no place delivers a file with the right checksum; it says what each answered and what to do without
        a network.
    """
    from http.client import HTTPException

    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in remote.urls:
        try:
            _fetch_one(url, remote, path)
            return path
        except (OSError, ValueError, HTTPException) as error:
            failures.append(f"{url}: {error or type(error).__name__}")
    raise OSError(
        f"{who}: could not download {path.name} ({'; '.join(failures)}); "
        f"without a network, bring the file from elsewhere and put it at {path}"
    )


def _fetch_one(url: str, remote: Remote, path: Path) -> None:
    temporary = path.with_name(f".fastnn-{secrets.token_hex(8)}.tmp")
    digest = hashlib.md5(usedforsecurity=False)
    try:
        with open(temporary, "xb") as file:
            for chunk in _chunks(url, remote.max_size):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != remote.md5:
            raise ValueError(f"expected a file with md5 {remote.md5}, got {digest.hexdigest()}")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _chunks(url: str, max_size: int) -> Iterator[bytes]:
    import urllib.request

    request = urllib.request.Request(url, headers={"User-Agent": "fastnn"})
    received = 0
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
        while chunk := response.read(_CHUNK):
            received += len(chunk)
            if received > max_size:
                raise ValueError(f"expected at most {max_size} bytes, got more")
            yield chunk
