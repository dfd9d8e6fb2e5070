"""Kernels one by one beside PyTorch, NumPy and the machine's limits."""

from __future__ import annotations

import argparse
import gc
import importlib.util
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fastnn as fn
import roof
from bound import Bound
from fastnn.graph import eager
from fastnn.graph.execute import _run_function
from kernel import Kernel
from kernel_cases import SUITES, kernels
from measure import alternate, at_threads, fma_peak, with_torch_threads
from report import write_report

__all__ = ["NAME", "add_arguments", "run"]

NAME = "kernels"
Work = Callable[[], object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("--suite", nargs="+", choices=list(SUITES), default=list(SUITES))
    parser.add_argument("--match", default="", help="only kernels whose name holds this text")
    parser.add_argument("--rounds", type=int, default=5)


def run(args: argparse.Namespace) -> None:
    """Measure, print as it goes, write the report."""
    rows = []
    for threads in args.threads:
        for kernel in kernels(*args.suite, quick=args.quick):
            if args.match in kernel.name:
                rows.append(measure(kernel, threads, 3 if args.quick else args.rounds))
                print(line(rows[-1]), flush=True)
                gc.collect()
    write_report(rows, args.out)


def measure(kernel: Kernel, threads: int, rounds: int) -> dict[str, Any]:
    """Return one row of results: seconds by name, the limits, shares and ratios."""
    fn.set_num_threads(threads)
    sets = operand_sets(kernel)
    steps = [Bound(kernel.call, arrays, kernel.setup) for arrays in sets]
    kernel.check(sets[0], steps[0].results())
    for arrays in sets:
        kernel.fill(arrays)
    peak = fma_peak(threads)
    works: dict[str, Work] = {
        "step": at_threads(threads, in_rotation(steps)),
        "fastnn": at_threads(threads, in_rotation([called(kernel, *each) for each in zip(sets, steps, strict=True)])),
        "peak": peak,
    }
    works |= peers(kernel, sets, threads)
    passes, moved = roof.kept(kernel.traffic, kernel.each, kernel.rotates, threads) if kernel.each else ({}, 0.0)
    times = alternate(works | passes, rounds)
    limit = float(peak()) / times.pop("peak")
    needed = kernel.flops / limit
    if passes:
        needed = max(needed, min(times.pop(name) for name in passes) * kernel.bytes / moved)
    theirs = {name: t for name, t in times.items() if name not in ("step", "fastnn")}
    best = min(theirs.values(), default=None)
    return {
        "suite": kernel.suite,
        "name": kernel.name,
        "what": kernel.what,
        "threads": threads,
        "level": fn.config()["level"],
        "algorithms": steps[0].algorithms,
        "flops": kernel.flops,
        "bytes": kernel.bytes,
        "seconds": times,
        "peak_gflops": limit * 1e-9,
        "gflops": kernel.flops / times["step"] * 1e-9,
        "share": needed / times["step"],
        "roof": needed,
        "best_peer": min(theirs, key=lambda name: theirs[name], default=None),
        "ratio": best / times["fastnn"] if best else None,
        "step_ratio": best / times["step"] if best else None,
        "networks": dict(kernel.networks),
    }


def called(kernel: Kernel, arrays: list[np.ndarray], step: Bound) -> Work:
    """Return the kernel as a call from Python that returns fresh arrays; a part of a training step has no such call."""
    if kernel.setup:
        return step
    if all(array.dtype.name in ("float32", "int64", "uint8") for array in arrays):
        fetched: Any = eager(kernel.call)
        return lambda: fetched(*arrays)
    exact = [True] * len(arrays)  # a function would convert what is of another dtype
    return lambda: _run_function(kernel.call, kernel.call, tuple(arrays), {}, exact)


def operand_sets(kernel: Kernel) -> list[list[np.ndarray]]:
    """Return the operands: where memory bounds the kernel, as many sets as no cache holds."""
    first = kernel.operands(np.random.default_rng(0))
    count = -(-roof.POOL // int(kernel.bytes)) if kernel.rotates else 1
    return [[roof.aligned(array) for array in first] for _ in range(count)]


def in_rotation(works: Sequence[Work]) -> Work:
    """Return a function that calls the next of these."""
    turn = itertools.cycle(works)
    return lambda: next(turn)()


def peers(kernel: Kernel, sets: list[list[np.ndarray]], threads: int) -> dict[str, Work]:
    """Return what the installed peers call for the same computation."""
    from torch_peers import numpy_peer, sklearn_peer, torch_peers

    works: dict[str, Work] = {}
    work = numpy_peer(kernel, sets[0])
    if work and importlib.util.find_spec("threadpoolctl"):
        works["numpy"] = with_blas_threads(threads, work)
    work = sklearn_peer(kernel, sets[0])
    if work:
        works["scikit-learn"] = work
    if importlib.util.find_spec("torch"):
        for name, calls in torch_peers(kernel, sets):
            works[name] = with_torch_threads(threads, in_rotation(calls))
    return works


def with_blas_threads(threads: int, work: Work) -> Work:
    """Return ``work`` run with this many threads of NumPy's BLAS."""
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController().select(user_api="blas")

    def limited() -> object:
        if any(info["num_threads"] != threads for info in controller.info()):
            for library in controller.lib_controllers:
                library.set_num_threads(threads)
        return work()

    return limited


def line(row: dict[str, Any]) -> str:
    """Return a row in words."""
    ratio = f"{row['ratio']:.2f}x {row['best_peer']} (step {row['step_ratio']:.2f}x)" if row["ratio"] else ""
    step = row["seconds"]["step"]
    rate = f"{row['gflops']:.1f} GFLOP/s" if row["flops"] else f"{1e-9 * row['bytes'] / step:.1f} GB/s"
    return (
        f"{row['suite']} {row['name']}, {row['threads']} thread{'s' * (row['threads'] > 1)}: {step * 1e3:.3f} ms, "
        f"{rate}, {row['share']:.0%} of the limit, {'+'.join(dict.fromkeys(row['algorithms']))} {ratio}"
    )
