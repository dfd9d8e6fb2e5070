"""The command line: what it prints and leaves, and one clear line with status 2 for what is wrong."""

from __future__ import annotations

import csv
import json
import os
import re
import signal

import numpy as np
import pytest
from PIL import Image

import fastnn as fn
from fastnn.cli import main
from fastnn.datasets import digits
from processes import output_of, run_python


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder left by two epochs on the digits."""
    folder = tmp_path_factory.mktemp("run")
    assert main(["train", "--epochs", "2", "--out", str(folder), "--seed", "4"]) == 0
    return folder


def fails(capsys, *argv):
    """Return the one line that a command complains with."""
    assert main(argv) == 2
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("fastnn")
    return lines[0]


def test_train_prints_a_table_and_leaves_its_files(tmp_path, capsys):
    assert main(["train", "--epochs", "1", "--out", str(tmp_path / "new" / "run"), "--threads", "1"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0].startswith("digits_cnn on digits: ")
    assert "1,438 training images, 359 held out" in lines[0]
    assert lines[1].split() == ["class", "precision", "recall", "F1", "count"]
    assert [line.split()[0] for line in lines[2:12]] == list("0123456789")
    assert lines[12].startswith("accuracy ")
    assert "of 359 held-out images" in lines[12]
    assert lines[13].startswith("wrote ")
    assert "epoch 1/1" in captured.err


def test_files_of_a_run(trained):
    names = sorted(path.name for path in trained.iterdir())
    assert names in (["curves.png", "history.csv", "weights.safetensors"], ["history.csv", "weights.safetensors"])
    with open(trained / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["val_accuracy"]) > 0.8
    facts = json.loads(fn.load_metadata(trained / "weights.safetensors")["fastnn"])
    assert facts["model"] == "digits_cnn"
    assert facts["classes"] == list("0123456789")
    assert facts["input_shape"] == [1, 8, 8]
    assert facts["normalization"]["scale"] == 1 / 16
    model = fn.models.create(facts["model"], 10, 1, 8)
    model.load_state_dict(fn.load(trained / "weights.safetensors"))


def test_evaluate_measures_what_training_held_out(trained, capsys):
    assert main(["evaluate", "--weights", str(trained / "weights.safetensors"), "--batch-size", "50"]) == 0
    out = capsys.readouterr().out
    with open(trained / "history.csv", newline="") as file:
        accuracy = float(list(csv.DictReader(file))[-1]["val_accuracy"])
    assert f"accuracy {100 * accuracy:.2f} % of 359 held-out images" in out


def test_predict_reads_images(trained, tmp_path, capsys):
    held = digits(train=False, seed=4)
    paths = []
    for i in range(10):
        image = Image.fromarray((held.x[i, 0].astype(float) * 255 / 16).astype(np.uint8)).resize((8, 8))
        paths.append(str(tmp_path / f"{i}.png"))
        image.save(paths[-1])
    assert main(["predict", "--weights", str(trained / "weights.safetensors"), "--top", "2", *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert all(line.count("%") == 2 for line in lines)
    guesses = [int(line.rpartition(": ")[2].split()[0]) for line in lines]
    assert np.mean(guesses == held.y[:10]) >= 0.7


def test_weights_to_start_from(trained, tmp_path, capsys):
    weights = str(trained / "weights.safetensors")
    assert (
        main(
            [
                "train",
                "--weights",
                weights,
                "--epochs",
                "1",
                "--lr",
                "1e-9",
                "--seed",
                "4",
                "--optimizer",
                "sgd",
                "--out",
                str(tmp_path),
            ]
        )
        == 0
    )
    with open(tmp_path / "history.csv", newline="") as file:
        assert float(next(csv.DictReader(file))["accuracy"]) > 0.7


def test_same_seed_same_weights(tmp_path):
    for name in ("a", "b"):
        assert main(["train", "--model", "mlp", "--epochs", "1", "--out", str(tmp_path / name), "--seed", "9"]) == 0
    one, two = (fn.load(tmp_path / name / "weights.safetensors") for name in ("a", "b"))
    np.testing.assert_equal(one, two)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw"])
def test_every_optimizer_and_schedule(optimizer, tmp_path):
    schedule = {"sgd": "cosine", "adam": "step", "rmsprop": "constant"}.get(optimizer, "onecycle")
    argv = ["train", "--model", "mlp", "--epochs", "2", "--optimizer", optimizer, "--schedule", schedule]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    with open(tmp_path / "history.csv", newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["val_accuracy"]) > 0.6


def test_info_says_what_runs(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"fastnn: {fn.__version__}" in out
    assert "backend: " in out
    assert "threads: " in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "--epoch", "x"], "expected a whole number >= 1, got 'x'"),
        (["train", "--epochs", "0"], "--epochs: expected a whole number >= 1, got '0'"),
        (["train", "--lr", "-1"], "--lr: expected a number > 0, got '-1'"),
        (["train", "--lr", "inf"], "--lr: expected a number > 0, got 'inf'"),
        (["train", "--data", "imagenet"], "invalid choice: 'imagenet'"),
        (["train", "--optimizer", "magic"], "invalid choice: 'magic'"),
        (["train", "--threads", "0"], "--threads: expected a whole number >= 1, got '0'"),
        (["train", "--no-such-option"], "unrecognized arguments: --no-such-option"),
        (["train", "--model", "resnet9000", "--out", "{tmp}"], "expected one of .*, got 'resnet9000'"),
        (["train", "--data-dir", "{tmp}"], "the digits are shipped: expected --data of the files in"),
        (
            ["train", "--data", "mnist", "--data-dir", "{tmp}/nowhere"],
            r"nowhere, which does not exist; give its folder \(--data-dir\), or --download \(https:",
        ),
        (["train", "--model", "garment", "--out", "{tmp}"], "at least 16 x 16, got 8 x 8"),
        (["train", "--out", "{tmp}/file"], "file: expected a folder to write to, got a file"),
        (["train", "--weights", "{tmp}/nowhere"], "nowhere: No such file or directory"),
        (["evaluate"], "required: --weights"),
        (["evaluate", "--weights", "{tmp}/nowhere"], "nowhere: No such file or directory"),
        (["evaluate", "--weights", "{tmp}"], "expected a weights file, got a folder"),
        (["evaluate", "--weights", "{tmp}/file"], "file: expected a safetensors"),
        (["evaluate", "--weights", "{tmp}/plain"], "plain: expected weights written by `fastnn train`"),
        (["predict", "--weights", "{weights}"], "required: IMAGE"),
        (["predict", "--weights", "{weights}", "{tmp}/nowhere.png"], "nowhere.png: No such file or directory"),
        (["predict", "--weights", "{weights}", "{tmp}/file"], "file: expected an image"),
        (["train", "--weights", "{weights}", "--model", "mlp", "--out", "{tmp}"], "weights of model mlp, got digits_c"),
    ],
)
def test_one_line_and_status_2(argv, message, trained, tmp_path, capsys):
    (tmp_path / "file").write_text("this is no such thing")
    fn.save({"a": np.zeros(2, np.float32)}, tmp_path / "plain")
    places = {"tmp": tmp_path, "weights": trained / "weights.safetensors"}
    line = fails(capsys, *(word.format(**places) for word in argv))

    assert re.search(message, line), line


def test_an_error_names_the_command(trained, tmp_path, capsys):
    assert fails(capsys, "train", "--epochs", "0").startswith("fastnn train: error: ")
    assert fails(capsys, "evaluate").startswith("fastnn evaluate: error: ")
    assert fails(capsys, "trian").startswith("fastnn: error: ")


def test_predict_prints_what_comes_before_a_broken_file(trained, tmp_path, capsys):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "broken.png").write_text("no image")
    weights = str(trained / "weights.safetensors")
    for batch in ("1", "2", "9"):
        images = [str(tmp_path / name) for name in ("a.png", "a.png", "broken.png", "a.png")]
        assert main(["predict", "--weights", weights, "--batch-size", batch, *images]) == 2
        captured = capsys.readouterr()
        assert [line.split(": ")[0] for line in captured.out.splitlines()] == images[:2]
        assert "broken.png: expected an image" in captured.err
        assert len(captured.err.splitlines()) == 1


def test_train_says_why_there_are_no_curves(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fastnn.training.curves.can_plot", lambda: False)
    assert main(["train", "--epochs", "1", "--out", str(tmp_path)]) == 0
    assert "no curves.png: matplotlib is not installed" in capsys.readouterr().err
    assert not (tmp_path / "curves.png").exists()


@pytest.mark.parametrize(
    ("name", "text"), [("FASTNN_BACKEND", "gpu"), ("FASTNN_MAX_ISA", "sse9"), ("FASTNN_NUM_THREADS", "many")]
)
def test_a_bad_setting_is_one_line_of_the_command(name, text):
    command = "import sys; sys.argv = ['/somewhere/bin/fastnn', 'info']; from fastnn.cli import main; sys.exit(main())"
    module = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-P', '-m', 'fastnn', 'info']))"
    for code in (command, module):
        done = run_python(code, **{name: text})
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), done.stderr
        assert done.stderr.startswith(f"fastnn: error: {name}: expected ")
    assert "Traceback" in run_python("import fastnn", **{name: text}).stderr


def test_the_package_runs_as_a_module():
    code = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-P', '-m', 'fastnn', '--version']))"
    assert output_of(code) == f"fastnn {fn.__version__}"


def test_the_installed_command(tmp_path):
    code = "import runpy, sys; sys.argv = ['fastnn', *{!r}]; runpy.run_module('fastnn', run_name='__main__')"
    done = run_python(code.format(["train", "--data", "cifar10", "--data-dir", str(tmp_path)]))
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith("fastnn train: error: cifar10")
    assert output_of(code.format(["--version"])) == f"fastnn {fn.__version__}"


def accuracy_of(folder):
    with open(folder / "history.csv", newline="") as file:
        return float(list(csv.DictReader(file))[-1]["val_accuracy"])


def test_digits_reach_98_percent(tmp_path):
    accuracies = []
    for seed in range(5):
        assert main(["train", "--seed", str(seed), "--out", str(tmp_path)]) == 0
        accuracies.append(accuracy_of(tmp_path))
    assert np.mean(accuracies) >= 0.98
    assert min(accuracies) >= 0.97


if "FASTNN_DATA_DIR" in os.environ:  # minutes of training on real files

    @pytest.mark.parametrize(
        ("data", "model", "least"), [("fashion-mnist", "garment", 0.88), ("mnist", "lenet5", 0.988)]
    )
    def test_real_images_reach_their_accuracy(data, model, least, tmp_path):
        argv = ["train", "--data", data, "--model", model, "--epochs", "5", "--out", str(tmp_path)]
        assert main(argv) == 0
        assert accuracy_of(tmp_path) >= least


def test_augment_crops_and_mirrors_where_that_means_the_same():
    from fastnn.cli.sources import augmented

    pixels = np.arange(2 * 16 * 16, dtype=np.uint8).reshape(2, 1, 16, 16)
    kinds = {name: augmented(name, (1, 16, 16)) for name in ("digits", "cifar10")}
    assert "RandomHorizontalFlip" in repr(kinds["cifar10"])
    assert "RandomHorizontalFlip" not in repr(kinds["digits"])
    changed = kinds["digits"](pixels, np.random.default_rng(0))
    assert changed.shape == pixels.shape
    assert changed.dtype == np.uint8
    assert not np.array_equal(changed, pixels)


def test_the_network_takes_bytes_and_is_saved_without_what_converts_them(trained):
    from fastnn.cli.bundle import load_bundle
    from fastnn.data.transforms import Normalize

    bundle, x = load_bundle(str(trained / "weights.safetensors")), digits(train=False).x[:50]
    norm, network = bundle.normalization, bundle.on_pixels().eval()
    assert x.dtype == np.uint8
    expected = bundle.model(Normalize(norm.mean, norm.std, scale=norm.scale)(x))
    np.testing.assert_array_equal(network(x), expected)
    files = bundle.on_pixels(norm.scale / 2).eval()
    np.testing.assert_allclose(files(x * 2), expected, rtol=1e-4, atol=1e-5)
    state = network.state_dict()
    assert list(state) == list(bundle.model.state_dict())
    assert set(state) == set(fn.load(trained / "weights.safetensors"))
    network.load_state_dict({name: np.zeros_like(value) for name, value in state.items()})
    assert not network(x).any()


QUICK = {  # the recipes of docs/results.md
    "mnist": [],
    "fashion-mnist": [
        "--model",
        "resnet20",
        "--augment",
        "--batch-size",
        "128",
        "--optimizer",
        "sgd",
        "--lr",
        "0.1",
        "--weight-decay",
        "5e-4",
    ],
    "cifar10": ["--model", "cnn32", "--augment", "--epochs", "16", "--batch-size", "128", "--checkpoint"],
}


@pytest.mark.parametrize("data", QUICK)
def test_quick_runs_a_recipe_on_digits_in_its_shape(data, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("FASTNN_DATA_DIR", raising=False)
    assert main(["train", "--data", data, "--quick", "--out", str(tmp_path), *QUICK[data]]) == 0
    captured = capsys.readouterr()
    assert f" on digits in the shape of {data}: " in captured.out
    assert "256 training images, 256 held out" in captured.out
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3
    facts = json.loads(fn.load_metadata(tmp_path / "weights.safetensors")["fastnn"])
    assert tuple(facts["input_shape"]) == {"cifar10": (3, 32, 32)}.get(data, (1, 28, 28))


def test_quick_reads_a_folder_that_is_named(tmp_path, capsys, monkeypatch):
    assert "found nothing" in fails(capsys, "train", "--data", "cifar10", "--quick", "--data-dir", str(tmp_path))
    monkeypatch.setenv("FASTNN_DATA_DIR", str(tmp_path))
    assert "found nothing" in fails(capsys, "train", "--data", "cifar10", "--quick")


def test_augmented_training_differs(tmp_path, capsys):
    rows = []
    for option in ([], ["--augment"]):
        assert main(["train", "--epochs", "1", "--out", str(tmp_path / f"run{len(option)}"), *option]) == 0
        rows.append((tmp_path / f"run{len(option)}" / "history.csv").read_text().splitlines()[1].split(",")[:2])
    assert rows[0] != rows[1]
    capsys.readouterr()


def test_a_checkpointed_run_goes_on_to_the_bit(tmp_path, capsys, monkeypatch):
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    run = ["train", "--epochs", "3", "--seed", "1", "--checkpoint", "--out"]
    assert main([*run, whole]) == 0

    class CtrlC(fn.training.Callback):
        def on_epoch_end(self, trainer, row):
            signal.raise_signal(signal.SIGINT)

    fit = fn.Trainer.fit

    def interrupted(self, *args, **kwargs):
        self.callbacks.append(CtrlC())
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(fn.Trainer, "fit", interrupted)
    assert main([*run, parts]) == 130
    monkeypatch.undo()
    assert len((tmp_path / "parts" / "history.csv").read_text().splitlines()) == 2
    assert main([*run, parts]) == 0
    assert main([*run, parts]) == 0  # nothing left to do: measured again
    first, second = (fn.load(os.path.join(folder, "weights.safetensors")) for folder in (whole, parts))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    capsys.readouterr()
