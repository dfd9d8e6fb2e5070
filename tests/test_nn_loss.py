"""Loss layers: values, gradients, shapes that are refused, targets that make no sense."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.nn import functional as F

rng = np.random.default_rng(5)
SCORES = rng.standard_normal((6, 4)).astype(np.float32)
CLASSES = np.array([0, 3, 1, 1, 2, 0])
VALUES = rng.standard_normal((6, 4)).astype(np.float32)
SHARES = rng.dirichlet(np.ones(4), 6).astype(np.float32)
PROBABILITIES = rng.uniform(0.05, 0.95, (6, 4)).astype(np.float32)
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25], np.float32)


def log_softmax(x: np.ndarray) -> np.ndarray:
    e = x.astype(np.float64)
    return e - np.log(np.exp(e).sum(1, keepdims=True))


def picked() -> np.ndarray:
    return -log_softmax(SCORES)[np.arange(6), CLASSES]


def smoothed() -> np.ndarray:
    return 0.9 * picked() - 0.1 * log_softmax(SCORES).mean(1)


def hinges(p: int) -> np.ndarray:
    gap = np.maximum(1.0 - SCORES[np.arange(6), CLASSES][:, None] + SCORES.astype(np.float64), 0) ** p
    gap[np.arange(6), CLASSES] = 0
    return gap.sum(1)


def huber(d: np.ndarray, delta: float) -> np.ndarray:
    return np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


DIFFERENCE = np.abs(SCORES - VALUES).astype(np.float64)
WEIGHTS = WEIGHT[CLASSES].astype(np.float64)

# name: (loss by reduction, input, target, loss a sample or element, divisor of the mean)
CASES = {
    "CrossEntropyLoss": (nn.CrossEntropyLoss, {}, SCORES, CLASSES, picked(), 6),
    "CrossEntropyLoss weight": (
        nn.CrossEntropyLoss,
        {"weight": WEIGHT},
        SCORES,
        CLASSES,
        picked() * WEIGHTS,
        WEIGHTS.sum(),
    ),
    "CrossEntropyLoss smoothing": (nn.CrossEntropyLoss, {"label_smoothing": 0.1}, SCORES, CLASSES, smoothed(), 6),
    "CrossEntropyLoss ignore": (
        nn.CrossEntropyLoss,
        {"ignore_index": 1},
        SCORES,
        CLASSES,
        np.where(CLASSES == 1, 0, picked()),
        4,
    ),
    "CrossEntropyLoss shares": (
        nn.CrossEntropyLoss,
        {},
        SCORES,
        SHARES,
        -(SHARES * log_softmax(SCORES)).sum(1),
        6,
    ),
    "NLLLoss": (nn.NLLLoss, {}, SCORES, CLASSES, -SCORES[np.arange(6), CLASSES], 6),
    "MSELoss": (nn.MSELoss, {}, SCORES, VALUES, DIFFERENCE**2, 24),
    "SSELoss": (nn.SSELoss, {}, SCORES, VALUES, DIFFERENCE**2, 6),
    "L1Loss": (nn.L1Loss, {}, SCORES, VALUES, DIFFERENCE, 24),
    "SmoothL1Loss": (nn.SmoothL1Loss, {"beta": 0.5}, SCORES, VALUES, huber(DIFFERENCE, 0.5) / 0.5, 24),
    "SmoothL1Loss zero": (nn.SmoothL1Loss, {"beta": 0.0}, SCORES, VALUES, DIFFERENCE, 24),
    "HuberLoss": (nn.HuberLoss, {"delta": 0.7}, SCORES, VALUES, huber(DIFFERENCE, 0.7), 24),
    "BCELoss": (
        nn.BCELoss,
        {},
        PROBABILITIES,
        SHARES,
        -(SHARES * np.log(PROBABILITIES) + (1 - SHARES) * np.log1p(-PROBABILITIES.astype(np.float64))),
        24,
    ),
    "BCEWithLogitsLoss": (
        nn.BCEWithLogitsLoss,
        {"weight": WEIGHT, "pos_weight": WEIGHT * 2},
        SCORES,
        SHARES,
        WEIGHT
        * (
            (1 - SHARES) * np.logaddexp(0, SCORES.astype(np.float64))
            + 2 * WEIGHT * SHARES * np.logaddexp(0, -SCORES.astype(np.float64))
        ),
        24,
    ),
    "MultiMarginLoss": (nn.MultiMarginLoss, {}, SCORES, CLASSES, hinges(1) / 4, 6),
    "MultiMarginLoss squared": (
        nn.MultiMarginLoss,
        {"p": 2, "weight": WEIGHT},
        SCORES,
        CLASSES,
        hinges(2) * WEIGHTS / 4,
        6,
    ),
    "MulticlassHingeLoss": (nn.MulticlassHingeLoss, {}, SCORES, CLASSES, hinges(1), 6),
    "MulticlassHingeLoss squared": (nn.MulticlassHingeLoss, {"p": 2}, SCORES, CLASSES, hinges(2), 6),
}


@pytest.mark.parametrize("name", CASES)
def test_values_by_reduction(name: str) -> None:
    build, options, x, target, each, divisor = CASES[name]
    none = build(**options, reduction="none")(x, target)
    assert none.dtype == np.float32
    np.testing.assert_allclose(none, each, rtol=2e-5, atol=1e-6)
    total, mean = build(**options, reduction="sum")(x, target), build(**options)(x, target)
    assert type(total) is type(mean) is float
    np.testing.assert_allclose(total, each.sum(), rtol=2e-5)
    np.testing.assert_allclose(mean, each.sum() / divisor, rtol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_backward_is_the_gradient_of_the_prediction(name: str) -> None:
    build, options, x, target, *_ = CASES[name]
    loss = build(**options)
    loss(x, target)
    dx = loss.backward()
    assert dx.shape == x.shape
    direction = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    step = 1e-2
    numeric = (loss(x + step * direction, target) - loss(x - step * direction, target)) / (2 * step)
    assert abs(numeric - (dx * direction).sum()) < 2e-2 * max(1.0, abs(numeric))
    each = build(**options, reduction="none")
    dy = np.random.default_rng(2).standard_normal(each(x, target).shape).astype(np.float32)
    assert each.backward(dy).shape == x.shape


def test_the_gradients_of_a_loss_of_ones_own() -> None:
    class Focal(nn.Module):
        def forward(self, scores: fn.Tensor, classes: fn.Tensor) -> fn.Tensor:
            each = F.cross_entropy(scores, classes, reduction="none")
            return ((1 - (-each).exp()) ** 2 * each).mean()

    class First(Focal):
        differentiable_inputs = 1

    model, both, first = nn.Linear(4, 4), Focal(), First()
    assert both(model(SCORES), CLASSES) == first(model(SCORES), CLASSES)
    pair, one = both.backward(), first.backward()
    assert pair[1] is None
    np.testing.assert_array_equal(pair[0], one)
    with pytest.raises(TypeError, match=r"Linear\.backward: expected an array for each output, got a tuple with None"):
        model.backward(pair)
    model(SCORES)
    assert model.backward(one).shape == SCORES.shape


def test_scores_with_further_dimensions() -> None:
    x = rng.standard_normal((2, 4, 3, 5)).astype(np.float32)
    target = rng.integers(0, 4, (2, 3, 5))
    rows, flat = x.transpose(0, 2, 3, 1).reshape(-1, 4), target.reshape(-1)
    for build in (nn.CrossEntropyLoss, nn.NLLLoss):
        loss = build(weight=WEIGHT)
        np.testing.assert_allclose(loss(x, target), build(weight=WEIGHT)(rows, flat), rtol=1e-6)
        dx = loss.backward() if loss(x, target) else None
        plain = build(weight=WEIGHT)
        plain(rows, flat)
        np.testing.assert_allclose(dx.transpose(0, 2, 3, 1).reshape(-1, 4), plain.backward(), rtol=1e-6)
        none = build(reduction="none")(x, target)
        assert none.shape == target.shape
        np.testing.assert_array_equal(none.reshape(-1), build(reduction="none")(rows, flat))
    shares = rng.dirichlet(np.ones(4), (2, 3, 5)).astype(np.float32).transpose(0, 3, 1, 2)
    got = nn.CrossEntropyLoss()(x, shares)
    want = nn.CrossEntropyLoss()(rows, shares.transpose(0, 2, 3, 1).reshape(-1, 4))
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_one_sample_without_a_batch() -> None:
    for build in (nn.CrossEntropyLoss, nn.NLLLoss, nn.MultiMarginLoss):
        one = build()(SCORES[0], np.array(2))
        np.testing.assert_allclose(one, build()(SCORES[:1], np.array([2])), rtol=1e-6)
        assert build(reduction="none")(SCORES[0], np.array(2)) == pytest.approx(one)


def test_class_indices_of_any_whole_type() -> None:
    expected = nn.CrossEntropyLoss()(SCORES, CLASSES)
    for dtype in ("uint8", "int8", "int16", "int32", "uint32"):
        assert nn.CrossEntropyLoss()(SCORES, CLASSES.astype(dtype)) == expected


@pytest.mark.parametrize("wrap", [lambda loss: loss, lambda loss: lambda y, t: loss(y, t)], ids=["module", "function"])
def test_training_steps_check_and_widen_class_indices(wrap) -> None:
    model = nn.Linear(4, 4)
    step = fn.TrainStep(model, wrap(nn.CrossEntropyLoss()), fn.optim.SGD(model.parameters(), lr=0.0))
    assert step(SCORES, CLASSES.astype(np.uint8)) == step(SCORES, CLASSES)
    before = model.weight.data.copy()
    with pytest.raises(ValueError, match=r"CrossEntropyLoss: expected class indices from 0 to 3 .* got 9 at"):
        step(SCORES, np.full(6, 9))
    np.testing.assert_array_equal(model.weight.data, before)


def test_functions_check_class_indices() -> None:
    with pytest.raises(ValueError, match=r"cross_entropy: expected class indices from 0 to 3 .* got 4 at \(2,\)"):
        nn.functional.cross_entropy(SCORES, np.array([0, 1, 4, 0, 0, 0]))
    maps, target = np.zeros((1, 3, 2, 2), np.float32), np.zeros((1, 2, 2), np.uint8)
    assert nn.functional.cross_entropy(maps, target) == pytest.approx(np.log(3))
    target[0, 1, 0] = 3
    with pytest.raises(ValueError, match=r"got 3 at \(0, 1, 0\)"):
        nn.functional.cross_entropy(maps, target)


def test_all_targets_ignored_is_nan_as_in_pytorch() -> None:
    assert np.isnan(nn.CrossEntropyLoss()(SCORES, np.full(6, -100)))
    assert nn.CrossEntropyLoss(reduction="sum")(SCORES, np.full(6, -100)) == 0.0


REFUSED = [
    (nn.MSELoss, SCORES, VALUES[:, :1], "MSELoss: expected target of shape (6, 4) as the input, got shape (6, 1)"),
    (nn.L1Loss, SCORES, VALUES[0], "L1Loss: expected target of shape (6, 4) as the input, got shape (4,)"),
    (nn.SSELoss, SCORES, VALUES.T, "SSELoss: expected target of shape (6, 4) as the input, got shape (4, 6)"),
    (nn.HuberLoss, SCORES, VALUES[:1], "HuberLoss: expected target of shape (6, 4) as the input, got shape (1, 4)"),
    (
        nn.BCEWithLogitsLoss,
        SCORES,
        SHARES[:, 0],
        "BCEWithLogitsLoss: expected target of shape (6, 4) as the input, got shape (6,)",
    ),
    (
        nn.CrossEntropyLoss,
        SCORES,
        CLASSES[:, None],
        "CrossEntropyLoss: expected class indices of shape (6,) for input of shape (6, 4), "
        "got int64 target of shape (6, 1)",
    ),
    (
        nn.CrossEntropyLoss,
        SCORES,
        SHARES[:, :3],
        "CrossEntropyLoss: expected class indices of shape (6,) for input of shape (6, 4), "
        "got float32 target of shape (6, 3)",
    ),
    (
        nn.CrossEntropyLoss,
        SCORES,
        np.eye(4, dtype=int)[CLASSES],
        "CrossEntropyLoss: expected class indices of shape (6,) for input of shape (6, 4), "
        "got int64 target of shape (6, 4)",
    ),
    (
        nn.NLLLoss,
        SCORES,
        CLASSES.astype(float),
        "NLLLoss: expected class indices of shape (6,) for input of shape (6, 4), got float32 target of shape (6,)",
    ),
    (
        nn.CrossEntropyLoss,
        SCORES,
        np.array([0, 1, 2, 3, 4, 0]),
        "CrossEntropyLoss: expected class indices from 0 to 3 for input of shape (6, 4), got 4 at (4,)",
    ),
    (
        nn.MultiMarginLoss,
        SCORES,
        np.array([0, -1, 2, 3, 3, 0]),
        "MultiMarginLoss: expected class indices from 0 to 3 for input of shape (6, 4), got -1 at (1,)",
    ),
    (
        nn.MulticlassHingeLoss,
        SCORES[None],
        CLASSES[None],
        "MulticlassHingeLoss: expected scores of shape (N, C), got shape (1, 6, 4)",
    ),
    (nn.BCELoss, SCORES, SHARES, "BCELoss: expected input values between 0 and 1, got "),
    (nn.BCELoss, PROBABILITIES, VALUES, "BCELoss: expected target values between 0 and 1, got "),
    (
        lambda: nn.CrossEntropyLoss(weight=WEIGHT[:3]),
        SCORES,
        CLASSES,
        "CrossEntropyLoss: expected weight of shape (4,), one entry a class, got shape (3,)",
    ),
    (
        lambda: nn.BCEWithLogitsLoss(pos_weight=WEIGHT[:3]),
        SCORES,
        SHARES,
        "BCEWithLogitsLoss: expected pos_weight that broadcasts to the input's shape (6, 4), got shape (3,)",
    ),
]


@pytest.mark.parametrize(("build", "x", "target", "message"), REFUSED, ids=[row[3][:70] for row in REFUSED])
def test_what_does_not_match_is_refused(build, x, target, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        build()(x, target)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.MSELoss(reduction="avg"), "MSELoss: expected reduction to be 'none', 'mean' or 'sum', got 'avg'"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=1.5), "label_smoothing to be a probability"),
        (lambda: nn.MultiMarginLoss(p=3), "expected p to be 1 or 2, got 3"),
    ],
)
def test_bad_settings(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_older_words_for_the_reduction() -> None:
    assert nn.MSELoss(False).reduction == "sum"
    assert nn.MSELoss(True, True).reduction == "mean"
    assert nn.L1Loss(reduce=False).reduction == "none"


def test_class_weights_are_state() -> None:
    loss = nn.CrossEntropyLoss(weight=[1, 2, 3])
    assert loss.state_dict()["weight"].tolist() == [1.0, 2.0, 3.0]
    assert not list(loss.parameters())
