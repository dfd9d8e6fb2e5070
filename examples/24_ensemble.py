"""An ensemble: the averaged probabilities of several networks against each of them alone."""

import numpy as np
from lesson import fit, images, say, start

import fastnn as fn
import fastnn.nn.functional as F
from fastnn import nn, optim, viz


def main():
    """Train narrow networks that differ in their first weights and the order of their batches alone."""
    args = start(__doc__, __file__)
    data = images(args)
    data.x, data.y = data.x[:1000], data.y[:1000]
    probabilities, alone = [], []
    for seed in range(10):
        fn.manual_seed(seed)
        pixels = int(np.prod(data.shape))
        model = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 6), nn.ReLU(), nn.Linear(6, len(data.classes)))
        fit(model, data, optim.Adam(model.parameters(), lr=3e-3), 40, batch_size=32)
        probabilities.append(F.softmax(model.eval()(data.x_test), dim=1))
        alone.append(float(np.mean(probabilities[-1].argmax(axis=1) == data.y_test)))
        say(f"test accuracy of network {seed}", alone[-1])

    together = [
        float(np.mean(np.mean(probabilities[: n + 1], axis=0).argmax(axis=1) == data.y_test)) for n in range(len(alone))
    ]
    say("mean accuracy alone", np.mean(alone))
    say("best accuracy alone", max(alone))
    say("accuracy of the ensemble", together[-1])
    rows = np.arange(len(data.y_test)), data.y_test
    losses = [-np.log(p[rows]).mean() for p in probabilities]
    say("mean loss alone", np.mean(losses))
    say("loss of the ensemble", -np.log(np.mean(probabilities, axis=0)[rows]).mean())
    curves = {"alone": alone, "averaged with those before": together}
    viz.lines(curves, xlabel="networks", ylabel="test accuracy", path=args.out / "ensemble.png")


if __name__ == "__main__":
    main()
