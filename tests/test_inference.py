"""Plans of models in eval mode: batch norm in the weights, sums in the epilogue, nothing kept for a backward."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fastnn as fn
from fastnn import _core, nn, reference
from fastnn.graph.runtime import runtime_of
from oracle import channels_last
from tolerances import EPS, ROUNDINGS, WINOGRAD_BOUNDS

Array = npt.NDArray[Any]


def images(*shape: int) -> Array:
    """Random numbers; images in channels-last memory, which is read as it is."""
    x = np.random.default_rng(3).standard_normal(shape, np.float32)
    return channels_last(x) if x.ndim == 4 else x


def settle(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm statistics and parameters of its own; return the model in eval mode."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        if not isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            continue
        for array in (module.running_mean, module.weight and module.weight.data, module.bias and module.bias.data):
            if array is not None:
                array[...] = rng.standard_normal(array.shape)
        if module.running_var is not None:
            module.running_var[...] = rng.uniform(0.3, 3.0, module.running_var.shape)
    return model.eval()


def operations(model: nn.Module, *inputs: Any) -> list[str]:
    """The operations of the forward that a call with these inputs runs."""
    return [row[2] for row in model.plan(*inputs).rows() if row[0] == "forward"]


# ---- batch norm in the weights ----

FOLDED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "3x3": (lambda: nn.Conv2d(3, 10, 3, padding=1), (2, 3, 9, 8)),
    "without bias": (lambda: nn.Conv2d(5, 7, 3, 2, bias=False), (2, 5, 19, 17)),
    "1x1": (lambda: nn.Conv2d(20, 33, 1, bias=False), (3, 20, 5, 5)),
    "groups": (lambda: nn.Conv2d(8, 12, 3, groups=4), (2, 8, 8, 8)),
    "depthwise": (lambda: nn.Conv2d(18, 18, 3, padding=1, groups=18), (2, 18, 9, 9)),
    "stem": (lambda: nn.Conv2d(3, 40, 7, 2, 3), (1, 3, 33, 31)),
    "dead taps": (lambda: nn.Conv2d(4, 6, 3, padding=1), (40, 4, 1, 1)),
    "winograd2": (lambda: nn.Conv2d(17, 20, 3, padding=1, algorithm="winograd2"), (2, 17, 13, 12)),
    "winograd4": (lambda: nn.Conv2d(17, 20, 3, padding=1, algorithm="winograd4"), (2, 17, 13, 12)),
    "linear": (lambda: nn.Linear(12, 9), (30, 12)),
}


def parts_in_float64(layer: Any, norm: Any, x: Array) -> tuple[Array, Array]:
    """Batch norm of the layer's output, and the size of what is rounded on the way."""
    w, b = np.float64(layer.weight.data), None if layer.bias is None else np.float64(layer.bias.data)
    attrs: dict[str, Any] = {}
    if w.ndim == 4:
        pad = tuple(p for p in layer.padding for _ in range(2))
        attrs = {"stride": layer.stride, "padding": pad, "dilation": layer.dilation, "groups": layer.groups}
        attrs["algorithm"] = "auto"
    run = reference.conv2d if w.ndim == 4 else reference.linear
    inner, x = run(np.float64(x), w, b, **attrs), np.float64(x)
    mean, var, weight, bias = (
        np.float64(a) for a in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data)
    )
    shape = (-1, *[1] * (x.ndim - 2))
    scale = np.abs(weight) / np.sqrt(var + norm.eps)
    terms = np.sqrt(run(np.square(x), np.square(w), None, **attrs)) * scale.reshape(shape)
    shift = scale * (np.abs(mean) + (0.0 if b is None else np.abs(b))) + np.abs(bias)
    y = reference.batch_norm(inner, mean, var, weight, bias, eps=norm.eps)
    size = EPS * (ROUNDINGS + np.sqrt(w[0].size)) * (terms + shift.reshape(shape) + np.abs(y))
    if (family := getattr(layer, "algorithm", "")) in WINOGRAD_BOUNDS:
        inside = WINOGRAD_BOUNDS[family] * np.sqrt(np.mean(np.square(inner), axis=(0, 2, 3)))
        size = size + (inside * scale).reshape(shape)
    return y, size


