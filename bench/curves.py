"""The losses of fifty steps in fastnn and in PyTorch, from the same weights, batches and hyper-parameters.

    python -m bench.peers curves [--match resnet18] [--steps 50] [--out results]

Dropout and stochastic depth are 0, the optimizer is SGD with momentum 0.9, the rate stands in `RATES`. What is asked:
in "exact" every loss within 1 %, or within twice what PyTorch's losses with one and with two threads differ by,
whichever is more; in "fast" a mean difference of at most a quarter of that of two seeds.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fn
from network_steps import one_hot
from networks import NETWORKS, Network
from report import machine, table

__all__ = ["FORMS", "NAME", "RATES", "add_arguments", "curve", "run", "verdict"]

NAME = "curves"
FORMS = ("torch", "torch 2 threads", "torch seed 1", "exact", "fast")
MOMENTUM = 0.9
RATES = {  # small enough that the losses of PyTorch with one and with two threads stay together
    "mlp-sigmoid": 0.5, "mlp-relu": 0.01, "garment-4": 0.001, "garment-64": 0.001, "cnn": 0.02, "vgg16-cifar": 0.0002,
    "resnet18-cifar": 0.001, "alexnet": 0.000003, "vgg16": 0.000003, "resnet50": 0.001, "efficientnet-b0": 0.002,
}  # fmt: skip
CLASSES = 10  # that labels are drawn from
EXACT, FAST = 0.01, 0.25


def weights(network: Network, model: Any, seed: int) -> dict[str, np.ndarray]:
    """Return a state of the model: He's normal weights, biases of 0, and batch norm as it begins."""
    rng = np.random.default_rng((seed, 1))
    state = {}
    for name, value in model.state_dict().items():
        fresh = np.array(value)
        if fresh.ndim > 1:
            gain = 1.0 if network.squared else 2.0
            fresh = (rng.standard_normal(fresh.shape) * np.sqrt(gain / fresh[0].size)).astype(np.float32)
        elif name.endswith("bias"):
            fresh = np.zeros_like(fresh)
        state[name] = fresh
    return state


