"""Hyper-parameters: nine trials on a grid against nine at random, and a finer search where it was best."""

import numpy as np
from lesson import fit, images, say, start

import fastnn as fn
from fastnn import nn, optim, viz
from fastnn.data import train_test_split


def trial(data, rate, decay, epochs):
    """Return the validation accuracy of one setting."""
    fn.manual_seed(0)
    pixels = int(np.prod(data.shape))
    model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 64), nn.ReLU(), nn.Linear(64, len(data.classes)))
    optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=decay)
    try:
        return fit(model, data, optimizer, epochs)[-1]["val_accuracy"]
    except fn.NonFiniteLossError:
        return 0.0


def main():
    """Search learning rate and weight decay, both on logarithmic scales."""
    args = start(__doc__, __file__)
    whole = images(args, train=3000)
    x, x_valid, y, y_valid = train_test_split(whole.x, whole.y, test_size=0.25, stratify=whole.y, seed=0)
    data = type(whole)(x=x, y=y, x_test=x_valid, y_test=y_valid, classes=whole.classes, shape=whole.shape)
    epochs, rng = 3 if args.quick else 8, np.random.default_rng(1)

    # the grid tries three learning rates in nine trials, chance nine: the rate matters, the decay hardly does
    settings = {
        "grid": [(rate, decay) for rate in (1e-4, 1e-2, 1.0) for decay in (1e-6, 1e-4, 1e-2)],
        "random": [(10 ** rng.uniform(-4, 0), 10 ** rng.uniform(-6, -2)) for _ in range(9)],
    }
    results = {name: [trial(data, *pair, epochs) for pair in pairs] for name, pairs in settings.items()}
    rate, decay = settings["random"][int(np.argmax(results["random"]))]
    settings["finer"] = [(rate * 10 ** rng.uniform(-0.5, 0.5), decay * 10 ** rng.uniform(-0.5, 0.5)) for _ in range(5)]
    results["finer"] = [trial(data, *pair, epochs) for pair in settings["finer"]]
    for name, accuracies in results.items():
        say(f"learning rates tried, {name}", len({pair[0] for pair in settings[name]}))
        say(f"best validation accuracy, {name}", max(accuracies))
        best = settings[name][int(np.argmax(accuracies))]
        say(f"its learning rate, {name}", best[0])
        say(f"its weight decay, {name}", best[1])
    curves = {name: (np.array(pairs)[:, 0], results[name]) for name, pairs in settings.items()}
    labels = {"xlabel": "learning rate", "ylabel": "validation accuracy", "xscale": "log"}
    viz.lines(curves, points=curves, **labels, path=args.out / "search.png")


if __name__ == "__main__":
    main()
