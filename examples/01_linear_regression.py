"""Linear regression: the price of a home by its area, by gradient descent and in closed form."""

import numpy as np
from lesson import say, start

import fastnn as fn
from fastnn import nn, optim, viz


def homes(count):
    """Return areas in square metres and prices in thousands: 20 + 3 a square metre, and noise."""
    rng = np.random.default_rng(0)
    area = rng.uniform(40, 200, (count, 1))
    return area.astype(np.float32), (20 + 3 * area + rng.normal(0, 25, area.shape)).astype(np.float32)


def main():
    """Fit the line twice and draw it."""
    args = start(__doc__, __file__)
    area, price = homes(60)

    # inputs of mean 0 and deviation 1: with raw areas the slope's gradient is thousands of times the intercept's
    scale = fn.data.transforms.Standardize().fit(area)
    model = nn.Linear(1, 1)
    step = fn.TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1))
    losses = [step(scale(area), price) for _ in range(100)]

    slope = float(model.weight.data[0, 0] / scale.std[0])
    intercept = float(model.bias.data[0] - slope * scale.mean[0])
    exact, *_ = np.linalg.lstsq(np.hstack([area, np.ones_like(area)]), price, rcond=None)
    say("slope by gradient descent", slope)
    say("slope in closed form", exact[0, 0])
    say("intercept by gradient descent", intercept)
    say("intercept in closed form", exact[1, 0])
    say("price of 100 square metres", model(scale(np.array([[100.0]])))[0, 0])

    ends = np.array([[40.0], [200.0]])
    viz.lines(
        {"homes": (area[:, 0], price[:, 0]), "fitted line": (ends[:, 0], model(scale(ends))[:, 0])},
        points=["homes"],
        xlabel="area in square metres",
        ylabel="price in thousands",
        path=args.out / "line.png",
    )
    viz.lines({"mean squared error": losses}, xlabel="step", yscale="log", path=args.out / "loss.png")


if __name__ == "__main__":
    main()
