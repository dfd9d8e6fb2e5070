"""Pictures: every function draws, saves, documents itself and refuses what it cannot draw."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn as fn
from fastnn import viz
from fastnn.training import History, LRFind

RNG = np.random.default_rng(0)
RUN = History(
    [{"epoch": i, "loss": 1 / i, "accuracy": 1 - 1 / i, "val_loss": 2 / i, "val_accuracy": 0.5} for i in (1, 2, 3)]
)
ROWS = [
    {"name": "a", "accuracy": 0.9, "operations": 1e9, "parameters": 5e6, "throughput": 30.0},
    {"name": "b", "accuracy": 0.8, "operations": 1e8, "parameters": 1e6, "throughput": 300.0},
]
ONE = SimpleNamespace(name="one", value=1.0, gradient=2.0, made_of=())
SUM = SimpleNamespace(name="sum", value=3.0, gradient=1.0, made_of=((ONE, 1.0), (ONE, 1.0), (ONE, 1.0)))
MODEL = fn.nn.Sequential(fn.nn.Linear(4, 6), fn.nn.ReLU(), fn.nn.Linear(6, 3))
LOSS = fn.nn.CrossEntropyLoss()

# how each is called, and how many axes it draws
DRAWN = {
    "accuracy_against_operations": (lambda path: viz.accuracy_against_operations(ROWS, path=path), 2),
    "activation_maps": (lambda path: viz.activation_maps(RNG.random((1, 5, 4, 4)), columns=5, path=path), 5),
    "bars": (lambda path: viz.bars({"a": 1.0, "b": 2.0}, xlabel="x", title="t", path=path), 1),
    "boundary": (
        lambda path: viz.boundary(lambda p: p[:, 0] > 0, RNG.normal(size=(9, 2)), [0, 1, 2] * 3, path=path),
        1,
    ),
    "computation": (lambda path: viz.computation(SUM, path=path), 1),
    "confusion_matrix": (lambda path: viz.confusion_matrix([[3, 1], [0, 2]], ["cat", "frogs"], path=path), 1),
    "contour": (lambda path: viz.contour(lambda a, b: a * a + b, (-1, 1), (0, 1), {"p": [(0, 0)]}, path=path), 1),
    "filters": (lambda path: viz.filters(RNG.random((4, 2, 3, 3)), path=path), 8),
    "histograms": (lambda path: viz.histograms({"w": RNG.normal(size=(3, 4)), "b": np.zeros(2)}, path=path), 2),
    "image_grid": (lambda path: viz.image_grid(RNG.random((3, 3, 5, 4)), list("abc"), title="t", path=path), 3),
    "learning_curves": (lambda path: viz.learning_curves({"one": RUN, "two": RUN}, path=path), 2),
    "lines": (lambda path: viz.lines({"a": [1, 2], "b": ([1, 10], [2, 1])}, xscale="log", points=["a"], path=path), 1),
    "loss_surface": (
        lambda path: viz.loss_surface(MODEL, LOSS, np.ones((5, 4)), np.arange(5) % 3, points=3, path=path),
        2,
    ),
    "lr_range": (lambda path: viz.lr_range(LRFind([0.1, 0.2, 0.3], [3, 1, 2], 0.0), path=path), 1),
    "misclassified": (
        lambda path: viz.misclassified(RNG.random((6, 1, 4, 4)), np.ones(6, int), np.eye(2)[[0, 1] * 3], path=path),
        3,
    ),
    "templates": (lambda path: viz.templates(RNG.random((2, 12)), (3, 2, 2), ["a", "b"], path=path), 2),
}


def test_every_function_is_here():
    assert sorted(DRAWN) == viz.__all__


@pytest.mark.parametrize("name", DRAWN)
def test_it_draws_and_saves(name, tmp_path):
    draw, count = DRAWN[name]
    figure = draw(tmp_path / "picture.png")
    assert len(figure.axes) == count
    picture = (tmp_path / "picture.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 1000


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(viz.__path__, "fastnn.viz.")])
def test_examples_run(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("name", viz.__all__)
def test_it_names_its_arguments(name):
    text = inspect.getdoc(getattr(viz, name))
    assert ">>>" in text
    assert all(parameter in text for parameter in inspect.signature(getattr(viz, name)).parameters)


def test_confusion_matrix_shows_shares_as_colours_and_counts_as_numbers():
    axes = viz.confusion_matrix(np.array([[3, 1], [0, 4]])).axes[0]
    assert np.allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert [text.get_text() for text in axes.texts] == ["3", "1", "4"]


def test_misclassified_shows_the_surest_mistakes_first_and_none_where_all_is_right():
    p = np.array([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]])
    figure = viz.misclassified(np.zeros((3, 2, 2)), [1, 1, 1], p, count=1)
    assert figure.axes[0].get_title() == "1: 0.10\n0: 0.90"
    assert viz.misclassified(np.zeros((3, 2, 2)), [0, 0, 1], p) is None


def test_templates_are_the_rows_in_the_shape_of_images():
    weight = RNG.random((2, 6))
    shown = viz.templates(weight, (2, 3)).axes[1].images[0].get_array()
    row = weight[1].reshape(2, 3)
    assert np.allclose(shown, (row - row.min()) / np.ptp(row))


def test_a_loss_surface_has_the_loss_in_its_middle_and_leaves_the_weights():
    weights = {name: value.copy() for name, value in MODEL.state_dict().items()}
    x, y = RNG.normal(size=(20, 4)), np.arange(20) % 3
    figure = viz.loss_surface(MODEL, LOSS, x, y, points=5)
    assert all(np.array_equal(value, weights[name]) for name, value in MODEL.state_dict().items())
    assert MODEL.training
    low, high = figure.axes[0].collections[0].get_clim()
    assert low <= np.log10(LOSS(MODEL(x), y)) <= high


def test_a_computation_stands_between_what_it_is_made_of():
    axes = viz.computation(SUM).axes[0]
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert heights["sum"] == -1.0
    ends = [line.get_xydata() for line in axes.get_lines()]
    assert len(ends) == 3
    assert all(np.array_equal(end[1], [1.0, -1.0]) for end in ends)
    assert [end[0].tolist() for end in ends] == [[0.0, 0.0], [0.0, -1.0], [0.0, -2.0]]


def test_names_of_networks_do_not_cover_each_other():
    rows = [ROWS[0] | {"name": f"network {i}", "accuracy": 0.9 + 1e-4 * i} for i in range(6)]
    figure = viz.accuracy_against_operations([*rows, ROWS[1]])
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == 7
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_circles_are_as_large_as_the_parameters():
    axes = viz.accuracy_against_operations(ROWS).axes[0]
    areas = [float(circle.get_sizes()[0]) for circle in axes.collections]
    assert areas[0] / areas[1] == pytest.approx(5.0)


REFUSED = {
    "lines": (lambda: viz.lines({}), "expected at least one curve"),
    "bars": (lambda: viz.bars({}), "expected at least one value"),
    "histograms": (lambda: viz.histograms({}), "expected at least one array"),
    "learning_curves": (lambda: viz.learning_curves(History()), "expected at least one epoch"),
    "image_grid": (lambda: viz.image_grid(np.ones((2, 4, 3, 3))), r"got shape \(2, 4, 3, 3\)"),
    "no image": (lambda: viz.image_grid(np.ones((0, 3, 3))), "at least one image"),
    "titles": (lambda: viz.image_grid(np.ones((2, 3, 3)), ["a"]), "expected 2 titles, got 1"),
    "templates": (lambda: viz.templates(np.ones((2, 5)), (2, 2)), r"rows of \(2, 2\) weights, got shape \(2, 5\)"),
    "filters": (lambda: viz.filters(np.ones((2, 5))), r"got shape \(2, 5\)"),
    "activation_maps": (lambda: viz.activation_maps(np.ones((2, 1, 3, 3))), "of one image"),
    "misclassified": (lambda: viz.misclassified(np.ones((2, 3, 3)), [0], np.ones((2, 2))), r"\(1,\)"),
    "confusion_matrix": (lambda: viz.confusion_matrix(np.ones((2, 3))), "expected a square matrix"),
    "boundary": (lambda: viz.boundary(len, np.ones((2, 3)), [0, 1]), r"\(2, 3\)"),
    "accuracy_against_operations": (lambda: viz.accuracy_against_operations([{"name": "a"}]), "got no accuracy"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call()


IMAGES = np.ones((4, 1, 4, 4))
LOOP = SimpleNamespace(name="loop", value=0.0, gradient=0.0)
LOOP.made_of = ((LOOP, 1.0),)

WRONG = {
    "lines: expected a dict from names to curves, got NoneType": lambda: viz.lines(None),
    "lines: expected x and y of 'a' as two sequences of one length, at least 1, got (2,) and (1,)": (
        lambda: viz.lines({"a": ([1, 2], [1])})
    ),
    "lines: expected y or (x, y) for 'a', got a tuple of 3": lambda: viz.lines({"a": ([1], [1], [1])}),
    "lines: expected y of 'a' to hold real numbers": lambda: viz.lines({"a": ["x", "y"]}),
    "lines: expected points among ['a'], got ['b']": lambda: viz.lines({"a": [1, 2]}, points=["b"]),
    "lines: expected path to be a file's name, got 3": lambda: viz.lines({"a": [1, 2]}, path=3),
    "contour: expected paths as a dict from names to points, got int": (
        lambda: viz.contour(lambda a, b: a, (0, 1), (0, 1), 3)
    ),
    "accuracy_against_operations: expected rows as a list of dicts, got int": (
        lambda: viz.accuracy_against_operations(3)
    ),
    "learning_curves: expected a History, or a dict from names to them, got int": lambda: viz.learning_curves({"a": 3}),
    "learning_curves: expected at least one measure, got none": lambda: viz.learning_curves(RUN, []),
    "lr_range: expected what lr_find returned, got int": lambda: viz.lr_range(3),
    "histograms: expected finite numbers in values['a'], got 1 others among 2": (
        lambda: viz.histograms({"a": [1, np.nan]})
    ),
    "histograms: expected bins to be an int >= 1, got 0": lambda: viz.histograms({"a": [1.0]}, bins=0),
    "histograms: expected columns to be an int >= 1, got 0": lambda: viz.histograms({"a": [1.0]}, columns=0),
    "bars: expected values['a'] to be a number, got 'x'": lambda: viz.bars({"a": "x"}),
    "image_grid: expected columns to be an int >= 1, got -1": lambda: viz.image_grid(IMAGES, columns=-1),
    "image_grid: expected finite pixels, got nan": lambda: viz.image_grid(IMAGES * np.nan),
    "image_grid: expected images of at least one pixel, got shape": lambda: viz.image_grid(IMAGES[:, :, :0]),
    "templates: expected shape as (C, H, W) or (H, W), got 4": lambda: viz.templates(np.ones((2, 4)), 4),
    "templates: expected 2 classes, got 1": lambda: viz.templates(np.ones((2, 4)), (2, 2), ["a"]),
    "misclassified: expected targets as whole numbers from 0 to 3, got 0 to 9": (
        lambda: viz.misclassified(IMAGES, [0, 0, 0, 9], np.eye(4))
    ),
    "misclassified: expected 4 classes, got 1": lambda: viz.misclassified(IMAGES, [0] * 4, np.eye(4), ["a"]),
    "misclassified: expected count to be an int >= 0, got -1": (
        lambda: viz.misclassified(IMAGES, [0] * 4, np.eye(4), count=-1)
    ),
    "confusion_matrix: expected 2 classes, got 1": lambda: viz.confusion_matrix(np.ones((2, 2)), ["a"]),
    "confusion_matrix: expected a square matrix, got shape (0, 0)": lambda: viz.confusion_matrix(np.ones((0, 0))),
    "confusion_matrix: expected counts >= 0, got -1": lambda: viz.confusion_matrix(-np.ones((2, 2))),
    "contour: expected function to be a function, got 3": lambda: viz.contour(3, (0, 1), (0, 1)),
    "contour: expected a function that returns finite numbers of shape (161, 161)": (
        lambda: viz.contour(lambda a, b: 3, (0, 1), (0, 1))
    ),
    "contour: expected x as a pair of numbers, got 3": lambda: viz.contour(lambda a, b: a, 3, (0, 1)),
    "contour: expected paths['p'] of shape (N, 2), got shape (2,)": (
        lambda: viz.contour(lambda a, b: a, (0, 1), (0, 1), {"p": [1, 2]})
    ),
    "loss_surface: expected a Module, got int": lambda: viz.loss_surface(3, LOSS, IMAGES, [0] * 4),
    "loss_surface: expected span to be a number >= 0.0, got nan": (
        lambda: viz.loss_surface(MODEL, LOSS, np.ones((4, 4)), [0] * 4, span=np.nan)
    ),
    "boundary: expected predict to return classes (40000,)": lambda: viz.boundary(lambda p: 3, [[0, 0]], [0]),
    "boundary: expected finite points, got nan": lambda: viz.boundary(len, [[np.nan, 0]], [0]),
    "accuracy_against_operations: expected rows as dicts, got int": lambda: viz.accuracy_against_operations([3]),
    "accuracy_against_operations: expected operations of a > 0 and finite, got 0": (
        lambda: viz.accuracy_against_operations([ROWS[0] | {"operations": 0}])
    ),
    "computation: expected objects with name, value, gradient and made_of, got a int": lambda: viz.computation(3),
    "computation: expected at most 200 numbers": lambda: viz.computation(LOOP),
}


@pytest.mark.parametrize("words", WRONG)
def test_it_says_who_expected_what_and_what_came(words):
    with pytest.raises((ValueError, TypeError), match=re.escape(words)):
        WRONG[words]()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    for name in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"fastnn-core\[plot\]"):
        viz.bars({"a": 1.0})
