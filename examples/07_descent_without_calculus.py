"""Gradient descent by finite differences: a table of seven rows, then a classifier's weights, two ways."""

import time

import numpy as np
from lesson import images, say, start

import fastnn as fn
from fastnn import nn, optim, viz


def quartic(x):
    """Return x^4 + x + 2."""
    return x**4 + x + 2


def table():
    """Walk down the quartic from 1 with step 0.2, the slope by a forward difference; return the path."""
    path, x = [], 1.0
    print("      x     f(x)    slope")
    for _ in range(7):
        slope = float(fn.numeric_gradient(quartic, x, h=0.001, kind="forward"))
        print(f"{x:7.4f}  {quartic(x):7.4f}  {slope:7.4f}")
        path.append(x)
        x -= 0.2 * slope
    return np.array(path)


def hinge(weight, x, y):
    """Return the mean multiclass hinge loss of scores x @ weight.T, in plain NumPy."""
    scores = x @ weight.T
    margins = np.maximum(0, scores - scores[np.arange(len(y)), y][:, None] + 1)
    return margins.sum(axis=1).mean() - 1


def main():
    """Descend."""
    args = start(__doc__, __file__)
    path = table()
    say("lowest point found", path[-1])
    say("lowest point, -(1/4)^(1/3)", -(0.25 ** (1 / 3)))
    curve = np.linspace(-1.1, 1.1, 200)
    steps = {"f(x)": (curve, quartic(curve)), "steps": (path, quartic(path))}
    viz.lines(steps, points=["steps"], xlabel="x", path=args.out / "table.png")

    # a long step is not the slope, a short one drowns in rounding; in between, two-sided differences win
    widths = 10.0 ** np.arange(-14, 0)
    errors = {
        kind: (widths, [abs(float(fn.numeric_gradient(quartic, 1.0, h, kind=kind)) - 5) for h in widths])
        for kind in ("forward", "central")
    }
    for kind, (_, found) in errors.items():
        say(f"best step of {kind} differences", widths[np.argmin(found)])
    viz.lines(errors, xscale="log", yscale="log", xlabel="h", ylabel="error at 1", path=args.out / "steps.png")

    data = images(args)
    x, y = data.x[:200].reshape(200, -1), data.y[:200]
    rounds, losses = 10, {"finite differences": [], "backpropagation": []}
    weight, begun = np.zeros((10, x.shape[1])), time.perf_counter()
    for _ in range(rounds):
        weight -= 0.02 * fn.numeric_gradient(lambda w: hinge(w, x, y), weight, h=1e-4, kind="forward")
        losses["finite differences"].append(hinge(weight, x, y))
    slow = time.perf_counter() - begun

    model, begun = nn.Linear(x.shape[1], 10, bias=False), time.perf_counter()
    model.weight.data[...] = 0
    step = fn.TrainStep(model, nn.MulticlassHingeLoss(), optim.SGD(model.parameters(), lr=0.02))
    losses["backpropagation"] = [step(x, y) for _ in range(rounds + 1)][1:]
    fast = time.perf_counter() - begun

    for name, values in losses.items():
        say(f"loss after {rounds} rounds of {name}", values[-1])
    say("times faster by backpropagation", slow / fast)
    viz.lines(losses, xlabel="round", ylabel="loss", path=args.out / "losses.png")


if __name__ == "__main__":
    main()
