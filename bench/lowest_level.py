"""The lowest level beside the oracle: what runs on any machine is never slower than plain NumPy.

The products of NumPy's BLAS would use vectors that the level does not know. So they are held to a processor of about
that level: OPENBLAS_CORETYPE and NPY_DISABLE_CPU_FEATURES are set before NumPy is imported.

    python -m bench.peers oracle [--level baseline] [--suite pooling]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

import fastnn as fn
from bound import Bound, traced
from fastnn.graph.plan import ReferencePlan
from kernel import Kernel
from kernel_cases import SUITES, kernels
from measure import alternate

__all__ = ["NAME", "add_arguments", "run"]

NAME = "oracle"
# A processor of each level for OpenBLAS, and what NumPy's own loops must leave alone.
LIMITS = {
    "baseline": ("Nehalem", "AVX2 AVX512F AVX512_SKX AVX512_ICL"),
    "portable": ("Nehalem", "AVX2 AVX512F AVX512_SKX AVX512_ICL"),
    "avx2": ("Haswell", "AVX512F AVX512_SKX AVX512_ICL"),
    "avx512": ("SkylakeX", ""),
    "amx": ("SapphireRapids", ""),
}
MARK = "FASTNN_BENCH_LIMITED"
MOST_FLOPS, MOST_BYTES = 2e9, 5e7  # of one call: the oracle takes long


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("--suite", nargs="+", choices=list(SUITES), default=list(SUITES))
    parser.add_argument("--match", default="", help="only kernels whose name holds this text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--level", choices=list(LIMITS), default="baseline")


def run(args: argparse.Namespace) -> None:
    """Measure with one thread, print as it goes, write oracle.json."""
    if MARK not in os.environ:
        subprocess.run([sys.executable, *sys.orig_argv[1:]], env={**os.environ, **limited(args.level)}, check=True)
        return
    fn.set_num_threads(1)
    rows = []
    for kernel in kernels(*args.suite, quick=args.quick, batch=1):
        if args.match in kernel.name and kernel.flops <= MOST_FLOPS and kernel.bytes <= MOST_BYTES:
            rows.append(measure(kernel, args.rounds))
            print(line(rows[-1]), flush=True)
            gc.collect()
    slower = [row for row in rows if row["ratio"] < 1]
    print(f"{len(slower)} of {len(rows)} kernels are slower than the oracle at level {fn.config()['level']}")
    for row in slower:
        print(line(row))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "oracle.json").write_text(json.dumps(rows, indent=1))


def limited(level: str) -> dict[str, str]:
    """Return the environment that holds fastnn and NumPy to a level and to one thread."""
    core, without = LIMITS[level]
    return {
        MARK: "1",
        "FASTNN_MAX_ISA": level,
        "OPENBLAS_CORETYPE": core,
        "OPENBLAS_NUM_THREADS": "1",
        "NPY_DISABLE_CPU_FEATURES": without,
    }


def measure(kernel: Kernel, rounds: int) -> dict[str, Any]:
    """Return one row of results: seconds of the step and of the oracle's calls for the same, and their ratio."""
    arrays = kernel.operands(np.random.default_rng(0))
    step = Bound(kernel.call, arrays, kernel.setup)
    phases, given, _ = traced(kernel.call, arrays, kernel.setup)
    plan = ReferencePlan(phases)
    for phase in range(len(phases) - 1):
        plan.run(phase, given)
    # A plan forgets its values in its first phase only.
    works = {"fastnn": step, "oracle": lambda: plan.run(len(phases) - 1, given)}
    seconds = alternate(works, rounds, least=0.01, pause=0.0)
    return {
        "suite": kernel.suite,
        "name": kernel.name,
        "level": fn.config()["level"],
        "algorithms": step.algorithms,
        "seconds": seconds,
        "ratio": seconds["oracle"] / seconds["fastnn"],
    }


def line(row: dict[str, Any]) -> str:
    """Return a row in words."""
    ours, oracle = row["seconds"].values()
    ways = "+".join(dict.fromkeys(row["algorithms"]))
    return (
        f"{row['suite']} {row['name']}: {ours * 1e3:.4f} ms, oracle {oracle * 1e3:.4f} ms, {row['ratio']:.2f}x, {ways}"
    )
