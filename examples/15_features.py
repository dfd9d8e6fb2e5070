"""Hand-made features against learned ones: the same linear classifier on five descriptions, beside a small CNN."""

import numpy as np
from lesson import fit, images, say, start

from fastnn import features, nn, optim, viz
from fastnn.data.transforms import Standardize


def descriptions(data, small):
    """Return for each description a function from images to rows of features, the patches sized to the images."""
    cell, patch = (4, 3) if small else (8, 6)
    bag = features.BagOfVisualWords(words=64, patch=patch, stride=1 if small else 2).fit(data.x[:500])
    kinds = {
        "pixels": lambda x: x.reshape(len(x), -1),
        "colour histogram": lambda x: features.colour_histogram(x, bins=16, top=1.0),
        "oriented gradients": lambda x: features.hog(x, cell=cell),
        "visual words": bag,
    }
    kinds["gradients and words"] = lambda x: np.hstack([kinds["oriented gradients"](x), bag(x)])
    return kinds


def linear_on(data, describe, epochs):
    """Train a linear softmax classifier on described images; return its test accuracy."""
    x, x_test = describe(data.x), describe(data.x_test)
    scale = Standardize().fit(x)
    described = type(data)(x=scale(x), y=data.y, x_test=scale(x_test), y_test=data.y_test)
    model = nn.Linear(x.shape[1], len(data.classes))
    history = fit(model, described, optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4), epochs)
    return history[-1]["val_accuracy"]


def cnn(data):
    """Return a network that learns its features: two convolutions, then the same linear classifier."""
    channels, height, width = data.shape
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * (height // 4) * (width // 4), len(data.classes)),
    )  # fmt: skip


def main():
    """Compare."""
    args = start(__doc__, __file__)
    data = images(args, train=3000)
    epochs = 20 if args.quick else 60
    found = {}
    for name, describe in descriptions(data, small=data.shape[1] < 16).items():
        found[name] = linear_on(data, describe, epochs)
        say(f"test accuracy, {name}", found[name])
    model = cnn(data)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    found["learned (CNN)"] = fit(model, data, optimizer, 8 if args.quick else 15)[-1]["val_accuracy"]
    say("test accuracy, learned by a CNN", found["learned (CNN)"])
    viz.bars(found, xlabel="test accuracy", path=args.out / "features.png")


if __name__ == "__main__":
    main()
