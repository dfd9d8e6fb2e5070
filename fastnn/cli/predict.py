"""`fastnn predict`."""

from __future__ import annotations

import argparse

import numpy as np

from .bundle import Bundle, load_bundle
from .errors import usage

__all__ = ["predict"]

BATCH = 64


def predict(args: argparse.Namespace) -> int:
    """Print the likeliest classes of image files, a line an image."""
    import fastnn as fn

    if args.threads is not None:
        fn.set_num_threads(args.threads)
    bundle = load_bundle(args.weights)
    # all images are read before the first line is printed: a wrong file is told at once
    pixels = np.concatenate([_read(path, bundle, args.invert) for path in args.images])
    batch = args.batch_size or BATCH
    bundle.model.eval()
    with fn.no_grad():
        scores = np.concatenate([bundle.model(pixels[i : i + batch]) for i in range(0, len(pixels), batch)])
    probabilities = fn.nn.functional.softmax(scores, 1)
    for path, row in zip(args.images, probabilities, strict=True):
        order = np.argsort(-row, kind="stable")[: args.top]
        print(f"{path}: " + ", ".join(f"{bundle.classes[i]} {100 * row[i]:.1f} %" for i in order))
    return 0


def _read(path: str, bundle: Bundle, invert: bool) -> np.ndarray:
    """Return an image as the network's input, shape (1, C, H, W)."""
    from ..datasets import read_image
    from .sources import Normalization

    channels, height, width = bundle.input_shape
    with usage():
        image = read_image(path, (height, width), grayscale=channels == 1)
    if invert:
        image = 255 - image
    # files hold bytes, whatever range the training data were stored in
    return Normalization(1 / 255, bundle.normalization.mean, bundle.normalization.std)(image[None])
