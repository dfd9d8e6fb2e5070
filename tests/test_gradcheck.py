"""gradcheck itself: right gradients pass, planted faults are caught and named."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.graph.primitive import Step, find


def values(*shape):
    return np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) * 0.37 - 3.0


MODELS = {
    "linear": (lambda: nn.Linear(4, 3), (5, 4)),
    "conv-bn-relu-pool": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.SiLU(), nn.MaxPool2d(3, 2, 1)),
        (2, 2, 6, 5),
    ),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 5, 5)),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4), (2, 4, 5, 5)),
    "conv1d": (lambda: nn.Conv1d(3, 4, 3, padding="same"), (2, 3, 7)),
    "softmax": (lambda: nn.Softmax(dim=1), (3, 5)),
    "dropout": (lambda: nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5)), (3, 6)),
    "prelu": (lambda: nn.PReLU(4), (3, 4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_layers_pass(name):
    make, shape = MODELS[name]
    fn.manual_seed(0)
    assert fn.gradcheck(make(), values(*shape))


def test_functions_pass():
    assert fn.gradcheck(nn.functional.tanh, values(3, 4) * 0.1)
    assert fn.gradcheck(lambda a, b: (a * b).sum(1) / (b * b + 1.0).mean(), (values(3, 4), values(3, 4) * 0.2))


def test_a_planted_fault_in_a_c_backward_is_caught(monkeypatch):
    sigmoid_bwd = find("sigmoid_bwd")
    tanh_bwd = find("tanh_bwd")

    def wrong(call):
        (step,) = tanh_bwd.lower(call)
        return [Step("tanh_bwd", step.fields, step.buffers)]

    model, x = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()), values(4, 3) * 0.2
    assert fn.gradcheck(model, x)
    monkeypatch.setattr(type(sigmoid_bwd), "lower", lambda self, call: wrong(call))
    with pytest.raises(fn.GradcheckError, match=r"the gradient of input 0 at \(\d, \d\) is"):
        fn.gradcheck(model, x)
    assert not fn.gradcheck(model, x, raise_exception=False)


def test_a_wrong_user_backward_is_caught_and_named():
    class Square(nn.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, dy):
            return dy * ctx.saved_tensors[0]

    with pytest.raises(fn.GradcheckError, match="input 0"):
        fn.gradcheck(lambda x: Square.apply(x), values(3, 3))


def test_nothing_is_left_behind():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = model.state_dict()
    fn.gradcheck(model, values(4, 3))
    assert all(p.grad is None for p in model.parameters())
    for key, value in before.items():
        np.testing.assert_array_equal(value, model.state_dict()[key], err_msg=key)
