"""Module: registration, traversal, modes, state, hooks, printing."""

from __future__ import annotations

import copy
from collections import OrderedDict

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.scale = nn.Parameter(np.ones(4))
        self.register_buffer("shift", np.zeros(4))
        self.register_buffer("scratch", np.zeros(2), persistent=False)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.first(x) * self.scale + self.shift)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = self.a
        self.c = nn.Linear(3, 3)
        self.c.weight = self.a.weight

    def forward(self, x):
        return self.c(self.b(self.a(x)))


# ---- registration ----


def test_own_members_come_before_children() -> None:
    model = Branch()
    assert [n for n, _ in model.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "norm.weight",
        "norm.bias",
    ]
    assert [n for n, _ in model.named_buffers()][:2] == ["shift", "scratch"]
    assert list(model.state_dict()) == [
        "scale",
        "shift",
        "first.weight",
        "first.bias",
        "norm.weight",
        "norm.bias",
        "norm.running_mean",
        "norm.running_var",
        "norm.num_batches_tracked",
    ]


def test_assignment_before_init_is_refused() -> None:
    class Hasty(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"Hasty: call super\(\).__init__\(\) before assigning 'layer'"):
        Hasty()


def test_a_name_keeps_its_kind() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"cannot assign ndarray as parameter 'weight'.*weight\.data = "):
        layer.weight = np.zeros((2, 2))
    model = nn.Sequential(layer)
    with pytest.raises(TypeError, match="cannot assign int as child module '0'"):
        setattr(model, "0", 3)
    branch = Branch()
    with pytest.raises(TypeError, match="expected buffer 'shift' to hold real numbers"):
        branch.shift = "zero"
    branch.shift = np.full(4, 2.0)
    assert branch.shift.dtype == np.float32
    assert "shift" in branch.state_dict()
    layer.bias = None
    assert [n for n, _ in layer.named_parameters()] == ["weight"]
    layer.bias = nn.Parameter(np.zeros(2))
    assert [n for n, _ in layer.named_parameters()] == ["weight", "bias"]


def test_a_name_changes_its_kind_where_that_is_meant() -> None:
    model = nn.Module()
    model.thing = 3
    model.thing = nn.Parameter(np.zeros(1))
    assert [n for n, _ in model.named_parameters()] == ["thing"]
    model.thing = nn.ReLU()
    assert not list(model.parameters())
    assert [n for n, _ in model.named_children()] == ["thing"]
    del model.thing
    assert not hasattr(model, "thing")
    with pytest.raises(AttributeError, match="'Module' object has no attribute 'thing'"):
        _ = model.thing


@pytest.mark.parametrize("name", ["", "a.b"])
def test_names_without_dots(name: str) -> None:
    model = nn.Module()
    with pytest.raises(KeyError, match="without dots and not empty"):
        model.add_module(name, nn.ReLU())
    with pytest.raises(KeyError, match="without dots and not empty"):
        model.register_buffer(name, None)


def test_a_taken_name_is_refused() -> None:
    layer = nn.Linear(1, 1)
    with pytest.raises(KeyError, match="attribute 'weight' already exists"):
        layer.register_buffer("weight", np.zeros(1))
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        layer.register_module("forward", nn.ReLU())
    with pytest.raises(TypeError, match="expected parameter 'w' to be a Parameter or None, got ndarray"):
        layer.register_parameter("w", np.zeros(1))


def test_buffers_of_numbers_only() -> None:
    model = nn.Module()
    model.register_buffer("count", np.zeros((), np.int64))
    model.register_buffer("mean", np.zeros((2, 3), np.float64).T)
    assert model.count.dtype == np.int64
    assert model.mean.dtype == np.float32
    assert model.mean.flags.c_contiguous
    with pytest.raises(TypeError, match="expected buffer 'z' to hold real numbers, got dtype complex128"):
        model.register_buffer("z", np.zeros(1, complex))


# ---- traversal ----


def test_traversal_names() -> None:
    model = nn.Sequential(OrderedDict(body=Branch(), head=nn.Linear(4, 2)))
    assert [n for n, _ in model.named_modules()] == ["", "body", "body.first", "body.norm", "head"]
    assert [n for n, _ in model.named_children()] == ["body", "head"]
    assert model.get_submodule("body.first") is model.body.first
    assert model.get_submodule("") is model
    assert model.get_parameter("head.bias") is model.head.bias
    assert model.get_buffer("body.shift") is model.body.shift
    with pytest.raises(AttributeError, match=r"Branch has no child module 'second' \(looking for 'body\.second'\)"):
        model.get_submodule("body.second")
    with pytest.raises(AttributeError, match=r"has no parameter 'head\.scale'"):
        model.get_parameter("head.scale")
    assert len(list(model.modules())) == 5
    assert next(n for n, _ in model.named_parameters("net", recurse=True)) == "net.body.scale"
    assert not list(model.parameters(recurse=False))


