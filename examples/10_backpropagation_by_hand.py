"""Backpropagation by hand: the chain rule walked through two small graphs, then checked three ways."""

import math

import numpy as np
from lesson import say, start

import fastnn as fn
from fastnn import nn, viz


class Value:
    """A number that remembers what it was made of, and the slope towards each of those."""

    def __init__(self, name, value, *made_of):
        self.name, self.value, self.made_of, self.gradient = name, value, made_of, 0.0

    def __add__(self, other):
        return Value(f"({self.name} + {other.name})", self.value + other.value, (self, 1.0), (other, 1.0))

    def __mul__(self, other):
        name = f"{self.name} * {other.name}"
        return Value(name, self.value * other.value, (self, other.value), (other, self.value))

    def sigmoid(self):
        """Return 1 / (1 + e^-x), whose slope is s (1 - s)."""
        s = 1 / (1 + math.exp(-self.value))
        return Value(f"sigmoid{self.name}", s, (self, s * (1 - s)))

    def backward(self, gradient=1.0):
        """Chain rule: what comes from above, times the local slope, goes down; where paths meet, it adds up."""
        self.gradient += gradient
        for child, slope in self.made_of:
            child.backward(gradient * slope)

    def show(self, depth=0):
        """Print the graph from the result down."""
        print(f"{'  ' * depth}{self.name}: value {self.value:.2f}, gradient {self.gradient:.2f}")
        for child, _ in self.made_of:
            child.show(depth + 1)


def main():
    """Walk, then compare with the library and with finite differences."""
    args = start(__doc__, __file__)
    x, y, z = Value("x", -2.0), Value("y", 5.0), Value("z", -4.0)
    f = (x + y) * z
    f.backward()
    f.show()
    for leaf in (x, y, z):
        say(f"df/d{leaf.name}", leaf.gradient)

    w0, w1, w2, x0, x1 = (Value(*v) for v in (("w0", 2.0), ("w1", -3.0), ("w2", -3.0), ("x0", -1.0), ("x1", -2.0)))
    neuron = (w0 * x0 + w1 * x1 + w2).sigmoid()
    neuron.backward()
    neuron.show()
    viz.computation(neuron, title="values above, gradients below", path=args.out / "neuron.png")
    by_hand = [leaf.gradient for leaf in (w0, w1, w2)]

    model, inputs = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), np.array([[-1.0, -2.0]])
    model[0].weight.data[...], model[0].bias.data[...] = (2.0, -3.0), -3.0
    say("output of the neuron", model(inputs)[0, 0])
    model.backward(np.ones((1, 1)))
    library = [*model[0].weight.grad[0], *model[0].bias.grad]
    numeric = fn.numeric_gradient(lambda w: 1 / (1 + np.exp(-(w[0] * -1 + w[1] * -2 + w[2]))), [2.0, -3.0, -3.0])
    print("     by hand    library    numeric")
    for i, row in enumerate(zip(by_hand, library, numeric, strict=True)):
        print(f"w{i} " + " ".join(f"{value:10.6f}" for value in row))
    say("largest difference from the library", np.abs(np.subtract(by_hand, library)).max())
    say("largest difference from finite differences", np.abs(np.subtract(by_hand, numeric)).max())

    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4))
    agree = fn.gradcheck(network, np.random.default_rng(0).random((2, 1, 6, 6)))
    print("gradcheck of a small convolutional network:", agree)


if __name__ == "__main__":
    main()
