"""Features of a whole data set from a trained network, computed once and kept in a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..graph import capture
from ..io import load, load_metadata, save
from ..training.evaluation import eval_mode
from ..training.feeding import as_loader, split_batch

__all__ = ["extract"]


def extract(
    model: Any,
    data: Any,
    layer: str,
    path: str | os.PathLike[str] | None = None,
    *,
    batch_size: int = 256,
    verbose: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a layer of a network gives for every sample, and the targets; from the file ``path`` if it has them.

    The file holds a fingerprint of the weights, the layer and the data: a file made by others of them is made anew.

    Parameters
    ----------
    model : Module
        Runs in eval mode.
    data : Dataset, or (x, y)
        Samples in order; what a loader shuffles or augments has no lasting features.
    layer : str
        Name of the submodule, as in ``model.named_modules()``; its output is flattened.
    path : path-like, optional
        A safetensors file to read or make.
    batch_size : int
        How many samples run at once.
    verbose : bool
        Print whether the file was read or made.

    Returns
    -------
    features : ndarray
        float32 (N, features).
    targets : ndarray
        (N, ...).

    Raises
    ------
    AttributeError
        For a name that is no submodule's.
    TypeError
        For a loader, or what is no model and no name.
    ValueError
        For no samples.

    Examples
    --------
    >>> import fastnn as fn
    >>> model = fn.models.DigitsCNN()
    >>> features, targets = fn.features.extract(model, fn.datasets.digits(train=False), "features")
    >>> features.shape, targets.shape
    ((359, 1024), (359,))
    """
    if not hasattr(model, "get_submodule") or not isinstance(layer, str):
        raise TypeError(f"extract: expected a Module and the name of a layer, got {type(model).__name__} and {layer!r}")
    try:
        model.get_submodule(layer)
    except AttributeError as error:
        raise AttributeError(f"extract: expected a layer of named_modules(), got {layer!r}: {error}") from None
    if hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise TypeError(f"extract: expected a dataset or arrays, got {type(data).__name__}, whose order may change")
    fingerprint = _fingerprint(model, data, layer, batch_size) if path is not None else ""
    if path is not None and Path(path).is_file() and load_metadata(path).get("fingerprint") == fingerprint:
        if verbose:
            print(f"features: read from {os.fspath(path)}")
        kept = load(path)
        return kept["features"], kept["targets"]
    features, targets = _run(model, as_loader(data, batch_size, shuffle=False, who="extract"), layer)
    if path is not None:
        save({"features": features, "targets": targets}, path, {"fingerprint": fingerprint, "layer": layer})
        if verbose:
            print(f"features: written to {os.fspath(path)}")
    return features, targets


def _run(model: Any, loader: Any, layer: str) -> tuple[np.ndarray, np.ndarray]:
    values: list[np.ndarray] = []
    targets: list[np.ndarray] = []
    with eval_mode(model):
        run = capture(model, [layer])
        for batch in loader:
            x, y = split_batch(batch)
            output = (run(*x) if isinstance(x, tuple) else run(x))[layer]
            values.append(output.reshape(len(output), -1))
            targets.append(np.asarray(y))
    if not values:
        raise ValueError("extract: expected at least one sample, got none")
    return np.concatenate(values), np.concatenate(targets)


def _fingerprint(model: Any, data: Any, layer: str, batch_size: int) -> str:
    """Return a digest of all that the features depend on."""
    digest = hashlib.sha256(repr((layer, str(model))).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.tobytes())
    for batch in as_loader(data, batch_size, shuffle=False, who="extract"):
        for array in batch if isinstance(batch, tuple) else (batch,):
            digest.update(repr((array.shape, str(array.dtype))).encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
