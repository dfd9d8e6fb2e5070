"""The C kernels without Python: recorded cases replayed by a C program.

Natively under the address and undefined-behaviour sanitizers where the compiler has them, and at the NEON level under
qemu-user where an aarch64 compiler and qemu are installed (``.ci/install-aarch64`` does so on Debian).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fastnn as fn
from case_data import make_inputs
from cases import all_cases
from fastnn import _core
from oracle import compare, run_oracle
from replay import Program, record, results, write
from tolerances import terms

ROOT = Path(__file__).resolve().parent.parent
FLAGS = [
    "-O2",
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-Wno-psabi",
    "-pthread",
    "-Isrc",
]
X86 = {
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512cd", "-mavx512bw", "-mavx512dq", "-mavx512vl"],
}
CROSS = shutil.which("aarch64-linux-gnu-gcc")
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
CASES = [case for case in all_cases() if case.group != "big"]


def build(folder: Path, compiler: str, levels: dict[str, list[str]], extra: Sequence[str]) -> Path:
    """Compile all C sources and the replayer into one program."""
    defines = [f"-DFNN_HAVE_{level.upper()}" for level in levels]
    floor = [p for p in sorted((ROOT / "src").rglob("*.c")) if p.parent.name != "isa" or p.stem == "baseline"]
    # Without OpenMP: its runtime is not built for the sanitizers.
    sources = [p for p in floor if p.stem != "team_openmp"] + [ROOT / "tests" / "c" / "replay.c"]
    base = [compiler, *FLAGS, *extra, *defines]
    units = [(source, []) for source in sources]
    units += [(ROOT / "src" / "isa" / f"{level}.c", flags) for level, flags in levels.items()]
    objects = [str(folder / f"{i}-{source.stem}.o") for i, (source, _) in enumerate(units)]
    commands = [
        [*base, *flags, "-c", str(source), "-o", made] for (source, flags), made in zip(units, objects, strict=True)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, commands))
    program = folder / "replay"
    run([*base, *objects, "-lm", "-o", str(program)])
    return program


def run(command: list[str], timeout: int = 900) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{' '.join(command[:12])} ...\n{done.stderr[-3000:]}"


def replay(folder: Path, command: list[str], level: str, threads: int, mode: str) -> None:
    """Run every case at a level and compare with the oracle."""
    fn.set_precision("exact")
    programs: list[Program] = []
    inputs = [make_inputs(case, mode, terms(case)) for case in CASES]
    programs = [record(case, given) for case, given in zip(CASES, inputs, strict=True)]
    write(programs, folder / "programs")
    run([*command, level, str(threads), str(folder / "programs"), str(folder / "results")])
    for case, given, got in zip(CASES, inputs, results(programs, folder / "results"), strict=True):
        compare(case, mode, given, got, run_oracle(case, given), f"{mode}, {level}, {threads} threads, replayed")


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1"]
    here = {level: X86[level] for level in _core.levels()[-1:] if level in X86}
    return build(tmp_path_factory.mktemp("sanitized"), os.environ.get("CC", "gcc"), here, flags)


@pytest.mark.skipif(not shutil.which(os.environ.get("CC", "gcc")), reason="there is no C compiler")
@pytest.mark.parametrize("level", _core.levels()[-1:])
def test_under_sanitizers(level: str, sanitized: Path, tmp_path: Path) -> None:
    replay(tmp_path, [str(sanitized)], level, 2, "floats")


@pytest.fixture(scope="module")
def neon(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    assert CROSS is not None
    assert QEMU is not None
    program = build(tmp_path_factory.mktemp("neon"), CROSS, {"neon": []}, ["-static"])
    return [QEMU, str(program)]


@pytest.mark.skipif(not (CROSS and QEMU), reason="needs aarch64-linux-gnu-gcc and qemu-user: .ci/install-aarch64")
@pytest.mark.parametrize(("level", "mode"), [("neon", "integers"), ("neon", "floats"), ("portable", "floats")])
def test_under_qemu(level: str, mode: str, neon: list[str], tmp_path: Path) -> None:
    replay(tmp_path, neon, level, 2, mode)
