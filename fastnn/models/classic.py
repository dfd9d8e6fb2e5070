"""Where it began: linear models, the perceptron, the sigmoid network, and LeNet-5 as it was printed."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastnn.nn.functional as F
from fastnn import nn

from .._checks import as_int
from ..nn.init import uniform_
from .registry import features_after, register

__all__ = [
    "LeNet5Original", "LinearRegression", "LogisticRegression", "Perceptron", "SigmoidMLP", "TwoLayerPerceptron",
]  # fmt: skip


class LinearRegression(nn.Module):
    """A weighted sum and a bias, starting from 0; trained with `nn.MSELoss`.

    Parameters
    ----------
    in_features : int
        Numbers that a prediction is made of.
    out_features : int, default 1
        Numbers to predict.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import LinearRegression
    >>> LinearRegression(3)(np.ones((2, 3), np.float32))
    array([[0.],
           [0.]], dtype=float32)
    """

    def __init__(self, in_features: int, out_features: int = 1) -> None:
        super().__init__()
        self.fc = nn.Linear(in_features, out_features)
        for parameter in self.fc.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Any) -> Any:
        """Return the predictions (N, out_features) for (N, in_features)."""
        return self.fc(x)


class LogisticRegression(LinearRegression):
    """The log odds of one class against the other; trained with `nn.BCEWithLogitsLoss`.

    Parameters
    ----------
    in_features : int
        Numbers that a decision is made of.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import LogisticRegression
    >>> LogisticRegression(3).probability(np.ones((1, 3), np.float32))
    array([0.5], dtype=float32)
    """

    def __init__(self, in_features: int) -> None:
        super().__init__(in_features, 1)

    def probability(self, x: Any) -> np.ndarray:
        """Return the probability (N,) of class 1, for arrays."""
        odds: np.ndarray = F.sigmoid(self(x))
        return odds[:, 0]


class Perceptron(LinearRegression):
    """Neurons with a threshold; trained with `perceptron_loss`, whose gradient is Rosenblatt's rule.

    One output tells class 1 (a score above 0) from class 0; several tell as many classes, by the highest score.

    Parameters
    ----------
    in_features : int
        Inputs.
    out_features : int, default 1
        Neurons.

    References
    ----------
    Rosenblatt, "The perceptron: a probabilistic model ...", Psychological Review 65, 1958.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 0, 0, 1])  # and
    >>> model = fn.models.Perceptron(2)
    >>> step = fn.TrainStep(model, model.perceptron_loss, fn.optim.SGD(model.parameters(), lr=1.0))
    >>> for _ in range(30):
    ...     loss = step(x, y)
    >>> model.decide(x)
    array([0, 0, 0, 1])
    """

    @staticmethod
    def perceptron_loss(score: Any, target: Any) -> Any:
        """Return the mean over samples by how much wrong scores lead: max(0, -t s), or the sum over wrong classes.

        A score of exactly 0 counts as a lead of nothing, whose slope is taken as if it were wrong: weights may start
        from 0.
        """
        if score.shape[1] == 1:
            sign = 2.0 * target.reshape(target.shape[0], 1) - 1.0
            return F.relu(1e-6 - score * sign).mean()
        return F.multiclass_hinge_loss(score, target, margin=1e-6)

    def decide(self, x: Any) -> np.ndarray:
        """Return the classes (N,), for arrays."""
        score = self(x)
        return (score[:, 0] > 0).astype(np.int64) if score.shape[1] == 1 else score.argmax(axis=1)


class TwoLayerPerceptron(nn.Module):
    """Two layers of sigmoids without biases: the network that blog posts train in eleven lines of NumPy.

    Weights start from a uniform distribution between -1 and 1. Trained with `nn.SSELoss` and plain gradient descent on
    all samples at once; the eleven lines' step of 1 is a rate of half the number of samples here, for they sum where
    the loss averages, and leave out the square's factor 2.

    Parameters
    ----------
    in_features : int
        Inputs; a constant one among them stands for a bias.
    hidden : int, default 4
        Units of the hidden layer.
    out_features : int, default 1
        Outputs, in (0, 1).

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> _ = fn.manual_seed(0)
    >>> x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], np.float32)
    >>> y = np.array([[0], [1], [1], [0]], np.float32)  # exclusive or of the first two
    >>> model = fn.models.TwoLayerPerceptron(3)
    >>> step = fn.TrainStep(model, fn.nn.SSELoss(), fn.optim.SGD(model.parameters(), lr=2.0))
    >>> for _ in range(5000):
    ...     loss = step(x, y)
    >>> model(x).round(1).ravel()
    array([0., 1., 1., 0.], dtype=float32)
    """

    def __init__(self, in_features: int, hidden: int = 4, out_features: int = 1) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, out_features, bias=False)
        for layer in (self.fc1, self.fc2):
            uniform_(layer.weight, -1.0, 1.0)

    def forward(self, x: Any) -> Any:
        """Return the outputs (N, out_features) for (N, in_features)."""
        return F.sigmoid(self.fc2(F.sigmoid(self.fc1(x))))


@register("sigmoid_mlp")
class SigmoidMLP(nn.Module):
    """One hidden layer, sigmoids in both layers: the first network of many courses, 784-100-10 for MNIST.

    Weights start from N(0, 1 / inputs), biases from 0. Its outputs lie in (0, 1): trained with `nn.SSELoss` on
    targets of 0.01 and 0.99, and inputs from 0.01 to 1.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images.
    image_size : int or (int, int), default 28
        Height and width of the images.
    hidden : int, default 100
        Units of the hidden layer.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import SigmoidMLP
    >>> model = SigmoidMLP()
    >>> model(np.zeros((2, 1, 28, 28), np.float32)).shape, sum(p.data.size for p in model.parameters())
    ((2, 10), 79510)
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: Any = 28, hidden: int = 100) -> None:
        super().__init__()
        inputs = in_channels * features_after("SigmoidMLP", image_size, 1, int)
        self.fc1 = nn.Linear(inputs, as_int("hidden", hidden, 1))
        self.fc2 = nn.Linear(hidden, num_classes)
        for layer in (self.fc1, self.fc2):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Any) -> Any:
        """Return the outputs (N, num_classes) for images (N, in_channels, H, W)."""
        return F.sigmoid(self.fc2(F.sigmoid(self.fc1(x.flatten(1)))))


