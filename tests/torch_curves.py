"""What the recorded losses of PyTorch are of: ``bench/curves.py`` on the networks that take seconds."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

ARCHIVE = Path(__file__).with_suffix(".json")
SMALL = ("mlp-sigmoid", "mlp-relu", "garment-4", "garment-64", "cnn")
STEPS = 50


def _module(name: str) -> Any:
    """Import a module of bench/, whose modules find each other by name."""
    folder = str(Path(__file__).resolve().parent.parent / "bench")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


def curves_module() -> Any:
    """Return ``bench/curves.py``."""
    return _module("curves")


def network_of(name: str) -> Any:
    """Return a network by its name."""
    return next(network for network in _module("networks").NETWORKS if network.name == name)
