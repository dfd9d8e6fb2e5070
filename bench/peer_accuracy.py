"""LeNet-5 on MNIST until 99 % of the test images are right: wall clock beside PyTorch's with the same recipe.

Both start from the same weights and see the same batches with the same learning rates: AdamW, one cycle over
``--epochs``. The test part is measured four times an epoch; the clock stops at the first measurement that reaches the
aim, and counts everything but reading the files.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import fastnn as fn
from report import machine, table

__all__ = ["NAME", "Data", "add_arguments", "fastnn_trainer", "run", "seconds_to"]

NAME = "accuracy"
BATCH, PEAK, DECAY, CHECKS = 128, 6e-3, 1e-2, 4
Row = dict[str, Any]
# makes ready once, then: a step on rows at a rate, and the share of test images that are right
Trainer = tuple[Callable[[np.ndarray, float], object], Callable[[], float]]


@dataclass(frozen=True)
class Data:
    """Normalised images and labels in memory."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("--data-dir", help="folder with MNIST's original files")
    parser.add_argument("--aim", type=float, default=0.99, help="share of the test images")
    parser.add_argument("--epochs", type=int, default=4, help="length of the cycle of the learning rate")
    parser.add_argument("--rounds", type=int, default=3, help="how many seeds")
    parser.add_argument("--forms", nargs="*", default=["torch", "torch channels-last"], help="of PyTorch, to run")


def read(folder: str | None, quick: bool) -> Data:
    """Return MNIST; the digits for a quick look."""
    parts = []
    for train in (True, False):
        part = fn.datasets.digits(train) if quick else fn.datasets.mnist(folder, train)
        normalize = fn.data.transforms.Normalize(part.mean, part.std, scale=part.scale)
        pixels = part.x.repeat(3, axis=2).repeat(3, axis=3) if quick else part.x  # LeNet-5 needs 12 x 12
        parts += [normalize(pixels), part.y]
    return Data(*parts)


def batches(count: int, epochs: int, seed: int) -> Iterator[tuple[np.ndarray, float]]:
    """Yield the rows of each batch and its learning rate: up over a quarter of all steps, then down to zero."""
    rng, steps = np.random.default_rng(seed), epochs * (count // BATCH)
    for i in range(steps):
        if i % (count // BATCH) == 0:
            order = rng.permutation(count)
        done = (i + 1) / steps
        begin = i % (count // BATCH) * BATCH
        yield order[begin : begin + BATCH], PEAK * min(done / 0.25, (1 - done) / 0.75) + 1e-5


def seconds_to(aim: float, data: Data, trainer: Callable[[], Trainer], epochs: int, seed: int) -> Row:
    """Train until the aim is reached or the cycle ends; return seconds, steps and the accuracy reached."""
    begun = time.perf_counter()
    step, accuracy = trainer()
    every, reached, done = max(len(data.x) // BATCH // CHECKS, 1), 0.0, 0
    for done, (rows, rate) in enumerate(batches(len(data.x), epochs, seed), 1):
        step(rows, rate)
        if done % every == 0:
            reached = accuracy()
            if reached >= aim:
                break
    return {"seconds": time.perf_counter() - begun, "steps": done, "accuracy": reached}


def network(data: Data) -> Any:
    """Return LeNet-5 for these images."""
    return fn.models.LeNet5(image_size=data.x.shape[2:])


def fastnn_trainer(data: Data, weights: dict[str, np.ndarray], threads: int) -> Trainer:
    """Return fastnn's side."""
    fn.set_num_threads(threads)
    model = network(data)
    model.load_state_dict(weights)
    optimizer = fn.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=DECAY)
    run_step = fn.TrainStep(model, fn.nn.CrossEntropyLoss(), optimizer)

    def step(rows: np.ndarray, rate: float) -> None:
        optimizer.param_groups[0]["lr"] = rate
        run_step(data.x[rows], data.y[rows])

    def accuracy() -> float:
        with fn.no_grad():
            parts = np.split(np.arange(len(data.y_test)), range(1000, len(data.y_test), 1000))
            return sum(int((model(data.x_test[p]).argmax(1) == data.y_test[p]).sum()) for p in parts) / len(data.y_test)

    return step, accuracy


def torch_trainer(data: Data, weights: dict[str, np.ndarray], threads: int, channels_last: bool) -> Trainer:
    """Return PyTorch's side."""
    import torch

    torch.set_num_threads(threads)
    like = {"memory_format": torch.channels_last if channels_last else torch.contiguous_format}
    kinds = {"Conv2d": torch.nn.Conv2d, "ReLU": torch.nn.ReLU, "MaxPool2d": torch.nn.MaxPool2d}

    def twin(layer: Any) -> Any:
        if type(layer).__name__ == "Linear":
            return torch.nn.Linear(layer.in_features, layer.out_features)
        if type(layer).__name__ == "Conv2d":
            return torch.nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, padding=layer.padding)
        return kinds[type(layer).__name__](*([2] if type(layer).__name__ == "MaxPool2d" else []))

    ours = network(data)
    model = torch.nn.Sequential()
    model.add_module("features", torch.nn.Sequential(*map(twin, ours.features)))
    model.add_module("flatten", torch.nn.Flatten())
    model.add_module("classifier", torch.nn.Sequential(*map(twin, ours.classifier)))
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    model = model.to(**like)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y)
    x_test, y_test = torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, weight_decay=DECAY, fused=True)

    def step(rows: np.ndarray, rate: float) -> None:
        chosen = torch.from_numpy(rows)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[chosen].contiguous(**like)), y[chosen]).backward()
        optimizer.step()

    def accuracy() -> float:
        with torch.no_grad():
            right = [
                (model(a).argmax(1) == b).sum() for a, b in zip(x_test.split(1000), y_test.split(1000), strict=True)
            ]
            return float(sum(right)) / len(y_test)

    return step, accuracy


def run(args: argparse.Namespace) -> None:
    """Measure in turn, print as it goes, write accuracy.json and accuracy.md."""
    data = read(args.data_dir, args.quick)
    sides: dict[str, Callable[..., Trainer]] = {"fastnn": fastnn_trainer}
    if importlib.util.find_spec("torch"):
        for name, last in (("torch", False), ("torch channels-last", True)):
            if name in args.forms:
                sides[name] = partial(torch_trainer, channels_last=last)
    rows = []
    for threads in args.threads:
        for seed in range(1 if args.quick else args.rounds):
            fn.manual_seed(seed)
            weights = dict(network(data).state_dict())
            row: Row = {"threads": threads, "seed": seed}
            for name, side in sides.items():
                make = partial(side, data, weights, threads)
                row[name] = seconds_to(args.aim, data, make, args.epochs, seed)
                print(f"{threads} threads, seed {seed}, {name}: {row[name]}", flush=True)
            rows.append(row)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "accuracy.json").write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))
    cells = [[str(r["threads"]), str(r["seed"]), *(told(r[name]) for name in sides), ratio(r, sides)] for r in rows]
    text = "\n".join(table(["threads", "seed", *sides, "ratio to the best"], cells))
    (args.out / "accuracy.md").write_text(text + "\n")
    print(text)


def told(found: Row) -> str:
    """Return a cell: seconds, steps and accuracy."""
    return f"{found['seconds']:.2f} s, {found['steps']} steps, {found['accuracy']:.2%}"


def ratio(row: Row, sides: Any) -> str:
    """Return how many times longer the quicker peer took."""
    peers = [row[name]["seconds"] for name in sides if name != "fastnn"]
    return f"{min(peers) / row['fastnn']['seconds']:.2f}" if peers else ""
