"""Measuring: the machine's multiply-add peak, streaming bandwidth, and two things timed in turn.

Machines are shared and noisy: only ratios of medians taken in turn within one run mean something.
"""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable

import numpy as np

import fastnn as fn
from fastnn import _core

PAUSE = 0.05  # seconds
WARM = 0.005  # seconds

__all__ = ["alternate", "at_threads", "fma_peak", "peak_gflops", "seconds", "stream_bandwidth", "with_torch_threads"]


def seconds(work: Callable[[], object], repeat: int = 5, least: float = 0.02) -> list[float]:
    """Return seconds a call, ``repeat`` times; short calls are looped until ``least`` seconds pass.

    Before that the work runs for ``WARM`` seconds: caches, clocks and threads are as they will be.
    """
    once, end = 1e-7, time.perf_counter() + WARM
    work()
    while True:
        start = time.perf_counter()
        work()
        once = max(time.perf_counter() - start, 1e-7)
        if time.perf_counter() > end:
            break
    loops = max(1, int(least / once))
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        for _ in range(loops):
            work()
        times.append((time.perf_counter() - start) / loops)
    return times


def alternate(
    works: dict[str, Callable[[], object]], rounds: int = 7, least: float = 0.02, pause: float = PAUSE
) -> dict[str, float]:
    """Time several things in turn, round after round; return each one's median in seconds.

    The pause lets the threads of the one before go to sleep: OpenMP's spin for milliseconds and would share the cores.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            time.sleep(pause)
            times[name] += seconds(work, 1, least)
    return {name: statistics.median(values) for name, values in times.items()}


def fma_peak(threads: int, iterations: int = 200_000) -> Callable[[], float]:
    """Return a function that runs register multiply-adds on ``threads`` threads and returns the FLOPs done."""
    op = _core.Op("fma_peak", {"units": threads, "iterations": iterations})
    program = _core.Program([op], [[0]], 1, {})
    out = np.zeros(max(threads, 1), np.float32)
    program.bind(0, out, 0, True)
    scratch = _core.Block(max(program.scratch_bytes(threads), 64))

    def work() -> float:
        program.run(0, 1, threads, scratch)
        return float(op.flops)

    return work


@functools.cache
def peak_gflops(threads: int) -> float:
    """Return the multiply-add peak of ``threads`` threads at the active level, in GFLOP/s."""
    work = fma_peak(threads)
    return work() / min(seconds(work, repeat=5)) / 1e9


def stream_bandwidth(megabytes: int = 256) -> float:
    """Return GB/s of y = a x on arrays past the caches, read and write counted once each."""
    x = np.ones(megabytes * 250_000, np.float32)
    y = np.empty_like(x)
    return 2 * x.nbytes / min(seconds(lambda: np.multiply(x, 1.5, out=y), repeat=3)) / 1e9


def at_threads(threads: int, work: Callable[[], object]) -> Callable[[], object]:
    """Return ``work`` run with this many threads."""

    def run() -> object:
        fn.set_num_threads(threads)
        return work()

    return run


def with_torch_threads(threads: int, work: Callable[[], object]) -> Callable[[], object]:
    """Return ``work`` run with this many of PyTorch's threads."""
    import torch

    def run() -> object:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return work()

    return run
