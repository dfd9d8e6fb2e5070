"""TrainStep, and that the three ways in give the same bits."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.graph.runtime import runtime_of


def net():
    fn.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(54, 10),
    )


def batches(n=8, size=12):
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(size, 1, 8, 8)).astype(np.float32), rng.integers(0, 10, size)) for _ in range(n)]


OPTIMIZERS = {
    "sgd": lambda p: fn.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "nesterov": lambda p: fn.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: fn.optim.Adagrad(p, lr=0.1),
    "rmsprop": lambda p: fn.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.5),
    "adam": lambda p: fn.optim.Adam(p, lr=0.01),
    "adamw": lambda p: fn.optim.AdamW(p, lr=0.01),
}


def by_step(make):
    model = net()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), make(model.parameters()))
    fn.manual_seed(5)
    return model, [step(x, y) for x, y in batches()]


def by_hand(make):
    model, loss, losses = net(), nn.CrossEntropyLoss(), []
    optimizer = make(model.parameters())
    fn.manual_seed(5)
    for x, y in batches():
        optimizer.zero_grad()
        losses.append(loss(model(x), y))
        model.backward(loss.backward())
        optimizer.step()
    return model, losses


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_step_and_hand_give_the_same_bits(name):
    one, losses = by_step(OPTIMIZERS[name])
    two, same = by_hand(OPTIMIZERS[name])
    assert losses == same
    for key, value in one.state_dict().items():
        np.testing.assert_array_equal(value, two.state_dict()[key], err_msg=key)


def test_loss_falls():
    _, losses = by_step(OPTIMIZERS["adam"])
    model = net()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), OPTIMIZERS["adam"](model.parameters()))
    x, y = batches(1)[0]
    losses = [step(x, y) for _ in range(60)]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("threads", [2, 3])
def test_same_bits_for_any_number_of_threads(threads):
    fn._core.set_grain(0)
    before = fn.get_num_threads()
    try:
        fn.set_num_threads(1)
        one, losses = by_step(OPTIMIZERS["adam"])
        fn.set_num_threads(threads)
        many, same = by_step(OPTIMIZERS["adam"])
        assert fn._core.last_team_size() == threads
    finally:
        fn.set_num_threads(before)
        fn._core.set_grain(DEFAULT_GRAIN)
    assert losses == same
    for key, value in one.state_dict().items():
        np.testing.assert_array_equal(value, many.state_dict()[key], err_msg=key)


DEFAULT_GRAIN = fn._core.get_grain()


def test_grad_is_touched_only_when_kept():
    model = net()
    x, y = batches(1)[0]
    fn.TrainStep(model, nn.CrossEntropyLoss(), OPTIMIZERS["sgd"](model.parameters()))(x, y)
    assert all(p.grad is None for p in model.parameters())
    keep = fn.TrainStep(model, nn.CrossEntropyLoss(), OPTIMIZERS["sgd"](model.parameters()), keep_grads=True)
    keep(x, y)
    first = model[0].weight.grad.copy()
    assert np.abs(first).max() > 0
    keep(x, y)
    assert np.abs(model[0].weight.grad).max() < 10 * np.abs(first).max()


def test_clipping_by_norm_and_value():
    for kind, limit in (("clip_norm", 0.01), ("clip_value", 0.001)):
        model = nn.Linear(4, 3)
        before = model.weight.data.copy()
        step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=1.0), **{kind: limit})
        step(np.full((5, 4), 10.0), np.zeros((5, 3)))
        moved = np.abs(model.weight.data - before)
        if kind == "clip_norm":
            assert 0.5 * limit < np.sqrt((moved**2).sum()) <= limit * 1.01
        else:
            np.testing.assert_allclose(moved, limit, rtol=1e-4)


def test_accumulation_equals_one_large_batch():
    x, y = batches(1, size=12)[0]
    models = [nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    whole = fn.TrainStep(models[0], nn.CrossEntropyLoss(), OPTIMIZERS["sgd"](models[0].parameters()))
    parts = fn.TrainStep(models[1], nn.CrossEntropyLoss(), OPTIMIZERS["sgd"](models[1].parameters()), accumulate=3)
    for _ in range(2):
        whole(x, y)
        for i in range(0, 12, 4):
            parts(x[i : i + 4], y[i : i + 4])
    for key, value in models[0].state_dict().items():
        np.testing.assert_allclose(value, models[1].state_dict()[key], rtol=2e-5, atol=1e-6, err_msg=key)


def test_a_non_finite_loss_updates_nothing_and_names_the_layer():
    model = net()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), OPTIMIZERS["adam"](model.parameters()))
    x, y = batches(1)[0]
    step(x, y)
    model[3 - 3].weight.data[0, 0, 0, 0] = 3e38
    state = model.state_dict()
    optimizer = step.optimizer.state_dict()
    with pytest.raises(fn.NonFiniteLossError, match="Conv2d '0'"):
        step(x * 1e3, y)
    for key, value in state.items():
        np.testing.assert_array_equal(value, model.state_dict()[key], err_msg=key)
    np.testing.assert_equal(step.optimizer.state_dict(), optimizer)
    with pytest.raises(fn.NonFiniteLossError, match="the input"):
        step(np.full_like(x, np.nan), y)


def test_output_is_the_last_prediction():
    fn.set_precision("exact")  # else batch norm is folded where no gradient goes by
    model = net().eval()
    x, y = batches(1)[0]
    expected = model(x)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    step(x, y)
    np.testing.assert_array_equal(step.output, expected)
    step(x, y)
    model(x)
    with pytest.raises(RuntimeError, match="has run since"):
        _ = step.output


def test_learning_rate_is_read_at_each_call():
    model = nn.Linear(2, 1)
    optimizer = fn.optim.SGD(model.parameters(), lr=0.0)
    step = fn.TrainStep(model, nn.MSELoss(), optimizer)
    x, t = np.ones((2, 2)), np.zeros((2, 1))
    before = model.weight.data.copy()
    step(x, t)
    np.testing.assert_array_equal(model.weight.data, before)
    plans = len(runtime_of(model).plans)
    optimizer.param_groups[0]["lr"] = 0.1
    step(x, t)
    assert np.abs(model.weight.data - before).max() > 0
    assert len(runtime_of(model).plans) == plans


def test_frozen_parameters_stay():
    model = net()
    model[0].requires_grad_(False)
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), OPTIMIZERS["sgd"](model.parameters()))
    before = model.state_dict()
    for x, y in batches(3):
        step(x, y)
    np.testing.assert_array_equal(model[0].weight.data, before["0.weight"])
    assert np.abs(model[6].weight.data - before["6.weight"]).max() > 0


def test_an_optimizer_in_python_gets_gradients():
    class Halving(fn.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data[...] -= 0.5 * p.grad

    models = [nn.Linear(3, 2) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    x, t = np.ones((4, 3)), np.zeros((4, 2))
    fn.TrainStep(models[0], nn.MSELoss(), Halving(models[0].parameters()))(x, t)
    fn.TrainStep(models[1], nn.MSELoss(), fn.optim.SGD(models[1].parameters(), lr=0.5))(x, t)
    np.testing.assert_allclose(models[0].weight.data, models[1].weight.data, rtol=1e-6)
    assert models[0].weight.grad is None


def test_a_user_function_inside_a_step():
    class Cube(nn.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * dy

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x):
            return Cube.apply(self.linear(x))

    model = Model()
    assert fn.gradcheck(model, np.random.default_rng(1).normal(size=(4, 3)))
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.05))
    x = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
    losses = [step(x, x[:, :2]) for _ in range(40)]
    assert losses[-1] < losses[0]


def test_an_exception_in_a_user_function_is_named_and_updates_nothing():
    class Fails(nn.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, dy):
            raise ZeroDivisionError("on purpose")

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            return Fails.apply(self.linear(x))

    model = Model()
    before = model.state_dict()
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(ZeroDivisionError, match="on purpose") as caught:
        step(np.ones((3, 2)), np.zeros((3, 2)))
    assert "in Fails.backward" in "".join(caught.value.__notes__)
    for key, value in before.items():
        np.testing.assert_array_equal(value, model.state_dict()[key], err_msg=key)


def test_memory_is_flat_over_many_steps_and_batch_sizes():
    import resource

    model = net()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), OPTIMIZERS["sgd"](model.parameters()))
    x, y = batches(1, size=16)[0]

    def run(n):
        for i in range(n):
            size = 4 + i % 12
            step(x[:size], y[:size])

    run(200)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(3000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 3000, "kB over 3000 steps"


def test_denormals_cost_nothing_and_the_callers_mode_stays():
    tiny = np.float32(1e-40)
    model = nn.Linear(8, 8)
    model.weight.data[...] = tiny
    y = model(np.full((2, 8), 1e-3, np.float32))
    np.testing.assert_array_equal(y, np.broadcast_to(model.bias.data, (2, 8)))
    assert tiny * np.float32(0.5) != 0, "outside of a step denormals are numbers"
