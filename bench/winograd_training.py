"""Does Winograd's rounding change training? VGG-like nets on CIFAR-10 in "fast" and in "exact", same seed and order.

``python -m bench.winograd_training FOLDER_WITH_CIFAR10`` trains two nets for 300 steps from seeds 0 to 2, each in
"exact", in "fast", with the error of every Winograd convolution multiplied by 30, and in "exact" with the last bit of
the first weights changed. The differences of the smoothed losses are printed as shares of what two seeds differ by.

A net with ReLU and max pooling is asked for a quarter. There any difference, be it one of a last bit, grows to one and
the same size, as it changes which side of a kink a pixel is on: the net says whether "fast" matters, not how large an
error is. A smooth net (SiLU, average pooling) hardly magnifies anything, and shows the error itself: it is asked for a
thousandth, which the multiplied error exceeds. Mean accuracies may differ from those of "exact" by half a point.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import fastnn as fn
from fastnn import nn

Array = npt.NDArray[Any]

WINDOW = 20  # steps that a smoothed loss is the mean of
TIMES = 30  # the error of the version that must fail
SHARES = {"sharp": 0.25, "smooth": 0.001}  # of the difference between seeds, that a net allows
RATES = {"sharp": 0.02, "smooth": 0.1}
ACCURACY = 0.005  # how far mean accuracies may be apart
WAYS = ("exact", "fast", "worse", "last bit")


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


def network(kind: str, conv: Callable[[int, int], nn.Module], width: int, classes: int = 10) -> nn.Sequential:
    """Three stages of two convolutions with batch norm and activation."""
    activation, pool = (nn.ReLU, nn.MaxPool2d) if kind == "sharp" else (nn.SiLU, nn.AvgPool2d)
    layers: list[nn.Module] = []
    channels = 3
    for stage in range(3):
        for _ in range(2):
            outputs = width << stage
            layers += [conv(channels, outputs), nn.BatchNorm2d(outputs), activation()]
            channels = outputs
        layers.append(pool(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))


@dataclass(frozen=True)
class Settings:
    """Of a run: the rate rises for ``warm`` steps, and falls to 0."""

    kind: str = "sharp"
    steps: int = 300
    width: int = 32
    batch: int = 64
    rate: float = 0.02
    warm: int = 50


def train(data: tuple[Array, Array, Array, Array], way: str, seed: int, settings: Settings) -> tuple[Array, float]:
    """The loss of every step, and the accuracy on the test images."""
    x, y, test_x, test_y = data
    fn.set_precision("fast" if way in ("fast", "worse") else "exact")
    fn.manual_seed(seed)
    model = network(settings.kind, WorseConv if way == "worse" else Conv, settings.width)
    if way == "last bit":
        first = next(iter(model.parameters()))
        first.data[...] = np.nextafter(first.data, np.float32(np.inf))
    optimizer = fn.optim.SGD(model.parameters(), lr=settings.rate, momentum=0.9)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), optimizer)
    order = np.random.default_rng(seed)
    losses = []
    for i in range(settings.steps):
        rise, fall = min(1, (i + 1) / settings.warm), 1 - i / settings.steps
        optimizer.param_groups[0]["lr"] = settings.rate * rise * fall
        chosen = order.integers(0, len(x), settings.batch)
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


def compare(
    data: tuple[Array, Array, Array, Array], settings: Settings, seeds: int, ways: Sequence[str]
) -> dict[str, Any]:
    """Train every way; the shares of the difference between seeds, and the accuracies."""
    runs: dict[str, list[tuple[Array, float]]] = {way: [] for way in ways}
    for way, done in runs.items():
        for seed in range(seeds):
            done.append(train(data, way, seed, settings))
            losses, accuracy = done[-1]
            print(settings.kind, way, seed, f"last loss {smooth(losses)[-1]:.4f}, accuracy {accuracy:.4f}", flush=True)
    exact = [losses for losses, _ in runs["exact"]]
    result: dict[str, Any] = {"settings": asdict(settings), "between seeds": between_seeds(exact)}
    for way, done in runs.items():
        apart = [difference(a, b) / result["between seeds"] for (a, _), b in zip(done, exact, strict=True)]
        result[way] = {
            "share": float(np.mean(apart)),
            "of each seed": apart,
            "accuracy": [accuracy for _, accuracy in done],
        }
    return result


def main() -> None:
    """Train both nets, print what the bounds are about and whether they hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    data = cifar(asked.folder)
    kept = dict.fromkeys(WAYS, True)
    for kind, allowed in SHARES.items():
        warm = min(50 if kind == "sharp" else 20, asked.steps)
        settings = Settings(kind, steps=asked.steps, rate=RATES[kind], warm=warm)
        result = compare(data, settings, asked.seeds, WAYS)
        print(json.dumps(result, indent=1))
        for way in WAYS:
            apart = abs(np.mean(result[way]["accuracy"]) - np.mean(result["exact"]["accuracy"]))
            kept[way] &= bool(result[way]["share"] <= allowed and apart <= ACCURACY)
    for way in WAYS:
        print(f"{way}: {'within' if kept[way] else 'past'} the bounds")


if __name__ == "__main__":
    main()
