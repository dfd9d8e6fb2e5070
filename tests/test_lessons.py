"""Every lesson runs, prints the figures that it promises, and has a page that shows its own code."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "examples").glob("[0-9][0-9]_*.py"))
PAGES = ROOT / "docs" / "lessons"

# What each lesson must print with --quick: a figure's name, and from where to where it may lie.
FIGURES: dict[str, dict[str, tuple[float, float]]] = {
    "01_linear_regression": {
        "slope by gradient descent": (2.9, 3.1),
        "slope in closed form": (2.9, 3.1),
        "price of 100 square metres": (310, 330),
    },
    "02_logistic_regression": {
        "log odds an hour (true 1)": (0.8, 1.2),
        "boundary in hours (true 5)": (4.7, 5.3),
        "accuracy in two dimensions": (0.9, 0.97),
    },
    "03_perceptron": {
        "mistakes in the last epoch": (0, 0),
        "right of 4 in XOR, one layer": (0, 3),
        "right of 4 in XOR, two layers": (4, 4),
        "test accuracy of ten perceptrons": (0.8, 1),
    },
    "04_linear_classifiers": {
        "test accuracy of random search": (0.1, 0.4),
        "test accuracy of softmax": (0.85, 1),
        "test accuracy of hinge": (0.85, 1),
        "test accuracy of squared hinge": (0.85, 1),
    },
    "05_losses": {
        "hinge loss of the cat": (2.9, 2.9),
        "hinge loss of the car": (0, 0),
        "hinge loss of the frog": (12.9, 12.9),
        "mean hinge loss": (5.26, 5.27),
        "softmax loss of the cat, natural logarithm": (2.04, 2.04),
        "the same to base 10, as a slide has it": (0.885, 0.89),
        "hinge loss of 10 equal scores (K - 1)": (9, 9),
        "softmax loss of 10 equal scores (ln K)": (2.302, 2.303),
    },
    "06_regularisation": {
        "test accuracy with nothing": (0.7, 0.95),
        "test accuracy with L2": (0.7, 0.95),
        "share of weights near zero with L1": (0.1, 0.9),
        "share of weights near zero with nothing": (0, 0.05),
        "epochs until early stopping": (4, 40),
    },
    "07_descent_without_calculus": {
        "lowest point found": (-0.6296, -0.6294),
        "loss after 10 rounds of finite differences": (0, 6),
        "loss after 10 rounds of backpropagation": (0, 6),
        "best step of forward differences": (1e-9, 1e-7),
        "best step of central differences": (1e-7, 1e-4),
        "times faster by backpropagation": (1, 1e5),
    },
    "08_optimizers": {
        "height after 40 steps of gradient descent": (0, 0.1),
        "height after 40 steps of momentum": (0, 0.1),
        "height after 40 steps of Nesterov": (0, 0.1),
        "height after 40 steps of Adagrad": (0, 0.1),
        "height after 40 steps of RMSprop": (0, 0.1),
        "height after 40 steps of Adam": (0, 0.2),
        "error of the weights after 256 samples, stochastic (1)": (0, 0.4),
    },
    "09_learning_rates": {
        "suggested rate": (0.02, 2),
        "loss with a low rate": (1, 2.4),
        "loss with a good rate": (0, 0.6),
        "last rate of the cosine schedule": (0, 1e-3),
    },
    "10_backpropagation_by_hand": {
        "df/dx": (-4, -4),
        "df/dz": (3, 3),
        "output of the neuron": (0.731, 0.7311),
        "largest difference from the library": (0, 1e-6),
        "largest difference from finite differences": (0, 1e-6),
    },
    "11_digit_workshop": {
        "two inputs, output 1": (0.7408, 0.7408),
        "two inputs, output 2": (0.6457, 0.6457),
        "three inputs, three hidden units, output 1": (0.726, 0.7264),
        "three inputs, three hidden units, output 2": (0.7085, 0.7087),
        "three inputs, three hidden units, output 3": (0.778, 0.7784),
        "smallest input": (0.01, 0.01),
        "largest input": (1, 1),
        "test accuracy": (0.85, 1),
        "mean output for the right class": (0.6, 1),
    },
    "12_initialisation": {
        "deviation in layer 10, tanh, zero": (0, 0),
        "deviation in layer 10, tanh, small Gaussian": (0, 1e-6),
        "deviation in layer 10, tanh, Xavier": (0.1, 0.5),
        "deviation in layer 10, relu, Xavier": (0, 0.1),
        "deviation in layer 10, relu, He": (0.3, 2),
        "deviation in layer 10, relu, small Gaussian with batch norm": (0.4, 0.8),
    },
    "13_preprocessing": {
        "deviation after standardising channels": (0.999, 1.001),
        "after decorrelation": (0, 1e-3),
        "after PCA whitening": (0, 1e-3),
        "after ZCA whitening": (0, 0.06),
        "share of the variance in 32 components": (0.95, 1),
    },
    "14_validation": {
        "accuracy of 1 neighbour on its own training data: says nothing": (1, 1),
        "validation samples": (120, 120),
        "k chosen by cross-validation": (1, 9),
        "test accuracy with that k": (0.93, 1),
    },
    "15_features": {
        "test accuracy, pixels": (0.88, 1),
        "test accuracy, colour histogram": (0.12, 0.6),
        "test accuracy, oriented gradients": (0.7, 1),
        "test accuracy, visual words": (0.85, 1),
        "test accuracy, learned by a CNN": (0.9, 1),
    },
    "16_convolution": {
        "output side, stride 2, padding 1": (4, 4),
        "largest difference, stride 2, padding 1": (0, 1e-5),
        "output side, stride 1, padding 2, dilation 2": (8, 8),
        "largest difference, stride 1, padding 2, dilation 2": (0, 1e-5),
        "largest difference, 1x1 and a matrix": (0, 1e-5),
        "side of the field of three 3x3": (7, 7),
        "side of the field of 3x3, dilation 1, 2, 4": (15, 15),
    },
    "17_pooling": {
        "test accuracy with nothing": (0.6, 1),
        "test accuracy with stride 2": (0.6, 1),
        "test accuracy with maximum": (0.6, 1),
        "test accuracy with average": (0.6, 1),
        "test accuracy with L2": (0.6, 1),
        "million operations an image with nothing": (0.911, 0.912),
        "million operations an image with stride 2": (0.244, 0.245),
        "million operations an image with maximum": (0.467, 0.468),
        "million operations an image with average": (0.467, 0.468),
        "million operations an image with L2": (0.467, 0.468),
    },
    "18_activations": {
        "steepest slope of sigmoid": (0.25, 0.25),
        "steepest slope of tanh": (1, 1),
        "test accuracy with tanh": (0.85, 1),
        "test accuracy with ReLU": (0.85, 1),
        "test accuracy with leaky ReLU": (0.85, 1),
        "test accuracy with parametric ReLU": (0.85, 1),
    },
    "19_batch_norm": {
        "mean after": (0, 1e-5),
        "deviation after": (0.999, 1.001),
        "largest change with scale = deviation and shift = mean": (0, 1e-4),
        "test accuracy, batch norm, rate 0.1": (0.8, 1),
        "test accuracy, plain, rate 0.01": (0, 0.5),
    },
    "20_convolutional_network": {"test accuracy": (0.93, 1), "parameters": (38440, 38450), "mistakes": (0, 21)},
    "21_transfer": {
        "accuracy on the first six classes": (0.9, 1),
        "accuracy, little similar data, frozen": (0.45, 0.85),
        "accuracy, little similar data, fine-tuned": (0.65, 1),
        "accuracy, little similar data, step by step": (0.6, 1),
        "accuracy, little similar data, fresh": (0.5, 1),
        "accuracy, little different data, frozen": (0.5, 0.9),
        "accuracy, little different data, fine-tuned": (0.65, 1),
        "accuracy, little different data, step by step": (0.6, 1),
        "accuracy, little different data, fresh": (0.6, 1),
        "accuracy, much similar data, frozen": (0.7, 0.95),
        "accuracy, much similar data, fine-tuned": (0.92, 1),
        "accuracy, much similar data, step by step": (0.85, 1),
        "accuracy, much similar data, fresh": (0.85, 1),
        "accuracy, much different data, frozen": (0.7, 0.95),
        "accuracy, much different data, fine-tuned": (0.88, 1),
        "accuracy, much different data, step by step": (0.85, 1),
        "accuracy, much different data, fresh": (0.88, 1),
    },
    "22_extraction": {
        "features an image": (64, 64),
        "test accuracy, logistic regression on features": (0.75, 1),
        "test accuracy, support vectors on features": (0.7, 1),
        "test accuracy, logistic regression on pixels": (0.88, 1),
    },
    "23_search": {
        "learning rates tried, grid": (3, 3),
        "learning rates tried, random": (9, 9),
        "learning rates tried, finer": (5, 5),
        "best validation accuracy, grid": (0.25, 0.55),
        "best validation accuracy, random": (0.55, 1),
        "best validation accuracy, finer": (0.55, 1),
        "its learning rate, random": (0.03, 1),
    },
    "24_ensemble": {
        "mean accuracy alone": (0.8, 0.93),
        "accuracy of the ensemble": (0.9, 1),
        "loss of the ensemble": (0.2, 0.5),
    },
    "25_networks": {
        "million parameters of alexnet": (61.1, 61.1),
        "million parameters of resnet18": (11.69, 11.69),
        "billion multiply-adds of resnet18 at 64": (0.147, 0.149),
        "images a second of mobilenet_v2": (1, 1e6),
    },
}


def figures_of(text: str) -> dict[str, float]:
    """Return the lines ``name: number``."""
    return {name: float(value) for name, value in re.findall(r"^(.+): (-?[\d.]+(?:e[+-]\d+)?)$", text, re.MULTILINE)}


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Return a function that runs a lesson, once a session, and gives its figures and its folder of pictures."""

    @functools.cache
    def once(name: str) -> tuple[dict[str, float], Path]:
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, ROOT / "examples" / f"{name}.py", "--quick", "--out", folder / "pictures"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return figures_of(done.stdout), folder / "pictures"

    return once


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_runs_and_prints_its_figures(path, run):
    printed, pictures = run(path.stem)
    for name, (low, high) in FIGURES[path.stem].items():
        assert name in printed, f"{name} is not among {list(printed)}"
        assert low <= printed[name] <= high, f"{name}: {printed[name]}"
    saved = list(pictures.glob("*.png"))
    assert bool(saved) == ("viz." in path.read_text())
    assert all(picture.stat().st_size > 1000 for picture in saved)


