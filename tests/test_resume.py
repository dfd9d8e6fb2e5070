"""An interrupted run on the digits equals an uninterrupted one, bit for bit, wherever it was interrupted."""

from __future__ import annotations

import os

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.data import DataLoader
from fastnn.data.transforms import Compose, RandomCrop, Scale
from fastnn.datasets import digits
from fastnn.optim import lr_scheduler
from fastnn.training import Callback, EarlyStopping, LRSchedulerCallback, ModelCheckpoint, TopKAccuracy
from processes import output_of

EPOCHS, BATCH, COUNT = 3, 50, 400
STEPS = COUNT // BATCH


class Cut(Callback):
    """Save after a step and raise, as a power cut would end the run."""

    order = 200

    def __init__(self, step, path):
        self.step, self.path = step, path

    def on_step(self, trainer):
        if trainer.steps == self.step:
            trainer.save(self.path)
            raise RuntimeError("cut")


def make_trainer(seed, callbacks=(), optimizer="adam", **options):
    """A network with batch norm and dropout, a schedule by steps, one by epochs, and a best-weights keeper."""
    fn.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 10)
    )
    kinds = {
        "adam": lambda p: fn.optim.Adam(p, lr=0.01),
        "sgd": lambda p: fn.optim.SGD(p, lr=0.05, momentum=0.9),
        "rmsprop": lambda p: fn.optim.RMSprop(p, lr=0.002, centered=True, momentum=0.5),
        "adagrad": lambda p: fn.optim.Adagrad(p, lr=0.05),
    }
    optim = kinds[optimizer](model.parameters())
    by_step = lr_scheduler.CosineAnnealingLR(optim, EPOCHS * STEPS)
    by_epoch = lr_scheduler.ReduceLROnPlateau(optim, patience=0, factor=0.7)
    everything = [LRSchedulerCallback(by_step, "step"), by_epoch, EarlyStopping("val_loss", 9), *callbacks]
    return fn.Trainer(model, nn.CrossEntropyLoss(), optim, ["accuracy", TopKAccuracy(3)], everything, **options)


def data():
    whole = digits()
    return whole.subset(slice(0, COUNT)), whole.subset(slice(COUNT, COUNT + 100))


def loader(**options):
    train, _ = data()
    augment = Compose([RandomCrop(8, padding=1), Scale(1 / 16)])
    return DataLoader(train, BATCH, shuffle=True, transform=augment, **options)


def validation():
    return DataLoader(data()[1], 64, transform=Scale(1 / 16))


def run(trainer, **options):
    return trainer.fit(loader(), validation(), epochs=EPOCHS, progress=False, **options)


def outcome(trainer):
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in trainer.history]
    return trainer.model.state_dict(), trainer.optimizer.state_dict(), rows, trainer.steps


def assert_same(one, two):
    np.testing.assert_equal(two, one)
    for key, value in one[0].items():
        assert value.tobytes() == two[0][key].tobytes(), key


# the first step, inside an epoch, its last step, the first of the next, inside the last epoch, the very last
@pytest.mark.parametrize("step", [1, 5, STEPS, STEPS + 1, 2 * STEPS + 3, EPOCHS * STEPS])
def test_cut_after_any_step(tmp_path, step):
    whole = make_trainer(3)
    run(whole)
    path = tmp_path / "cut.state"
    with pytest.raises(RuntimeError, match="cut"):
        run(make_trainer(3, [Cut(step, path)]))
    resumed = make_trainer(99)  # other weights, other random numbers: all must come from the state
    fn._random.generator().random(7)
    run(resumed, resume=path)
    assert_same(outcome(whole), outcome(resumed))
    assert resumed.history.status == "completed"


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adagrad"])
def test_cut_with_other_optimizers_and_accumulation(tmp_path, optimizer):
    options = {"optimizer": optimizer, "accumulate": 3, "clip_norm": 1.0}
    whole = make_trainer(5, **options)
    run(whole)
    path = tmp_path / "cut.state"
    with pytest.raises(RuntimeError, match="cut"):
        run(make_trainer(5, [Cut(STEPS + 3, path)], **options))
    resumed = make_trainer(7, **options)
    run(resumed, resume=path)
    assert_same(outcome(whole), outcome(resumed))


