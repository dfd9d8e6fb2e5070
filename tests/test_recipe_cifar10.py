"""The CIFAR-10 recipe: it runs, resumes to the bit, and its parts do what they say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn as fn
from fastnn.data.transforms import Normalize

PATH = Path(__file__).resolve().parent.parent / "examples" / "recipe_cifar10.py"
MODULE = importlib.util.spec_from_file_location("recipe_cifar10", PATH)
recipe = importlib.util.module_from_spec(MODULE)
MODULE.loader.exec_module(recipe)

NORMALIZE = Normalize(recipe.MEAN, recipe.STD, scale=1 / 255)


class Stop(fn.training.Callback):
    """Asks the run to end after some steps, as Ctrl-C does."""

    def __init__(self, after):
        self.after = after

    def on_step(self, trainer):
        if trainer.steps == self.after:
            raise KeyboardInterrupt


def run(path=None, stop=None):
    """Train the quick form, from a saved state if there is one; return the trainer."""
    args = recipe.options(["--quick", "--epochs", "4"])
    fn.manual_seed(0)
    trainer, loader = recipe.trainer_for(args, recipe.data(args, True), NORMALIZE)
    if stop is not None:
        trainer.callbacks.append(Stop(stop))
    elif path is not None:
        trainer.load(path)
    trainer.fit(loader, epochs=4, checkpoint=path, progress=False)
    return trainer


@pytest.mark.parametrize("stop", [3, 7, 10])
def test_resumes_to_the_bit(tmp_path, stop):
    whole = run()
    assert run(tmp_path / "state", stop).history.status == "interrupted"
    resumed = run(tmp_path / "state")
    assert resumed.steps == whole.steps == 16
    for name, value in whole.model.state_dict().items():
        assert np.array_equal(value, resumed.model.state_dict()[name]), name
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]


def test_patches_leave_the_first_layer_white_and_it_stays():
    args = recipe.options(["--quick"])
    x = recipe.data(args, True).x
    images = NORMALIZE(np.cumsum(x, axis=3, dtype=np.float32))  # neighbours that depend on each other
    model = recipe.Network(images, (8, 16, 16))
    whiten = model.features[0]
    out = whiten(images)[:, :12].transpose(1, 0, 2, 3).reshape(12, -1)
    assert np.allclose(np.cov(out), np.eye(12), atol=0.02)
    assert not whiten.weight.requires_grad


def test_every_image_is_shown_from_both_sides():
    x = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 4), np.uint8)
    before = x.copy()
    mirror = recipe.Mirror(x)
    seen = []
    for epoch in (0, 1, 2, 2):  # the rest of an interrupted epoch begins a second time
        mirror.on_epoch_begin(type("Trainer", (), {"epoch": epoch}))
        seen.append(x.copy())
    assert sum(np.array_equal(a, b) for a, b in zip(seen[0], before, strict=True)) == 5
    assert np.array_equal(seen[1], seen[0][:, :, :, ::-1])
    assert np.array_equal(seen[2], seen[0])
    assert np.array_equal(seen[3], seen[0])


def test_the_past_weighs_all_at_the_end():
    model = fn.nn.Linear(2, 1)
    lookahead = recipe.Lookahead(model, 10)
    start = model.weight.data.copy()
    model.weight.data += 1
    for steps, moved in ((4, 1.0), (5, 1 - 0.95**5 / 8), (10, 1 - 0.95**5 / 8)):
        model.weight.data[...] = start + 1
        lookahead.on_step(type("Trainer", (), {"steps": steps}))
        assert np.allclose(model.weight.data - start, moved, atol=1e-6)


def test_command_line_form_runs(tmp_path):
    command = [sys.executable, "-P", PATH, "--quick", "--threads", "1", "--log", "history.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "test accuracy, predictions averaged: 0." in done.stdout
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 13
