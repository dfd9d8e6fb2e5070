"""The README: its two commands stand there for .ci/run to find, and its Python runs from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).resolve().parent.parent / "README.md").read_text()


def test_commands_are_on_the_first_screen():
    first = README.splitlines()[:24]
    assert "    pip install . && fastnn train" in first
    assert '    pip install ".[test]" && pytest' in first


def test_python_blocks_run(capsys):
    import fastnn as fn

    fn.manual_seed(0)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert 0 < float(names["value"]) < 1  # type: ignore[arg-type]