class _Subsampling(nn.Module):
    """The sum of 2 x 2 pixels, times a number and plus another for each map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full((channels, 1, 1), 0.25, np.float32))
        self.bias = nn.Parameter(np.zeros((channels, 1, 1), np.float32))

    def forward(self, x: Any) -> Any:
        return F.avg_pool2d(x, 2) * 4.0 * self.weight + self.bias


# Which of the six maps of the first stage each of the second's sixteen looks at (the paper's table I).
_TABLE = (
    *((i, (i + 1) % 6, (i + 2) % 6) for i in range(6)),
    *((i, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6) for i in range(6)),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5),
)  # fmt: skip


@register("lenet5_1998")
class LeNet5Original(nn.Module):
    """LeNet-5 as printed: subsampling with weights, tanh, a table of connections, distances to codes as outputs.

    Maps are squashed by 1.7159 tanh(2 x / 3). A class's score is minus the squared distance of the last 84 units to
    the class's code of -1 and 1, so that the highest score is the nearest code. 60,000 numbers are trained, as in
    the paper: the 900 weights that the table leaves out are there, and count as 0.

    Parameters
    ----------
    num_classes : int, default 10
        Number of classes.
    in_channels : int, default 1
        Channels of the images.
    image_size : int or (int, int), default 28
        Height and width of the images, at least 12. The first convolution pads by 2: 28 come out as the paper's 32.

    Notes
    -----
    Weights start, as in the paper, from a uniform distribution of -2.4 / inputs to 2.4 / inputs. The paper's codes are
    drawings of the characters, 7 x 12; these are random ones of the same length, always the same. Trained with
    `nn.CrossEntropyLoss`, which is the paper's second loss with a garbage class of weight 0.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86, 1998.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.models import LeNet5Original
    >>> model = LeNet5Original()
    >>> model(np.zeros((2, 1, 28, 28), np.float32)).shape, sum(p.data.size for p in model.parameters())
    ((2, 10), 60900)
    """

    codes: np.ndarray
    table: np.ndarray

    def __init__(self, num_classes: int = 10, in_channels: int = 1, image_size: Any = 28) -> None:
        super().__init__()
        pixels = features_after("LeNet5Original", image_size, 12, lambda side: (side // 2 - 4) // 2)
        self.c1, self.s2 = nn.Conv2d(in_channels, 6, 5, padding=2), _Subsampling(6)
        self.c3, self.s4 = nn.Conv2d(6, 16, 5), _Subsampling(16)
        self.c5, self.f6 = nn.Linear(16 * pixels, 120), nn.Linear(120, 84)
        table = np.zeros((16, 6, 1, 1), np.float32)
        for row, seen in zip(table, _TABLE, strict=True):
            row[list(seen)] = 1.0
        self.register_buffer("table", np.broadcast_to(table, (16, 6, 5, 5)).copy())
        codes = np.random.default_rng(1998).integers(0, 2, (num_classes, 84)) * 2 - 1
        self.register_buffer("codes", codes.astype(np.float32))
        inputs = {self.c1: in_channels * 25, self.c3: 100, self.c5: 16 * pixels, self.f6: 120}
        for layer, count in inputs.items():
            uniform_(layer.weight, -2.4 / count, 2.4 / count)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Any) -> Any:
        """Return the scores (N, num_classes) of images (N, in_channels, H, W)."""
        x = _squash(self.s2(_squash(self.c1(x))))
        x = _squash(self.s4(_squash(F.conv2d(x, self.c3.weight * self.table, self.c3.bias))))
        x = _squash(self.f6(_squash(self.c5(x.flatten(1)))))
        squares = (x * x).sum(dim=1, keepdim=True) + float(self.codes.shape[1])
        return 2.0 * F.linear(x, self.codes) - squares


def _squash(x: Any) -> Any:
    return 1.7159 * F.tanh(x * (2.0 / 3.0))
