"""Fifty steps give PyTorch's losses: from the same weights, batches and hyper-parameters."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import numpy as np
import pytest

from fastnn import nn
from torch_curves import ARCHIVE, SMALL, STEPS, curves_module, network_of

RECORDED: dict[str, dict[str, list[float]]] = json.loads(ARCHIVE.read_text())["curves"]
CURVES = curves_module()


def live(name: str) -> dict[str, list[float]]:
    return {form: CURVES.curve(network_of(name), form, STEPS) for form in CURVES.FORMS if form.startswith("torch")}


@pytest.mark.parametrize("name", SMALL)
def test_losses_are_those_of_pytorch(name: str) -> None:
    ours = {form: CURVES.curve(network_of(name), form, STEPS) for form in ("exact", "fast")}
    theirs = [RECORDED[name]]
    if name == SMALL[0] and importlib.util.find_spec("torch"):
        theirs.append(live(name))
    for peer in theirs:
        assert peer["torch"][-1] < 0.5 * peer["torch"][0], "it learns"
        found = CURVES.verdict(peer | ours)
        assert found["within"], found


def test_a_wrong_step_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CURVES, "MOMENTUM", 0.88)
    ours = {form: CURVES.curve(network_of("mlp-sigmoid"), form, STEPS) for form in ("exact", "fast")}
    assert not CURVES.verdict(RECORDED["mlp-sigmoid"] | ours)["within"]


def test_verdict() -> None:
    peer = np.linspace(2, 1, 5)
    curves: dict[str, Any] = {"torch": peer, "torch 2 threads": peer * 1.02, "torch seed 1": peer + 1}
    assert CURVES.verdict(curves | {"exact": peer * 1.039, "fast": peer + 0.24})["within"]
    assert not CURVES.verdict(curves | {"exact": peer * 1.041, "fast": peer})["within"]
    assert not CURVES.verdict(curves | {"exact": peer, "fast": peer + 0.26})["within"]


def test_nothing_random_is_left_in_a_network() -> None:
    model = CURVES.made(network_of("alexnet"))
    dropouts = [m for m in model.modules() if isinstance(m, nn.Dropout)]
    assert len(dropouts) == 2
    assert all(m.p == 0 for m in dropouts)
