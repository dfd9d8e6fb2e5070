"""Does Winograd's rounding change training? A VGG-like net on CIFAR-10 in "fast" and in "exact", same seed and order.

``python -m bench.winograd_training FOLDER_WITH_CIFAR10`` trains seeds 0 to 2 for 300 steps each way, and once more with
the error of every Winograd convolution multiplied by 30, and prints the differences of the smoothed losses and the
accuracies. The bound: between the two ways at most a quarter of what two seeds differ by.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

import fastnn as fn
from fastnn import nn

Array = npt.NDArray[Any]

WINDOW = 20  # steps that a smoothed loss is the mean of
TIMES = 30  # the error of the version that must fail
SHARE = 0.25  # of the difference between seeds


class Conv(nn.Conv2d):
    """3x3, "same", chosen by the precision."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=False)


class WorseConv(Conv):
    """The same with Winograd's error multiplied, in all three passes."""

    def forward(self, x: Any) -> Any:
        if self.in_channels < 16:
            return super().forward(x)
        exact, fast = (
            nn.functional.conv2d(x, self.weight, padding=1, algorithm=name) for name in ("direct", "winograd4")
        )
        return exact + TIMES * (fast - exact)


def network(conv: Callable[[int, int], nn.Module], width: int, classes: int = 10) -> nn.Sequential:
    """Three stages of two convolutions with batch norm and ReLU."""
    layers: list[nn.Module] = []
    channels = 3
    for stage in range(3):
        for _ in range(2):
            outputs = width << stage
            layers += [conv(channels, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
            channels = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


def train(
    data: tuple[Array, Array, Array, Array], way: str, seed: int, steps: int, width: int, batch: int, rate: float
) -> tuple[Array, float]:
    """The loss of every step, and the accuracy on the test images."""
    x, y, test_x, test_y = data
    fn.set_precision("exact" if way == "exact" else "fast")
    fn.manual_seed(seed)
    model = network(WorseConv if way == "worse" else Conv, width)
    optimizer = fn.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), optimizer)
    order = np.random.default_rng(seed)
    losses = []
    for i in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - i / steps)
        chosen = order.integers(0, len(x), batch)
        losses.append(float(step(x[chosen], y[chosen])))
    model.eval()
    hits = [np.asarray(model(test_x[i : i + 500])).argmax(1) == test_y[i : i + 500] for i in range(0, len(test_x), 500)]
    return np.array(losses), float(np.concatenate(hits).mean())


def smooth(losses: Array) -> Array:
    """Means over windows of steps."""
    return np.convolve(losses, np.ones(WINDOW) / WINDOW, "valid")


def difference(a: Array, b: Array) -> float:
    """The mean difference of two smoothed losses."""
    return float(np.abs(smooth(a) - smooth(b)).mean())


def between_seeds(losses: Sequence[Array]) -> float:
    """The mean over all pairs."""
    pairs = [(a, b) for i, a in enumerate(losses) for b in losses[:i]]
    return float(np.mean([difference(a, b) for a, b in pairs]))


def cifar(folder: str) -> tuple[Array, Array, Array, Array]:
    """Images as floats of about unit variance, channels last in memory."""
    parts: list[Array] = []
    for which in (True, False):
        dataset = fn.datasets.cifar10(folder, train=which)
        images, labels = dataset.arrays
        scaled = ((np.asarray(images, np.float32) / 255 - 0.47) / 0.25).transpose(0, 2, 3, 1)
        parts += [np.ascontiguousarray(scaled).transpose(0, 3, 1, 2), np.asarray(labels, np.int64)]
    return parts[0], parts[1], parts[2], parts[3]


def main() -> None:
    """Train every way, print what the bound is about."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    data = cifar(asked.folder)
    result: dict[str, Any] = {"settings": vars(asked) | {"folder": "CIFAR-10"}}
    runs: dict[str, list[tuple[Array, float]]] = {"exact": [], "fast": [], "worse": []}
    for way, done in runs.items():
        for seed in range(asked.seeds):
            done.append(train(data, way, seed, asked.steps, asked.width, asked.batch, asked.rate))
            print(way, seed, f"last loss {smooth(done[-1][0])[-1]:.4f}, accuracy {done[-1][1]:.4f}", flush=True)
    exact = [losses for losses, _ in runs["exact"]]
    result["between seeds"] = between_seeds(exact)
    for way in ("fast", "worse"):
        result[f"{way} and exact"] = [difference(a, b) for (a, _), b in zip(runs[way], exact, strict=False)]
        result[f"{way} share"] = float(np.mean(result[f"{way} and exact"])) / result["between seeds"]
    for way, done in runs.items():
        result[f"{way} accuracy"] = [accuracy for _, accuracy in done]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
