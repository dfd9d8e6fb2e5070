"""What must not crash, hang, broadcast or be taken for something else: every refusal says who, expected and got."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
from typing import Any

import numpy as np
import pytest

import fastnn as fn
import fastnn.nn.functional as F
from fastnn import data, nn, optim
from fastnn.cli.main import main
from processes import run_python

X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
IMAGES = np.random.default_rng(1).normal(size=(2, 6, 5, 4)).astype(np.float32)
CLASSES = np.array([0, 1, 2, 0])
HUGE = 2**62


def refuse(call: Any, error: type[Exception], *words: str) -> None:
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), f"expected {word!r} in {str(caught.value)!r}"


def step_of(model: Any, loss: Any = None, optimizer: Any = None, **settings: Any) -> fn.TrainStep:
    optimizer = optimizer or optim.SGD(model.parameters(), lr=0.1)
    return fn.TrainStep(model, loss or nn.CrossEntropyLoss(), optimizer, **settings)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_labels_that_a_loss_reshapes_are_labels(dtype: Any) -> None:
    column = CLASSES[:, None].astype(dtype)
    step = step_of(nn.Linear(6, 3), lambda scores, target: F.cross_entropy(scores, target.flatten()))
    other = step_of(nn.Linear(6, 3))
    other.model.load_state_dict(step.model.state_dict())
    assert step(X, column) == other(X, CLASSES)
    column[2] = 3
    refuse(lambda: step(X, column), ValueError, "expected class indices from 0 to 2", "got 3 at (2, 0)")


# ---- layers and functions ----

SIZES = {
    "kernel": (lambda n: nn.Conv2d(6, 2, n), "Conv2d: expected kernel_size"),
    "stride": (lambda n: nn.Conv2d(6, 2, 2, stride=n), "Conv2d: expected stride"),
    "dilation": (lambda n: nn.Conv2d(6, 2, 2, dilation=n), "Conv2d: expected dilation"),
    "padding": (lambda n: nn.Conv2d(6, 2, 2, padding=n), "Conv2d: expected padding"),
    "pool": (lambda n: nn.MaxPool2d(n)(IMAGES), "MaxPool2d: expected kernel_size"),
    "adaptive": (lambda n: nn.AdaptiveAvgPool2d(n)(IMAGES), "AdaptiveAvgPool2d: expected output_size"),
    "adaptive1d": (lambda n: nn.AdaptiveMaxPool1d(n)(IMAGES[:, :, 0]), "AdaptiveMaxPool1d: expected output_size"),
    "lrn": (lambda n: nn.LocalResponseNorm(n)(IMAGES), "LocalResponseNorm: expected size"),
    "unflatten": (lambda n: nn.Unflatten(1, (n, 2))(X), "Unflatten: expected sizes"),
    "pad": (lambda n: nn.ZeroPad2d(n), "ZeroPad2d: expected padding"),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_no_axis_has(name: str) -> None:
    """Once a segmentation fault: tables of 2^62 windows overflowed to a small one."""
    make, words = SIZES[name]
    for size in (HUGE, 2**31, 2**70):
        refuse(lambda size=size: make(size), ValueError, words, str(size))


def test_a_value_that_no_machine_holds() -> None:
    refuse(
        lambda: F.pad(X, (2**31 - 1,) * 4), ValueError, "pad: expected values of at most", str(2**31 - 1 + 2**31 + 3)
    )


@pytest.mark.parametrize("layer", [nn.Linear(6, 3), nn.Conv2d(6, 2, 1), nn.Softmax(1), nn.Dropout2d(), nn.ReLU()])
@pytest.mark.parametrize("value", ["text", None, {"a": 1}, (X, X), 1j * X, [[1.0, 2.0], [3.0]]], ids=repr)
def test_what_is_no_array(layer: nn.Module, value: Any) -> None:
    refuse(lambda: layer(value), (TypeError, ValueError), type(layer).__name__, "expected", "got")  # type: ignore[arg-type]


FUNCTIONS = {
    "weight": (lambda: F.conv2d(IMAGES, "w"), TypeError, ("conv2d: expected an array of numbers, got str",)),
    "class weight": (lambda: F.cross_entropy(X, CLASSES, weight="w"), TypeError, ("cross_entropy: ", "got str")),
    "ignore_index": (lambda: F.nll_loss(X, CLASSES, ignore_index=2.5), TypeError, ("nll_loss: ", "ignore_index")),
    "constant class": (lambda: F.multi_margin_loss([1.0, 2.0], -1), ValueError, ("from 0 to 1", "got -1")),
    "matmul": (lambda: F.matmul(X, X), ValueError, ("matmul: expected equal inner sizes", "(4, 6) and (4, 6)")),
    "chunk": (lambda: F.chunk(X, "2"), ValueError, ("chunk: expected", "'2'")),
    "split": (lambda: F.split(X, 1.5), TypeError, ("split: expected", "1.5")),
    "reshape": (lambda: F.reshape(X, (5, 5)), ValueError, ("reshape: expected", "24", "(5, 5)")),
    "axis": (lambda: F.amax(X, 1.5), TypeError, ("amax: expected a dimension", "1.5")),
    "axes": (lambda: F.sum(X, [0, "b"]), TypeError, ("sum: expected a dimension", "'b'")),
    "summand": (lambda: F.add(X, "a"), TypeError, ("add: expected an array of numbers, got str",)),
    "exponent": (lambda: F.pow(X, "a"), TypeError, ("pow: expected a number as exponent, got str",)),
    "sizes": (lambda: F.split(X, [2, "b"]), TypeError, ("split: expected a list of sizes, got [2, 'b']",)),
    "lacking": (lambda: F.mul(X), TypeError, ("mul() missing 1 required positional argument",)),  # type: ignore[call-arg]
    "several": (lambda: F.cat(None), TypeError, ("cat: expected a sequence", "NoneType")),
    "pad": (lambda: F.pad(X, 1), TypeError, ("pad: expected", "got 1")),
    "optional": (lambda: F.prelu(X, None), TypeError, ("prelu: expected an array for w", "None")),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_arguments(name: str) -> None:
    call, error, words = FUNCTIONS[name]
    refuse(call, error, *words)


def test_labels_of_one_byte_become_one_hot() -> None:
    assert F.one_hot(np.array([0, 2], np.uint8)).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert F.one_hot(np.empty(0, np.uint8)).shape == (0, 0)


# ---- backward, parameters, buffers ----

BACKWARD = {"shape": (np.ones((4, 1)), ValueError), "text": ("a", TypeError), "complex": (1j * X[:, :3], TypeError)}


@pytest.mark.parametrize("name", BACKWARD)
def test_gradients_that_do_not_fit(name: str) -> None:
    dy, error = BACKWARD[name]
    layer = nn.Linear(6, 3)
    layer(X)
    refuse(lambda: layer.backward(dy), error, "Linear.backward: expected", "got")


def test_what_is_updated_must_be_writable() -> None:
    """Arrays of a read-only file may be mapped memory: writing to them would end the process."""
    locked = np.zeros(6, np.float32)
    locked.flags.writeable = False
    norm, layer, frozen = nn.BatchNorm2d(6), nn.Linear(6, 3), nn.Linear(6, 3)
    norm.running_mean = locked
    layer.weight.grad = np.broadcast_to(locked, (3, 6))
    layer.weight.grad.flags.writeable = False
    frozen.weight.data.flags.writeable = False
    layer(X)
    for call in (lambda: norm(IMAGES), lambda: layer.backward(X[:, :3]), lambda: step_of(frozen)(X, CLASSES)):
        refuse(call, ValueError, "expected a writable", "read-only")


# ---- training steps ----

PARTS = {
    "model": (lambda: step_of(3, optimizer=optim.SGD([nn.Parameter([1.0])], lr=1)), "model to be a Module, got int"),
    "loss": (lambda: step_of(nn.Linear(6, 3), "mse"), "loss to be a loss module or a function of nodes, got str"),
    "class": (lambda: step_of(nn.Linear(6, 3), nn.MSELoss), "got the class MSELoss"),
    "optimizer": (lambda: step_of(nn.Linear(6, 3), optimizer=0.1), "optimizer to be an Optimizer, got float"),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_step(name: str) -> None:
    call, words = PARTS[name]
    refuse(call, TypeError, "TrainStep: expected", words)


def test_a_step_that_is_gone_leaves_no_plan_behind() -> None:
    """A new loss function may lie where an old one lay: plans were found by an id that had been used before."""
    model = nn.Linear(6, 3)
    for scale in (1.0, 2.0, 3.0, 4.0):
        step = step_of(model, lambda out, t, scale=scale: F.cross_entropy(out, t) * scale)
        expected = F.cross_entropy(model(X), CLASSES) * scale
        assert step(X, CLASSES) == pytest.approx(expected, rel=1e-5)
        del step


def test_another_optimizer_or_group_counts_at_once() -> None:
    first, second = nn.Linear(6, 4), nn.Linear(4, 3)
    model = nn.Sequential(first, second)
    step = step_of(model, optimizer=optim.SGD(first.parameters(), lr=0.1))
    step(X, CLASSES)

    def moved() -> list[bool]:
        before = [layer.weight.data.copy() for layer in (first, second)]
        step(X, CLASSES)
        return [bool((b != layer.weight.data).any()) for b, layer in zip(before, (first, second), strict=True)]

    group = step.optimizer.param_groups[0]
    step.optimizer.param_groups[0] = {**group, "lr": 0.0}
    assert moved() == [False, False]
    del step.optimizer.param_groups[0]
    step.optimizer.add_param_group({"params": list(second.parameters())})
    assert moved() == [False, True]
    step.optimizer = optim.SGD(first.parameters(), lr=0.1)
    assert moved() == [True, False]


def test_copies_train_themselves_and_not_the_original() -> None:
    """A copied optimizer once kept the original's program, and did nothing."""
    model = nn.Linear(6, 3)
    step = step_of(model, optimizer=optim.SGD(model.parameters(), lr=0.1, momentum=0.9), accumulate=2)
    for _ in range(3):
        step(X, CLASSES)
    for clone in (copy.deepcopy(step), pickle.loads(pickle.dumps(step))):
        before = model.weight.data.copy()
        clone(X, CLASSES)
        np.testing.assert_array_equal(model.weight.data, before)
        step_too = copy.deepcopy(step)
        step_too(X, CLASSES)
        np.testing.assert_array_equal(clone.model.weight.data, step_too.model.weight.data)
        assert (clone.model.weight.data != before).any()
        y = clone.model(X)
        clone.model.backward(np.ones_like(y))
        clone.optimizer.step()
        assert (clone.model.weight.data != step_too.model.weight.data).any()


