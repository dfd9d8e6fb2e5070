"""Regularisation: seven ways to keep a network that could learn its few examples by heart from doing so."""

import numpy as np
from lesson import fit, images, say, start

import fastnn as fn
import fastnn.nn.functional as F
from fastnn import nn, optim, viz


def mlp(data, dropout=0.0):
    """Return a network with far more weights than there are examples."""
    inputs = int(np.prod(data.shape))
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 256), nn.ReLU(), nn.Dropout(dropout), nn.Linear(256, 10))


def weights(model):
    """Return the weights without the biases: only they are penalised."""
    return [p for p in model.parameters() if p.data.ndim > 1]


WAYS = {
    "nothing": lambda model: {},
    "L2": lambda model: {"penalties": [optim.L2(weights(model), 3e-3)]},
    "L1": lambda model: {"penalties": [optim.L1(weights(model), 3e-4)]},
    "elastic net": lambda model: {"penalties": [optim.ElasticNet(weights(model), l1=1e-4, l2=1e-3)]},
    "label smoothing": lambda model: {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)},
    "dropout": lambda model: {},
    "early stopping": lambda model: {"callbacks": [fn.training.EarlyStopping("val_loss", patience=3)]},
}


def main():
    """Train the same network on 150 images, seven times."""
    args = start(__doc__, __file__)
    data = images(args)
    data.x, data.y = data.x[:150], data.y[:150]
    runs, shares = {}, {}
    for name, way in WAYS.items():
        fn.manual_seed(1)
        model = mlp(data, dropout=0.5 if name == "dropout" else 0.0)
        optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        runs[name] = fit(model, data, optimizer, 40 if args.quick else 150, batch_size=32, **way(model))
        flat = np.concatenate([w.data.ravel() for w in weights(model)])
        shares[name] = float(np.mean(np.abs(flat) < 1e-3))
        say(f"test accuracy with {name}", runs[name][-1]["val_accuracy"])
        # the plain loss, whatever the network was trained with
        say(f"test loss with {name}", F.cross_entropy(model.eval()(data.x_test), data.y_test))
        say(f"share of weights near zero with {name}", shares[name])
    say("epochs until early stopping", len(runs["early stopping"]))
    viz.learning_curves(runs, ["loss"], path=args.out / "losses.png")
    viz.bars(shares, xlabel="share of weights below 0.001", path=args.out / "zeros.png")


if __name__ == "__main__":
    main()
