"""Every benchmark runs the installed, compiled package, and checks its result once before it is timed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fastnn as fn


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only a few kernels of each suite")


@pytest.fixture(scope="session", autouse=True)
def _installed_and_compiled() -> None:
    source = Path(__file__).resolve().parents[1] / "fastnn"
    assert Path(fn.__file__).resolve().parent != source or (source / "_build_info.py").exists()
    assert fn.config()["backend"] == "compiled"


@pytest.fixture(params=[1, 2], ids=["1thread", "2threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = fn.get_num_threads()
    fn.set_num_threads(request.param)
    yield request.param
    fn.set_num_threads(before)
