"""The perceptron: one neuron that learns from its mistakes, ten of them, and two layers where one cannot do."""

import numpy as np
from lesson import accuracy, images, say, start

import fastnn as fn
import fastnn.nn.functional as F
from fastnn import nn, optim, viz

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([[0], [1], [1], [0]], np.float32)


def perceptron(x, signs, epochs):
    """Rosenblatt's rule: the gradient of max(0, -sign * score), one sample at a time; return mistakes by epoch."""
    model = nn.Linear(2, 1)
    step = fn.TrainStep(model, lambda score, sign: F.relu(-score * sign).sum(), optim.SGD(model.parameters(), lr=1.0))
    mistakes = [sum(step(x[i : i + 1], signs[i : i + 1]) > 0 for i in range(len(x))) for _ in range(epochs)]
    return model, mistakes


def two_layers(x, y):
    """Two layers of sigmoids, squared error, gradient descent: the network of eleven lines."""
    net = nn.Sequential(nn.Linear(2, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
    step = fn.TrainStep(net, nn.SSELoss(), optim.SGD(net.parameters(), lr=4.0))
    for _ in range(4000):
        step(x, y)
    return net


def main():
    """Separable clouds, exclusive or, digits."""
    args = start(__doc__, __file__)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal((-2, -2), 0.8, (60, 2)), rng.normal((2, 2), 0.8, (60, 2))]).astype(np.float32)
    order = rng.permutation(120)
    x, labels = x[order], np.repeat([0, 1], 60)[order]
    model, mistakes = perceptron(x, (2.0 * labels[:, None] - 1).astype(np.float32), epochs=10)
    say("mistakes in the first epoch", mistakes[0])
    say("mistakes in the last epoch", mistakes[-1])
    viz.boundary(lambda p: (model(p)[:, 0] > 0).astype(int), x, labels, path=args.out / "perceptron.png")

    x, y = XOR
    single, _ = perceptron(x, 2 * y - 1, epochs=100)
    say("right of 4 in XOR, one layer", np.sum((single(x) > 0) == (y > 0.5)))
    net = two_layers(x, y)
    say("right of 4 in XOR, two layers", np.sum((net(x) > 0.5) == (y > 0.5)))
    viz.boundary(lambda p: (net(p)[:, 0] > 0.5).astype(int), x, y[:, 0].astype(int), path=args.out / "xor.png")

    # ten outputs: every score above the right one pulls; a hinge loss without a margin
    data = images(args)
    many = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(data.shape)), 10))
    step = fn.TrainStep(many, nn.MulticlassHingeLoss(margin=0.0), optim.SGD(many.parameters(), lr=0.1))
    for _ in range(20):
        for i in range(0, len(data.x), 64):
            step(data.x[i : i + 64], data.y[i : i + 64])
    say("test accuracy of ten perceptrons", accuracy(many, data.x_test, data.y_test))


if __name__ == "__main__":
    main()
