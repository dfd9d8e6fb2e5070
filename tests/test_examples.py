"""The example that is no lesson runs as a user would run it, and says what it promises; lessons: test_lessons.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SAYS = {"three_ways_in.py": "equal weights: True"}
EXAMPLES = [Path(__file__).resolve().parent.parent / "examples" / name for name in SAYS]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example(path, tmp_path):
    done = subprocess.run([sys.executable, "-P", path], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert SAYS[path.name] in done.stdout