def test_a_cleared_optimizer_state_is_a_fresh_one() -> None:
    model = nn.Linear(6, 3)
    optimizer = optim.Adam(model.parameters())
    step = step_of(model, optimizer=optimizer)
    step(X, CLASSES)
    step(X, CLASSES)
    optimizer.state.clear()
    step(X, CLASSES)
    assert optimizer.state[model.weight]["step"] == 1
    optimizer.state.clear()
    model(X)
    model.backward(np.ones((4, 3)))
    optimizer.step()
    assert optimizer.state[model.weight]["step"] == 1


# ---- Functions ----


def function_with(forward: Any, backward: Any = None) -> type[nn.Function]:
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward or (lambda ctx, dy: dy))}
    return type("Own", (nn.Function,), members)


RESULTS = {
    "text": (lambda ctx, x: "abc", None),
    "nothing": (lambda ctx, x: None, None),
    "complex": (lambda ctx, x: x * 1j, None),
    "complex gradient": (lambda ctx, x: x + 0, lambda ctx, dy: dy * 1j),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_of_a_function(name: str) -> None:
    own = function_with(*RESULTS[name])

    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return own.apply(x)

    def run() -> None:
        model = Model()
        model(X)
        model.backward(X)

    refuse(run, TypeError, "Own.", "expected a result of real numbers, got dtype")


def test_a_function_may_use_fastnn_itself() -> None:
    """Its trial call runs while the model is traced, but computes at once."""
    inner = nn.Linear(6, 6)
    own = function_with(lambda ctx, x: inner(np.maximum(F.relu(x), 0.5)))

    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return own.apply(x)

    np.testing.assert_array_equal(Model()(X), inner(np.maximum(X, np.float32(0.5))))


# ---- optimizers ----

OPTIONS = {
    "lr": (lambda p: optim.SGD(p, lr="a"), ValueError, "SGD: expected lr >= 0, got 'a'"),
    "lr array": (lambda p: optim.SGD(p, lr=np.ones(2)), TypeError, "SGD: expected lr to be a number"),
    "betas": (lambda p: optim.Adam(p, betas=0.9), ValueError, "Adam: expected betas as two numbers in [0, 1), got 0.9"),
    "set": (lambda p: optim.SGD(set(p), lr=1), TypeError, "SGD: expected parameters in a fixed order"),
    "None": (
        lambda p: optim.SGD(None, lr=1),
        TypeError,
        "SGD: expected an iterable of parameters or of dicts, got Non",
    ),
    "module": (lambda p: optim.SGD(nn.Linear(2, 2), lr=1), TypeError, "got Linear"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_optimizer_arguments(name: str) -> None:
    call, error, words = OPTIONS[name]
    refuse(lambda: call(list(nn.Linear(2, 2).parameters())), error, words)


STATES = {
    "None": None,
    "keys": {"state": {}},
    "option": {"state": {}, "param_groups": [{"params": [0, 1], "lr": "x"}]},
    "shape": {"state": {0: {"exp_avg": np.zeros(3)}}, "param_groups": [{"params": [0, 1], "lr": 5.0}]},
    "scalar": {"state": {0: {"exp_avg": "s"}}, "param_groups": [{"params": [0, 1], "lr": 5.0}]},
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_does_not_fit_changes_nothing(name: str) -> None:
    optimizer = optim.Adam(nn.Linear(2, 2).parameters(), lr=0.5)
    refuse(lambda: optimizer.load_state_dict(STATES[name]), ValueError, "Adam: expected", "got")
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_normal_cut_far_from_its_mean_is_drawn_and_does_not_hang() -> None:
    for mean, low, high in ((1e9, -2.0, 2.0), (-1e9, -2.0, 2.0), (0.0, 3.0, np.inf), (0.0, -4.0, -3.0)):
        values = nn.init.trunc_normal_(np.empty(2000, np.float32), mean, 1.0, low, high)
        assert low <= values.min() <= values.max() <= high
    rng = np.random.default_rng(0)
    tail = nn.init.trunc_normal_(np.empty(20000, np.float32), 0.0, 1.0, 3.0, 4.0, rng)
    assert tail.mean() == pytest.approx(
        3.26045, abs=6 * 0.2 / np.sqrt(tail.size)
    )  # (pdf(3) - pdf(4)) / (cdf(4) - cdf(3))
    for mean, std in ((np.nan, 1.0), (0.0, np.nan), (0.0, np.inf)):
        refuse(
            lambda m=mean, s=std: nn.init.trunc_normal_(np.empty(3), m, s), ValueError, "trunc_normal_: expected std"
        )


def test_a_cycle_divides_by_something() -> None:
    optimizer = optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    for name in ("div_factor", "final_div_factor"):
        make = lambda name=name: optim.lr_scheduler.OneCycleLR(optimizer, 1.0, 10, **{name: 0})  # noqa: E731
        refuse(make, ValueError, "expected div_factor and final_div_factor > 0, got")


# ---- trainer, data, files ----


def test_no_batches_are_no_training() -> None:
    model = nn.Linear(6, 3)
    trainer = fn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
    for batches in ((X[:0], CLASSES[:0]), iter([]), data.DataLoader((X, CLASSES), 64, drop_last=True)):
        refuse(lambda b=batches: trainer.fit(b, progress=False), ValueError, "fit: expected at least one batch", "none")
    refuse(lambda: trainer.evaluate((X[:0], CLASSES[:0])), ValueError, "evaluate: expected at least one sample")
    refuse(lambda: trainer.fit((X, CLASSES), epochs="a"), ValueError, "fit: expected epochs >= 0, got 'a'")


def test_gradcheck_of_whole_numbers_and_of_nan() -> None:
    assert fn.gradcheck(nn.Linear(3, 2), np.ones((2, 3), np.int64))
    refuse(lambda: fn.gradcheck(nn.Linear(3, 2), np.full((2, 3), np.nan)), fn.GradcheckError, "nan")


def test_a_weights_file_with_an_impossible_shape(tmp_path: Any) -> None:
    header = b'{"a":{"dtype":"F32","shape":[0,4611686018427387904],"data_offsets":[0,0]}}'
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    refuse(lambda: fn.load(path), ValueError, str(path), "tensor 'a'", "4611686018427387904")
    refuse(lambda: fn.save({"a": X}, path, metadata="x"), TypeError, "save: expected metadata as a dict")


# ---- settings and the command line ----


def test_thread_counts_and_seeds() -> None:
    fn.set_num_threads(np.int64(2))
    assert fn.get_num_threads() == 2
    refuse(lambda: fn.set_num_threads(10**6), ValueError, "set_num_threads: expected 1 to 1024 threads, got 1000000")
    refuse(lambda: fn.manual_seed("a"), TypeError, "manual_seed: expected an int, got 'a'")  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["99999999999999", "-1", "²"])
def test_a_thread_count_from_the_environment(text: str) -> None:
    done = run_python("import fastnn", FASTNN_NUM_THREADS=text, PYTHONIOENCODING="utf-8")
    assert f"FASTNN_NUM_THREADS: expected a positive number, got {text!r}" in done.stderr


@pytest.mark.parametrize("options", [["--threads", "1025"], ["--seed", str(2**64)]], ids=lambda options: options[0])
def test_numbers_too_large_are_one_line(options: list[str], capsys: Any) -> None:
    assert main(["train", *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"expected a whole number from {'1' if '--threads' in options else '0'} to" in lines[0]


# ---- fork ----


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_fork_can_use_a_model_that_another_thread_was_running() -> None:
    """The thread that holds the model's lock does not exist in the child."""
    model, started, done = nn.Linear(6, 6), threading.Event(), threading.Event()

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = model

        def forward(self, x: Any) -> Any:
            return waiting.apply(self.layer(x))

    def wait(ctx: Any, x: np.ndarray) -> np.ndarray:
        if x.any():  # not in the trial call on zeros
            started.set()
            done.wait(30)
        return x

    waiting = function_with(wait)
    whole = Slow()
    thread = threading.Thread(target=whole, args=(X,))
    thread.start()
    assert started.wait(30)
    child = os.fork()
    if child == 0:
        done.set()
        signal.alarm(20)  # ends the child if the lock is still held
        os._exit(0 if whole(X).shape == (4, 6) else 1)
    status = os.waitpid(child, 0)[1]
    done.set()
    thread.join(30)
    assert status == 0, f"the child ended with wait status {status}"


# ---- what is around training ----

LAYER = nn.Linear(4, 3)
AROUND = {
    "L2: expected strength to be a number, got 'a'": lambda: optim.L2(LAYER.parameters(), "a"),
    "L1: expected strength >= 0, got nan": lambda: optim.L1(LAYER.parameters(), float("nan")),
    "L2: expected parameters, got int": lambda: optim.L2(3, 1.0),
    "ElasticNet: expected l1 to be a number, got None": lambda: optim.ElasticNet(LAYER.parameters(), l1=None, l2=1),
    "L1: expected a Parameter at position 0, got ndarray": lambda: optim.L1([X], 1.0),
    "EarlyStopping: expected monitor to be a str, got 3": lambda: fn.training.EarlyStopping(3),
    "EarlyStopping: expected patience to be an int, got 'a'": lambda: fn.training.EarlyStopping(patience="a"),
    "EarlyStopping: expected min_delta to be a number, got 'a'": lambda: fn.training.EarlyStopping(min_delta="a"),
    "ConfusionMatrix: expected num_classes to be an int, got 'a'": lambda: fn.training.ConfusionMatrix("a"),
    "class_report: expected a square matrix, got shape (2, 3)": lambda: fn.training.class_report(np.ones((2, 3))),
    "class_report: expected 2 classes, got 1": lambda: fn.training.class_report(np.ones((2, 2)), ["a"]),
    "expected Normalize's mean to hold real numbers": lambda: data.transforms.Normalize("a", "b"),
    "Normalize: expected an array of numbers to fit to, got str": lambda: data.transforms.Normalize().fit("a"),
    "PCAWhitening: expected finite numbers to fit to, got nan": lambda: data.transforms.PCAWhitening().fit(X * np.nan),
    "ZCAWhitening: expected an array of numbers to fit to, got int": lambda: data.transforms.ZCAWhitening().fit(3),
    "Compose: expected a list of callables, got 3": lambda: data.transforms.Compose(3),
    "capture: expected a Module and a list of names, got Linear and 'weight'": lambda: fn.capture(LAYER, "weight"),
    "capture: expected a layer of named_modules(), got 'body'": lambda: fn.capture(LAYER, ["body"]),
}


@pytest.mark.parametrize("words", AROUND)
def test_what_is_around_training(words: str) -> None:
    refuse(AROUND[words], (ValueError, TypeError, AttributeError), words)  # type: ignore[arg-type]


def test_values_that_a_state_cannot_hold() -> None:
    """Once infinities, and a count of batches that was whatever the processor made of a NaN."""
    model = nn.BatchNorm1d(3)
    before = model.state_dict()
    for name, value in (("weight", np.full(3, 1e300)), ("num_batches_tracked", np.nan), ("num_batches_tracked", 1.5)):
        state = {**before, name: value}
        refuse(lambda state=state: model.load_state_dict(state), RuntimeError, name, "can hold, got dtype")
    np.testing.assert_equal(model.state_dict(), before)
    model.load_state_dict({**before, "weight": np.full(3, np.inf), "num_batches_tracked": np.float32(2)})


@pytest.mark.parametrize("value", [None, "a", float("nan"), [0.1]])
def test_options_that_are_no_numbers(value: Any) -> None:
    """Once a NaN in every weight, for None as well."""
    step = step_of(nn.Linear(6, 3))
    step(X, CLASSES)
    before = step.model.state_dict()
    step.optimizer.param_groups[0]["lr"] = value
    refuse(lambda: step(X, CLASSES), ValueError, "SGD: expected numbers as a group's options, got (")
    np.testing.assert_equal(step.model.state_dict(), before)
    step.optimizer.param_groups[0]["lr"] = 0.5
    step(X, CLASSES)
