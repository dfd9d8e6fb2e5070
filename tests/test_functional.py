"""nn.functional: on arrays and on nodes, beside the layers; signatures; what the layers' checks do not reach."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.nn import functional as F
from torch_signatures import TORCH_SIGNATURES

rng = np.random.default_rng(0)
X = rng.standard_normal((2, 4, 6, 5)).astype(np.float32)
S = rng.standard_normal((2, 4, 9)).astype(np.float32)
R = rng.standard_normal((5, 4)).astype(np.float32)


class Traced(nn.Module):
    """A function as a module: its arguments beyond the input are fixed."""

    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


# Arguments that PyTorch has and fastnn has not: there is one device and dtype; the rest is deprecated or private.
ABSENT = {"device", "dtype", "min_value", "max_value", "_stacklevel", "out", "foreach"}
# Arguments that fastnn has and PyTorch has not.
OURS = {"*algorithm='auto'"}
NOT_WEIGHTED = {"F.mse_loss", "F.l1_loss", "F.huber_loss"}


def written(function: Callable) -> list[str]:
    words = []
    for p in inspect.signature(function).parameters.values():
        if p.name == "self" or p.kind is p.VAR_KEYWORD:
            continue
        if p.kind is p.VAR_POSITIONAL:
            words.append("...")
            continue
        default = p.default
        if isinstance(default, float) and default == int(default):
            default = int(default)
        mark = "*" if p.kind is p.KEYWORD_ONLY else ""
        words.append(mark + p.name + ("" if p.default is p.empty else f"={default!r}"))
    return words


@pytest.mark.parametrize("line", TORCH_SIGNATURES.splitlines(), ids=lambda line: line.split(":")[0])
def test_arguments_and_defaults_are_pytorchs(line: str) -> None:
    name, _, arguments = line.partition(":")
    space, _, attribute = name.partition(".")
    mine = getattr({"nn": nn, "F": F, "init": nn.init}[space], attribute)
    absent = ABSENT | ({"weight"} if name in NOT_WEIGHTED else set())
    expected = [word for word in arguments.split() if word.lstrip("*").split("=")[0] not in absent]
    mine = mine.__init__ if isinstance(mine, type) else mine
    assert [word for word in written(mine) if word not in OURS] == expected


PAIRS = {
    "linear": (lambda m: lambda x: F.linear(x, m.weight, m.bias), lambda: nn.Linear(4, 3), R),
    "conv1d": (
        lambda m: lambda x: F.conv1d(x, m.weight, m.bias, 2, [1], (2,), 2),
        lambda: nn.Conv1d(4, 6, 3, 2, 1, 2, 2),
        S,
    ),
    "conv2d": (
        lambda m: lambda x: F.conv2d(x, m.weight, m.bias, (2, 1), [1, 0]),
        lambda: nn.Conv2d(4, 6, 3, (2, 1), (1, 0)),
        X,
    ),
    "conv2d same": (
        lambda m: lambda x: F.conv2d(x, m.weight, padding="same"),
        lambda: nn.Conv2d(4, 6, 4, padding="same", bias=False),
        X,
    ),
    "max_pool2d": (lambda m: lambda x: F.max_pool2d(x, 3, 2, 1), lambda: nn.MaxPool2d(3, 2, 1), X),
    "avg_pool1d": (
        lambda m: lambda x: F.avg_pool1d(x, 3, 2, 1, True, False),
        lambda: nn.AvgPool1d(3, 2, 1, True, False),
        S,
    ),
    "prelu": (lambda m: lambda x: F.prelu(x, m.weight), lambda: nn.PReLU(4), X),
    "softmax": (lambda m: lambda x: F.softmax(x, dim=2), lambda: nn.Softmax(2), X),
    "local_response_norm": (lambda m: lambda x: F.local_response_norm(x, 3), lambda: nn.LocalResponseNorm(3), X),
    "batch_norm": (
        lambda m: lambda x: F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias),
        lambda: nn.BatchNorm2d(4).eval(),
        X,
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_function_layer_and_trace_give_the_same_bits(name: str) -> None:
    make, build, x = PAIRS[name]
    layer = build()
    function, kept = make(layer), x.copy()
    expected = layer(x)
    np.testing.assert_array_equal(function(x), expected)
    np.testing.assert_array_equal(Traced(function)(x), expected)
    np.testing.assert_array_equal(x, kept)


def test_results_are_fresh() -> None:
    for function in (F.relu, lambda x: F.dropout(x, training=False), lambda x: F.pad(x, (0, 0)), lambda x: F.cat([x])):
        y = function(X)
        assert not np.shares_memory(y, X)
        y[...] = 0.0
    assert X.any()


def test_one_number_comes_back_as_float() -> None:
    assert type(F.mse_loss(R, R)) is float
    assert type(F.sum(R)) is float
    assert F.mse_loss(R, R, reduction="none").shape == R.shape


# ---- batch norm ----


def test_batch_norm_moves_the_running_arrays_it_is_given() -> None:
    for dtype in (np.float32, np.float64):
        mean, var = np.zeros(4, dtype), np.ones(4, dtype)
        y = F.batch_norm(X, mean, var, training=True, momentum=0.25)
        np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-6)
        np.testing.assert_allclose(mean, 0.25 * X.mean((0, 2, 3)), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(var, 0.75 + 0.25 * X.var((0, 2, 3), ddof=1), rtol=1e-5)
    layer = nn.BatchNorm2d(4, momentum=0.25)
    layer(X)
    np.testing.assert_array_equal(layer.running_mean, mean.astype(np.float32))


def test_batch_norm_in_a_model_commits_at_the_end() -> None:
    layer = nn.BatchNorm1d(4, momentum=None)
    total = np.zeros(4)
    for i in range(1, 4):
        x = R * i
        layer(x)
        total += x.mean(0)
        assert int(layer.num_batches_tracked) == i
        np.testing.assert_allclose(layer.running_mean, total / i, rtol=1e-5, atol=1e-6)
    before = layer.running_mean.copy()
    layer.eval()(R)
    np.testing.assert_array_equal(layer.running_mean, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: F.batch_norm(R[:1], None, None, training=True), "batch_norm: expected more than 1 value per channel"),
        (lambda: F.batch_norm(R, None, None), "expected running_mean and running_var when not training"),
        (lambda: F.batch_norm(R, np.zeros(4), None, training=True), "expected running_mean and running_var both"),
        (lambda: nn.BatchNorm1d(4)(R[:1]), r"BatchNorm1d: expected more than 1 value per channel .* shape \(1, 4\)"),
        (lambda: F.conv2d(X, np.ones((3, 4, 2))), r"conv2d: expected 4-D weight .* got shape \(3, 4, 2\)"),
        (
            lambda: F.conv2d(X, np.ones((3, 5, 2, 2))),
            r"conv2d: expected input with 5 channels, got shape \(2, 4, 6, 5\)",
        ),
        (lambda: F.conv1d(S, np.ones((3, 5, 2))), r"conv1d: expected input with 5 channels, got shape \(2, 4, 9\)"),
        (lambda: F.conv2d(X, np.ones((3, 4, 2, 2)), stride=0), "conv2d: expected stride to be an int >= 1, got 0"),
        (
            lambda: F.conv2d(X, np.ones((3, 4, 2, 2)), stride=(1, 1, 1)),
            "expected stride to be an int or a pair of ints",
        ),
        (lambda: F.conv2d(X, np.ones((3, 4, 2, 2)), padding="full"), "expected padding to be one of 'same', 'valid'"),
        (
            lambda: F.conv2d(X, np.ones((3, 4, 2, 2)), None, 2, "same"),
            r"conv2d: padding='same' works with stride 1 only, got stride \(2, 2\)",
        ),
        (lambda: F.max_pool2d(X, 2, padding=2), r"max_pool2d: expected padding of at most half the kernel size"),
        (lambda: F.max_pool2d(X, 2, return_indices=True), "max_pool2d: expected return_indices=False"),
        (lambda: F.lp_pool2d(X, 0, 2), "lp_pool2d: expected norm_type to be finite and not 0"),
        (lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)), "expected output_size to be an int, None or 2 of them"),
        (lambda: F.avg_pool2d(X, 2, divisor_override=0), "expected divisor_override not to be zero"),
        (lambda: F.softmax(X, 4), r"softmax: expected dim to be in \[-4, 3\] for 4 dimensions, got 4"),
        (lambda: F.dropout(X, 1.5), "dropout: expected p to be a probability between 0 and 1, got 1.5"),
        (lambda: F.pad(X, (1, 2, 3)), "pad: expected pad to hold pairs for at most 4 dimensions"),
        (lambda: F.pad(X, (1, 1), "reflect"), "pad: expected mode to be one of 'constant', got 'reflect'"),
        (lambda: F.pad(X, (-3, -3)), "pad: expected pad to leave no negative size"),
        (lambda: F.cat([X, R]), "cat: expected shapes that agree but for dimension 0"),
        (lambda: F.cat([]), "cat: expected at least one tensor, got none"),
        (lambda: F.stack([X, X[:1]]), "stack: expected tensors of one shape"),
        (lambda: F.unflatten(R, 1, (3, -1)), "unflatten: expected sizes that multiply to 4"),
        (lambda: F.one_hot([0, 3], 3), "one_hot: expected class indices from 0 to 2, got 0 to 3"),
        (lambda: F.clamp(X), "clamp: expected min, max or both, got neither"),
        (lambda: F.gelu(X, "erf"), "gelu: expected approximate to be one of 'none', 'tanh', got 'erf'"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "Conv2d: expected in_channels divisible by groups, got 3 and 2"),
        (
            lambda: nn.Conv2d(3, 4, 3, padding_mode="reflect"),
            "expected padding_mode to be one of 'zeros', got 'reflect'",
        ),
        (lambda: nn.MaxPool2d(2, padding=2), "MaxPool2d: expected padding of at most half the kernel size"),
        (lambda: nn.Dropout(-0.1), "expected p to be a probability between 0 and 1, got -0.1"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(call: Callable, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.Linear(2.5, 3), "expected in_features to be an int >= 0, got 2.5"),
        (lambda: nn.Conv2d(3, 4, True), "expected kernel_size to be an int >= 1, got True"),
        (lambda: F.one_hot([0.5]), "one_hot: expected whole numbers, got dtype float64"),
        (lambda: Traced(F.one_hot)(np.zeros(2, np.int64)), "Traced: one_hot expected an array, got a Node"),
        (lambda: F.leaky_relu(R, "a"), "leaky_relu: expected negative_slope to be a number, got 'a'"),
        (lambda: F.relu(np.ones(2, complex)), "expected an array of numbers, got dtype complex128"),
    ],
)
def test_wrong_kinds_are_type_errors(call: Callable, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


# ---- dropout ----


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_dropout_keeps_its_share(p: float) -> None:
    fn.manual_seed(4)
    y = F.dropout(np.ones((100, 200), np.float32), p)
    kept = (y != 0).mean()
    assert abs(kept - (1 - p)) <= 5 * np.sqrt(p * (1 - p) / y.size)
    if p < 1:
        np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)


def test_dropout_masks_by_element_channel_and_sample() -> None:
    fn.manual_seed(4)
    ones = np.ones((8, 16, 5, 5), np.float32)
    channels = F.dropout2d(ones)
    assert (channels == channels[:, :, :1, :1]).all()
    assert 0 < (channels[:, :, 0, 0] == 0).mean() < 1
    rows = F.stochastic_depth(np.ones((64, 3), np.float32), 0.5, "row")
    assert (rows == rows[:, :1]).all()
    assert 0 < (rows[:, 0] == 0).mean() < 1
    assert len(np.unique(F.stochastic_depth(ones, 0.5, "batch"))) == 1


def test_dropout_differs_by_call_and_layer_and_repeats_by_seed() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Identity(), nn.Dropout(0.5))
    x = np.ones((32, 32), np.float32)
    fn.manual_seed(9)
    first, second = model(x), model(x)
    assert (first != second).any()
    fn.manual_seed(9)
    np.testing.assert_array_equal(model(x), first)
    assert (first == 4.0).any()
    assert 0.15 < (first != 0).mean() < 0.35


def test_dropout_backward_uses_the_mask_of_the_forward() -> None:
    layer = nn.Dropout(0.3)
    x = np.ones((16, 16), np.float32)
    y = layer(x)
    np.testing.assert_array_equal(layer.backward(np.ones_like(x)), y)


# ---- tensors ----


def test_functions_of_tensors_follow_numpy() -> None:
    a, b = rng.standard_normal((2, 3)).astype(np.float32), rng.standard_normal((3, 4)).astype(np.float32)
    np.testing.assert_allclose(F.matmul(a, b), a @ b, rtol=1e-5)
    np.testing.assert_array_equal(F.cat([a, a], 1), np.concatenate([a, a], 1))
    np.testing.assert_array_equal(F.stack([a, a], -1), np.stack([a, a], -1))
    np.testing.assert_array_equal(F.maximum(a, 0 * a), np.maximum(a, 0))
    np.testing.assert_array_equal(F.amax(X, (2, 3)), X.max((2, 3)))
    np.testing.assert_allclose(F.mean(X, 1, keepdim=True), X.mean(1, keepdims=True), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(F.permute(X, (3, 0, 2, 1)), X.transpose(3, 0, 2, 1))
    np.testing.assert_array_equal(F.flatten(X, 1), X.reshape(2, -1))
    np.testing.assert_array_equal(F.reshape(X, (4, -1)), X.reshape(4, -1))
    np.testing.assert_array_equal(F.split(X, [1, 3], 1)[1], X[:, 1:])
    np.testing.assert_array_equal(F.add(a, a[:1]), a + a[:1])
    np.testing.assert_array_equal(F.sub(1.0, a), 1 - a)
    np.testing.assert_array_equal(F.pad(X, (1, 0, -2, 1), value=3.0)[..., :1], np.full((2, 4, 5, 1), 3.0))
    np.testing.assert_array_equal(fn.flatten(R), R.reshape(-1))


# ---- clipping ----


def parameters() -> list[nn.Parameter]:
    made = [nn.Parameter(np.zeros(s)) for s in ((3, 4), (5,), (2,))]
    for p in made[:2]:
        p.grad = rng.standard_normal(p.shape)
    return made


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, np.inf])
def test_clip_grad_norm(norm_type: float) -> None:
    ps = parameters()
    before = [p.grad.copy() for p in ps[:2]]
    expected = np.linalg.norm(np.concatenate([g.ravel() for g in before]).astype(np.float64), norm_type)
    norm = nn.utils.clip_grad_norm_(ps, 0.5, norm_type)
    assert type(norm) is float
    np.testing.assert_allclose(norm, expected, rtol=1e-6)
    for p, g in zip(ps, before, strict=False):
        np.testing.assert_allclose(p.grad, g * (0.5 / (expected + 1e-6)), rtol=1e-5)
    kept = ps[0].grad.copy()
    nn.utils.clip_grad_norm_(ps, 1e6, norm_type)
    np.testing.assert_array_equal(ps[0].grad, kept)


def test_clip_grad_norm_of_what_is_not_finite() -> None:
    p = nn.Parameter(np.zeros(2))
    p.grad = np.array([np.nan, 1.0])
    with pytest.raises(RuntimeError, match="expected a finite norm of the gradients, got nan"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert nn.utils.clip_grad_norm_([nn.Parameter(np.zeros(2))], 1.0) == 0.0


def test_clip_grad_value() -> None:
    ps = parameters()
    nn.utils.clip_grad_value_(ps, 0.25)
    assert max(abs(p.grad).max() for p in ps[:2]) == 0.25
    assert ps[2].grad is None


def test_vectors_and_parameters() -> None:
    model = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert vector.shape == (8,)
    nn.utils.vector_to_parameters(vector * 2, model.parameters())
    np.testing.assert_array_equal(nn.utils.parameters_to_vector(model.parameters()), vector * 2)
    with pytest.raises(ValueError, match=r"expected a vector of 8 entries, got shape \(7,\)"):
        nn.utils.vector_to_parameters(vector[:7], model.parameters())
