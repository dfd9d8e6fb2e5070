"""TrainStep.run: many steps in one call, and the short way that a call like the last one takes."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastnn as fn
from fastnn import _backend, nn
from fastnn.training import step as step_module

CLASSES = 5
RNG = np.random.default_rng(0)


def network() -> nn.Module:
    fn.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.25),
        nn.Linear(36, CLASSES),
    )  # fmt: skip


def batches(n: int = 6, size: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [(rng.standard_normal((size, 1, 8, 8), np.float32), rng.integers(0, CLASSES, size)) for _ in range(n)]


def training(model: nn.Module | None = None, **settings: Any) -> fn.TrainStep:
    model = model or network()
    optimizer = fn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return fn.TrainStep(model, nn.CrossEntropyLoss(), optimizer, **settings)


def same_state(a: nn.Module, b: nn.Module) -> bool:
    return all(
        x.tobytes() == y.tobytes() for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each step from here on took the short way."""
    found: list[bool] = []
    run, long = step_module.TrainStep._run_shortcut, step_module.TrainStep._run

    def watched_short(*args: Any) -> float:
        found.append(True)
        return run(*args)

    def watched_long(*args: Any) -> Any:
        found.append(False)
        return long(*args)

    monkeypatch.setattr(step_module.TrainStep, "_run_shortcut", watched_short)
    monkeypatch.setattr(step_module.TrainStep, "_run", watched_long)
    return found


def without_shortcuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_module.TrainStep, "_remember", lambda *args: None)


# ---- run -------------------------------------------------------------------------------------------------


