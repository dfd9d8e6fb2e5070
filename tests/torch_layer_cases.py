"""Layers and losses whose values are compared with PyTorch's: the cases, and how a library's values are taken.

An expression is the case's name and its code: it is evaluated in ``fastnn.nn`` and in ``torch.nn``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ARCHIVE = Path(__file__).with_name("torch_layers.npz")

IMAGE, SIGNAL, ROWS = (2, 4, 7, 6), (3, 4, 9), (5, 4)

LAYERS: dict[str, tuple[int, ...]] = {
    name.strip(): shape
    for shape, names in [
        (ROWS, "Linear(4, 3) | Linear(4, 3, False)"),
        (IMAGE, "Linear(6, 3)"),
        (SIGNAL, "Linear(9, 2)"),
        (
            IMAGE,
            "Conv2d(4, 6, 3) | Conv2d(4, 6, 3, 2, 1) | Conv2d(4, 6, (3, 2), (1, 2), (1, 0), (2, 1), 2) | "
            "Conv2d(4, 4, 3, padding='same', groups=4) | Conv2d(4, 8, 3, 2, 1, groups=4) | "
            "Conv2d(4, 8, 4, padding='same') | Conv2d(4, 8, 2, padding='same', dilation=3) | Conv2d(4, 5, 1) | "
            "Conv2d(4, 5, 1, 2) | Conv2d(4, 4, 3, 3, padding='valid', bias=False)",
        ),
        (
            SIGNAL,
            "Conv1d(4, 6, 3) | Conv1d(4, 6, 4, padding='same', dilation=2) | Conv1d(4, 8, 3, 2, 1, 1, 4)",
        ),
        (
            IMAGE,
            "MaxPool2d(2) | MaxPool2d(3, 2, 1) | MaxPool2d((2, 3), (1, 2), (1, 1), (2, 1), False, True) | "
            "MaxPool2d(3, ceil_mode=True) | AvgPool2d(2) | AvgPool2d(3, 2, 1) | AvgPool2d(3, 2, 1, True, False) | "
            "AvgPool2d((2, 3), 1, 0, False, True, 5) | AvgPool2d(3, 2, 1, True, True) | LPPool2d(2, 2) | "
            "LPPool2d(1, 3, 2) | LPPool2d(2, 3, 2, True) | AdaptiveAvgPool2d(1) | AdaptiveAvgPool2d((3, 4)) | "
            "AdaptiveAvgPool2d((None, 2)) | AdaptiveAvgPool2d(9) | AdaptiveMaxPool2d(3) | AdaptiveMaxPool2d((1, None))",
        ),
        (
            SIGNAL,
            "MaxPool1d(3, 2, 1) | MaxPool1d(2, dilation=3, ceil_mode=True) | AvgPool1d(3, 2, 1) | "
            "AvgPool1d(4, ceil_mode=True, count_include_pad=False) | LPPool1d(2, 3) | LPPool1d(2, 2, 2, True) | "
            "AdaptiveAvgPool1d(4) | AdaptiveMaxPool1d(4) | AdaptiveMaxPool1d(12)",
        ),
        (
            IMAGE,
            "BatchNorm2d(4) | BatchNorm2d(4, 1e-2, 0.3) | BatchNorm2d(4, momentum=None) | "
            "BatchNorm2d(4, affine=False) | BatchNorm2d(4, track_running_stats=False) | BatchNorm2d(4, bias=False) | "
            "LocalResponseNorm(3) | LocalResponseNorm(4, 0.1, 0.5, 2.0)",
        ),
        (ROWS, "BatchNorm1d(4)"),
        (SIGNAL, "BatchNorm1d(4, momentum=None) | LocalResponseNorm(2, 1.0)"),
        (
            IMAGE,
            "ReLU() | ReLU6() | LeakyReLU(0.1) | PReLU() | PReLU(4) | Sigmoid() | Tanh() | SiLU() | Mish() | "
            "Hardswish() | Hardsigmoid() | Hardtanh(-0.3, 0.7) | GELU() | GELU('tanh') | ELU(0.7) | Softplus() | "
            "Softplus(3, 2) | Softsign() | LogSigmoid() | Softmax(1) | LogSoftmax(1) | LogSoftmax(2) | Softmax2d()",
        ),
        (SIGNAL, "Softmax(-1) | Softmax()"),
        (ROWS, "Softmin(1) | LogSoftmax(0)"),
        (
            IMAGE,
            "Flatten() | Flatten(0, 1) | Flatten(2) | Unflatten(1, (2, 2)) | ZeroPad2d((1, 0, -1, 2)) | "
            "ConstantPad2d((0, 1, 2, -1), 1.5) | Sequential(Conv2d(4, 4, 3), BatchNorm2d(4), ReLU(), MaxPool2d(2))",
        ),
    ]
    for name in names.split(" | ")
}


def draws(name: str) -> np.random.Generator:
    """Return a generator that depends on the case's name alone."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def some(rng: np.random.Generator, shape: tuple[int, ...], scale: float = 2.0) -> np.ndarray:
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def layer_values(name: str, space: Any, library: Any) -> np.ndarray:
    """Return output, gradients and buffers of a training run and the output in eval mode, end to end.

    ``library`` says how a library does it: ``state``, ``set_state``, ``run`` (module, x, dy) -> arrays.
    """
    rng = draws(name)
    module = eval(name, dict(vars(space)))
    state = {}
    for key, value in library.state(module).items():
        state[key] = value if value.dtype != np.float32 else 0.5 * some(rng, value.shape) ** 2 + np.float32(0.3)
    library.set_state(module, state)
    x = some(rng, LAYERS[name])
    found = library.run(module, x, lambda shape: some(rng, shape))
    found += [value for key, value in library.state(module).items() if "running" in key or "num_batches" in key]
    found.append(library.evaluate(module, x))
    return np.concatenate([np.ravel(value).astype(np.float32) for value in found])


