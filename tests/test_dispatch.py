"""Levels: what is detected, what the environment may ask for, and what each answer means."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

import fastnn.nn.functional as F
from fastnn import _core
from processes import output_of, run_python

X86 = {
    "avx2": {"avx", "avx2", "fma", "f16c"},
    "avx512": {"avx", "avx2", "fma", "f16c", "avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"},
    "amx": {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "amx_tile", "amx_bf16"},
}
PRINT_LEVEL = "from fastnn import _core; print(_core.active_level())"


def cpuinfo_flags() -> set[str]:
    """The flags that Linux shows: it drops those whose registers it does not save."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), set())


def test_detection_agrees_with_the_kernel():
    flags = cpuinfo_flags()
    if flags and platform.machine() == "x86_64":
        able = ["baseline"] + [name for name in ("avx2", "avx512", "amx") if flags >= X86[name]]
        assert _core.levels() == [name for name in _core.compiled_levels() if name in able]
        words = set(_core.cpu_features().split())
        known = set().union(*X86.values())
        assert words & known == flags & known
    else:
        assert _core.levels()[0] in ("baseline", "portable")
        assert set(_core.levels()) <= set(_core.compiled_levels())


def test_default_is_the_highest_level():
    assert output_of(PRINT_LEVEL) == _core.levels()[-1]


@pytest.mark.parametrize("level", _core.levels())
def test_max_isa_is_respected(level):
    assert output_of(PRINT_LEVEL, FASTNN_MAX_ISA=level) == level


def test_unknown_level_lists_the_valid_ones():
    done = run_python("import fastnn", FASTNN_MAX_ISA="sse9")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: FASTNN_MAX_ISA: expected one of ")
    assert "'sse9'" in last
    for level in ("baseline", "avx2", "avx512", "amx", "portable", "neon"):
        assert level in last


def test_level_beyond_the_machine_is_refused():
    beyond = next(name for name in ("amx", "avx512", "avx2", "neon") if name not in _core.levels())
    done = run_python("import fastnn", FASTNN_MAX_ISA=beyond)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"RuntimeError: FASTNN_MAX_ISA={beyond}")
    assert _core.levels()[-1] in last


def test_set_level_in_process():
    before = _core.active_level()
    x = np.arange(-6, 6, dtype=np.float32).reshape(3, 4)
    w = np.arange(20, dtype=np.float32).reshape(5, 4)
    try:
        for level in _core.levels():
            _core.set_level(level)
            assert _core.active_level() == level
            np.testing.assert_array_equal(F.linear(x, w), x @ w.T)
        with pytest.raises(ValueError, match="expected a level among"):
            _core.set_level("sse9")
        assert _core.active_level() == level
    finally:
        _core.set_level(before)
