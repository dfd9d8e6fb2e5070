"""No kernel reads or writes outside of its inputs: a whole vector at the end of an array would."""

from __future__ import annotations

from pathlib import Path

from processes import run_python


def test_inputs_next_to_forbidden_memory() -> None:
    tests = str(Path(__file__).parent)
    done = run_python(f"import sys; sys.path.insert(0, {tests!r}); import guard_pages; guard_pages.main()", timeout=600)
    last = done.stdout.replace("\r", "\n").strip().splitlines()[-1:]
    assert done.returncode == 0, f"the process ended with {done.returncode} at {last}\n{done.stderr[-2000:]}"
    assert last[0].endswith(" runs")
    assert int(last[0].split()[0]) > 1000