@pytest.mark.parametrize("precision", ["high", "fast"])
@pytest.mark.parametrize("activation", [None, nn.ReLU, nn.ReLU6, nn.Sigmoid], ids=str)
@pytest.mark.parametrize("name", FOLDED)
def test_batch_norm_in_the_weights(name: str, activation: Any, precision: str) -> None:
    make, shape = FOLDED[name]
    fn.set_precision(precision)
    _core.set_grain(0.0)
    _core.set_poison(True)
    fn.manual_seed(1)
    layer: Any = make()
    norm: Any = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(layer.weight.shape[0])
    model = settle(nn.Sequential(layer, norm, *([activation()] if activation else [])))
    x = images(*shape)
    y, bound = parts_in_float64(layer, norm, x)
    if activation:
        y = np.float64({nn.ReLU: fn.relu, nn.ReLU6: fn.relu6, nn.Sigmoid: fn.sigmoid}[activation](np.float32(y)))
        bound = bound + ROUNDINGS * EPS * np.abs(y)
    assert np.median(bound) < (2e-3 if "winograd" in name else 1e-4)
    for level in _core.levels():
        _core.set_level(level)
        bits = set()
        for threads in (1, 3):
            fn.set_num_threads(threads)
            got = operations(model, x)
            assert "batch_norm" not in got, got
            assert sum("+batch_norm" in operation for operation in got) == 1, got
            value = model(x)
            assert (np.abs(value - y) <= bound).all(), (level, float(np.max(np.abs(value - y) / bound)))
            bits.add(value.tobytes())
        assert len(bits) == 1


def test_exact_gives_the_bits_of_the_layers_alone() -> None:
    model = settle(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
    x = images(2, 3, 9, 9)
    fn.set_precision("exact")
    np.testing.assert_array_equal(model(x), fn.relu(model[1](model[0](x))))


def test_nothing_is_folded_where_it_must_not_be() -> None:
    x = images(2, 3, 9, 9)

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: Any) -> Any:
            y = self.conv(x)
            return self.norm(y) + y

    read_elsewhere = settle(Both())
    training = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    by_batch = settle(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)))
    many_weights = settle(nn.Sequential(nn.Conv2d(3, 4, 9), nn.BatchNorm2d(4)))
    for model in (read_elsewhere, training, by_batch, many_weights):
        assert any(operation.split("+")[0] == "batch_norm" for operation in operations(model, x))
    y = read_elsewhere.conv(x)
    np.testing.assert_array_equal(read_elsewhere(x), read_elsewhere.norm(y) + y)


@pytest.mark.parametrize("settings", [{"affine": False}, {"bias": False}, {"eps": 0.3}], ids=str)
def test_batch_norm_of_every_kind(settings: dict[str, Any]) -> None:
    model = settle(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, **settings)))
    x = images(2, 3, 9, 9)
    assert "batch_norm" not in operations(model, x)
    np.testing.assert_allclose(model(x), model[1](model[0](x)), rtol=0, atol=2e-5)


def test_layers_used_twice_are_folded_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)

        def forward(self, x: Any) -> Any:
            return self.norm(self.conv(self.norm(self.conv(x))))

    model = settle(Twice())
    x = images(2, 6, 9, 9)
    once = model.norm(model.conv(x))
    assert operations(model, x).count("conv2d+batch_norm") == 2
    expected = model.norm(model.conv(once))
    np.testing.assert_allclose(model(x), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# ---- nothing goes stale ----


def network() -> Any:
    fn.manual_seed(2)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 1, bias=False), nn.BatchNorm2d(6),
        nn.Flatten(), nn.Linear(6 * 49, 4),
    )  # fmt: skip


def fill_all(model: Any) -> None:
    for parameter in model.parameters():
        parameter.data[...] = np.random.default_rng(9).standard_normal(parameter.data.shape)


def fill_statistics(model: Any) -> None:
    model[1].running_mean += 1.0
    model[4].running_var *= 2.0


def load(model: Any) -> None:
    other = network()
    fill_all(other)
    fill_statistics(other)
    model.load_state_dict(other.state_dict())


