"""The documentation of data, datasets, files and models: its examples run, and it names every argument."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

from fastnn import data, datasets, io, models

PACKAGES = [data, data.transforms, datasets, io, models]
MODULES = [
    module.name for package in PACKAGES for module in pkgutil.iter_modules(package.__path__, package.__name__ + ".")
]
PUBLIC = [
    f"{package.__name__}.{name}" for package in PACKAGES for name in package.__all__ if callable(getattr(package, name))
]
# Protocols and bases are shown by those that follow them; the big data sets are not there to be read in an example.
WITHOUT_EXAMPLE = {"Dataset", "Transform", "RandomTransform", "mnist", "fashion_mnist", "cifar10"}


@pytest.mark.parametrize("name", sorted(set(MODULES)))
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    module, _, short = name.rpartition(".")
    thing = getattr(importlib.import_module(module), short)
    text = inspect.getdoc(thing)
    assert text.split("\n")[0].endswith(".")
    if short in WITHOUT_EXAMPLE - {"mnist", "fashion_mnist", "cifar10"}:
        return
    if "; use as `" in text:
        return  # one of a family, told at the first
    assert (">>>" in text) == (short not in WITHOUT_EXAMPLE)
    if "; arguments as `" in text:
        return
    for parameter in inspect.signature(thing).parameters:
        assert parameter in text, f"{parameter} is not documented"


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_public_names_exist_and_are_sorted(package):
    assert sorted(package.__all__) == sorted(name for name in set(package.__all__) if hasattr(package, name))
