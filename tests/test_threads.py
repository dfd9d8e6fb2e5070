"""Threads: both back ends, any count, forks, idling, two callers at once, how the default count is found."""

from __future__ import annotations

import ctypes
import os
import threading
import time

import numpy as np
import pytest

import fastnn as fn
import fastnn.nn.functional as F
from fastnn import _core
from processes import output_of, run_python

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 8, 13, 11), dtype=np.float32)
W = RNG.standard_normal((24, 8, 3, 3), dtype=np.float32)


@pytest.fixture(autouse=True)
def always_parallel():
    """Share any step among threads, however small; put every setting back."""
    before = fn.get_num_threads(), _core.get_grain(), _core.team_backend()
    _core.set_grain(0)
    yield
    fn.set_num_threads(before[0])
    _core.set_grain(before[1])
    _core.set_team_backend(before[2])


def convolve() -> np.ndarray:
    return F.conv2d(X, W, padding=1)


def run_on(n: int) -> np.ndarray:
    """The convolution on n threads, having made sure that n ran."""
    fn.set_num_threads(n)
    _core.last_team_size()
    y = convolve()
    assert _core.last_team_size() == n
    return y


def test_both_backends_are_built():
    assert _core.team_backends() == ["pthreads", "openmp"]
    assert _core.team_backend() == "pthreads"


@pytest.mark.parametrize("backend", _core.team_backends())
@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_same_bits_for_every_count(backend, n):
    expected = run_on(1)
    _core.set_team_backend(backend)
    np.testing.assert_array_equal(run_on(n), expected)


@pytest.mark.parametrize("level", _core.levels())
@pytest.mark.parametrize("rows", [1, 5])
def test_same_bits_for_every_run(level, rows):
    """Weights that no cache holds are read forwards and backwards in turn."""
    _core.set_level(level)
    x, w, b = (RNG.standard_normal(shape, dtype=np.float32) for shape in ((rows, 70), (331, 70), (331,)))
    results = set()
    for n in (1, 2, 3):
        fn.set_num_threads(n)
        results |= {F.linear(x, w, b).tobytes() for _ in range(4)}
    assert len(results) == 1


def test_counts_beyond_the_cores_are_obeyed():
    expected = run_on(1)
    n = (os.cpu_count() or 1) + 3
    np.testing.assert_array_equal(run_on(n), expected)
    np.testing.assert_array_equal(run_on(2), expected)


def test_small_work_stays_on_one_thread():
    fn.set_num_threads(2)
    _core.set_grain(1e12)
    _core.last_team_size()
    convolve()
    assert _core.last_team_size() == 1


def test_a_small_network_is_shared_where_it_only_reads_its_weights():
    fn.set_num_threads(2)
    _core.set_grain(5000)  # nanoseconds, as when nobody sets it
    model = fn.nn.Sequential(fn.nn.Linear(512, 256), fn.nn.ReLU(), fn.nn.Linear(256, 10))
    x, y = np.ones((1, 512), np.float32), np.zeros(1, np.int64)
    step = fn.TrainStep(model, fn.nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.0))
    sizes = []
    for run in (lambda: model.eval()(x), lambda: step(x, y)):
        run()
        _core.last_team_size()
        run()
        sizes.append(_core.last_team_size())
    assert sizes == [2, 1]


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="expected a team back end among"):
        _core.set_team_backend("tbb")


