"""The worked numbers of computer-vision lectures, each computed by the library's own parts."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastnn as fn
import fastnn.nn.functional as F
from fastnn import nn, optim

# Scores of three pictures (a cat, a car, a frog) for the classes cat, car, frog.
SCORES = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
CLASSES = np.arange(3)


def near(expected, digits: int) -> object:
    """Compare as printed: within half of the last digit that a slide shows."""
    return pytest.approx(expected, rel=0, abs=0.5001 * 10.0**-digits)


def linear(weight, bias=None) -> nn.Linear:
    weight = np.asarray(weight, np.float32)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data[...] = weight
    if bias is not None:
        layer.bias.data[...] = bias
    return layer


# ---- scores and losses ----


@pytest.mark.parametrize(
    ("scores", "probabilities", "digits"),
    [
        ((3.0, 1.0, 0.2), (0.836, 0.113, 0.051), 3),
        ((3.83, -0.21, 0.74), (0.94, 0.02, 0.04), 2),
        ((3.2, 5.1, -1.7), (0.13, 0.87, 0.00), 2),
    ],
)
def test_softmax(scores, probabilities, digits):
    assert F.softmax(np.array(scores), dim=0) == near(probabilities, digits)
    assert nn.Softmax(dim=1)(np.array([scores]))[0] == near(probabilities, digits)


def test_scores_of_a_linear_classifier():
    # The four pixels and the scores are the lecture's; the second row is one of many that give the second score.
    weight = np.array([[0.2, -0.5, 0.1, 0.2], [0.75, -0.1, 2.1, 0.0], [0.0, 0.25, 0.2, -0.3]])
    pixels, scores, bias = np.array([[152.0, 203.0, 14.0, 75.0]]), np.array([-54.7, 123.1, 31.05]), (1.1, 3.2, -1.2)
    assert linear(weight)(pixels)[0] == pytest.approx(scores, rel=1e-6)
    assert linear(weight, bias)(pixels)[0] == pytest.approx(scores + bias, rel=1e-6)
    # the bias trick: one more pixel that is always 1
    extended = linear(np.column_stack([weight, bias]))
    assert extended(np.column_stack([pixels, [1.0]]))[0] == pytest.approx(scores + bias, rel=1e-6)


def test_hinge_losses():
    losses = F.multiclass_hinge_loss(SCORES, CLASSES, reduction="none")
    assert losses == near((2.9, 0.0, 12.9), 1)
    assert nn.MulticlassHingeLoss()(SCORES, CLASSES) == near(5.27, 2)
    # squared: 2.9 ** 2 for the cat, where one class violates the margin; 6.3 ** 2 + 6.6 ** 2 for the frog
    squared = F.multiclass_hinge_loss(SCORES, CLASSES, p=2, reduction="none")
    assert squared == pytest.approx((2.9**2, 0.0, 6.3**2 + 6.6**2), rel=1e-6)


def test_hinge_does_not_see_small_changes_softmax_does():
    moved = SCORES.copy()
    moved[1, 1] -= 0.5  # the car keeps its margin
    hinge, softmax = (lambda s: F.multiclass_hinge_loss(s, CLASSES)), (lambda s: F.cross_entropy(s, CLASSES))
    assert hinge(moved) == pytest.approx(hinge(SCORES), rel=1e-6)
    assert softmax(moved) > softmax(SCORES)


def test_cross_entropy_of_the_cat():
    # A slide's 0.89 is the logarithm to base 10; with the natural one, which the method means, it is 2.04.
    loss = nn.CrossEntropyLoss()(SCORES[:1], CLASSES[:1])
    assert loss == near(2.04, 2)
    assert loss / math.log(10) == near(0.89, 2)


@pytest.mark.parametrize("k", [3, 10, 1000])
def test_losses_at_zero_scores(k):
    scores, y = np.zeros((5, k)), np.arange(5) % k
    assert nn.MulticlassHingeLoss()(scores, y) == pytest.approx(k - 1, rel=1e-6)
    assert nn.CrossEntropyLoss()(scores, y) == pytest.approx(math.log(k), rel=1e-6)


@pytest.mark.parametrize(
    ("weight", "l2", "l1"), [((1.0, 0.0, 0.0, 0.0), 1.0, 1.0), ((0.25, 0.25, 0.25, 0.25), 0.25, 1.0)]
)
def test_penalties_prefer_spread_weights_or_do_not_care(weight, l2, l1):
    x, target = np.ones((1, 4), np.float32), np.ones((1, 1), np.float32)
    for penalty, expected in ((optim.L2, l2), (optim.L1, l1)):
        model = linear([weight])
        assert model(x)[0, 0] == 1.0  # both weights give the same score
        step = fn.TrainStep(
            model, nn.MSELoss(), optim.SGD(model.parameters(), lr=0.1), penalties=[penalty([model.weight], 1.0)]
        )
        assert step(x, target) == pytest.approx(expected, rel=1e-6)


# ---- small networks ----


def test_two_two_network():
    # a weight is named after where it comes from and where it goes: w12 = 0.2 leads from the first input to the second
    net = nn.Sequential(linear([[0.9, 0.3], [0.2, 0.8]]), nn.Sigmoid())
    assert net(np.array([[1.0, 0.5]]))[0] == near((0.7408, 0.6457), 4)


def test_three_three_three_network():
    hidden = nn.Sequential(linear([[0.9, 0.3, 0.4], [0.2, 0.8, 0.2], [0.1, 0.5, 0.6]]), nn.Sigmoid())
    output = nn.Sequential(linear([[0.3, 0.7, 0.5], [0.6, 0.5, 0.2], [0.8, 0.1, 0.9]]), nn.Sigmoid())
    x = np.array([[0.9, 0.1, 0.8]])
    assert hidden(x)[0] == near((0.761, 0.603, 0.650), 3)
    # A slide's 0.708 comes from sums rounded to three digits on the way (0.888); unrounded it is 0.7086.
    assert nn.Sequential(hidden, output)(x)[0] == near((0.726, 0.709, 0.778), 3)
    assert F.sigmoid(np.array([0.975, 0.888, 1.254])) == near((0.726, 0.708, 0.778), 3)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_can_be_the_identity(training):
    x = np.random.default_rng(0).normal(3.0, 2.0, (64, 5)).astype(np.float32)
    norm = nn.BatchNorm1d(5, eps=0.0)
    norm.weight.data[...], norm.bias.data[...] = x.std(axis=0), x.mean(axis=0)
    norm.running_mean[...], norm.running_var[...] = x.mean(axis=0), x.var(axis=0)
    assert norm.train(training)(x) == pytest.approx(x, rel=1e-5, abs=1e-5)


# ---- gradient descent on f(x) = x^4 + x + 2 ----


def quartic(x):
    return x**4 + x + 2


# x, f(x), and the slope by a forward difference with h = 0.001; each x is the one before minus 0.2 times the slope
TABLE = [
    (1.0000, 4.0000, 5.0060),
    (-0.0012, 1.9988, 1.0000),
    (-0.2012, 1.8004, 0.9677),
    (-0.3947, 1.6295, 0.7549),
    (-0.5457, 1.5430, 0.3517),
    (-0.6161, 1.5280, 0.0670),
    (-0.6295, 1.5275, 0.0047),
]


def test_descent_by_finite_differences():
    x = 1.0
    for row in TABLE:
        slope = float(fn.numeric_gradient(quartic, x, h=0.001, kind="forward"))
        assert (x, quartic(x), slope) == near(row, 4)
        x -= 0.2 * slope


def test_descent_by_the_derivative():
    # The forward difference is 6 x^2 h too large, in the first row 0.006: the same path, to three digits.
    class Quartic(nn.Module):
        def __init__(self):
            super().__init__()
            self.x = nn.Parameter(np.array([1.0], np.float32))

        def forward(self, one):
            return quartic(self.x) * one

    model, one = Quartic(), np.ones(1, np.float32)
    step = fn.TrainStep(model, lambda output, target: output.sum(), optim.SGD(model.parameters(), lr=0.2))
    path = []
    for _ in TABLE:
        path.append(float(model.x.data[0]))
        step(one, one)
    assert path == pytest.approx([row[0] for row in TABLE], abs=2.5e-3)
    assert path[-1] == pytest.approx(-(0.25 ** (1 / 3)), abs=1.5e-3)
