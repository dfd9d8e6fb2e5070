"""Weights files that say what they are: model name, classes, input shape, normalisation."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from .errors import UsageError, usage
from .pixels import Normalization, OnPixels

__all__ = ["Bundle", "load_bundle", "save_bundle"]

KEY = "fastnn"  # one metadata entry that holds JSON


@dataclass
class Bundle:
    """A network with what is needed to use it on data of its kind."""

    model: Any
    name: str
    classes: list[str]
    input_shape: tuple[int, int, int]
    normalization: Normalization
    data: str
    seed: int

    def on_pixels(self, scale: float | None = None) -> OnPixels:
        """Return the network as it takes pixels: stored as its training data were, or in the scale given."""
        own = self.normalization
        return OnPixels(self.model, own if scale is None else Normalization.of(scale, own.mean, own.std))


def make_model(name: str, classes: int, input_shape: tuple[int, ...]) -> Any:
    """Return a network of the zoo for images of a shape (C, H, W)."""
    from .. import models

    channels, height, width = input_shape
    size = height if height == width else (height, width)
    return models.create(name, num_classes=classes, in_channels=channels, image_size=size)


def metadata_of(bundle: Bundle) -> dict[str, str]:
    """Return the metadata of a weights file."""
    from .._version import __version__

    facts = {
        "version": __version__,
        "model": bundle.name,
        "classes": bundle.classes,
        "input_shape": list(bundle.input_shape),
        "normalization": {
            "scale": bundle.normalization.scale,
            "mean": list(bundle.normalization.mean),
            "std": list(bundle.normalization.std),
        },
        "data": bundle.data,
        "seed": bundle.seed,
    }
    return {KEY: json.dumps(facts)}


def save_bundle(bundle: Bundle, path: str) -> None:
    """Write a network's weights with their metadata."""
    from ..io import save

    with usage():
        save(bundle.model, path, metadata_of(bundle))


def load_bundle(path: str) -> Bundle:
    """Read a network that `save_bundle` wrote.

    Raises
    ------
    UsageError
        For a file that is missing, damaged, or lacks the metadata.
    """
    from ..io import load, load_metadata

    with usage():
        if os.path.isdir(path):
            raise UsageError(f"{path}: expected a weights file, got a folder")
        text = load_metadata(path).get(KEY)
        weights = load(path)
    if text is None:
        raise UsageError(f"{path}: expected weights written by `fastnn train`, got a file that names no model")
    try:
        facts = json.loads(text)
        norm = facts["normalization"]
        channels, height, width = (int(n) for n in facts["input_shape"])
        bundle = Bundle(
            None,
            str(facts["model"]),
            [str(c) for c in facts["classes"]],
            (channels, height, width),
            Normalization.of(norm["scale"], norm["mean"], norm["std"]),
            str(facts["data"]),
            int(facts["seed"]),
        )
        if len(bundle.normalization.mean) != channels:
            raise ValueError(f"means of {len(bundle.normalization.mean)} channels for {channels}")
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: expected metadata written by `fastnn train`, got {error}") from error
    with usage(f"{path}: "):
        bundle.model = make_model(bundle.name, len(bundle.classes), bundle.input_shape)
        bundle.model.load_state_dict(weights)
    return bundle