@pytest.mark.parametrize("backend", _core.team_backends())
def test_two_python_threads_at_once(backend):
    expected = run_on(1)
    _core.set_team_backend(backend)
    fn.set_num_threads(3)
    wrong: list[int] = []

    def often(who: int) -> None:
        for _ in range(30):
            if not np.array_equal(convolve(), expected):
                wrong.append(who)

    callers = [threading.Thread(target=often, args=(who,)) for who in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert not any(caller.is_alive() for caller in callers)
    assert wrong == []


FORK = """
import os, sys
import numpy as np
import fastnn as fn, fastnn.nn.functional as F
from fastnn import _core

_core.set_grain(0)
_core.set_team_backend({backend!r})
fn.set_num_threads(3)
x, w = np.ones((2, 4, 9, 9), np.float32), np.ones((8, 4, 3, 3), np.float32)
expected = F.conv2d(x, w)
for _ in range(3):
    child = os.fork()
    if child == 0:
        _core.last_team_size()
        same = np.array_equal(F.conv2d(x, w), expected)
        os._exit(0 if same and _core.last_team_size() == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(F.conv2d(x, w), expected)
print(_core.team_backend())
"""


@pytest.mark.parametrize("backend", _core.team_backends())
def test_a_forked_child_runs(backend):
    # Python 3.12 warns of any fork in a process with threads; that is what is tested here.
    assert output_of(FORK.format(backend=backend), timeout=60, PYTHONWARNINGS="ignore") == backend


def test_idle_threads_sleep():
    run_on(2)
    time.sleep(0.02)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.005


def test_waiting_ends_after_about_a_millisecond():
    """A worker spins for 1 ms after a step, then sleeps."""
    spent = []
    for _ in range(5):
        run_on(2)
        before = time.process_time()
        time.sleep(0.1)
        spent.append(time.process_time() - before)
    assert min(spent) < 0.002


def test_environment_sets_the_count():
    show = "import fastnn as fn; print(fn.get_num_threads())"
    assert output_of(show, FASTNN_NUM_THREADS="5") == "5"
    done = run_python(show, FASTNN_NUM_THREADS="many")
    assert done.returncode != 0
    assert "FASTNN_NUM_THREADS: expected a positive number, got 'many'" in done.stderr


def test_default_respects_affinity():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); import fastnn as fn; print(fn.get_num_threads())"
    assert output_of(code) == "1"
    n, why = _core.default_threads()
    assert 1 <= n <= len(os.sched_getaffinity(0))
    assert "affinity" in why
    assert "quota" in why


# ---- files of the container and the processor, made up ----------------------------------------------


def cgroup_cpus(root) -> float:
    library = ctypes.CDLL(_core.__file__)
    library.fnn_cgroup_cpus.restype = ctypes.c_double
    return library.fnn_cgroup_cpus(os.fsencode(root))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_no_cgroup_files(tmp_path):
    assert cgroup_cpus(tmp_path) == 0


@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("max 100000", "max 100000", 0),
        ("250000 100000", "max 100000", 2.5),
        ("400000 100000", "150000 100000", 1.5),
    ],
)
def test_cgroup_v2(tmp_path, inner, outer, expected):
    write(tmp_path / "proc/self/cgroup", "0::/user.slice/job\n")
    write(tmp_path / "sys/fs/cgroup/user.slice/job/cpu.max", inner + "\n")
    write(tmp_path / "sys/fs/cgroup/user.slice/cpu.max", outer + "\n")
    assert cgroup_cpus(tmp_path) == expected


def test_cgroup_v2_at_the_root_of_a_namespace(tmp_path):
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "300000 100000\n")
    assert cgroup_cpus(tmp_path) == 3


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "expected"), [("-1", 0), ("50000", 0.5), ("600000", 6)])
def test_cgroup_v1(tmp_path, mount, quota, expected):
    write(tmp_path / "proc/self/cgroup", "3:memory:/job\n2:cpuset:/job\n1:cpu,cpuacct:/job\n")
    write(tmp_path / "sys/fs/cgroup" / mount / "job/cpu.cfs_quota_us", quota + "\n")
    write(tmp_path / "sys/fs/cgroup" / mount / "job/cpu.cfs_period_us", "100000\n")
    assert cgroup_cpus(tmp_path) == expected


def test_cgroup_v1_inside_a_container(tmp_path):
    """The path names the host's group, which the container does not see; its own limits are at the mount."""
    write(tmp_path / "proc/self/cgroup", "1:cpu,cpuacct:/docker/0123\n")
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
    write(tmp_path / "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert cgroup_cpus(tmp_path) == 2


def test_hyperthreads_count_once(tmp_path):
    """Two packages of two cores of two threads each; processors 0 to 5 allowed."""
    for processor in range(8):
        topology = tmp_path / f"sys/devices/system/cpu/cpu{processor}/topology"
        write(topology / "physical_package_id", f"{processor // 4}\n")
        write(topology / "core_id", f"{processor % 2}\n")
    library = ctypes.CDLL(_core.__file__)
    allowed = (ctypes.c_ubyte * 8)(1, 1, 1, 1, 1, 1, 0, 0)
    assert library.fnn_physical_cores(os.fsencode(tmp_path), allowed, 8) == 4
