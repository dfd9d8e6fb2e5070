"""Learning rates: a test that finds a good one, what low and high ones look like, and schedules that lower it."""

import numpy as np
from lesson import fit, images, say, start

import fastnn as fn
from fastnn import nn, optim, viz
from fastnn.optim import lr_scheduler

SCHEDULES = {
    "step": lambda o: lr_scheduler.StepLR(o, step_size=30, gamma=0.3),
    "exponential": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.96),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=100),
    "one cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=101),
    "1 / (1 + t / 10)": lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t / 10)),
}


def mlp(data):
    """Return the same network each time."""
    fn.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(data.shape)), 100), nn.ReLU(), nn.Linear(100, 10))


def rates_of(make):
    """Return the rate of each of 100 steps of a schedule."""
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    schedule, rates = make(optimizer), []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def main():
    """Find, compare, lower."""
    args = start(__doc__, __file__)
    data = images(args)
    model = mlp(data)
    found = fn.lr_find(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), (data.x, data.y), low=1e-4)
    say("suggested rate", found.suggestion)
    say("rate of the lowest loss", found.lowest)
    found.plot(args.out / "range.png")

    runs = {}
    for name, factor in {"low": 0.02, "good": 1.0, "high": 30.0, "very high": 300.0}.items():
        model = mlp(data)
        optimizer = optim.SGD(model.parameters(), lr=factor * found.suggestion)
        try:
            runs[name] = fit(model, data, optimizer, 10 if args.quick else 30)
        except fn.NonFiniteLossError:
            print(f"{name}: the loss became infinite")
            continue
        say(f"loss with a {name} rate", runs[name][-1]["loss"])
    curves = {name: np.minimum(run.column("loss"), 4.0) for name, run in runs.items()}
    viz.lines(curves, xlabel="epoch", ylabel="loss", path=args.out / "rates.png")

    for name, make in SCHEDULES.items():
        say(f"last rate of the {name} schedule", rates_of(make)[-1])
    curves = {name: rates_of(make) for name, make in SCHEDULES.items()}
    viz.lines(curves, xlabel="step", ylabel="learning rate", path=args.out / "schedules.png")


if __name__ == "__main__":
    main()
