"""Linear classifiers of images: random search, softmax, support vector machines, and what their weights look like."""

import numpy as np
from lesson import accuracy, fit, images, say, start

from fastnn import nn, optim, viz


def linear(data):
    """Return a linear classifier: one template and one bias a class."""
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(data.shape)), len(data.classes)))


def random_search(data, tries):
    """Draw weights, keep the best; return the model and the best training accuracy after each try."""
    model, rng = linear(data), np.random.default_rng(0)
    best, kept, curve = 0.0, None, []
    for _ in range(tries):
        model[1].weight.data[...] = rng.normal(0, 0.01, model[1].weight.shape)
        found = accuracy(model, data.x, data.y)
        if found > best:
            best, kept = found, model[1].weight.data.copy()
        curve.append(best)
    model[1].weight.data[...] = kept
    return model, curve


LOSSES = {
    "softmax": nn.CrossEntropyLoss(),
    "hinge": nn.MulticlassHingeLoss(),
    "squared hinge": nn.MulticlassHingeLoss(p=2),
}


def main():
    """Compare them on the same images."""
    args = start(__doc__, __file__)
    data = images(args)
    mean = data.x.mean(axis=0)
    data.x, data.x_test = data.x - mean, data.x_test - mean

    model, curve = random_search(data, tries=100 if args.quick else 1000)
    say("test accuracy of random search", accuracy(model, data.x_test, data.y_test))
    viz.lines({"best so far": curve}, xlabel="tries", ylabel="training accuracy", path=args.out / "random.png")

    # the loss is the steeper, the longer the images are as vectors: the rate must follow
    rate, found = 0.1 / float(np.mean((data.x**2).sum(axis=(1, 2, 3)))), {}
    for name, loss in LOSSES.items():
        model = linear(data)
        optimizer = optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=1e-3)
        fit(model, data, optimizer, 20 if args.quick else 60, loss)
        found[name] = accuracy(model, data.x_test, data.y_test)
        say(f"test accuracy of {name}", found[name])
        viz.templates(model[1].weight.data, data.shape, data.classes, path=args.out / f"templates-{name}.png")
    viz.bars(found, xlabel="test accuracy", path=args.out / "accuracy.png")


if __name__ == "__main__":
    main()
