"""The installation: what is imported, from where, how fast, and what it says of itself."""

from __future__ import annotations

import importlib.metadata
import statistics
from pathlib import Path

import fastnn as fn
from fastnn import _build_info, _core
from processes import output_of, run_python


def test_the_compiled_package_is_tested():
    """Every other test leans on this: the compiled backend, of the same place as the Python files."""
    assert fn._backend.compiled()
    assert _build_info.compiled
    assert Path(_core.__file__).parent == Path(fn.__file__).parent
    assert tuple(_core.compiled_levels()) == _build_info.levels
    assert _build_info.openmp == ("openmp" in _core.team_backends())


def test_version_is_stated_once():
    assert fn.__version__ == importlib.metadata.version("fastnn-core")


def test_typed():
    assert Path(fn.__file__).with_name("py.typed").is_file()


def test_the_digits_are_in_the_package():
    found = [path for path in Path(fn.__file__).parent.rglob("*digits*") if path.suffix not in (".py", ".pyc")]
    assert found
    assert sum(path.stat().st_size for path in found) < 200_000


def test_import_time():
    """At most 50 ms more than NumPy's, once the bytecode is cached, as an installer does.

    It is one thread's work on cached files: its processor time is what it costs, whoever else uses the machine.
    """
    code = """
        import time
        import numpy
        start = time.thread_time()
        import fastnn
        print(time.thread_time() - start)
    """
    output_of(code, PYTHONDONTWRITEBYTECODE="")
    times = [float(output_of(code)) for _ in range(7)]
    assert statistics.median(times) <= 0.05, times


def test_import_brings_nothing_heavy():
    code = """
        import sys
        import fastnn
        heavy = {"torch", "sklearn", "scipy", "matplotlib", "PIL", "pandas", "onnx", "Cython", "setuptools"}
        print(*sorted(heavy & set(sys.modules)))
    """
    assert output_of(code) == ""


def test_reference_backend_on_request():
    code = """
        import numpy as np
        import fastnn as fn
        y = fn.nn.functional.relu(np.array([-1.0, 2.0], np.float32))
        print(fn._backend.compiled(), y.tolist())
    """
    assert output_of(code, FASTNN_BACKEND="reference") == "False [0.0, 2.0]"


def test_unknown_backend_is_refused():
    done = run_python("import fastnn", FASTNN_BACKEND="cuda")
    assert done.returncode != 0
    assert "FASTNN_BACKEND: expected 'compiled' or 'reference', got 'cuda'" in done.stderr


def copy_without_core(folder: Path) -> None:
    """The Python files alone, as the source folder has them."""
    import shutil

    ignore = shutil.ignore_patterns("_core*", "_build_info*", "__pycache__")
    shutil.copytree(Path(fn.__file__).parent, folder / "fastnn", ignore=ignore)


def test_a_source_folder_without_core_says_so(tmp_path):
    copy_without_core(tmp_path)
    done = run_python("import fastnn", PYTHONPATH=str(tmp_path))
    assert done.returncode != 0
    assert "ImportError: fastnn's extension module fastnn._core is missing" in done.stderr
    assert "build_ext --inplace" in done.stderr
    done = run_python("import fastnn", PYTHONPATH=str(tmp_path), FASTNN_BACKEND="reference")
    assert done.returncode == 0, done.stderr


def test_a_pure_build_warns_and_works(tmp_path):
    copy_without_core(tmp_path)
    reason = "no C compiler was found when fastnn was installed"
    (tmp_path / "fastnn/_build_info.py").write_text(f"compiled = False\nreason = {reason!r}\n")
    done = run_python("import fastnn; print(fastnn._backend.compiled())", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
    assert reason in done.stderr