def one_call_in_training(model: Any) -> None:
    model.train()(images(2, 3, 9, 9) + 1.0)
    model.eval()


def one_step(model: Any, frozen: bool = False) -> None:
    if not frozen:
        model.train()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    step(images(2, 3, 9, 9), np.array([1, 2]))
    model.eval()


def one_optimizer_step(model: Any) -> None:
    y = model(images(2, 3, 9, 9))
    model.backward(np.ones_like(y))
    fn.optim.SGD(model.parameters(), lr=0.1).step()


CHANGES: dict[str, Callable[[Any], None]] = {
    "weights in place": fill_all,
    "one weight": lambda model: model[0].weight.data.__setitem__((0, 0, 0, 0), 5.0),
    "norm's weight": lambda model: model[1].weight.data.fill(0.5),
    "statistics in place": fill_statistics,
    "load_state_dict": load,
    "training mode": one_call_in_training,
    "TrainStep": one_step,
    "TrainStep in eval mode": lambda model: one_step(model, frozen=True),
    "optimizer": one_optimizer_step,
    "eps": lambda model: setattr(model[1], "eps", 0.1),
    "norm replaced": lambda model: model.__setitem__(1, settle(nn.BatchNorm2d(8), 5)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_are_seen_at_once(change: str) -> None:
    model, x = settle(network()), images(4, 3, 9, 9)
    before = model(x)
    CHANGES[change](model)
    after = model(x)
    assert (before != after).any()
    np.testing.assert_array_equal(after, copy.deepcopy(model)(x))


def test_a_frozen_norm_is_folded_in_a_training_step_too() -> None:
    """Weights that a step updates are folded as they were before the update, and only where no gradient goes by."""
    model = settle(network()).train()
    model[1].eval()
    for parameter in (*model[0].parameters(), *model[1].parameters()):
        parameter.requires_grad = False
    twin, x, y = copy.deepcopy(model), images(4, 3, 9, 9), np.array([0, 1, 2, 3])
    losses = []
    for net, precision in ((model, "fast"), (twin, "exact")):
        fn.set_precision(precision)
        step = fn.TrainStep(net, nn.CrossEntropyLoss(), fn.optim.SGD(net.parameters(), lr=0.1))
        losses.append([step(x, y) for _ in range(5)])
        names = [call.name for call in step.plan_of(x, y).phases[0].fused]
        assert names.count("batch_norm_fold") == (precision == "fast")
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_hooks_see_the_values_inside() -> None:
    model, x = settle(network()), images(4, 3, 9, 9)
    seen = {}
    for i in (0, 1, 2):
        model[i].register_forward_hook(lambda module, args, output, i=i: seen.update({i: output}))
    model(x)
    np.testing.assert_array_equal(seen[0], model[0](x))
    np.testing.assert_array_equal(seen[1], model[1](seen[0]))
    np.testing.assert_array_equal(seen[2], fn.relu(seen[1]))


# ---- sums in the epilogue ----


class Block(nn.Module):
    """A convolution and a shortcut, added in a given order."""

    def __init__(self, order: str, layer: Callable[[], nn.Module], norm: bool, relu: bool) -> None:
        super().__init__()
        self.layer, self.other, self.order, self.relu = layer(), layer(), order, relu
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()

    def forward(self, x: Any) -> Any:
        if self.order == "shortcut first":
            y = x + self.norm(self.layer(x))
        elif self.order == "shortcut last":
            y = self.norm(self.layer(x)) + x
        elif self.order == "two":
            y = self.norm(self.layer(x)) + self.other(x)
        else:
            y = self.layer(x)
            y = y + self.other(y)
        return fn.relu(y) if self.relu else y


ORDERS = ("shortcut first", "shortcut last", "two", "one after another")
LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv": (lambda: nn.Conv2d(6, 6, 3, padding=1), (2, 6, 9, 8)),
    "pointwise": (lambda: nn.Conv2d(6, 6, 1, bias=False), (2, 6, 9, 8)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6), (2, 6, 9, 8)),
    "linear": (lambda: nn.Linear(6, 6), (70, 6)),
    "few rows": (lambda: nn.Linear(6, 6), (3, 6)),
}


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", LAYERS)
def test_a_sum_in_the_epilogue_keeps_the_bits(name: str, order: str, relu: bool) -> None:
    layer, shape = LAYERS[name]
    _core.set_grain(0.0)
    _core.set_poison(True)
    model, x = Block(order, layer, norm=False, relu=relu), images(*shape)
    hooked = copy.deepcopy(model)
    for part in (hooked.layer, hooked.other):  # what a hook sees is computed by itself
        part.register_forward_hook(lambda *values: None)
    operation = "linear" if len(shape) == 2 else "conv2d"
    assert f"{operation}+add" + ("+relu" if relu else "") in operations(model, x)
    assert "add" not in operations(model, x)
    assert "add" in operations(hooked, x)
    for level in _core.levels():
        _core.set_level(level)
        for threads in (1, 3):
            fn.set_num_threads(threads)
            y, expected = model(x), hooked(x)
            assert y.tobytes() == expected.tobytes(), (level, threads)
            np.testing.assert_array_equal(model.backward(y), hooked.backward(y))
            for a, b in zip(model.parameters(), hooked.parameters(), strict=True):
                np.testing.assert_array_equal(a.grad, b.grad)


