"""Training steps and inference of one network in fastnn and in PyTorch, from the same batch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import fastnn as fn
from networks import Network

__all__ = ["TORCH_FORMS", "batch_of", "fastnn_inference", "fastnn_step", "torch_inference", "torch_step"]

Work = Callable[[], object]
LR, MOMENTUM = 1e-3, 0.9  # small: random images teach nothing, and the loss must stay finite for thousands of steps
TORCH_FORMS = ("nchw", "channels-last", "compiled")


def batch_of(network: Network, size: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return random images and labels."""
    rng = np.random.default_rng(0)
    shape = (size or network.shape[0], *network.shape[1:])
    return rng.standard_normal(shape, np.float32), rng.integers(0, network.classes, shape[0])


def one_hot(network: Network, labels: np.ndarray) -> np.ndarray:
    """Return 0.01 and 0.99 at the labels, as targets of sigmoids."""
    return np.where(np.arange(network.classes) == labels[:, None], 0.99, 0.01).astype(np.float32)


def fastnn_model(network: Network) -> Any:
    """Return the network in fastnn, from a fixed seed."""
    fn.manual_seed(0)
    return network.build(fn.nn, lambda name: importlib.import_module(f"fastnn.models.{name}"))


def fastnn_step(network: Network) -> Work:
    """Return one training step in fastnn."""
    model = fastnn_model(network)
    loss = fn.nn.MSELoss() if network.squared else fn.nn.CrossEntropyLoss()
    step = fn.TrainStep(model, loss, fn.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM))
    x, y = batch_of(network)
    target = one_hot(network, y) if network.squared else y
    return lambda: step(x, target)


def fastnn_inference(network: Network, size: int) -> Work:
    """Return scores of a batch in fastnn."""
    model = fastnn_model(network).eval()
    x, _ = batch_of(network, size)
    return lambda: model(x)


def torch_model(network: Network, form: str) -> tuple[Any, Callable[[Any], Any]]:
    """Return the network in PyTorch, and what brings a batch into its memory format."""
    import torch

    from torch_twin import torch_nn, twin

    torch.manual_seed(0)
    model = network.build(torch_nn(), twin)
    if form == "nchw":
        return model, lambda x: x
    model = model.to(memory_format=torch.channels_last)
    if form == "compiled":
        model = torch.compile(model)
    return model, lambda x: x.to(memory_format=torch.channels_last)


def torch_step(network: Network, form: str) -> Work:
    """Return one training step in PyTorch."""
    import torch

    model, place = torch_model(network, form)
    images, labels = batch_of(network)
    x = place(torch.from_numpy(images))
    y = torch.from_numpy(one_hot(network, labels) if network.squared else labels)
    loss = torch.nn.MSELoss() if network.squared else torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)

    def step() -> float:
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return float(value.item())

    return step


def torch_inference(network: Network, form: str, size: int) -> Work:
    """Return scores of a batch in PyTorch."""
    import torch

    model, place = torch_model(network, form)
    model.eval()
    x = place(torch.from_numpy(batch_of(network, size)[0]))

    def infer() -> Any:
        with torch.inference_mode():
            return model(x)

    return infer