def test_cut_twice(tmp_path):
    whole = make_trainer(3)
    run(whole)
    for i, step in enumerate([4, STEPS + 2]):
        options = {"resume": tmp_path / f"cut{i - 1}.state"} if i else {}
        with pytest.raises(RuntimeError, match="cut"):
            run(make_trainer(3 + i, [Cut(step, tmp_path / f"cut{i}.state")]), **options)
    resumed = make_trainer(11)
    run(resumed, resume=tmp_path / "cut1.state")
    assert_same(outcome(whole), outcome(resumed))


class Interrupt(Callback):
    """Press Ctrl-C after some step."""

    def __init__(self, step):
        self.step = step

    def on_step(self, trainer):
        if trainer.steps == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [3, STEPS, 2 * STEPS + 1])
def test_ctrl_c_leaves_a_checkpoint_to_resume_from(tmp_path, step):
    whole = make_trainer(3)
    run(whole)
    path = tmp_path / "run.state"
    history = run(make_trainer(3, [Interrupt(step)]), checkpoint=path)
    assert history.status == "interrupted"
    resumed = make_trainer(8)
    run(resumed, resume=path, checkpoint=path)
    assert_same(outcome(whole), outcome(resumed))


def test_model_checkpoints_state_stands_between_epochs(tmp_path):
    whole = make_trainer(3, [ModelCheckpoint(tmp_path / "whole")])
    run(whole)
    part = make_trainer(3, [ModelCheckpoint(tmp_path / "part"), Interrupt(2 * STEPS + 2)])
    run(part)
    resumed = make_trainer(8, [ModelCheckpoint(tmp_path / "part")])
    run(resumed, resume=tmp_path / "part" / "resume.state")
    assert_same(outcome(whole), outcome(resumed))
    one, two = (fn.load(tmp_path / name / "best.safetensors") for name in ("whole", "part"))
    np.testing.assert_equal(one, two)


def test_arrays_without_a_loader_resume_too(tmp_path):
    train, held = data()
    x, y = train.x.astype(np.float32), train.y

    def fit(trainer, **options):
        trainer.fit((x, y), (held.x, held.y), epochs=EPOCHS, batch_size=BATCH, progress=False, **options)

    whole = make_trainer(3)
    fit(whole)
    path = tmp_path / "cut.state"
    with pytest.raises(RuntimeError, match="cut"):
        fit(make_trainer(3, [Cut(STEPS + 2, path)]))
    resumed = make_trainer(4)
    fit(resumed, resume=path)
    assert_same(outcome(whole), outcome(resumed))


def test_a_finished_run_has_nothing_left(tmp_path):
    path = tmp_path / "end.state"
    whole = make_trainer(3)
    run(whole, checkpoint=path)
    resumed = make_trainer(4)
    run(resumed, resume=path)
    assert_same(outcome(whole), outcome(resumed))


def test_in_another_process(tmp_path):
    """The state holds all there is: a new process goes on with the same bits."""
    whole = make_trainer(3)
    run(whole)
    path = tmp_path / "cut.state"
    with pytest.raises(RuntimeError, match="cut"):
        run(make_trainer(3, [Cut(STEPS + 4, path)]))
    settings = {name: os.environ[name] for name in ("FASTNN_BACKEND", "FASTNN_MAX_ISA") if name in os.environ}
    output_of(
        f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import test_resume as t
        trainer = t.make_trainer(12)
        t.run(trainer, resume={str(path)!r})
        trainer.save({str(tmp_path / "done.state")!r})
        """,
        **settings,
    )
    resumed = make_trainer(12)
    resumed.load(tmp_path / "done.state")
    assert_same(outcome(whole), outcome(resumed))


def test_states_that_do_not_fit_are_refused(tmp_path):
    path = tmp_path / "cut.state"
    with pytest.raises(RuntimeError, match="cut"):
        run(make_trainer(3, [Cut(2, path)]))
    bare = make_trainer(3)
    bare.callbacks = []
    with pytest.raises(ValueError, match="expected the callbacks of the saved run, got none for"):
        run(bare, resume=path)
    other = make_trainer(3)
    other.metrics = []
    with pytest.raises(ValueError, match=r"expected metrics \['accuracy', 'top3'\] as in the saved run, got \[\]"):
        run(other, resume=path)
    with pytest.raises(ValueError, match="samples"):
        make_trainer(3).fit(DataLoader(data()[1], BATCH, shuffle=True), validation(), resume=path, progress=False)
    fn.io.save_state(tmp_path / "other.state", {"format": "something"})
    with pytest.raises(ValueError, match=r"other\.state: expected a state saved by Trainer"):
        run(make_trainer(3), resume=tmp_path / "other.state")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        run(make_trainer(3), resume=tmp_path / "nowhere.state")
