"""Optimizers from the same start: their paths on a long valley, and batches of every size."""

import numpy as np
from lesson import say, start

import fastnn as fn
from fastnn import nn, optim, viz


def valley(a, b):
    """Twenty times as steep across as along; lowest at (0, 0)."""
    return 0.1 * a * a + 2 * b * b


KINDS = {
    "gradient descent": lambda p: optim.SGD(p, lr=0.4),
    "momentum": lambda p: optim.SGD(p, lr=0.15, momentum=0.8),
    "Nesterov": lambda p: optim.SGD(p, lr=0.15, momentum=0.8, nesterov=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=1.5),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.3, alpha=0.9),
    "Adam": lambda p: optim.Adam(p, lr=0.5),
}


def record(step, batches, moved):
    """Return the path of a parameter over some steps."""
    path = [moved.data.ravel().copy()]
    for x, y in batches:
        step(x, y)
        path.append(moved.data.ravel().copy())
    return np.array(path)


def walk(make, steps=40):
    """Return the path of an optimizer from (-5, 2)."""
    point, one = nn.Linear(1, 2, bias=False), np.ones((1, 1), np.float32)  # its output for 1 is its two weights
    point.weight.data[...] = [[-5.0], [2.0]]
    step = fn.TrainStep(point, lambda at, _: valley(at[:, 0], at[:, 1]).sum(), make(point.parameters()))
    return record(step, [(one, one)] * steps, point.weight)


def descend(x, y, batch, epochs, lr):
    """Fit two weights with batches of a size; return the path of the weights."""
    model = nn.Linear(2, 1, bias=False)
    model.weight.data[...] = (-1.0, 2.0)
    step = fn.TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=lr))
    loader = fn.data.DataLoader((x, y), batch, shuffle=True, seed=0)
    return record(step, (pair for _ in range(epochs) for pair in loader), model.weight)


def main():
    """Draw both."""
    args = start(__doc__, __file__)
    paths = {name: walk(make) for name, make in KINDS.items()}
    for name, path in paths.items():
        say(f"height after 40 steps of {name}", valley(*path[-1]))
    viz.contour(valley, (-6, 3), (-2.5, 2.5), paths, path=args.out / "optimizers.png")

    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 2)).astype(np.float32)
    y = (x @ [[1.0], [0.5]] + rng.normal(0, 0.5, (256, 1))).astype(np.float32)
    sizes = {"batch (256)": (256, 20, 0.2), "mini-batch (32)": (32, 4, 0.1), "stochastic (1)": (1, 1, 0.03)}
    paths = {name: descend(x, y, *rest) for name, rest in sizes.items()}
    for name, path in paths.items():
        say(f"error of the weights after {256 * sizes[name][1]} samples, {name}", np.linalg.norm(path[-1] - (1, 0.5)))
    viz.contour(
        lambda a, b: (a - 1) ** 2 + (b - 0.5) ** 2, (-1.5, 2), (-0.5, 2.5), paths, path=args.out / "batches.png"
    )


if __name__ == "__main__":
    main()