def test_what_the_lessons_compare_comes_out_as_they_teach(run):
    signal, _ = run("12_initialisation")
    assert signal["deviation in layer 10, relu, He"] > 10 * signal["deviation in layer 10, relu, Xavier"]
    zeros, _ = run("06_regularisation")
    assert zeros["share of weights near zero with L1"] > 5 * zeros["share of weights near zero with L2"]
    norm, _ = run("19_batch_norm")
    assert norm["loss, batch norm, rate 0.1"] < norm["loss, plain, rate 0.1"]
    found, _ = run("23_search")
    assert found["best validation accuracy, random"] > found["best validation accuracy, grid"] + 0.1
    ensemble, _ = run("24_ensemble")
    assert ensemble["accuracy of the ensemble"] > ensemble["mean accuracy alone"] + 0.015
    assert ensemble["loss of the ensemble"] < ensemble["mean loss alone"] - 0.02


def test_transfer_learns_more_by_training_the_body_too(run):
    table, _ = run("21_transfer")
    for data in ("little similar", "much similar", "much different"):
        found = {way: table[f"accuracy, {data} data, {way}"] for way in ("frozen", "fine-tuned", "step by step")}
        assert min(found["fine-tuned"], found["step by step"]) > found["frozen"] + 0.03, data
    for way in ("frozen", "fine-tuned", "step by step", "fresh"):
        for kind in ("similar", "different"):
            assert table[f"accuracy, much {kind} data, {way}"] > table[f"accuracy, little {kind} data, {way}"] + 0.05


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_lesson_is_short_and_its_page_shows_its_code(path):
    code = path.read_text()
    assert len(code.splitlines()) < 80
    page = (PAGES / f"{path.stem}.md").read_text()
    assert f"python examples/{path.name}" in page
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert blocks
    assert all(block in code for block in blocks), "the page shows code that the lesson does not have"


def test_every_lesson_is_listed():
    index = (PAGES / "README.md").read_text()
    assert [path.stem for path in LESSONS] == list(FIGURES)
    assert re.findall(r"\]\((\d\d_\w+)\.md\)", index) == list(FIGURES)