def test_run_gives_the_bits_of_single_calls(short: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    data = [*batches(3), *batches(2, size=3), *batches(3)]
    one = training()
    fn.manual_seed(7)
    losses = one.run(data)
    assert short == [False, True, True, False, True, True, True, True]
    without_shortcuts(monkeypatch)
    two = training()
    fn.manual_seed(7)
    assert losses == [two(x, y) for x, y in data]
    assert same_state(one.model, two.model)


def test_at_most_n_steps_and_no_batch_taken_in_vain() -> None:
    step = training()
    given = iter(batches(5))
    assert len(step.run(given, 2)) == 2
    assert len(list(copy.copy(given))) == 3
    assert len(step.run(given, 9)) == 3
    assert step.run(given) == []
    assert step.run(batches(2), 0) == []


def test_the_losses_fall_on_a_loader() -> None:
    step = training()
    x, y = batches(1, size=20)[0]
    loader = fn.data.DataLoader((x, y), batch_size=8)
    losses = [loss for _ in range(40) for loss in step.run(loader)]
    assert len(losses) == 120
    assert np.mean(losses[-3:]) < 0.3 * np.mean(losses[:3])


def test_a_lone_array_is_its_own_target() -> None:
    model = nn.Linear(4, 4)
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    data = RNG.standard_normal((6, 4), np.float32)
    losses = step.run([data] * 20)
    assert losses[-1] < losses[0]


def test_on_step_sees_each_and_may_end_the_run() -> None:
    seen: list[tuple[float, Any]] = []

    def after(loss: float, x: Any, y: Any) -> bool:
        seen.append((loss, y))
        return len(seen) == 3

    data = batches(5)
    losses = training().run(data, on_step=after)
    assert losses == [loss for loss, _ in seen]
    assert all(y is target for (_, y), (_, target) in zip(seen, data, strict=False))


def test_what_the_loader_raises_passes_and_its_iterator_is_closed() -> None:
    closed: list[bool] = []

    class Loader:
        def __init__(self, fails: bool) -> None:
            self.fails = fails

        def __iter__(self) -> Iterator[Any]:
            try:
                yield from batches(2)
                if self.fails:
                    raise LookupError("no more")
            finally:
                closed.append(True)

    step = training()
    with pytest.raises(LookupError, match="no more"):
        step.run(Loader(True))
    assert step.state_dict()["calls"] == 2
    step.run(Loader(False), 1)
    assert closed == [True, True]
    left = iter(Loader(False))
    step.run(left, 1)
    assert len(list(left)) == 1, "an iterator is the caller's"


@pytest.mark.parametrize("warm", [1, 2])
def test_a_non_finite_loss_ends_the_run_and_updates_nothing(warm: int) -> None:
    step = training()
    data = batches(warm + 1)
    data[warm][0][0] = np.nan
    step.run(data, warm)
    before, momentum = copy.deepcopy(step.model), step.optimizer.state_dict()
    seen: list[float] = []
    with pytest.raises(fn.NonFiniteLossError, match="the input number 0"):
        step.run(data[warm:], on_step=lambda loss, x, y: seen.append(loss))
    assert seen == []
    assert same_state(step.model, before)
    np.testing.assert_equal(step.optimizer.state_dict(), momentum)
    assert step.state_dict()["calls"] == warm
    with pytest.raises(RuntimeError, match="no call yet"):
        _ = step.output


@pytest.mark.usefixtures("ctrl_c_raises")
def test_interrupt_lets_the_step_under_way_end() -> None:
    step = training()
    seen: list[float] = []

    def after(loss: float, x: Any, y: Any) -> None:
        seen.append(loss)
        if len(seen) == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        step.run(batches(5), on_step=after)
    assert len(seen) == step.state_dict()["calls"] == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = training()
    assert again.run(batches(5), 2) == seen
    assert same_state(again.model, step.model)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda s: s.run(batches(1), -1), ValueError, "n to be an int >= 0"),
        (lambda s: s.run(batches(1), True), ValueError, "n to be an int >= 0"),
        (lambda s: s.run(batches(1), 1.5), ValueError, "n to be an int >= 0"),
        (lambda s: s.run(None), TypeError, "a loader or another iterable, got NoneType"),
    ],
)
def test_bad_input(call: Callable[[Any], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(training())


# ---- the short way ---------------------------------------------------------------------------------------


def changed_rate(step: fn.TrainStep) -> None:
    step.optimizer.param_groups[0]["lr"] *= 0.5


def changed_form(step: fn.TrainStep) -> None:
    step.optimizer.param_groups[0]["nesterov"] = True


def cleared_state(step: fn.TrainStep) -> None:
    step.optimizer.state.clear()


def frozen(step: fn.TrainStep) -> None:
    next(iter(step.model.parameters())).requires_grad = False


def evaluated(step: fn.TrainStep) -> None:
    step.model.eval()


def smoothed(step: fn.TrainStep) -> None:
    step.loss = nn.CrossEntropyLoss(label_smoothing=0.1)


def smoothed_in_place(step: fn.TrainStep) -> None:
    step.loss.label_smoothing = 0.2


def other_optimizer(step: fn.TrainStep) -> None:
    step.optimizer = fn.optim.Adam(step.model.parameters(), lr=0.01)


def fewer_parameters(step: fn.TrainStep) -> None:
    step.optimizer.param_groups[0]["params"].pop()


def other_group(step: fn.TrainStep) -> None:
    step.optimizer.param_groups[0] = dict(step.optimizer.param_groups[0], lr=0.3)


def exact(step: fn.TrainStep) -> None:
    fn.set_precision("exact")


def lowest_level(step: fn.TrainStep) -> None:
    _backend.core().set_level(_backend.core().levels()[0])


CHANGES = {
    changed_rate: True, changed_form: False, cleared_state: False, frozen: False, evaluated: False, smoothed: False,
    smoothed_in_place: False, other_optimizer: False, fewer_parameters: False, other_group: False, exact: False,
    lowest_level: False,
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_obeyed(
    change: Callable[[fn.TrainStep], None], short: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = batches(6)

    def trained() -> tuple[list[float], nn.Module]:
        step = training()
        fn.manual_seed(7)
        losses = step.run(data[:3])
        change(step)
        losses += step.run(data[3:])
        return losses, step.model

    level, precision = _backend.core().active_level(), fn.get_precision()
    losses, model = trained()
    assert short == [False, True, True, CHANGES[change], True, True]
    _backend.core().set_level(level)
    fn.set_precision(precision)
    without_shortcuts(monkeypatch)
    expected, twin = trained()
    assert losses == expected
    assert same_state(model, twin)


def test_threads_are_read_at_each_step(short: list[bool]) -> None:
    _backend.core().set_grain(0)
    data, losses = batches(6), []
    step = training()
    fn.manual_seed(7)
    for threads, batch in zip((1, 2, 1, 3, 2, 1), data, strict=True):
        fn.set_num_threads(threads)
        _backend.core().last_team_size()
        losses.append(step(*batch))
        assert _backend.core().last_team_size() == threads
    assert short == [False] + [True] * 5
    fn.set_num_threads(1)
    fn.manual_seed(7)
    again = training()
    fn.manual_seed(7)
    assert again.run(data) == losses


@pytest.mark.parametrize(
    "other",
    [
        lambda x: x[:, :, ::-1], lambda x: x.astype(np.float64), lambda x: np.asfortranarray(x), lambda x: x.tolist(),
        lambda x: x[::-1],
    ],
    ids=["reversed", "float64", "order", "lists", "rows"],
)  # fmt: skip
def test_other_arrays_take_the_long_way(other: Callable[[Any], Any], short: list[bool]) -> None:
    x, y = batches(1)[0]
    step = training(network().eval())
    step.run([(x, y)] * 2)
    twin = copy.deepcopy(step)
    assert step(other(x), y) == twin(np.ascontiguousarray(other(x), np.float32), y)
    assert short[2] is False


def test_wrong_classes_are_refused_on_the_short_way_too(short: list[bool]) -> None:
    x, y = batches(1)[0]
    step = training()
    step.run([(x, y)] * 2)
    for wrong in (-1, CLASSES):
        bad = y.copy()
        bad[3] = wrong
        with pytest.raises(ValueError, match=f"got {wrong} at \\(3,\\)"):
            step(x, bad)
    assert short[-1] is True
    assert step.state_dict()["calls"] == 2


def test_a_parameter_as_input_takes_the_long_way(short: list[bool]) -> None:
    model = nn.Linear(4, 4, bias=False)
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.1))
    zeros = np.zeros((4, 4), np.float32)
    step.run([(np.eye(4, dtype=np.float32), zeros)] * 2)
    twin = copy.deepcopy(step)
    values = model.weight.data.copy()
    assert step(model.weight.data, zeros) == twin(values, zeros)
    assert same_state(model, twin.model)
    assert short == [False, True, False, False]


def test_the_output_is_that_of_the_last_step(short: list[bool]) -> None:
    fn.set_precision("exact")  # else the model alone folds batch norm into its weights
    step = training(network().eval())
    data = batches(3)
    step.run(data[:2])
    expected = step.model(data[2][0])
    step(*data[2])
    assert short[-1] is True
    np.testing.assert_array_equal(step.output, expected)
    step.model(data[0][0])
    step(*data[1])
    step.model(data[0][0])
    with pytest.raises(RuntimeError, match="the model has run since"):
        _ = step.output


def test_accumulation_takes_it_for_both_kinds_of_call(short: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    data = batches(9)
    one = training(accumulate=3)
    fn.manual_seed(7)
    losses = one.run(data)
    assert short == [False, True, False, False, True, True, True, True, True], "the first update makes the state"
    without_shortcuts(monkeypatch)
    two = training(accumulate=3)
    fn.manual_seed(7)
    assert two.run(data) == losses
    assert same_state(one.model, two.model)


def test_hooks_see_every_step(short: list[bool]) -> None:
    step = training()
    seen: list[tuple[int, ...]] = []
    step.run(batches(2))
    handle = step.model[0].register_forward_hook(lambda m, x, y: seen.append(y.shape))
    step.run(batches(3))
    assert len(seen) == 3
    handle.remove()
    step.run(batches(2))
    assert short == [False, True, False, False, False, False, True]


def test_few_are_kept(short: list[bool]) -> None:
    step = training()
    x, y = batches(1, size=40)[0]
    for size in range(1, 41):
        step(x[:size], y[:size])
    assert len(step._shortcuts) <= step_module.SHORTCUTS_KEPT
    short.clear()
    step(x, y)
    assert short == [True]
