"""Initialisation: what ten layers make of a signal, for six ways to draw the weights, without and with batch norm."""

import numpy as np
from lesson import say, start

import fastnn as fn
from fastnn import nn, viz

WIDTH, DEPTH = 256, 10

WAYS = {
    "zero": nn.init.zeros_,
    "small Gaussian": lambda w: nn.init.normal_(w, std=0.01),
    "large Gaussian": lambda w: nn.init.normal_(w, std=1.0),
    "1 over sqrt n": lambda w: nn.init.normal_(w, std=w.shape[1] ** -0.5),
    "Xavier": nn.init.xavier_normal_,
    "He": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
}


def stack(activation, initialise, norm):
    """Return ten equal layers, and the names of their activations."""
    layers, names = [], []
    for _ in range(DEPTH):
        layers += [nn.Linear(WIDTH, WIDTH), *([nn.BatchNorm1d(WIDTH)] if norm else []), activation()]
        names.append(str(len(layers) - 1))
    model = nn.Sequential(*layers)
    for layer in model:
        if isinstance(layer, nn.Linear):
            initialise(layer.weight)
            nn.init.zeros_(layer.bias)
    return model, names


def deviations(activation, initialise, x, norm=False, path=None, title=""):
    """Return the deviation of each layer's activations and of the gradient of the loss for each layer's weights."""
    fn.manual_seed(0)
    model, names = stack(activation, initialise, norm)
    values = fn.capture(model, names)(x)
    if path is not None:
        shown = {f"layer {i + 1}": values[name] for i, name in enumerate(names)}
        viz.histograms(shown, title=title, path=path)
    model(x)
    model.backward(np.random.default_rng(1).normal(size=x.shape).astype(np.float32) / len(x))
    gradients = [float(layer.weight.grad.std()) for layer in model if isinstance(layer, nn.Linear)]
    return [float(values[name].std()) for name in names], gradients


def main():
    """Print what is left of signal and gradient after ten layers, and draw every layer."""
    args = start(__doc__, __file__)
    x = np.random.default_rng(0).normal(size=(200 if args.quick else 1000, WIDTH)).astype(np.float32)
    for name, activation in (("tanh", nn.Tanh), ("relu", nn.ReLU)):
        forward, backward = {}, {}
        for way, initialise in WAYS.items():
            kept = (
                args.out / f"{name}-{way}.png" if not args.quick and way in ("small Gaussian", "Xavier", "He") else None
            )
            forward[way], backward[way] = deviations(activation, initialise, x, path=kept, title=f"{name}, {way}")
            say(f"deviation in layer 10, {name}, {way}", forward[way][-1])
            say(f"gradient in layer 1, {name}, {way}", backward[way][0])
        saved, _ = deviations(activation, WAYS["small Gaussian"], x, norm=True)
        say(f"deviation in layer 10, {name}, small Gaussian with batch norm", saved[-1])
        forward["small Gaussian, batch norm"] = saved
        curves = {way: np.maximum(values, 1e-12) for way, values in forward.items()}
        viz.lines(curves, xlabel="layer", ylabel="deviation", yscale="log", path=args.out / f"{name}.png")


if __name__ == "__main__":
    main()