def test_what_is_shared_counts_once() -> None:
    model = Shared()
    assert [n for n, _ in model.named_modules()] == ["", "a", "c"]
    assert [n for n, _ in model.named_modules(remove_duplicate=False)] == ["", "a", "b", "c"]
    assert [n for n, _ in model.named_parameters()] == ["a.weight", "a.bias", "c.bias"]
    assert [n for n, _ in model.named_parameters(remove_duplicate=False)] == [
        "a.weight",
        "a.bias",
        "b.weight",
        "b.bias",
        "c.weight",
        "c.bias",
    ]
    assert list(model.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias"]


def test_shared_parameters_sum_their_gradients() -> None:
    model = Shared()
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    model(x)
    model.backward(np.ones((2, 3)))
    w, b = model.a.weight.data, model.a.bias.data
    h1 = x @ w.T + b
    h2 = h1 @ w.T + b
    d3 = np.ones((2, 3), np.float32)
    d2 = d3 @ w
    d1 = d2 @ w
    np.testing.assert_allclose(model.a.weight.grad, d3.T @ h2 + d2.T @ h1 + d1.T @ x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.a.bias.grad, d2.sum(0) + d1.sum(0), rtol=1e-5, atol=1e-6)


def test_apply_visits_children_first() -> None:
    seen = []
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU()))
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


# ---- modes and gradients ----


def test_train_and_eval_reach_everything() -> None:
    model = Branch()
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    model.train()
    assert all(m.training for m in model.modules())
    model.norm.eval()
    assert model.training
    assert not model.norm.training
    with pytest.raises(ValueError, match="expected training mode to be a bool, got 'eval'"):
        model.train("eval")


def test_requires_grad_and_zero_grad() -> None:
    model = Branch()
    model.requires_grad_(False)
    assert not any(p.requires_grad for p in model.parameters())
    model.requires_grad_()
    model(np.random.default_rng(0).standard_normal((4, 3)))
    model.backward(np.ones((4, 4)))
    assert all(p.grad is not None for p in model.parameters())
    kept = model.scale.grad
    model.zero_grad(set_to_none=False)
    assert model.scale.grad is kept
    assert not kept.any()
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_freezing_between_calls_takes_effect() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    x, dy = np.ones((1, 3)), np.ones((1, 2))
    model(x)
    model.backward(dy)
    model.zero_grad()
    model[0].requires_grad_(False)
    model(x)
    model.backward(dy)
    assert model[0].weight.grad is None
    assert model[1].weight.grad is not None


@pytest.mark.parametrize("how", ["in place", "assigned", "loaded"])
def test_new_values_take_effect_at_the_next_call(how: str) -> None:
    layer = nn.Linear(2, 1)
    layer(np.ones((1, 2)))
    new = np.array([[3.0, 4.0]])
    if how == "in place":
        layer.weight.data[...] = new
        layer.bias.data[...] = 0.0
    elif how == "assigned":
        layer.weight.data = new
        layer.bias.data = np.zeros(1)
    else:
        layer.load_state_dict({"weight": new, "bias": np.zeros(1)})
    assert layer(np.ones((1, 2))).tolist() == [[7.0]]


def test_settings_and_layers_replaced_between_calls_take_effect() -> None:
    model = nn.Sequential(nn.LeakyReLU(0.5), nn.Identity())
    x = np.array([-2.0])
    assert model(x).tolist() == [-1.0]
    model[0].negative_slope = 0.25
    assert model(x).tolist() == [-0.5]
    model[1] = nn.ReLU()
    assert model(x).tolist() == [0.0]
    model.append(nn.Sigmoid())
    assert model(x).tolist() == [0.5]


def test_missing_forward_is_named() -> None:
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty does not define forward"):
        Empty()(np.ones(1))


def test_to_and_its_kin_change_nothing() -> None:
    model = nn.Linear(1, 1)
    assert model.to("cpu") is model
    assert model.to(np.float32) is model
    assert model.cpu().float() is model
    with pytest.raises(ValueError, match="expected device 'cpu' or dtype float32, got 'cuda:0'"):
        model.to("cuda:0")


# ---- state ----


def test_state_is_a_copy_and_loading_copies() -> None:
    model = Branch()
    buffer, address = model.scale.data, model.scale.data.ctypes.data
    state = model.state_dict()
    state["scale"][...] = 5.0
    assert (model.scale.data == 1.0).all()
    model.load_state_dict(state)
    state["scale"][...] = 6.0
    assert model.scale.data is buffer
    assert model.scale.data.ctypes.data == address
    assert (buffer == 5.0).all()


