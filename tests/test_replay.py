"""The C kernels without Python: recorded cases replayed by a C program.

Natively under the address and undefined-behaviour sanitizers where the compiler has them, and at the NEON level under
qemu-user where an aarch64 compiler and qemu are installed (``.ci/install-aarch64`` does so on Debian). One level's
kernels are one long compilation, and a run of small cases gains nothing from a second processor: so all that the
selected tests need is compiled at once, and then run at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

import fastnn as fn
from case_data import make_inputs
from cases import all_cases
from fastnn import _core
from oracle import allowed, compare, run_oracle
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
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512cd", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
# What a program for a level takes: the level's file, and that of the level whose kernels it shares.
X86 = {
    "avx2": {"avx2": AVX2},
    "avx512": {"avx512": AVX512},
    "amx": {"avx512": AVX512, "amx": [*AVX512, "-mamx-tile", "-mamx-bf16"]},
}
CROSS = shutil.which("aarch64-linux-gnu-gcc")
QEMU = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
CASES = [case for case in all_cases() if case.group != "big"]


class Build(NamedTuple):
    """A program of all C sources and the replayer: its compiler, flags, and the files of levels with theirs."""

    compiler: str | None
    flags: list[str]
    levels: dict[str, list[str]]
    runner: list[str | None]  # what starts it

    @property
    def possible(self) -> bool:
        """Whether all that it takes is installed."""
        return None not in (self.compiler, *self.runner)


class Run(NamedTuple):
    """All cases by a program at a level, on whole numbers or floats."""

    program: str
    level: str
    mode: str


BEST = _core.levels()[-1]
# Of the program for the best level only that runs: others' kernels are only linked.
LINKED = {"baseline": ["-O0", "-fno-sanitize=all"]} if BEST in X86 else {}
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1"]
BUILDS = {
    "sanitized": Build(shutil.which(os.environ.get("CC", "gcc")), SANITIZE, {**LINKED, **X86.get(BEST, {})}, []),
    "neon": Build(CROSS, ["-static"], {"neon": []}, [QEMU]),
}
THREADS = 2


def run(command: list[str], timeout: int = 900) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{' '.join(command[:12])} ...\n{done.stderr[-3000:]}"


def compilations(folder: Path, build: Build) -> list[tuple[list[str], str]]:
    """The commands that compile a program's sources, each with the file that it makes, the longest first."""
    assert build.compiler is not None
    defines = [f"-DFNN_HAVE_{level.upper()}" for level in build.levels if level != "baseline"]
    isa = ROOT / "src" / "isa"
    levels = [isa / f"{level}.c" for level in dict.fromkeys([*reversed(build.levels), "baseline"])]
    # Without OpenMP: its runtime is not built for the sanitizers.
    others = [p for p in sorted((ROOT / "src").rglob("*.c")) if p.parent != isa and p.stem != "team_openmp"]
    commands = []
    for i, source in enumerate([*levels, *others, ROOT / "tests" / "c" / "replay.c"]):
        flags = [*FLAGS, *build.flags, *defines, *(build.levels.get(source.stem, []) if source in levels else [])]
        made = str(folder / f"{i}-{source.stem}.o")
        commands.append(([build.compiler, *flags, "-c", str(source), "-o", made], made))
    return commands


def recorded(mode: str, path: Path) -> list[Program]:
    """Write every case's program to a file; what it holds is let go."""
    before = fn.get_precision()
    fn.set_precision("exact")
    programs = [record(case, make_inputs(case, mode, terms(case))) for case in CASES]
    fn.set_precision(before)  # this runs before what restores settings after each test
    write(programs, path)
    for slot in (slot for program in programs for slot in program.slots):
        slot.before = None
    return programs


Replayed = Callable[[Run], tuple[list[Program], Path]]


@pytest.fixture(scope="module")
def replayed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    """Compile and start what the selected tests need; a call waits for one run and returns its results' file."""
    chosen = [item.callspec.params["which"] for item in request.session.items if item.path == Path(__file__)]
    chosen = [which for which in chosen if BUILDS[which.program].possible]
    folders = {name: tmp_path_factory.mktemp(name) for name in dict.fromkeys(which.program for which in chosen)}
    runs: dict[Run, Future[None]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        commands = {name: compilations(folder, BUILDS[name]) for name, folder in folders.items()}
        making: dict[str, list[tuple[Future[None], str]]] = {name: [] for name in folders}
        # The long ones of all programs before the short ones of any.
        for name, i in sorted(((n, i) for n in commands for i in range(len(commands[n]))), key=lambda pair: pair[1]):
            command, made = commands[name][i]
            making[name].append((pool.submit(run, command), made))
        written = tmp_path_factory.mktemp("programs")
        programs = {mode: recorded(mode, written / mode) for mode in dict.fromkeys(which.mode for which in chosen)}
        for name, folder in folders.items():
            build, program = BUILDS[name], str(folder / "replay")
            for future, _ in making[name]:
                future.result()
            run([str(build.compiler), *FLAGS, *build.flags, *(made for _, made in making[name]), "-lm", "-o", program])
            for which in (which for which in chosen if which.program == name):
                files = [str(written / which.mode), str(folder / f"{which.level}-{which.mode}")]
                command = [*map(str, build.runner), program, which.level, str(THREADS), *files]
                runs[which] = pool.submit(run, command)

        def results_of(which: Run) -> tuple[list[Program], Path]:
            runs[which].result()
            return programs[which.mode], folders[which.program] / f"{which.level}-{which.mode}"

        yield results_of


def check(which: Run, replayed: Replayed) -> None:
    """Compare every case's results with the oracle."""
    programs, path = replayed(which)
    where = f"{which.mode}, {which.level}, {THREADS} threads, replayed"
    for case, got in zip(CASES, results(programs, path), strict=True):
        given = make_inputs(case, which.mode, terms(case))
        expected = run_oracle(case, given)
        compare(case, got, expected, allowed(case, which.mode, given, expected), where)


@pytest.mark.skipif(not BUILDS["sanitized"].possible, reason="there is no C compiler")
@pytest.mark.parametrize("which", [Run("sanitized", BEST, "floats")], ids=[BEST])
def test_under_sanitizers(which: Run, replayed: Replayed) -> None:
    check(which, replayed)


EMULATED = [Run("neon", *pair) for pair in (("neon", "integers"), ("neon", "floats"), ("portable", "floats"))]


@pytest.mark.skipif(
    not BUILDS["neon"].possible, reason="needs aarch64-linux-gnu-gcc and qemu-user: .ci/install-aarch64"
)
@pytest.mark.parametrize("which", EMULATED, ids=[f"{which.level}-{which.mode}" for which in EMULATED])
def test_under_qemu(which: Run, replayed: Replayed) -> None:
    check(which, replayed)
