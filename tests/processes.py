"""Run a piece of Python in a process of its own, as the tests of imports, environments and forks need."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

SETTINGS = ("FASTNN_BACKEND", "FASTNN_MAX_ISA", "FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "PYTHONPATH")


def run_python(code: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the code without the current folder on the path, with none of fastnn's settings but those given."""
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)],
        env={**kept, "PYTHONPATH": package_parent(), **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def output_of(code: str, timeout: float = 120, **environment: str) -> str:
    """Return what the code printed; it must succeed."""
    done = run_python(code, timeout, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def package_parent() -> str:
    """Return the folder that holds the fastnn under test, installed or built in place."""
    import fastnn

    assert fastnn.__file__ is not None
    return os.path.dirname(os.path.dirname(fastnn.__file__))
