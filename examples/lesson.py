"""What the lessons share: their options, their images, a training run, and figures printed as ``name: number``."""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import fastnn as fn

SOURCES = {
    "digits": lambda folder, train: fn.datasets.digits(train=train),
    "mnist": lambda folder, train: fn.datasets.mnist(folder, train),
    "fashion-mnist": lambda folder, train: fn.datasets.fashion_mnist(folder, train),
    "cifar10": lambda folder, train: fn.datasets.cifar10(folder, train),
}


def start(about, name):
    """Read the command line, seed, and make the folder for pictures."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", choices=SOURCES, help="digits are shipped; the others are read from --data-dir")
    parser.add_argument("--data-dir", help="folder of the original files; alone it means fashion-mnist")
    parser.add_argument("--samples", type=int, help="training images to use; the test part is then used whole")
    parser.add_argument("--quick", action="store_true", help="a few seconds on few data")
    parser.add_argument("--out", type=Path, default=Path(f"lesson-{Path(name).stem}"), help="folder for pictures")
    args = parser.parse_args()
    args.data = args.data or ("fashion-mnist" if args.data_dir else "digits")
    args.out.mkdir(parents=True, exist_ok=True)
    fn.manual_seed(0)
    return args


def images(args, train=5000, test=1000):
    """Return a small part of the data: float32 images in [0, 1] and class indices."""
    if args.samples:
        train, test = args.samples, None
    if args.quick:
        train, test = 600, 300
    parts = [SOURCES[args.data](args.data_dir, is_train)[:count] for is_train, count in ((True, train), (False, test))]
    x, x_test = (part.x.astype(np.float32) * np.float32(part.scale) for part in parts)
    return SimpleNamespace(
        x=x, y=parts[0].y, x_test=x_test, y_test=parts[1].y, classes=parts[0].classes, shape=x.shape[1:]
    )


def fit(model, data, optimizer, epochs, loss=None, batch_size=64, **options):
    """Train, measuring accuracy on the test part after every epoch; return the history."""
    trainer = fn.Trainer(model, loss or fn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], **options)
    return trainer.fit(
        (data.x, data.y), (data.x_test, data.y_test), epochs=epochs, batch_size=batch_size, progress=False
    )


def accuracy(model, x, y):
    """Return the share of samples whose highest score is the right class, in eval mode."""
    training = model.training
    scores = model.eval()(x)
    model.train(training)
    return float(np.mean(scores.argmax(axis=1) == y))


def say(name, value):
    """Print one figure."""
    print(f"{name}: {value:.4g}")
