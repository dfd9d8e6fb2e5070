"""The networks whose training steps are compared, as data; one definition serves both libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["NETWORKS", "Network"]

# Called with a library's nn and with a function that gives a module of the library's models by name.
Build = Callable[[Any, Callable[[str], Any]], Any]


@dataclass(frozen=True, slots=True)
class Network:
    """One row: how the network is made, the shape of a batch, and what the step should reach against PyTorch's."""

    name: str
    build: Build
    shape: tuple[int, ...]
    target: float  # times faster than PyTorch's best
    memory: float | None = None  # share of PyTorch's peak memory
    classes: int = 10
    squared: bool = False  # the loss: squared error of one-hot targets, else cross entropy


def perceptron(nn: Any, models: Any) -> Any:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.Sigmoid(), nn.Linear(100, 10), nn.Sigmoid())


def deep_perceptron(nn: Any, models: Any) -> Any:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    )


def plain_cnn(nn: Any, models: Any) -> Any:
    layers = []
    for ic, oc in ((1, 32), (32, 64)):
        layers += [nn.Conv2d(ic, oc, 3, padding=1), nn.BatchNorm2d(oc), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))


def model(module: str, name: str, **options: Any) -> Build:
    """Return a builder of ``fastnn.models.<module>.<name>``."""
    return lambda nn, models: getattr(models(module), name)(**options)


NETWORKS = (
    Network("mlp-sigmoid", perceptron, (64, 1, 28, 28), 2.5, squared=True),
    Network("mlp-relu", deep_perceptron, (128, 1, 28, 28), 1.7),
    Network("garment-4", model("lenet", "GarmentClassifier"), (4, 1, 28, 28), 8.0),
    Network("garment-64", model("lenet", "GarmentClassifier"), (64, 1, 28, 28), 3.5, 0.5),
    Network("cnn", plain_cnn, (128, 1, 28, 28), 3.0, 0.5),
    Network("vgg16-cifar", model("vgg", "vgg16_bn", num_classes=10, cifar=True), (32, 3, 32, 32), 2.2, 0.5),
    Network("resnet18-cifar", model("resnet", "resnet18", num_classes=10, cifar=True), (32, 3, 32, 32), 2.2, 0.5),
    Network("alexnet", model("alexnet", "alexnet"), (16, 3, 224, 224), 1.5, 0.65, 1000),
    Network("vgg16", model("vgg", "vgg16"), (4, 3, 224, 224), 2.0, 0.65, 1000),
    Network("resnet50", model("resnet", "resnet50"), (8, 3, 224, 224), 1.5, 0.55, 1000),
    Network("efficientnet-b0", model("efficientnet", "efficientnet_b0"), (8, 3, 224, 224), 2.5, 0.5, 1000),
)
