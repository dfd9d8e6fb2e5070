"""Optimizers: PyTorch's values for every option, groups, states, and errors that say what was expected."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

import fastnn as fn
import training_cases as cases
from fastnn import nn, optim

KINDS = {
    "SGD": {"lr": 0.1, "momentum": 0.9},
    "Adagrad": {"lr": 0.1},
    "RMSprop": {"lr": 0.1, "momentum": 0.5, "centered": True},
    "Adam": {"lr": 0.1, "amsgrad": True},
    "AdamW": {"lr": 0.1},
}


def parameters():
    return [nn.Parameter(value) for value in cases.start_values()]


def run(optimizer, params, updates):
    rows = []
    for grads in updates:
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        optimizer.step()
        rows.append(np.concatenate([p.data.reshape(-1) for p in params]))
    return np.array(rows)


def check_against(expected, name):
    kind, options = cases.OPTIMIZERS[name]
    params = parameters()
    got = run(getattr(optim, kind)(params, **options), params, cases.gradients())
    # a few roundings an update, on parameters and steps of order one
    np.testing.assert_allclose(got, expected, rtol=4e-6 * cases.UPDATES, atol=5e-7 * cases.UPDATES)


@pytest.mark.parametrize("name", cases.OPTIMIZERS)
def test_every_option_gives_pytorchs_values(name):
    with np.load(cases.ARCHIVE) as archive:
        check_against(archive[f"optimizer/{name}"], name)


if find_spec("torch"):  # a live comparison, where PyTorch is installed

    @pytest.mark.parametrize("name", cases.OPTIMIZERS)
    def test_every_option_gives_the_installed_pytorchs_values(name):
        import write_torch_training_values as torch_values

        check_against(torch_values.optimizer_values(name), name)


@pytest.mark.parametrize("kind", KINDS)
def test_state_has_the_parameters_shape_and_never_moves(kind):
    params = parameters()
    optimizer = getattr(optim, kind)(params, **KINDS[kind])
    run(optimizer, params, cases.gradients()[:1])
    states = [optimizer.state_of(p) for p in params]
    addresses = [{k: v.ctypes.data for k, v in state.items()} for state in states]
    saved = optimizer.state_dict()
    run(optimizer, params, cases.gradients()[1:])
    optimizer.load_state_dict(saved)
    for p, state, address in zip(params, states, addresses, strict=True):
        names = [n for n in optimizer.state_names(optimizer.param_groups[0]) if n]
        assert set(state) == {"step", *names}
        assert all(state[n].shape == p.data.shape and state[n].flags.c_contiguous for n in names)
        assert state["step"].shape == ()
        assert float(state["step"]) == 1.0
        assert {k: v.ctypes.data for k, v in optimizer.state_of(p).items()} == address


def test_large_states_lie_apart_within_pages():
    p = nn.Parameter(np.zeros((64, 512)))
    optimizer = optim.Adam([p], amsgrad=True)
    states = [a for name, a in optimizer.state_of(p).items() if name != "step"]
    places = {a.ctypes.data % 4096 for a in (p.data, *states)}
    assert len(places) == 4
    assert all(place % 64 == 0 for place in places)
    assert all((a == 0).all() and a.shape == p.shape for a in states)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_state_goes_on_with_the_same_bits(kind):
    updates = cases.gradients()
    params = parameters()
    optimizer = getattr(optim, kind)(params, **KINDS[kind])
    run(optimizer, params, updates[:5])
    values, saved = [p.data.copy() for p in params], optimizer.state_dict()
    expected = run(optimizer, params, updates[5:])

    others = [nn.Parameter(value) for value in values]
    fresh = getattr(optim, kind)(others, lr=7.0)
    fresh.load_state_dict(saved)
    np.testing.assert_array_equal(run(fresh, others, updates[5:]), expected)
    assert fresh.param_groups[0]["lr"] == 0.1


def test_state_dict_is_plain_and_in_pytorchs_structure(tmp_path):
    params = parameters()
    groups = [{"params": params[:2]}, {"params": params[2:], "lr": 0.5}]
    optimizer = optim.Adam(groups, lr=0.1, betas=(0.5, 0.75))
    run(optimizer, params, cases.gradients()[:2])
    state = optimizer.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [[0, 1], [2, 3, 4]]
    assert [g["lr"] for g in state["param_groups"]] == [0.1, 0.5]
    assert sorted(state["state"]) == [0, 1, 2, 3, 4]
    assert sorted(state["state"][0]) == ["exp_avg", "exp_avg_sq", "step"]
    fn.io.save_state(tmp_path / "state", state)
    np.testing.assert_equal(fn.io.load_state(tmp_path / "state"), state)
    state["state"][0]["exp_avg"][...] = 99.0
    assert not np.any(optimizer.state[params[0]]["exp_avg"] == 99.0), "the arrays are copies"


def test_loading_an_empty_state_starts_again():
    params = parameters()
    optimizer = optim.Adam(params, lr=0.1)
    empty = optimizer.state_dict()
    first = run(optimizer, params, cases.gradients()[:3])
    optimizer.load_state_dict(empty)
    for p, value in zip(params, cases.start_values(), strict=True):
        p.data = value
    np.testing.assert_array_equal(run(optimizer, params, cases.gradients()[:3]), first)


def test_a_state_that_does_not_fit_changes_nothing():
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1, momentum=0.9)
    run(optimizer, params, cases.gradients()[:1])
    other = optim.SGD([nn.Parameter(np.zeros(3))], lr=0.2, momentum=0.9)
    with pytest.raises(ValueError, match=r"SGD: expected state of 1 parameter groups with \[5\].*got 1 groups.*\[1\]"):
        optimizer.load_state_dict(other.state_dict())
    wrong = optimizer.state_dict()
    wrong["state"][2]["momentum_buffer"] = np.zeros(18, np.float32)
    wrong["param_groups"][0]["lr"] = 9.0
    with pytest.raises(ValueError, match=r"'momentum_buffer' of parameter 2 with shape \(19,\), got \(18,\)"):
        optimizer.load_state_dict(wrong)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_parameters_without_gradient_are_left_alone():
    params = parameters()
    optimizer = optim.AdamW(params, lr=0.1)
    params[0].grad = np.ones(params[0].shape)
    optimizer.step()
    assert np.all(params[0].data != cases.start_values()[0])
    for p, value in zip(params[1:], cases.start_values()[1:], strict=True):
        np.testing.assert_array_equal(p.data, value)
    optimizer.zero_grad(set_to_none=False)
    assert not params[0].grad.any()
    assert params[1].grad is None
    optimizer.zero_grad()
    assert params[0].grad is None


def test_groups_keep_their_own_options_and_take_new_ones():
    params = parameters()
    optimizer = optim.SGD([{"params": params[:1], "lr": 1.0}, {"params": params[1:3]}], lr=0.5)
    optimizer.add_param_group({"params": params[3], "lr": 0.25})
    for p in params:
        p.grad = np.ones(p.shape)
    optimizer.step()
    moved = [float((start - p.data).max()) for p, start in zip(params, cases.start_values(), strict=True)]
    np.testing.assert_allclose(moved, [1.0, 0.5, 0.5, 0.25, 0.0], rtol=1e-5)
    optimizer.param_groups[1]["lr"] = 0.0
    before = params[1].data.copy()
    optimizer.step()
    np.testing.assert_array_equal(params[1].data, before)


def test_momentum_may_be_switched_on_later():
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1)
    updates = cases.gradients()
    run(optimizer, params, updates[:2])
    optimizer.param_groups[0]["momentum"] = 0.9
    moved = run(optimizer, params, updates[2:])
    assert np.isfinite(moved).all()
    assert "momentum_buffer" in optimizer.state[params[0]]


def test_closure_and_repr():
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1)

    def closure():
        for p in params:
            p.grad = np.ones(p.shape)
        return 7.5

    assert optimizer.step(closure) == 7.5
    assert np.all(params[2].data < cases.start_values()[2])
    assert "lr: 0.1" in repr(optimizer)
    assert "Parameter Group 0" in repr(optimizer)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("SGD", {"lr": -0.1}, r"SGD: expected lr >= 0, got -0.1"),
        ("SGD", {"lr": float("nan")}, r"SGD: expected lr >= 0, got nan"),
        ("SGD", {"nesterov": True}, r"SGD: expected momentum > 0 and dampening == 0 with nesterov"),
        ("Adam", {"betas": (0.9, 1.0)}, r"Adam: expected betas as two numbers in \[0, 1\), got \(0.9, 1.0\)"),
        ("AdamW", {"weight_decay": -1}, r"AdamW: expected weight_decay >= 0, got -1"),
        ("RMSprop", {"alpha": -1}, r"RMSprop: expected alpha >= 0"),
        ("Adagrad", {"initial_accumulator_value": -1}, r"Adagrad: expected initial_accumulator_value >= 0"),
    ],
)
def test_options_out_of_range(kind, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(optim, kind)(parameters(), **options)


def test_what_is_no_list_of_parameters():
    params = parameters()
    with pytest.raises(ValueError, match="at least one parameter"):
        optim.SGD([])
    with pytest.raises(TypeError, match="expected an iterable of parameters or of dicts, got Parameter"):
        optim.SGD(params[0])
    with pytest.raises(TypeError, match="expected a Parameter at position 1, got float"):
        optim.SGD([params[0], 3.0])
    with pytest.raises(TypeError, match="fixed order"):
        optim.SGD([{"params": set(params)}])
    with pytest.raises(ValueError, match="a second time"):
        optim.SGD([params[0], params[0]])
    with pytest.raises(ValueError, match="a second time"):
        optim.SGD([{"params": params}, {"params": params[:1]}])
    model = nn.Linear(2, 2)
    assert optim.SGD(model.named_parameters()).param_groups[0]["param_names"] == ["weight", "bias"]


def test_penalties_are_in_the_loss_and_in_the_gradient():
    x, t = np.zeros((4, 3), np.float32), np.zeros((4, 2), np.float32)
    for make, value, slope in [
        (lambda w: optim.L1([w], 0.1), lambda w: 0.1 * np.abs(w).sum(), lambda w: 0.1 * np.sign(w)),
        (lambda w: optim.L2([w], 0.1), lambda w: 0.1 * (w**2).sum(), lambda w: 0.2 * w),
        (
            lambda w: optim.ElasticNet([w], 0.1, 0.2),
            lambda w: 0.1 * np.abs(w).sum() + 0.2 * (w**2).sum(),
            lambda w: 0.1 * np.sign(w) + 0.4 * w,
        ),
    ]:
        model = nn.Linear(3, 2)
        model.bias.data[...] = 0.0
        before = model.weight.data.astype(np.float64)
        step = fn.TrainStep(model, nn.MSELoss(), optim.SGD(model.parameters(), lr=1.0), penalties=[make(model.weight)])
        assert step(x, t) == pytest.approx(value(before), rel=1e-5)
        np.testing.assert_allclose(model.weight.data, before - slope(before), rtol=1e-5, atol=1e-6)
        assert not model.bias.data.any()


def test_penalty_errors():
    with pytest.raises(ValueError, match="L2: expected strength >= 0, got -1"):
        optim.L2(parameters(), -1)
    with pytest.raises(ValueError, match="L1: expected at least one parameter"):
        optim.L1([], 0.1)


def test_l2_penalty_takes_the_steps_of_weight_decay():
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(8, 3)), rng.normal(size=(8, 2))
    models = [nn.Linear(3, 2) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    one = fn.TrainStep(
        models[0],
        nn.MSELoss(),
        optim.SGD(models[0].parameters(), lr=0.1),
        penalties=[optim.L2(models[0].parameters(), 0.05)],
    )
    two = fn.TrainStep(models[1], nn.MSELoss(), optim.SGD(models[1].parameters(), lr=0.1, weight_decay=0.1))
    for _ in range(5):
        one(x, t), two(x, t)
    np.testing.assert_allclose(models[0].weight.data, models[1].weight.data, rtol=1e-5, atol=1e-6)
