"""The documentation of fastnn.nn: its examples run, and it names every argument."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

from fastnn import nn

MODULES = ["fastnn._creation", "fastnn._random"] + [m.name for m in pkgutil.walk_packages(nn.__path__, "fastnn.nn.")]
CLASSES = [name for name in nn.__all__ if isinstance(getattr(nn, name), type)]
FUNCTIONS = [f"{space.__name__}.{name}" for space in (nn.functional, nn.init, nn.utils) for name in space.__all__]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", CLASSES)
def test_classes_document_their_arguments(name: str) -> None:
    cls = getattr(nn, name)
    text = inspect.getdoc(cls) or ""
    assert ">>>" in text, "no example"
    if "as `" in text or cls.__init__ is object.__init__:
        return
    for parameter in list(inspect.signature(cls).parameters):
        assert parameter in text, f"{parameter} is not documented"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_documented(name: str) -> None:
    module, _, function = name.rpartition(".")
    text = inspect.getdoc(getattr(importlib.import_module(module), function)) or ""
    assert text.split("\n")[0].endswith(".")
    if "functional" in name:
        assert ">>>" in text, "no example"


def test_everything_public_exists() -> None:
    for space in (nn, nn.functional, nn.init, nn.utils):
        assert list(space.__all__) == sorted(set(space.__all__), key=space.__all__.index)
        for name in space.__all__:
            assert hasattr(space, name)
