"""Batch norm: what it does to a batch, that it can undo itself, and the learning rates that it makes possible."""

import numpy as np
from lesson import fit, images, say, start

import fastnn as fn
from fastnn import nn, optim, viz


def network(data, norm):
    """Return eight hidden layers, with or without batch norm before each activation."""
    layers, width = [nn.Flatten()], int(np.prod(data.shape))
    for _ in range(8):
        layers += [nn.Linear(width, 64), *([nn.BatchNorm1d(64)] if norm else []), nn.ReLU()]
        width = 64
    return nn.Sequential(*layers, nn.Linear(width, len(data.classes)))


def main():
    """Numbers first, then training."""
    args = start(__doc__, __file__)
    x = np.random.default_rng(0).normal(3.0, 2.0, (256, 4)).astype(np.float32)
    norm = nn.BatchNorm1d(4, eps=0.0)
    y = norm(x)
    say("mean before", x.mean())
    say("deviation before", x.std())
    say("mean after", abs(y.mean()))
    say("deviation after", y.std())
    norm.weight.data[...], norm.bias.data[...] = x.std(axis=0), x.mean(axis=0)
    say("largest change with scale = deviation and shift = mean", np.abs(norm(x) - x).max())
    say("running mean after two batches (momentum 0.1)", norm.running_mean.mean())
    say("two steps of 0.1 towards the mean", x.mean() * (1 - 0.9**2))

    data, runs = images(args), {}
    for rate in (0.01, 0.1, 1.0):
        for name, normed in (("plain", False), ("batch norm", True)):
            fn.manual_seed(0)
            model = network(data, normed)
            label = f"{name}, rate {rate:g}"
            try:
                runs[label] = fit(model, data, optim.SGD(model.parameters(), lr=rate), 8 if args.quick else 20)
            except fn.NonFiniteLossError:
                print(f"{label}: the loss became infinite")
                continue
            say(f"loss, {label}", runs[label][-1]["loss"])
            say(f"test accuracy, {label}", runs[label][-1]["val_accuracy"])
    curves = {label: np.minimum(run.column("loss"), 3.0) for label, run in runs.items()}
    viz.lines(curves, xlabel="epoch", ylabel="loss", path=args.out / "training.png")


if __name__ == "__main__":
    main()
