"""Two threads beside one: no kernel may be slower for having a second thread.

Each step runs on its operands in turn with one and two threads. One that seems slower is measured once more, longer,
before it counts: what lost a few microseconds to another process is not what is looked for.
"""

from __future__ import annotations

import argparse
import gc
import json
from typing import Any

import numpy as np

import fastnn as fn
from bound import Bound
from kernel import Kernel
from kernel_cases import SUITES, kernels
from measure import alternate, at_threads

__all__ = ["NAME", "add_arguments", "run"]

NAME = "scaling"
SLOWER = 0.97  # one thread's time over two threads': less is looked at again
AGAIN = 15  # rounds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("--suite", nargs="+", choices=list(SUITES), default=list(SUITES))
    parser.add_argument("--match", default="", help="only kernels whose name holds this text")
    parser.add_argument("--rounds", type=int, default=3)


def run(args: argparse.Namespace) -> None:
    """Measure, print as it goes, write scaling.json."""
    rows = []
    for kernel in kernels(*args.suite, quick=args.quick):
        if args.match in kernel.name:
            rows.append(measure(kernel, max(args.threads), args.rounds))
            print(line(rows[-1]), flush=True)
            gc.collect()
    slower = [row for row in rows if row["ratio"] < SLOWER]
    print(f"{len(slower)} of {len(rows)} kernels are slower with {max(args.threads)} threads than with one")
    for row in slower:
        print(line(row))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "scaling.json").write_text(json.dumps(rows, indent=1))


def measure(kernel: Kernel, threads: int, rounds: int) -> dict[str, Any]:
    """Return one row of results: seconds with one and with more threads, and their ratio."""
    step = Bound(kernel.call, kernel.operands(np.random.default_rng(0)), kernel.setup)
    works = {str(n): at_threads(n, step) for n in (1, threads)}
    for count in (rounds, AGAIN):
        one, more = alternate(works, count, least=0.005, pause=0.0).values()
        if one / more >= SLOWER:
            break
    return {
        "suite": kernel.suite,
        "name": kernel.name,
        "threads": threads,
        "level": fn.config()["level"],
        "algorithms": step.algorithms,
        "seconds": {"1": one, str(threads): more},
        "ratio": one / more,
    }


def line(row: dict[str, Any]) -> str:
    """Return a row in words."""
    one, more = row["seconds"].values()
    ways = "+".join(dict.fromkeys(row["algorithms"]))
    return (
        f"{row['suite']} {row['name']}: {one * 1e3:.4f} ms, with {row['threads']} threads {more * 1e3:.4f} ms, "
        f"{row['ratio']:.2f}x, {ways}"
    )