# ---- losses ----

N, C = 7, 5
_rng = np.random.default_rng(42)
WEIGHT = _rng.uniform(0.2, 2.0, C).astype(np.float32)
SCORES = some(_rng, (N, C))
CLASSES = _rng.integers(0, C, N)
SOME_IGNORED = np.where(np.arange(N) == 1, -100, CLASSES)
SHARES = _rng.dirichlet(np.ones(C), N).astype(np.float32)
VALUES = some(_rng, (N, C))
INSIDE = _rng.uniform(0.01, 0.99, (N, C)).astype(np.float32)
BINARY = (_rng.uniform(size=(N, C)) > 0.5).astype(np.float32)
MAPS = some(_rng, (2, C, 3, 4))
MAP_CLASSES = _rng.integers(0, C, (2, 3, 4))
MAP_SHARES = np.ascontiguousarray(_rng.dirichlet(np.ones(C), (2, 3, 4)).astype(np.float32).transpose(0, 3, 1, 2))

_weighted = {"weight": WEIGHT}
_smooth = {"label_smoothing": 0.2}
_every = [(SCORES, CLASSES), (MAPS, MAP_CLASSES), (SCORES, SOME_IGNORED)]
_soft = [(SCORES, SHARES), (MAPS, MAP_SHARES)]

_losses: list[tuple[str, dict[str, Any], list[tuple[np.ndarray, np.ndarray]]]] = [
    ("CrossEntropyLoss", {}, _every + _soft),
    ("CrossEntropyLoss", _weighted, _every + _soft),
    ("CrossEntropyLoss", _smooth, _every + _soft),
    ("CrossEntropyLoss", _weighted | _smooth, _every + _soft),
    ("CrossEntropyLoss", _weighted | _smooth | {"ignore_index": 2}, _every[:2]),
    ("NLLLoss", {}, _every),
    ("NLLLoss", _weighted | {"ignore_index": 2}, _every[:2]),
    ("MSELoss", {}, [(SCORES, VALUES)]),
    ("L1Loss", {}, [(SCORES, VALUES)]),
    ("SmoothL1Loss", {}, [(SCORES, VALUES)]),
    ("SmoothL1Loss", {"beta": 0.3}, [(SCORES, VALUES)]),
    ("SmoothL1Loss", {"beta": 0.0}, [(SCORES, VALUES)]),
    ("HuberLoss", {"delta": 0.3}, [(SCORES, VALUES)]),
    ("HuberLoss", {"delta": 2.0}, [(SCORES, VALUES)]),
    ("BCELoss", {}, [(INSIDE, SHARES), (BINARY, BINARY)]),
    ("BCELoss", _weighted, [(INSIDE, SHARES)]),
    ("BCEWithLogitsLoss", {}, [(5 * SCORES, SHARES)]),
    ("BCEWithLogitsLoss", {"weight": BINARY + 1, "pos_weight": WEIGHT}, [(SCORES, SHARES)]),
    ("MultiMarginLoss", {}, [(SCORES, CLASSES)]),
    ("MultiMarginLoss", {"p": 2, "margin": 1.7} | _weighted, [(SCORES, CLASSES)]),
]

LOSSES = {
    f"{kind}({', '.join(options)}) {x.shape} {t.dtype.kind}{i} {reduction}": (kind, options, reduction, x, t)
    for kind, options, pairs in _losses
    for i, (x, t) in enumerate(pairs)
    for reduction in ("mean", "sum", "none")
}


def loss_values(name: str, space: Any, library: Any) -> np.ndarray:
    """Return the loss and the gradient of its input, end to end."""
    kind, options, reduction, x, target = LOSSES[name]
    loss = getattr(space, kind)(**{k: library.array(v) for k, v in options.items()}, reduction=reduction)
    found = library.run_loss(loss, x, target, lambda shape: some(draws(name), shape))
    return np.concatenate([np.ravel(value).astype(np.float32) for value in found])


def all_cases() -> dict[str, Callable[[Any, Any], np.ndarray]]:
    """Return every case: name -> function of (nn, library)."""
    layers = {f"layer/{n}": (lambda nn, lib, n=n: layer_values(n, nn, lib)) for n in LAYERS}
    return layers | {f"loss/{n}": (lambda nn, lib, n=n: loss_values(n, nn, lib)) for n in LOSSES}
