"""What the user got wrong, as one line and exit status 2."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = ["UsageError", "usage"]


class UsageError(Exception):
    """A bad option, a missing folder, a wrong file: told in one line, without a traceback."""


@contextlib.contextmanager
def usage(prefix: str = "") -> Iterator[None]:
    """Turn the errors of reading what the user named into a `UsageError`."""
    try:
        yield
    except OSError as error:
        text = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        raise UsageError(prefix + text) from error
    except KeyError as error:
        raise UsageError(prefix + str(error.args[0] if error.args else error)) from error
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise UsageError(prefix + str(error)) from error
