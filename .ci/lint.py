"""Lint everything: ruff, its formatter, mypy, clang-format, and C compiled with warnings as errors.

Run ``python .ci/lint.py`` from anywhere, with the ``lint`` extra installed; ``--fix``: formatters write; ``--built``:
the C sources were built with ``FASTNN_WERROR=1``, so that only the tests' own are compiled.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ["setup.py", "fastnn", "tests", "bench", "examples", ".ci"]
X86_LEVELS = {
    "avx2": "-mavx2 -mfma -mf16c",
    "avx512": "-mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl",
    "amx": "-mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl -mamx-tile -mamx-bf16",
}


def run(what: str, command: list[str]) -> bool:
    """Run one checker; on failure show what it said."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    said = f"\n{done.stdout}{done.stderr}" if done.returncode != 0 else ""
    print(f"{'FAIL' if said else 'ok  '} {what}{said}", flush=True)
    return done.returncode == 0


def tool(name: str) -> str:
    """Return the tool of this environment, not another of the same name."""
    return shutil.which(name, path=sysconfig.get_path("scripts")) or name


def check_python(fix: bool) -> bool:
    """Check the Python files."""
    paths = [path for path in PYTHON if (ROOT / path).exists()]
    ruff = [sys.executable, "-m", "ruff"]
    good = run("ruff check", [*ruff, "check", *(["--fix"] if fix else []), *paths])
    good &= run("ruff format", [*ruff, "format", *([] if fix else ["--check", "--diff"]), *paths])
    return run("mypy", [sys.executable, "-m", "mypy"]) and good


def level_flags(source: Path) -> list[str] | None:
    """Return the flags of a file of isa/, or None where this machine's compiler has another architecture."""
    machine = os.uname().machine
    if source.parent.name != "isa" or source.stem == "baseline":
        return []
    if source.stem in X86_LEVELS:
        flags = f"{X86_LEVELS['avx2']} {X86_LEVELS[source.stem]}"
        return flags.split() if machine == "x86_64" else None
    return [] if machine == "aarch64" else None


def check_c(fix: bool, built: bool) -> bool:
    """Check the C files: their format, then what the compiler warns of."""
    sources = sorted(path for folder in ("src", "tests/c") for path in (ROOT / folder).rglob("*.c"))
    headers = sorted((ROOT / "src").rglob("*.h"))
    mode = ["-i"] if fix else ["--dry-run", "-Werror"]
    good = run("clang-format", [tool("clang-format"), *mode, *map(str, [*sources, *headers])])
    math = "-fno-math-errno -fno-trapping-math -ffp-contract=off"
    common = f"-O3 -std=gnu11 {math} -Wno-psabi -Wall -Wextra -Werror -Isrc -o /dev/null"
    compiler = os.environ.get("CC", "gcc").split()
    commands = {
        f"compile {source.relative_to(ROOT)}": [*compiler, *common.split(), *flags, "-c", str(source)]
        for source in sorted(sources, key=lambda source: source.parent.name != "isa")  # they take longest
        if (flags := level_flags(source)) is not None and not (built and source.is_relative_to(ROOT / "src"))
    }
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        good &= all(list(pool.map(run, commands, commands.values())))
    return good


def main() -> int:
    """Run all checks and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fix", action="store_true", help="let the formatters write")
    parser.add_argument("--built", action="store_true", help="leave out what the build has compiled with warnings")
    args = parser.parse_args()
    good = check_python(args.fix)
    return 0 if check_c(args.fix, args.built) and good else 1


if __name__ == "__main__":
    sys.exit(main())