@pytest.mark.parametrize("order", ORDERS[:3])
def test_a_whole_residual_block(order: str) -> None:
    model, x = settle(Block(order, LAYERS["conv"][0], norm=True, relu=True)), images(2, 6, 9, 8)
    got = operations(model, x)
    assert not {"add", "relu", "batch_norm"} & set(got), got
    inside = model.norm(model.layer(x)) + (model.other(x) if order == "two" else x)
    np.testing.assert_allclose(model(x), fn.relu(inside), rtol=0, atol=1e-5 * np.abs(inside).max())


SILU: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "pointwise": (lambda: nn.Conv2d(20, 40, 1), (2, 20, 31, 23)),
    "pointwise, deep": (lambda: nn.Conv2d(600, 70, 1, bias=False), (3, 600, 13, 13)),
    "strided": (lambda: nn.Conv2d(20, 40, 1, 2), (2, 20, 31, 33)),
    "few pixels": (lambda: nn.Conv2d(30, 70, 1), (1, 30, 6, 6)),
    "fewest pixels": (lambda: nn.Conv2d(300, 70, 1), (2, 300, 1, 1)),
    "depthwise": (lambda: nn.Conv2d(40, 40, 3, padding=1, groups=40), (2, 40, 60, 61)),
    "depthwise, strided": (lambda: nn.Conv2d(21, 21, 5, 2, 2, groups=21, bias=False), (2, 21, 19, 18)),
}


@pytest.mark.parametrize("name", SILU)
def test_silu_after_a_convolution_keeps_the_bits(name: str) -> None:
    make, shape = SILU[name]
    _core.set_grain(0.0)
    _core.set_poison(True)
    model, x = nn.Sequential(make(), nn.SiLU()).eval(), images(*shape)
    folded = settle(nn.Sequential(make(), nn.BatchNorm2d(model[0].weight.shape[0]), nn.SiLU()))
    assert operations(model, x)[-1] == "conv2d+silu"
    if "few" not in name and "deep" not in name:
        assert operations(folded, x)[-1] == "conv2d+batch_norm+silu"
    for level in _core.levels():
        _core.set_level(level)
        bits = set()
        for threads in (1, 3):
            fn.set_num_threads(threads)
            y = model(x)
            np.testing.assert_array_equal(y, fn.silu(model[0](x)), err_msg=f"{level}, {threads} threads")
            inside = folded[1](folded[0](x))
            np.testing.assert_allclose(folded(x), fn.silu(inside), rtol=0, atol=1e-5 * np.abs(inside).max())
            bits.add(folded(x).tobytes())
        assert len(bits) == 1


