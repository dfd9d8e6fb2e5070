"""First of all: what runs is the compiled backend of the installed package, not the source folder."""

from __future__ import annotations

from pathlib import Path

import fastnn
from fastnn import _backend, _core


def test_the_compiled_backend_is_active() -> None:
    assert _backend.compiled(), f"the reference backend is active: {_backend.state.why_backend}"
    assert _core.op_classes(), "the extension module has no operations"


def test_the_installed_package_is_tested() -> None:
    source = Path(__file__).resolve().parent.parent
    package = Path(fastnn.__file__).resolve().parent
    assert package != source / "fastnn", f"fastnn comes from the source folder {package}: install it and test that"
    assert Path(_core.__file__).resolve().parent == package
