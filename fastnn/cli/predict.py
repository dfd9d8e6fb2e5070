"""`fastnn predict`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from .bundle import Bundle, load_bundle
from .errors import UsageError, usage

__all__ = ["predict"]

BATCH = 64
FILES = 1 / 255  # files hold bytes, whatever range the training data were stored in


def predict(args: argparse.Namespace) -> int:
    """Print the likeliest classes of image files, a line an image."""
    import fastnn as fn

    if args.threads is not None:
        fn.set_num_threads(args.threads)
    bundle = load_bundle(args.weights)
    batch = args.batch_size or BATCH
    network = bundle.on_pixels(FILES).eval()
    for i in range(0, len(args.images), batch):
        paths, images, problem = args.images[i : i + batch], [], None
        for path in paths:
            try:
                images.append(_read(path, bundle, args.invert))
            except UsageError as error:
                problem = error
                break
        if images:
            with fn.no_grad():
                probabilities = fn.nn.functional.softmax(network(np.concatenate(images)), 1)
            _print_classes(paths[: len(images)], probabilities, bundle.classes, args.top)
        if problem is not None:
            raise problem  # after the lines of the images before the broken one
    return 0


def _print_classes(paths: Sequence[str], probabilities: np.ndarray, classes: Sequence[str], top: int) -> None:
    for path, row in zip(paths, probabilities, strict=True):
        order = np.argsort(-row, kind="stable")[:top]
        print(f"{path}: " + ", ".join(f"{classes[i]} {100 * row[i]:.1f} %" for i in order), flush=True)


def _read(path: str, bundle: Bundle, invert: bool) -> np.ndarray:
    """Return an image's bytes, shape (1, C, H, W)."""
    from ..datasets import read_image

    channels, height, width = bundle.input_shape
    with usage():
        image = read_image(path, (height, width), grayscale=channels == 1)
    return 255 - image[None] if invert else image[None]