def test_silu_that_stays() -> None:
    """Where its input is needed for a backward, or the fast algorithms cannot end in it."""
    x = images(2, 6, 9, 9)
    training = nn.Sequential(nn.Conv2d(6, 8, 1), nn.SiLU())
    wide = nn.Sequential(nn.Conv2d(6, 8, 3), nn.SiLU()).eval()
    wide_norm = settle(nn.Sequential(nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.SiLU()))
    for model in (training, wide):
        assert operations(model, x)[-2:] == ["conv2d", "silu"]
        np.testing.assert_array_equal(model(x), fn.silu(model[0](x)))
    assert operations(wide_norm, x)[-1] == "batch_norm+silu"


def test_sums_that_stay() -> None:
    class Sums(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            self.layer, self.how = nn.Conv2d(6, 6, 1), how

        def forward(self, x: Any) -> Any:
            y = self.layer(x)
            if self.how == "itself":
                return y + y
            if self.how == "broadcast":
                return y + x[:, :, :1, :1]
            if self.how == "what follows it":
                return y + fn.sigmoid(y)
            return y + fn.sigmoid(x)  # made after the convolution

    x = images(2, 6, 5, 4)
    for how in ("itself", "broadcast", "what follows it", "later"):
        model = Sums(how)
        assert "add" in operations(model, x), how
        y = model.layer(x)
        other = {"itself": y, "broadcast": x[:, :, :1, :1], "what follows it": fn.sigmoid(y)}.get(how, fn.sigmoid(x))
        np.testing.assert_array_equal(model(x), y + other)


# ---- a forward that keeps nothing ----


def test_in_eval_mode_a_plan_is_of_the_forward_and_memory_is_free_at_once() -> None:
    model, x = settle(network()), images(4, 3, 9, 9)
    report = model.plan(x)
    assert {row[0] for row in report.rows()} == {"forward"}
    with fn.no_grad():
        assert model.plan(x).arena_bytes == report.arena_bytes
    assert report.arena_bytes < model.train().plan(x).arena_bytes


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_a_backward_in_eval_mode_runs_the_forward_again(precision: str) -> None:
    fn.set_precision(precision)
    model, x = settle(network()), images(4, 3, 9, 9)
    twin = copy.deepcopy(model).train()  # in training mode by itself only: its parts stay as they are
    for child in twin.children():
        child.eval()
    assert {row[0] for row in twin.plan(x).rows()} == {"forward", "backward"}
    dy = images(4, 4)
    for _ in range(2):
        model(x)
        twin(x)
        np.testing.assert_array_equal(model.backward(dy), twin.backward(dy))
    for (name, a), b in zip(model.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad, err_msg=name)


def test_what_changes_after_the_call_does_not_change_its_backward() -> None:
    model, x = settle(network()), images(4, 3, 9, 9)
    dy = images(4, 4)
    model(x)
    expected = model.backward(dy)
    model(x)
    model.train()
    model[1].eps = 0.5
    np.testing.assert_array_equal(model.backward(dy), expected)
    with pytest.raises(RuntimeError, match="no forward run"):
        model.backward(dy)


def test_what_cannot_be_repeated_is_kept() -> None:
    """A part in training mode draws masks or moves statistics, an operation in Python may do anything."""

    class Doubled(nn.Function):
        @staticmethod
        def forward(ctx: Any, x: Array) -> Array:
            calls.append(1)
            return 2 * x

        @staticmethod
        def backward(ctx: Any, dy: Array) -> Array:
            return 2 * dy

    class InPython(nn.Module):
        def forward(self, x: Any) -> Any:
            return Doubled.apply(x)

    calls: list[int] = []
    dropout, norm, python = nn.Dropout(0.5), nn.BatchNorm2d(3), InPython()
    for part in (dropout, norm, python):
        model = nn.Sequential(nn.Conv2d(3, 3, 1), part).eval()
        part.train()
        x = images(2, 3, 5, 5)
        assert "backward" in {row[0] for row in model.plan(x).rows()}
        calls.clear()
        y = model(x)
        assert model.backward(np.ones_like(y)).shape == x.shape
    assert norm.num_batches_tracked == 1
    assert len(calls) == 1


def test_plans_of_eval_mode_are_kept() -> None:
    model, x = settle(network()), images(4, 3, 9, 9)
    for _ in range(3):
        y = model(x)
        model.backward(np.ones_like(y))
    assert len(runtime_of(model).plans) == 1
