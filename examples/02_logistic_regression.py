"""Logistic regression: a probability from a line, in one and in two dimensions, with the boundary drawn."""

import numpy as np
from lesson import say, start

import fastnn as fn
import fastnn.nn.functional as F
from fastnn import nn, optim, viz


def train(x, y, steps=400):
    """Fit sigmoid(w x + b) by cross entropy."""
    model = nn.Linear(x.shape[1], 1)
    step = fn.TrainStep(model, nn.BCEWithLogitsLoss(), optim.SGD(model.parameters(), lr=1.0))
    for _ in range(steps):
        step(x, y)
    return model


def main():
    """One dimension: passing an exam by hours of study. Two: a pair of clouds."""
    args = start(__doc__, __file__)
    rng = np.random.default_rng(0)

    # passing becomes likelier by a factor e in odds with each hour; at 5 hours it is even
    hours = rng.uniform(0, 10, (400, 1)).astype(np.float32)
    passed = (rng.random(hours.shape) < F.sigmoid(hours - 5)).astype(np.float32)
    model = train(hours - 5, passed)
    w, b = float(model.weight.data[0, 0]), float(model.bias.data[0])
    say("log odds an hour (true 1)", w)
    say("boundary in hours (true 5)", 5 - b / w)
    grid = np.linspace(0, 10, 200, dtype=np.float32)[:, None]
    viz.lines(
        {"passed": (hours[:, 0], passed[:, 0]), "probability": (grid[:, 0], F.sigmoid(model(grid - 5))[:, 0])},
        points=["passed"],
        xlabel="hours",
        path=args.out / "one-dimension.png",
    )

    clouds = np.concatenate([rng.normal((-1, -1), 1.0, (200, 2)), rng.normal((1, 1), 1.0, (200, 2))])
    clouds, labels = clouds.astype(np.float32), np.repeat([0, 1], 200)
    plane = train(clouds, labels[:, None].astype(np.float32))

    def predict(points):
        return (plane(points)[:, 0] > 0).astype(int)

    say("accuracy in two dimensions", np.mean(predict(clouds) == labels))
    # the best possible boundary between two equal clouds runs midway: x + y = 0, so both weights are equal
    say("ratio of the weights (best 1)", plane.weight.data[0, 0] / plane.weight.data[0, 1])
    viz.boundary(predict, clouds, labels, path=args.out / "two-dimensions.png")


if __name__ == "__main__":
    main()