def test_errors_of_loading_are_all_listed_and_nothing_changes() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = model.state_dict()
    state = {
        "0.weight": np.zeros((3, 3)),
        "1.weight": np.zeros(3),
        "extra": np.zeros(1),
        "1.bias": np.zeros(3, complex),
    }
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    assert str(caught.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "0.bias", "1.running_mean", "1.running_var".\n'
        '\tUnexpected key(s) in state_dict: "extra".\n'
        "\tsize mismatch for 0.weight: expected shape (3, 2) as in the model, got shape (3, 3)\n"
        "\t1.bias: expected real numbers, got dtype complex128"
    )
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_loading_without_strictness() -> None:
    model = nn.Linear(2, 2)
    outcome = model.load_state_dict({"weight": np.ones((2, 2)), "extra": np.zeros(1)}, strict=False)
    assert outcome.missing_keys == ["bias"]
    assert outcome.unexpected_keys == ["extra"]
    assert (model.weight.data == 1).all()
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        model.load_state_dict({"weight": np.ones((2, 3))}, strict=False)
    with pytest.raises(TypeError, match="expected state_dict to be a mapping, got list"):
        model.load_state_dict([1])
    assert repr(model.load_state_dict(model.state_dict())) == "<All keys matched successfully>"


def test_batch_counters_may_be_missing() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2))
    state = model.state_dict()
    assert state["0.num_batches_tracked"].dtype == np.int64
    del state["0.num_batches_tracked"]
    assert model.load_state_dict(state).missing_keys == []


def test_copies_share_nothing() -> None:
    model = Shared()
    x = np.ones((1, 3))
    expected = model(x)
    twin = copy.deepcopy(model)
    assert twin.c.weight is twin.a.weight
    assert twin.a.weight is not model.a.weight
    twin.a.weight.data += 1.0
    np.testing.assert_array_equal(model(x), expected)
    assert (twin(x) != expected).any()


# ---- hooks ----


def test_forward_hooks_see_the_arrays_of_each_run() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    seen = []
    handle = model[0].register_forward_hook(lambda module, args, output: seen.append((module, args[0], output)))
    for scale in (1.0, 2.0):
        x = np.full((1, 2), scale, np.float32)
        y = model(x)
        module, given, output = seen[-1]
        assert module is model[0]
        np.testing.assert_array_equal(given, x)
        np.testing.assert_array_equal(np.maximum(output, 0), y)
    handle.remove()
    handle.remove()
    model(x)
    assert len(seen) == 2


def test_forward_hooks_come_in_order_and_end_with_their_block() -> None:
    layer, order = nn.ReLU(), []
    with (
        layer.register_forward_hook(lambda *_: order.append("second")),
        layer.register_forward_hook(lambda *_: order.append("first"), prepend=True),
        layer.register_forward_hook(lambda m, args, kwargs, y: order.append("third"), with_kwargs=True),
    ):
        layer(np.ones(1))
    layer(np.ones(1))
    assert order == ["first", "second", "third"]
    with pytest.raises(TypeError, match="expected a callable hook, got int"):
        layer.register_forward_hook(3)


def test_forward_hooks_run_in_training_steps_too() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    seen = []
    model[0].register_forward_hook(lambda module, args, output: seen.append(output))
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    x = np.ones((4, 2), np.float32)
    expected = model[0](x)
    step(x, np.zeros((4, 3)))
    assert len(seen) == 2
    np.testing.assert_array_equal(seen[1], expected)


def test_a_hook_cannot_replace_the_output() -> None:
    layer = nn.ReLU()
    layer.register_forward_hook(lambda module, args, output: output + 1)
    with pytest.raises(RuntimeError, match="a forward hook sees the arrays after the run and cannot replace"):
        layer(np.ones(1))


def test_pre_hooks_change_what_goes_in() -> None:
    layer = nn.Identity()
    with layer.register_forward_pre_hook(lambda module, args: args[0] * 3.0):
        assert layer(np.ones(1)).tolist() == [3.0]
    assert layer(np.ones(1)).tolist() == [1.0]


# ---- printing ----


def test_repr_of_a_tree() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
            self.heads = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)] + [nn.Linear(2, 1)])

        def extra_repr(self) -> str:
            return "classes=4"

    assert repr(Net()) == (
        "Net(\n"
        "  classes=4\n"
        "  (body): Sequential(\n"
        "    (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))\n"
        "    (1): ReLU()\n"
        "  )\n"
        "  (heads): ModuleList(\n"
        "    (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)\n"
        "    (3): Linear(in_features=2, out_features=1, bias=True)\n"
        "  )\n"
        ")"
    )


def test_dir_lists_members() -> None:
    assert {"scale", "shift", "first", "forward"} <= set(dir(Branch()))