def batches(network: Network, steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield images that are a picture of their class under noise, and labels."""
    shape = network.shape[1:]
    pictures = np.random.default_rng(2).standard_normal((CLASSES, *shape), np.float32)
    for i in range(steps):
        rng = np.random.default_rng((3, i))
        labels = rng.integers(0, CLASSES, network.shape[0])
        yield pictures[labels] + rng.standard_normal(network.shape, np.float32), labels


def made(network: Network) -> Any:
    """Return the network in fastnn, without anything random."""
    model = network.build(fn.nn, lambda name: importlib.import_module(f"fastnn.models.{name}"))
    for module in model.modules():
        if type(module).__name__ in ("Dropout", "Dropout2d", "StochasticDepth"):
            module.p = 0.0
    return model


def fastnn_curve(network: Network, precision: str, steps: int) -> list[float]:
    """Return the losses in fastnn."""
    before = fn.get_precision()
    fn.set_precision(precision)
    try:
        model = made(network)
        model.load_state_dict(weights(network, model, 0))
        loss = fn.nn.MSELoss() if network.squared else fn.nn.CrossEntropyLoss()
        optimizer = fn.optim.SGD(model.parameters(), lr=RATES[network.name], momentum=MOMENTUM)
        step = fn.TrainStep(model, loss, optimizer)
        return step.run((x, one_hot(network, y) if network.squared else y) for x, y in batches(network, steps))
    finally:
        fn.set_precision(before)


def torch_curve(network: Network, threads: int, seed: int, steps: int) -> list[float]:
    """Return the losses in PyTorch."""
    import torch

    from torch_twin import torch_nn, twin

    torch.set_num_threads(threads)
    model = network.build(torch_nn(), twin)
    for module in model.modules():
        if type(module).__name__ == "StochasticDepth":
            module.kept = 1.0
        elif isinstance(module, (torch.nn.Dropout, torch.nn.Dropout2d)):
            module.p = 0.0
    state = weights(network, made(network), seed)
    model.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    loss = torch.nn.MSELoss() if network.squared else torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATES[network.name], momentum=MOMENTUM)
    losses = []
    for x, y in batches(network, steps):
        optimizer.zero_grad()
        value = loss(model(torch.from_numpy(x)), torch.from_numpy(one_hot(network, y) if network.squared else y))
        value.backward()
        optimizer.step()
        losses.append(float(value.item()))
    return losses


def curve(network: Network, form: str, steps: int) -> list[float]:
    """Return the losses of one of `FORMS`."""
    if not form.startswith("torch"):
        return fastnn_curve(network, form, steps)
    return torch_curve(network, 2 if form.endswith("threads") else 1, 1 if form.endswith("seed 1") else 0, steps)


def verdict(curves: Mapping[str, Any]) -> dict[str, float | bool]:
    """Return what is asked of the losses by form, what was found, and whether it is within."""
    losses = {form: np.array(values) for form, values in curves.items()}
    peer = losses["torch"]
    apart = {form: float((np.abs(values - peer) / peer).max()) for form, values in losses.items()}
    seeds = float(np.abs(losses["torch seed 1"] - peer).mean())
    exact_allowed = max(EXACT, 2 * apart["torch 2 threads"])
    fast = float(np.abs(losses["fast"] - peer).mean()) / seeds
    return {
        "first": float(peer[0]),
        "last": float(peer[-1]),
        "torch apart": apart["torch 2 threads"],
        "exact apart": apart["exact"],
        "exact allowed": exact_allowed,
        "fast of seeds": fast,
        "fast allowed": FAST,
        "within": apart["exact"] <= exact_allowed and fast <= FAST,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("--match", default="", help="only networks whose name holds this text")
    parser.add_argument("--steps", type=int, default=50)


def run(args: argparse.Namespace) -> None:
    """Compute the curves that the folder has not yet, print and write the verdicts, draw the losses."""
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "curves.json"
    found: dict[str, Any] = json.loads(path.read_text())["curves"] if path.exists() else {}
    networks = [n for n in NETWORKS if args.match in n.name and (not args.quick or n.shape[1] == 1)]
    for network in networks:
        curves = found.setdefault(network.name, {})
        for form in FORMS:
            if len(curves.get(form, ())) != args.steps:
                curves[form] = curve(network, form, args.steps)
                path.write_text(json.dumps({"machine": machine(), "curves": found}, indent=1, default=str) + "\n")
        print(network.name, ", ".join(f"{k} {v:.3g}" for k, v in verdict(curves).items()), flush=True)
    write(found, args.out)


def write(found: Mapping[str, Any], folder: Path) -> None:
    """Write the verdicts as a table, and the curves as pictures where matplotlib is installed."""
    whole = {name: curves for name, curves in found.items() if set(FORMS) <= set(curves)}
    rows = []
    for name, curves in whole.items():
        figures = (RATES[name], *verdict(curves).values())
        rows.append([name, *(f"{figure:.3g}" if isinstance(figure, float) else figure for figure in figures)])
    if not rows:
        return
    header = ["network", "rate", *verdict(next(iter(whole.values())))]
    lines = ["# Losses beside PyTorch's", "", *(f"- {k}: {v}" for k, v in machine().items()), ""]
    (folder / "curves.md").write_text("\n".join([*lines, *table(header, rows)]) + "\n")
    if importlib.util.find_spec("matplotlib"):
        draw(whole, folder / "curves.png")


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw a picture of each network's losses."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(-(-len(found) // 3), 3, figsize=(12, 3 * -(-len(found) // 3)), squeeze=False)
    for (name, curves), place in zip(found.items(), axes.flat, strict=False):
        for form, style in zip(FORMS, ("k-", "k:", "0.7", "C0--", "C1-."), strict=True):
            if style == "0.7":
                place.plot(curves[form], color=style, label=form)
            else:
                place.plot(curves[form], style, label=form)
        place.set_title(name)
    axes.flat[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
