"""Whole training steps of small networks beside PyTorch's."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

import fastnn as fn
from measure import alternate, at_threads, with_torch_threads

__all__ = ["NAME", "add_arguments", "run"]

NAME = "networks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes: nothing."""


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


def run(args: argparse.Namespace) -> None:
    """GarmentClassifier at batch 4 and 64."""
    for threads in args.threads:
        for batch in (4,) if args.quick else (4, 64):
            works = {"fastnn": at_threads(threads, fastnn_step(batch))}
            for name, last in (("torch nchw", False), ("torch channels-last", True)):
                works[name] = with_torch_threads(threads, torch_step(batch, last))
            times = alternate(works)
            best = min(t for name, t in times.items() if name != "fastnn")
            cells = ", ".join(f"{name} {t * 1e3:.3f} ms" for name, t in times.items())
            print(f"garment batch {batch}, {threads} threads: {cells}; ratio {best / times['fastnn']:.2f}")
