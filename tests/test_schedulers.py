"""Schedulers: PyTorch's rates for every option, to the bit of its recurrences, and states that resume them."""

from __future__ import annotations

import json
import math
import re
from importlib.util import find_spec

import numpy as np
import pytest

import training_cases as cases
from fastnn import nn, optim
from fastnn.optim import lr_scheduler


def make_optimizer(kind="SGD"):
    groups = [{"params": [nn.Parameter(np.zeros(2))], "lr": lr} for lr in cases.RATES]
    return getattr(optim, kind)(groups, lr=0.5, **({"momentum": 0.9} if kind == "SGD" else {}))


def check_against(expected, name):
    kind, make = cases.SCHEDULES[name]
    optimizer = make_optimizer(kind)
    got = cases.record_schedule(name, make(lr_scheduler, optimizer), optimizer)
    assert got.shape == expected.shape
    # the same formulas in the same order; libm's cosine and power may differ by an ulp between machines
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-18)


@pytest.mark.parametrize("name", cases.SCHEDULES)
def test_every_option_gives_pytorchs_values(name):
    with np.load(cases.ARCHIVE) as archive:
        check_against(archive[f"schedule/{name}"], name)


if find_spec("torch"):  # a live comparison, where PyTorch is installed
    # PyTorch warns of a schedule that is stepped before its optimizer: only rates are read here, nothing is trained.
    @pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
    @pytest.mark.parametrize("name", cases.SCHEDULES)
    def test_every_option_gives_the_installed_pytorchs_values(name):
        import write_torch_training_values as torch_values

        check_against(torch_values.schedule_values(name), name)


@pytest.mark.parametrize("name", cases.SCHEDULES)
@pytest.mark.parametrize("done", [0, 3, 11])
def test_a_loaded_state_goes_on(name, done):
    kind, make = cases.SCHEDULES[name]
    optimizer = make_optimizer(kind)
    scheduler = make(lr_scheduler, optimizer)
    for step in range(done):
        scheduler.step(*cases.step_arguments(name, step))
    saved = json.loads(json.dumps({"scheduler": scheduler.state_dict(), "optimizer": optimizer.state_dict()}))

    other = make_optimizer(kind)
    resumed = make(lr_scheduler, other)
    other.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["scheduler"])
    for step in range(done, 18):
        assert cases.group_values(other) == cases.group_values(optimizer)
        assert resumed.get_last_lr() == scheduler.get_last_lr()
        scheduler.step(*cases.step_arguments(name, step))
        resumed.step(*cases.step_arguments(name, step))


def test_warm_up_rises_and_hands_over():
    optimizer = make_optimizer()
    scheduler = lr_scheduler.WarmUp(optimizer, 4, lr_scheduler.StepLR(optimizer, 2, 0.5), start_factor=0.2)
    rates = []
    for _ in range(9):
        rates.append(scheduler.get_last_lr()[0])
        scheduler.step()
    np.testing.assert_allclose(rates, np.array([0.2, 0.4, 0.6, 0.8, 1, 1, 0.5, 0.5, 0.25]) * cases.RATES[0])
    with pytest.raises(ValueError, match="WarmUp: expected steps >= 1, got 0"):
        lr_scheduler.WarmUp(optimizer, 0)


def test_warm_up_into_a_cosine():
    optimizer = make_optimizer()
    after = lr_scheduler.CosineAnnealingLR(optimizer, 10)
    scheduler = lr_scheduler.WarmUp(optimizer, 5, after)
    for epoch in range(16):
        expected = (0.1 + 0.9 * epoch / 5) if epoch < 5 else (1 + math.cos(math.pi * (epoch - 5) / 10)) / 2
        assert scheduler.get_last_lr()[1] == pytest.approx(expected * cases.RATES[1], abs=1e-12)
        scheduler.step()


def test_constructing_sets_the_first_rate_and_remembers_the_initial_one():
    optimizer = make_optimizer()
    lr_scheduler.LinearLR(optimizer, 0.5)
    assert [g["lr"] for g in optimizer.param_groups] == [lr / 2 for lr in cases.RATES]
    assert [g["initial_lr"] for g in optimizer.param_groups] == list(cases.RATES)
    assert optimizer.state_dict()["param_groups"][0]["initial_lr"] == cases.RATES[0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.StepLR("sgd", 3), TypeError, "StepLR: expected an Optimizer, got str"),
        (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "StepLR: expected step_size >= 1, got 0"),
        (lambda o: lr_scheduler.StepLR(o, 3, last_epoch=4), KeyError, "expected 'initial_lr' in parameter group 0"),
        (lambda o: lr_scheduler.ConstantLR(o, 1.5), ValueError, r"factor in \[0, 1\], got 1.5"),
        (lambda o: lr_scheduler.LinearLR(o, 0.0), ValueError, r"start_factor in \(0, 1\], got 0.0"),
        (lambda o: lr_scheduler.LambdaLR(o, [_one]), ValueError, "expected 2 functions, one a parameter group, got 1"),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 0), ValueError, "T_max >= 1, got 0"),
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 1.5), ValueError, "T_0 as a whole number >= 1, got 1.5"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1), ValueError, "expected total_steps, or epochs and steps_per_epoch"),
        (lambda o: lr_scheduler.OneCycleLR(o, [0.1] * 3, 9), ValueError, "expected 2 values of max_lr"),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, pct_start=2), ValueError, r"pct_start in \[0, 1\], got 2"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "expected factor < 1, got 1.0"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, "up"), ValueError, "expected mode 'min' or 'max', got 'up'"),
        (lambda o: lr_scheduler.SequentialLR(o, [], []), ValueError, "expected at least one scheduler"),
        (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 2)], [3]), ValueError, "expected 0 milestones"),
        (
            lambda o: lr_scheduler.SequentialLR(make_optimizer(), [lr_scheduler.StepLR(o, 2)], []),
            ValueError,
            "schedulers of one optimizer, got another one at position 0",
        ),
        (
            lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(o)]),
            TypeError,
            "whose step takes no argument, got ReduceLROnPlateau",
        ),
        (
            lambda o: lr_scheduler.OneCycleLR(make_optimizer("Adagrad"), 0.1, 9),
            ValueError,
            "expected an optimizer with momentum or betas",
        ),
    ],
)
def test_errors_say_what_was_expected(make, error, message):
    with pytest.raises(error, match=message):
        make(make_optimizer())


