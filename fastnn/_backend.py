"""Which backend runs plans, at which instruction level and on how many threads, and why.

Environment, read once at import:

``FASTNN_BACKEND``
    ``compiled`` (the C extension; an error if there is none) or ``reference`` (NumPy: slow, for checking).
``FASTNN_MAX_ISA``
    A ceiling on the instruction level, e.g. ``avx2``; a level that the machine lacks is an error.
``FASTNN_NUM_THREADS``, ``OMP_NUM_THREADS``
    The number of threads; otherwise what affinity, the cgroup's quota and the physical cores allow.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from types import ModuleType
from typing import Any

__all__ = [
    "build_info",
    "compiled",
    "core",
    "get_num_threads",
    "get_precision",
    "plan_settings",
    "set_num_threads",
    "set_precision",
    "state",
]

LEVELS = ("baseline", "portable", "avx2", "avx512", "amx", "neon")
MOST_THREADS = 1024
PRECISIONS = ("exact", "high", "fast")  # numbered so in C


class _State:
    """The settings in force and the reasons for them."""

    core: Any = None
    why_backend = ""
    why_level = ""
    why_threads = ""
    threads = 1
    precision = "fast"


state = _State()


def build_info() -> ModuleType | None:
    """Return the module that records what the build made, or None."""
    try:
        return importlib.import_module("fastnn._build_info")
    except ModuleNotFoundError:
        return None


def _load_core() -> None:
    wish = os.environ.get("FASTNN_BACKEND", "")
    if wish not in ("", "compiled", "reference"):
        raise RuntimeError(f"FASTNN_BACKEND: expected 'compiled' or 'reference', got {wish!r}")
    if wish == "reference":
        state.why_backend = "FASTNN_BACKEND=reference"
        return
    try:
        state.core = importlib.import_module("fastnn._core")
        state.why_backend = "the extension module is there"
        return
    except ModuleNotFoundError as error:
        if error.name != "fastnn._core":
            raise
    info = build_info()
    if info is not None and not info.compiled and wish != "compiled":
        state.why_backend = info.reason
        warnings.warn(
            f"fastnn runs on its slow NumPy reference backend: {info.reason}. Install a C compiler (gcc or clang) and "
            "install fastnn again; set FASTNN_BACKEND=reference to silence this",
            RuntimeWarning,
            stacklevel=5,
        )
        return
    raise ImportError(
        "fastnn's extension module fastnn._core is missing. If this is the source folder, it shadows the installed "
        "package: start Python elsewhere, or build in place with 'python setup.py build_ext --inplace'. Otherwise "
        "install again, or set FASTNN_BACKEND=reference to run on NumPy alone"
    )


def _choose_level() -> None:
    ceiling = os.environ.get("FASTNN_MAX_ISA", "")
    if ceiling and ceiling not in LEVELS:
        raise RuntimeError(f"FASTNN_MAX_ISA: expected one of {', '.join(LEVELS)}, got {ceiling!r}")
    if state.core is None:
        state.why_level = "the reference backend has no levels"
        return
    available = state.core.levels()
    if not ceiling:
        state.core.set_level(available[-1])
        state.why_level = f"the highest of {', '.join(available)} that this build and this machine have"
        return
    if ceiling not in available:
        raise RuntimeError(
            f"FASTNN_MAX_ISA={ceiling}: this build on this machine runs {', '.join(available)} "
            f"(compiled: {', '.join(state.core.compiled_levels())}; processor: {state.core.cpu_features()})"
        )
    state.core.set_level(ceiling)
    state.why_level = f"FASTNN_MAX_ISA={ceiling}"


def _choose_threads() -> None:
    for name in ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").split(",")[0].strip()
        if not text:
            continue
        if text.isdecimal() and 1 <= int(text) <= MOST_THREADS:
            state.threads, state.why_threads = int(text), f"{name}={text}"
            return
        if name == "FASTNN_NUM_THREADS":
            raise RuntimeError(f"FASTNN_NUM_THREADS: expected a positive number, got {text!r} (at most {MOST_THREADS})")
    if state.core is None:
        state.threads, state.why_threads = 1, "the reference backend runs on NumPy's threads"
    else:
        state.threads, state.why_threads = state.core.default_threads()


def compiled() -> bool:
    """Tell whether plans run on the C extension."""
    return state.core is not None


def core() -> Any:
    """Return the extension module; only a compiled backend has one."""
    if state.core is None:
        raise RuntimeError(f"the compiled backend is not active: {state.why_backend}")
    return state.core


def set_num_threads(n: int) -> None:
    """Set how many threads a step may use, beyond the cores too; results have the same bits for any number.

    Parameters
    ----------
    n : int
        At least 1.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.set_num_threads(2)
    >>> fn.get_num_threads()
    2
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: expected an int, got {type(n).__name__}")
    if not 1 <= n <= MOST_THREADS:
        raise ValueError(f"set_num_threads: expected 1 to {MOST_THREADS} threads, got {n}")
    state.threads, state.why_threads = int(n), "set_num_threads"


def get_num_threads() -> int:
    """Return how many threads a step may use."""
    return state.threads


def set_precision(precision: str) -> None:
    """Choose what may be done for speed: ``"fast"``, ``"high"`` or ``"exact"``.

    Parameters
    ----------
    precision : str
        ``"exact"`` allows convolutions only direct sums, and each layer computes what it would alone. The others fold
        batch norm of running statistics into the weights before it where nothing is differentiated, which rounds
        otherwise. ``"high"`` also takes Winograd's F(2x2, 3x3) for 3x3 filters of stride 1, whose error is at most 2e-5
        of the result's root mean square, and ``"fast"``, the default, F(4x4, 3x3) as well, and F(2x2, 5x5) for 5x5
        filters: at most 2e-4, mostly a tenth of that, and two to three times as fast as direct sums. See
        ``docs/kernels-winograd.md``.

    Examples
    --------
    >>> import fastnn as fn
    >>> fn.set_precision("exact")
    >>> fn.get_precision()
    'exact'
    >>> fn.set_precision("fast")
    """
    if precision not in PRECISIONS:
        raise ValueError(f"set_precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    state.precision = precision


def get_precision() -> str:
    """Return the precision in force."""
    return state.precision


def plan_settings() -> tuple[str, str]:
    """Return the settings that plans are made under, as part of their key."""
    if state.core is None:
        return ("reference", state.precision)
    return (state.core.active_level(), state.precision)


def _runs_the_command() -> bool:
    """Tell whether this import is that of the command line, as `fastnn` or as ``python -m fastnn``."""
    started = sys.argv[0] if sys.argv else ""
    if started == "-m":  # what Python puts there until the module is found
        return "fastnn" in sys.orig_argv[1:] and sys.orig_argv[sys.orig_argv.index("fastnn") - 1] == "-m"
    return os.path.basename(started) == "fastnn"


try:
    _load_core()
    _choose_level()
    _choose_threads()
except (RuntimeError, ImportError) as problem:
    if not _runs_the_command():
        raise
    print(f"fastnn: error: {problem}", file=sys.stderr)
    raise SystemExit(2) from None
