"""Digits with one hidden layer of sigmoids and squared error: inputs from 0.01 to 1, targets 0.01 and 0.99."""

import numpy as np
from lesson import accuracy, images, say, start

import fastnn as fn
from fastnn import nn, optim, viz


def targets(y, classes):
    """Return 0.99 for the right class and 0.01 for the others: a sigmoid never reaches 1 or 0."""
    return np.where(np.arange(classes) == y[:, None], 0.99, 0.01).astype(np.float32)


def network(pixels, hidden, classes):
    """Return the network, its weights drawn with deviation 1 / sqrt(inputs)."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.Sigmoid(), nn.Linear(hidden, classes), nn.Sigmoid())
    for layer in (net[1], net[3]):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(layer.bias)
    return net


def worked(inputs, *layers):
    """Return the outputs of a network of sigmoids whose weights are given, a row for each unit."""
    net = nn.Sequential(*(nn.Sequential(nn.Linear(len(w[0]), len(w), bias=False), nn.Sigmoid()) for w in layers))
    for layer, w in zip(net, layers, strict=True):
        layer[0].weight.data[...] = w
    return net(np.array([inputs]))[0]


def main():
    """Train by small batches and ask the network backwards what a digit looks like."""
    args = start(__doc__, __file__)
    for i, value in enumerate(worked([1.0, 0.5], [[0.9, 0.3], [0.2, 0.8]])):
        say(f"two inputs, output {i + 1}", value)
    layers = [[0.9, 0.3, 0.4], [0.2, 0.8, 0.2], [0.1, 0.5, 0.6]], [[0.3, 0.7, 0.5], [0.6, 0.5, 0.2], [0.8, 0.1, 0.9]]
    for i, value in enumerate(worked([0.9, 0.1, 0.8], *layers)):
        say(f"three inputs, three hidden units, output {i + 1}", value)

    data = images(args, train=60000, test=10000)
    x, x_test = 0.01 + 0.99 * data.x, 0.01 + 0.99 * data.x_test
    say("smallest input", x.min())
    say("largest input", x.max())
    net = network(int(np.prod(data.shape)), 100, len(data.classes))
    trainer = fn.Trainer(net, nn.SSELoss(), optim.SGD(net.parameters(), lr=0.5), metrics=["accuracy"])
    known, asked = targets(data.y, len(data.classes)), targets(data.y_test, len(data.classes))
    epochs = 30 if args.quick else (60 if args.data == "digits" else 10)
    history = trainer.fit((x, known), (x_test, asked), epochs=epochs, batch_size=10, progress=False)
    say("test accuracy", accuracy(net, x_test, data.y_test))
    say("mean output for the right class", net(x_test)[np.arange(len(x_test)), data.y_test].mean())
    viz.learning_curves(history, path=args.out / "curves.png")

    # backwards: from a wanted output through each layer's transpose, squashed into the range of inputs
    hidden = _logit(targets(np.arange(len(data.classes)), len(data.classes))) @ net[3].weight.data
    pictures = _logit(_into_range(hidden)) @ net[1].weight.data
    viz.image_grid(pictures.reshape(-1, *data.shape), data.classes, path=args.out / "backwards.png")


def _logit(p):
    return np.log(p / (1 - p))


def _into_range(v):
    low, high = v.min(axis=1, keepdims=True), v.max(axis=1, keepdims=True)
    return 0.01 + 0.98 * (v - low) / (high - low)


if __name__ == "__main__":
    main()
