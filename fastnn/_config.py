"""What this installation is and how it runs: the text behind `show_config`."""

from __future__ import annotations

import platform
import sys
from typing import Any

from . import _backend
from ._version import __version__

__all__ = ["config", "show_config"]


def config() -> dict[str, Any]:
    """Return the facts that `show_config` prints, as plain data.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.config()["backend"] in ("compiled", "reference")
    True
    """
    import numpy

    state = _backend.state
    facts: dict[str, Any] = {
        "fastnn": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "backend": "compiled" if _backend.compiled() else "reference",
        "backend because": state.why_backend,
        "threads": state.threads,
        "threads because": state.why_threads,
        "precision": state.precision,
    }
    if _backend.compiled():
        core = _backend.core()
        info = _backend.build_info()
        facts |= {
            "level": core.active_level(),
            "level because": state.why_level,
            "levels here": core.levels(),
            "levels compiled": core.compiled_levels(),
            "processor": core.cpu_features(),
            "register tile": core.tile(),
            "thread back end": f"{core.team_backend()} (built: {', '.join(core.team_backends())})",
            "compiler": getattr(info, "compiler", "unknown"),
        }
    return facts


def show_config() -> None:
    """Print version, backend, level, threads and the reasons for them.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.show_config()  # doctest: +ELLIPSIS
    fastnn: ...
    """
    for name, value in config().items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")