WRONG_TYPES = {
    "StepLR: expected step_size to be an int, got 'a'": lambda o: lr_scheduler.StepLR(o, "a"),
    "StepLR: expected step_size to be an int, got 2.5": lambda o: lr_scheduler.StepLR(o, 2.5),
    "StepLR: expected gamma to be a number, got 'a'": lambda o: lr_scheduler.StepLR(o, 1, "a"),
    "StepLR: expected last_epoch to be an int, got 'a'": lambda o: lr_scheduler.StepLR(o, 1, last_epoch="a"),
    "MultiStepLR: expected milestones as a list of epochs, got 3": lambda o: lr_scheduler.MultiStepLR(o, 3),
    "MultiStepLR: expected milestones[1] to be an int, got 'a'": lambda o: lr_scheduler.MultiStepLR(o, [1, "a"]),
    "MultiStepLR: expected gamma to be a number, got None": lambda o: lr_scheduler.MultiStepLR(o, [1], None),
    "ConstantLR: expected factor to be a number, got 'a'": lambda o: lr_scheduler.ConstantLR(o, "a"),
    "LinearLR: expected total_iters to be a number, got 'a'": lambda o: lr_scheduler.LinearLR(o, total_iters="a"),
    "ExponentialLR: expected gamma to be a number, got [0.9]": lambda o: lr_scheduler.ExponentialLR(o, [0.9]),
    "PolynomialLR: expected power to be a number, got 'a'": lambda o: lr_scheduler.PolynomialLR(o, 5, "a"),
    "CosineAnnealingLR: expected T_max to be a number, got 'a'": lambda o: lr_scheduler.CosineAnnealingLR(o, "a"),
    "CosineAnnealingWarmRestarts: expected epoch to be a number, got 'a'": (
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 1).step("a")
    ),
    "OneCycleLR: expected max_lr to be a number, got 'a'": lambda o: lr_scheduler.OneCycleLR(o, "a", 9),
    "OneCycleLR: expected pct_start to be a number, got 'a'": (
        lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, pct_start="a")
    ),
    "LambdaLR: expected lr_lambda to be a function of the epoch": lambda o: lr_scheduler.LambdaLR(o, 3),
    "LambdaLR: expected what lr_lambda returns to be a number, got 'a'": (
        lambda o: lr_scheduler.LambdaLR(o, lambda epoch: "a")
    ),
    "MultiplicativeLR: expected lr_lambda to be a function": lambda o: lr_scheduler.MultiplicativeLR(o, [3, 4]),
    "SequentialLR: expected a list of schedulers, got int": lambda o: lr_scheduler.SequentialLR(o, 3, [1]),
    "SequentialLR: expected milestones as a list, got int": (
        lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 2)], 3)
    ),
    "ChainedScheduler: expected a list of schedulers, got int": lambda o: lr_scheduler.ChainedScheduler(3),
    "WarmUp: expected steps to be an int, got 'a'": lambda o: lr_scheduler.WarmUp(o, "a"),
    "ReduceLROnPlateau: expected patience to be an int, got 'a'": (
        lambda o: lr_scheduler.ReduceLROnPlateau(o, patience="a")
    ),
    "ReduceLROnPlateau: expected min_lr to be a number, got 'a'": (
        lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr="a")
    ),
    "ReduceLROnPlateau: expected metrics to be a number, got None": (
        lambda o: lr_scheduler.ReduceLROnPlateau(o).step(None)
    ),
}


@pytest.mark.parametrize("message", WRONG_TYPES)
def test_an_option_of_a_wrong_type_is_named(message):
    with pytest.raises(TypeError, match=re.escape(message)):
        WRONG_TYPES[message](make_optimizer())


def _one(epoch):
    return 1.0


def test_onecycle_refuses_to_go_on_past_its_end():
    optimizer = make_optimizer()
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, 3)
    for _ in range(3):
        scheduler.step()
    with pytest.raises(ValueError, match="OneCycleLR: expected at most 3 steps, got step 4"):
        scheduler.step()
