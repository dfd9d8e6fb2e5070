"""Activation functions: their shapes and slopes, and the same deep network trained with each."""

import numpy as np
from lesson import fit, images, say, start

import fastnn as fn
from fastnn import nn, optim, viz

KINDS = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "leaky ReLU": lambda: nn.LeakyReLU(0.1),
    "parametric ReLU": nn.PReLU,
}


def slope(layer, x):
    """Return the derivative at each point, by the layer's own backward pass."""
    layer(x)
    return layer.backward(np.ones_like(x))


def network(data, make):
    """Return five hidden layers of 64 with one activation."""
    layers, width = [nn.Flatten()], int(np.prod(data.shape))
    for _ in range(5):
        layers += [nn.Linear(width, 64), make()]
        width = 64
    model = nn.Sequential(*layers, nn.Linear(width, len(data.classes)))
    for p in model.parameters():
        if p.data.ndim == 2:
            nn.init.kaiming_normal_(p, nonlinearity="relu")
    return model


def main():
    """Draw, train, compare."""
    args = start(__doc__, __file__)
    x = np.linspace(-5, 5, 201, dtype=np.float32)
    viz.lines({name: (x, make()(x)) for name, make in KINDS.items()}, path=args.out / "functions.png")
    viz.lines({name: (x, slope(make(), x)) for name, make in KINDS.items()}, path=args.out / "slopes.png")
    for name, make in KINDS.items():
        say(f"steepest slope of {name}", slope(make(), x).max())

    data, runs = images(args), {}
    for name, make in KINDS.items():
        fn.manual_seed(0)
        model = network(data, make)
        optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        runs[name] = fit(model, data, optimizer, 10 if args.quick else 30)
        say(f"loss with {name}", runs[name][-1]["loss"])
        say(f"test accuracy with {name}", runs[name][-1]["val_accuracy"])
        if name == "parametric ReLU":
            say("slope learned for negative values, first layer", model[2].weight.data[0])
    viz.learning_curves(runs, ["loss"], path=args.out / "training.png")


if __name__ == "__main__":
    main()
