"""fastnn beside PyTorch on the same CPU, in turn, in one process: ``python bench/peers.py networks|gemm|conv``.

Needs ``pip install torch==2.13.0``. Prints medians and ratios (above 1: fastnn is faster).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

import fastnn as fn
from measure import alternate, at_threads, fma_peak


def torch_step(batch: int, channels_last: bool) -> Callable[[], object]:
    """Return one training step of GarmentClassifier in PyTorch."""
    import torch
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(1, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )
    x, y = torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> float:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def fastnn_step(batch: int) -> Callable[[], object]:
    """Return the same step in fastnn."""
    model = fn.models.create("garment", num_classes=10, in_channels=1, image_size=28)
    step = fn.TrainStep(model, fn.nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(batch, 1, 28, 28)).astype(np.float32), rng.integers(0, 10, batch)
    return lambda: step(x, y)


def with_torch_threads(threads: int, work: Callable[[], object]) -> Callable[[], object]:
    """Return ``work`` run with this many of PyTorch's threads."""
    import torch

    def run() -> object:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return work()

    return run


def networks() -> None:
    """GarmentClassifier at batch 4 and 64."""
    for threads in (1, 2):
        for batch in (4, 64):
            works = {"fastnn": at_threads(threads, fastnn_step(batch))}
            for name, last in (("torch nchw", False), ("torch channels-last", True)):
                works[name] = with_torch_threads(threads, torch_step(batch, last))
            report(f"garment batch {batch}, {threads} threads", alternate(works), 1e3, "ms")


def gemm() -> None:
    """Square products beside NumPy and PyTorch, with the share of the multiply-add peak."""
    import torch

    for threads in (1, 2):
        for n in (512, 1024, 2048):
            a, b = (np.random.default_rng(i).normal(size=(n, n)).astype(np.float32) for i in (0, 1))
            ta, tb = torch.from_numpy(a), torch.from_numpy(b)
            works = {
                "fastnn": at_threads(threads, lambda a=a, b=b: fn.nn.functional.linear(a, b)),
                "torch": with_torch_threads(threads, lambda a=ta, b=tb: torch.nn.functional.linear(a, b)),
            }
            measure_rate(f"linear {n}^3, {threads} threads", 2e-9 * n**3, threads, works, rounds=9)


def conv() -> None:
    """Every layer of the convolution benchmark, forward, beside PyTorch's better layout."""
    import torch

    from bench_conv import LAYERS, channels_last
    from fastnn.graph import run_primitive

    for threads in (1, 2):
        for name, (n, ic, ih, iw, oc, k, stride, pad, groups) in LAYERS.items():
            rng = np.random.default_rng(0)
            x = channels_last(rng.normal(size=(n, ic, ih, iw)))
            w = rng.normal(size=(oc, ic // groups, k, k)).astype(np.float32)
            attrs = {
                "stride": (stride,) * 2,
                "padding": (pad,) * 4,
                "dilation": (1, 1),
                "groups": groups,
                "algorithm": "auto",
            }
            tx, tw = torch.from_numpy(x), torch.from_numpy(w)
            works = {"fastnn": at_threads(threads, lambda x=x, w=w, a=attrs: run_primitive("conv2d", x, w, **a))}
            for layout in (torch.contiguous_format, torch.channels_last):
                args = (tx.to(memory_format=layout), tw.to(memory_format=layout), None, stride, pad, 1, groups)
                works[f"torch {layout}"] = with_torch_threads(
                    threads, lambda args=args: torch.nn.functional.conv2d(*args)
                )
            oh, ow = (ih + 2 * pad - k) // stride + 1, (iw + 2 * pad - k) // stride + 1
            gflop = 2e-9 * n * oc * oh * ow * (ic // groups) * k * k
            measure_rate(f"{name}, {threads} threads", gflop, threads, works, rounds=5)


def measure_rate(title: str, gflop: float, threads: int, works: dict[str, Callable[[], object]], rounds: int) -> None:
    """Time the peers and the multiply-add peak in turn; print rate, share of the peak and ratios."""
    peak = fma_peak(threads)
    times = alternate(works | {"peak": peak}, rounds)
    rate, limit = gflop / times["fastnn"], 1e-9 * peak() / times.pop("peak")
    report(f"{title}: {rate:.1f} GFLOP/s, {rate / limit:.0%} of the peak {limit:.0f}", times, 1e3, "ms")


def report(title: str, times: dict[str, float], scale: float, unit: str) -> None:
    """Print the medians and the ratio of the best peer's to fastnn's."""
    best = min(t for name, t in times.items() if name != "fastnn")
    cells = ", ".join(f"{name} {t * scale:.3f} {unit}" for name, t in times.items())
    print(f"{title}: {cells}; ratio {best / times['fastnn']:.2f}")


def main() -> None:
    """Run the suite that was asked for."""
    suites = {"networks": networks, "gemm": gemm, "conv": conv}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=suites)
    suites[parser.parse_args().suite]()


if __name__ == "__main__":
    main()
