"""What all tests share: settings of the backend that a test changes are put back after it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

import fastnn
from fastnn import _backend

# The same examples in every run: a suite that fails once in a while teaches to run it again.
hypothesis.settings.register_profile("fixed", derandomize=True)
hypothesis.settings.load_profile("fixed")


def pytest_report_header() -> list[str]:
    """Say what is tested."""
    if not _backend.compiled():
        return [f"fastnn: reference backend, {fastnn.__file__}"]
    core = _backend.core()
    return [
        f"fastnn: {fastnn.__file__}",
        f"levels: {', '.join(core.levels())} of {', '.join(core.compiled_levels())}; tile {core.tile()}; "
        f"threads {_backend.get_num_threads()} on {core.team_backend()}; NumPy {np.__version__}",
    ]


@pytest.fixture(autouse=True)
def _settings_restored() -> Iterator[None]:
    """Level, threads, grain, precision and poison as they were."""
    if not _backend.compiled():
        yield
        return
    core = _backend.core()
    before = (core.active_level(), core.get_grain(), core.poisoning(), core.team_backend())
    threads, why, precision = _backend.get_num_threads(), _backend.state.why_threads, _backend.get_precision()
    yield
    level, grain, poison, team = before
    core.set_level(level)
    core.set_grain(grain)
    core.set_poison(poison)
    core.set_team_backend(team)
    _backend.set_num_threads(threads)
    _backend.state.why_threads = why
    _backend.set_precision(precision)


@pytest.fixture
def ctrl_c_raises() -> Iterator[None]:
    """Python's own handler of Ctrl-C, which a process started in a shell's background lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
