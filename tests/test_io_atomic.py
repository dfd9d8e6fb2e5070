"""Files are replaced in one step: whatever goes wrong, what is there is the old file or the new one."""

import errno
import os
import stat

import pytest

from fastnn.io import atomic, load, save
from fastnn.io.atomic import atomic_write
from file_faults import NEW, OLD, Shim, same
from processes import output_of


def modes(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640, 0o755, 0o444])
def test_an_existing_file_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "w"
    path.write_bytes(b"old")
    path.chmod(mode)
    atomic_write(path, [b"n", b"", bytearray(b"e"), memoryview(b"w")])
    assert path.read_bytes() == b"new"
    assert modes(path) == mode


def test_a_new_file_gets_what_the_umask_allows(tmp_path):
    old = os.umask(0o027)
    try:
        atomic_write(tmp_path / "w", [b"new"])
    finally:
        os.umask(old)
    assert modes(tmp_path / "w") == 0o640


def test_a_symbolic_link_stays_and_its_target_is_replaced(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for target in (folder / "there", folder / "not yet"):
        link = tmp_path / f"link to {target.name}"
        link.symlink_to(target)
        atomic_write(link, [b"new"])
        assert link.is_symlink()
        assert target.read_bytes() == b"new"
    assert sorted(os.listdir(folder)) == ["not yet", "there"]


def test_only_regular_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/null"):
        with pytest.raises(OSError, match="expected a regular file") as caught:
            atomic_write(path, [b"new"])
        assert caught.value.filename == os.fspath(path)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_missing_folder_is_named_by_the_callers_path(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        save({}, tmp_path / "absent" / "w")
    assert caught.value.filename == os.fspath(tmp_path / "absent" / "w")


def raise_disk_full(name, args):
    if name == "close":  # a descriptor is closed whatever close reports
        os.close(*args)
    raise OSError(errno.ENOSPC, "No space left on device")


def count_calls(path):
    shim = Shim()
    atomic.os, real = shim, atomic.os
    try:
        save(NEW, path)
    finally:
        atomic.os = real
    return shim.log


@pytest.mark.parametrize("existing", [True, False])
def test_the_order_of_calls_survives_a_power_cut(tmp_path, existing):
    if existing:
        save(OLD, tmp_path / "w")
    log = count_calls(tmp_path / "w")
    # Everything is written and synced under the temporary name before the rename, and the folder is synced after it.
    expected = ["open", *["fchmod"][:existing], "write", "write", "write", "fsync", "close", "replace"]
    assert log == [*expected, "open", "fsync", "close"]


@pytest.mark.parametrize("existing", [True, False])
def test_an_error_of_any_call_leaves_the_old_file_or_the_new(tmp_path, monkeypatch, existing):
    path = tmp_path / "w"
    if existing:
        save(OLD, path)
    calls = len(count_calls(tmp_path / "other"))
    os.unlink(tmp_path / "other")
    for fail_at in range(calls + existing):
        path.unlink(missing_ok=True)
        if existing:
            save(OLD, path)
        shim = Shim(fail_at, raise_disk_full)
        monkeypatch.setattr(atomic, "os", shim)
        reported = None
        try:
            save(NEW, path)
        except OSError as error:
            reported = (error.errno, error.filename)
        monkeypatch.setattr(atomic, "os", os)
        renamed = "replace" in shim.log[:fail_at]
        # Where a folder cannot be opened (not all systems let one), its sync is left out in silence.
        folder_unopened = renamed and shim.log[fail_at] == "open"
        assert reported == (None if folder_unopened else (errno.ENOSPC, os.fspath(path)))
        assert os.listdir(tmp_path) == (["w"] if existing or renamed else [])
        if path.exists():
            assert same(NEW if renamed else OLD, load(path))


def test_short_writes_are_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "os", Shim(short_writes=True))
    save(NEW, tmp_path / "w")
    assert same(load(tmp_path / "w"), NEW)


def test_an_interrupt_or_a_failing_source_leaves_the_old_file(tmp_path):
    path = tmp_path / "w"
    path.write_bytes(b"old")
    for kind in (KeyboardInterrupt, MemoryError, ZeroDivisionError):

        def chunks(kind=kind):
            yield b"half"
            raise kind

        with pytest.raises(kind):
            atomic_write(path, chunks())
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["w"]


KILLED = """
import os, random, signal, sys, time
sys.path.insert(0, tests)
from file_faults import NEW, OLD, Shim, same
from fastnn.io import atomic, load, save

def die(name, args):
    if name == "write":
        os.write(args[0], args[1][: len(args[1]) // 2])
    os.kill(os.getpid(), signal.SIGKILL)

def in_child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return pid

def check():
    content = load(path)
    assert same(content, OLD) or same(content, NEW), content

def killed_at(call):
    atomic.os = Shim(call, die)
    save(NEW, path)

for call in range(11):
    save(OLD, path)
    pid = in_child(lambda: killed_at(call))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL, call
    check()

def forever():
    while True:
        save(NEW, path)
        save(OLD, path)

for _ in range(200):
    pid = in_child(forever)
    time.sleep(random.random() * 0.004)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    check()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_process_killed_at_any_moment_leaves_the_old_file_or_the_new(tmp_path):
    output_of(f"path, tests = {str(tmp_path / 'w')!r}, {os.path.dirname(__file__)!r}\n{KILLED}")
    leftovers = [name for name in os.listdir(tmp_path) if name != "w"]
    assert all(name.startswith(".fastnn-") and name.endswith(".tmp") for name in leftovers)
