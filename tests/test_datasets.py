"""Image data sets: every published form is read to the same arrays, and anything else is refused by name."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import datasets
from fastnn.data.transforms import Normalize
from fastnn.datasets import cifar, download, mnist_family, read_idx
from fastnn.datasets.cifar_pickle import parse_python_batch
from image_files import PACKERS, cifar_binary, idx, python2_batch, tarball, write_mnist

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (7, 5, 4), np.uint8), np.arange(7, dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (5, 4, 3, 32, 32), np.uint8)
CLASSES = RNG.integers(0, 10, (5, 4), np.uint8)
BATCHES = [f"data_batch_{i}" for i in range(1, 6)]


# Digits


def test_digits_are_those_of_uci():
    data = datasets.digits()
    assert (data.x.shape, data.x.dtype, data.y.dtype, data.x.max()) == ((1797, 1, 8, 8), np.uint8, np.int64, 16)
    np.testing.assert_array_equal(np.bincount(data.y), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    np.testing.assert_array_equal(data.x[0, 0, :2], [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]])
    scaled = data.x * data.scale
    np.testing.assert_allclose([scaled.mean(), scaled.std()], [data.mean[0], data.std[0]], atol=5e-5)


def test_digits_split_is_stratified_and_follows_from_the_seed():
    train, test = datasets.digits(train=True, seed=3), datasets.digits(train=False, seed=3)
    assert (len(train), len(test)) == (1438, 359)
    assert np.ptp(np.bincount(test.y)) <= 2
    rows = {row.tobytes() + bytes([y]) for row, y in zip(train.x, train.y, strict=True)}
    assert len(rows | {row.tobytes() + bytes([y]) for row, y in zip(test.x, test.y, strict=True)}) > len(rows)
    np.testing.assert_array_equal(test.x, datasets.digits(train=False, seed=3).x)
    assert (test.y != datasets.digits(train=False, seed=4).y).any()
    assert len(datasets.digits(train=False, test_size=100)) == 100


def test_digits_ship_with_their_attribution():
    files = Path(datasets.__file__).with_name("files")
    assert "CC BY 4.0" in (files / "digits-ATTRIBUTION.txt").read_text()
    assert sum(path.stat().st_size for path in files.iterdir()) < 70_000


# IDX


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("shape", [(0,), (3,), (2, 3), (2, 3, 4), (2, 0, 4), (2, 3, 4, 5)])
def test_idx_is_read_plain_or_packed(tmp_path, suffix, shape):
    array = RNG.integers(0, 256, shape, np.uint8)
    path = tmp_path / "whatever"
    path.write_bytes(PACKERS[suffix](idx(array)))
    np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected an IDX file of unsigned bytes \(00 00 08 and 1 to 4\), got nothing"),
        (b"PNG\0\0\0\0\0", "got 50 4e 47 00"),
        (bytes([0, 0, 13, 1]) + bytes(4), "got 00 00 0d 01"),
        (bytes([0, 0, 8, 3]) + bytes(5), "expected an IDX header of 16 bytes, got 9 bytes in all"),
        (idx(IMAGES)[:-1], r"expected 140 bytes for shape \(7, 5, 4\), got 139"),
        (idx(IMAGES) + b"\0", r"expected 140 bytes for shape \(7, 5, 4\), got 141"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "got 0"),
    ],
)
def test_idx_of_another_kind_or_size_is_refused(tmp_path, content, message):
    for pack in PACKERS.values():
        (tmp_path / "file").write_bytes(pack(content))
        with pytest.raises(ValueError, match=f"file: expected.*{message.removeprefix('expected')}"):
            read_idx(tmp_path / "file")


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_every_truncation_of_a_packed_file_is_refused(tmp_path, suffix):
    whole = PACKERS[suffix](idx(IMAGES))
    for size in range(len(whole)):
        (tmp_path / "file").write_bytes(whole[:size])
        with pytest.raises(ValueError, match="file: expected"):
            read_idx(tmp_path / "file")


def test_a_file_that_unpacks_without_end_is_stopped(tmp_path, monkeypatch):
    from fastnn.datasets import _files

    (tmp_path / "bomb").write_bytes(PACKERS[".xz"](bytes(5_000_000)))
    with pytest.raises(ValueError, match="bomb: expected at most 1000 bytes of content, got more"):
        _files.read_unpacked(tmp_path / "bomb", 1000)


# MNIST and Fashion-MNIST


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("folder", ["", "mnist", "MNIST/raw"])
def test_mnist_is_found_in_every_form(tmp_path, suffix, dot, folder):
    write_mnist(tmp_path / folder, IMAGES, LABELS, suffix=suffix, dot=dot)
    write_mnist(tmp_path / folder, IMAGES[:2], LABELS[:2], "t10k", suffix, dot)
    data = datasets.mnist(tmp_path, verify=False)
    np.testing.assert_array_equal(data.x[:, 0], IMAGES)
    np.testing.assert_array_equal(data.y, LABELS)
    assert (data.x.dtype, data.y.dtype, data.scale, data.mean, len(data.classes)) == (
        np.uint8, np.int64, 1 / 255, (0.1307,), 10,
    )  # fmt: skip
    assert len(datasets.mnist(tmp_path, train=False, verify=False)) == 2


def test_the_parent_of_several_data_sets_serves_them_all(tmp_path, monkeypatch):
    write_mnist(tmp_path / "mnist", IMAGES, LABELS)
    write_mnist(tmp_path / "fashion-mnist", IMAGES[::-1], LABELS)
    monkeypatch.setenv("FASTNN_DATA_DIR", str(tmp_path))
    np.testing.assert_array_equal(datasets.mnist(verify=False).x[:, 0], IMAGES)
    fashion = datasets.fashion_mnist(verify=False)
    np.testing.assert_array_equal(fashion.x[:, 0], IMAGES[::-1])
    assert fashion.classes[9] == "Ankle boot"


def test_another_file_under_the_right_name_is_refused(tmp_path):
    write_mnist(tmp_path, IMAGES, LABELS)
    with pytest.raises(ValueError, match="train-images-idx3-ubyte: expected 47040016 bytes of content, got 156"):
        datasets.mnist(tmp_path)
    content = bytearray(47_040_016)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(ValueError, match="md5 6bbc9ace898e44ae57da46a324031adb as published, got"):
        datasets.mnist(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:6], r"expected as many images .* as labels .*, got \(7, 5, 4\) in .* and \(6,\) in"),
        (IMAGES[0], LABELS[:5], r"got \(5, 4\) in"),
        (IMAGES, LABELS + 5, "labels-idx1-ubyte: expected labels from 0 to 9, got 11"),
    ],
)
def test_images_and_labels_must_belong_together(tmp_path, images, labels, message):
    write_mnist(tmp_path, images, labels)
    with pytest.raises(ValueError, match=message):
        datasets.mnist(tmp_path, verify=False)


def test_missing_files_are_named_with_what_is_there(tmp_path):
    write_mnist(tmp_path, IMAGES, LABELS)
    with pytest.raises(FileNotFoundError, match=r"expected t10k-images-idx3-ubyte.gz or .* found train.*download"):
        datasets.mnist(tmp_path, train=False)
    with pytest.raises(FileNotFoundError, match=r"expected .* in .*absent, which does not exist; give its folder"):
        datasets.fashion_mnist(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"expected a folder with .*, got the file"):
        datasets.cifar10(tmp_path / "train-images-idx3-ubyte")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"cifar10: expected data_batch_1.bin .* found nothing; give"):
        datasets.cifar10(tmp_path / "empty")


# Downloads, from files of the test's own


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A place that publishes a tiny MNIST, and the folder to download to."""
    import hashlib

    place, target = tmp_path / "place", tmp_path / "target"
    write_mnist(place, IMAGES, LABELS, suffix=".gz")
    packed = {
        path.name.removesuffix(".gz"): hashlib.md5(path.read_bytes()).hexdigest() for path in place.iterdir()
    }  # fmt: skip
    source = mnist_family._MNIST._replace(urls=(f"{place.as_uri()}/",), packed_md5=packed)
    monkeypatch.setattr(mnist_family, "_MNIST", source)
    return place, target


def test_download_fetches_what_is_missing_and_nothing_else(published):
    place, target = published
    data = datasets.mnist(target, download=True, verify=False)
    np.testing.assert_array_equal(data.y, LABELS)
    names = ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    assert sorted(os.listdir(target / "mnist")) == names
    for path in place.iterdir():
        path.unlink()
    assert len(datasets.mnist(target, download=True, verify=False)) == 7
    assert len(datasets.mnist(target, verify=False)) == 7


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: data[:50] + bytes(9), lambda data: b""])
def test_a_damaged_download_is_refused_and_leaves_nothing(published, damage):
    place, target = published
    path = place / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(OSError, match=r"could not download train-images.*with md5 \w+, got \w+.*put it at"):
        datasets.mnist(target, download=True, verify=False)
    assert os.listdir(target / "mnist") == []


def test_a_download_larger_than_expected_is_stopped(tmp_path):
    (tmp_path / "big").write_bytes(bytes(5000))
    remote = download.Remote(((tmp_path / "big").as_uri(),), "0" * 32, 4000)
    with pytest.raises(OSError, match="expected at most 4000 bytes, got more"):
        download.fetch("test", remote, tmp_path / "out" / "big")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://name.invalid/x", "file:///absent/x", "nonsense"])
def test_without_a_network_the_error_says_what_to_do(tmp_path, url):
    remote = download.Remote((url, url), "0" * 32, 4000)
    with pytest.raises(OSError, match=r"test: could not download x .*without a network, bring the file from elsewhere"):
        download.fetch("test", remote, tmp_path / "x")
    assert os.listdir(tmp_path) == []


def test_a_second_place_is_tried(published):
    place, target = published
    remote = download.Remote(
        ("http://127.0.0.1:9/x", f"{place.as_uri()}/train-labels-idx1-ubyte.gz"),
        mnist_family._MNIST.packed_md5["train-labels-idx1-ubyte"],
        10_000,
    )
    assert download.fetch("test", remote, target / "labels").read_bytes()


# CIFAR-10


def binary_files():
    return {f"{name}.bin": cifar_binary(CLASSES[i], COLOURS[i]) for i, name in enumerate(BATCHES)}


def python_files():
    return {name: python2_batch(CLASSES[i], COLOURS[i]) for i, name in enumerate(BATCHES)}


def check_cifar(folder):
    data = datasets.cifar10(folder, verify=False)
    np.testing.assert_array_equal(data.x, COLOURS.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(data.y, CLASSES.ravel())
    assert data.x.transpose(0, 2, 3, 1).flags.c_contiguous
    assert (data.classes[0], len(data.mean), data.x.dtype, data.y.dtype) == ("airplane", 3, np.uint8, np.int64)


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("folder", ["", "cifar-10", "cifar-10-batches-bin"])
def test_cifar_binary_batches(tmp_path, suffix, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, data in binary_files().items():
        (tmp_path / folder / (name + suffix)).write_bytes(PACKERS[suffix](data))
    check_cifar(tmp_path)


@pytest.mark.parametrize("folder", ["", "cifar-10-batches-py"])
def test_cifar_python_batches(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, data in python_files().items():
        (tmp_path / folder / name).write_bytes(data)
    check_cifar(tmp_path)


@pytest.mark.parametrize(
    ("name", "files"), [("cifar-10-binary.tar.gz", binary_files), ("cifar-10-python.tar.gz", python_files)]
)
@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_cifar_archives(tmp_path, name, files, mode):
    (tmp_path / name).write_bytes(tarball({"readme.html": b"?", **files()}, mode))
    check_cifar(tmp_path)
    assert os.listdir(tmp_path) == [name]


def test_cifar_test_batch(tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(cifar_binary(CLASSES[0], COLOURS[0]))
    data = datasets.cifar10(tmp_path, train=False, verify=False)
    np.testing.assert_array_equal(data.x, COLOURS[0])
    with pytest.raises(FileNotFoundError, match=r"expected data_batch_1.bin .*found test_batch.bin"):
        datasets.cifar10(tmp_path)


def test_a_missing_batch_is_named(tmp_path):
    for name, data in binary_files().items():
        if name != "data_batch_3.bin":
            (tmp_path / name).write_bytes(data)
    with pytest.raises(FileNotFoundError, match=r"cifar10: expected data_batch_3.bin in"):
        datasets.cifar10(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (cifar_binary(CLASSES[0], COLOURS[0])[:-1], "expected records of 3073 bytes, got 12291 bytes"),
        (b"", "expected records of 3073 bytes, got 0 bytes"),
        (cifar_binary(CLASSES[0] + 10, COLOURS[0]), "expected labels from 0 to 9, got"),
    ],
)
def test_a_wrong_binary_batch_is_refused(tmp_path, content, message):
    (tmp_path / "test_batch.bin").write_bytes(content)
    with pytest.raises(ValueError, match=f"test_batch.bin: {message}"):
        datasets.cifar10(tmp_path, train=False, verify=False)
    with pytest.raises(ValueError, match=r"test_batch.bin: expected 30730000 bytes of content, got"):
        datasets.cifar10(tmp_path, train=False)


def test_an_archive_without_the_batches_is_refused(tmp_path):
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(tarball({"data_batch_1.bin": binary_files()["data_batch_1.bin"]}))
    with pytest.raises(ValueError, match=r"binary.tar.gz: expected a member data_batch_2.bin, got none"):
        datasets.cifar10(tmp_path, verify=False)


def test_every_truncation_of_an_archive_is_refused(tmp_path):
    whole = tarball({"test_batch.bin": cifar_binary(CLASSES[0, :1], COLOURS[0, :1])})
    path = tmp_path / "cifar-10-binary.tar.gz"
    for size in range(0, len(whole) - 100, 13):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"tar.gz.* expected"):
            datasets.cifar10(tmp_path, train=False, verify=False)


def test_cifar_archive_is_fetched(tmp_path, monkeypatch):
    import hashlib

    archive = tmp_path / "published.tar.gz"
    archive.write_bytes(tarball(binary_files()))
    remote = download.Remote((archive.as_uri(),), hashlib.md5(archive.read_bytes()).hexdigest(), 10**6)
    monkeypatch.setattr(cifar, "_REMOTE", remote)
    (tmp_path / "root").mkdir()
    data = datasets.cifar10(tmp_path / "root", download=True, verify=False)
    np.testing.assert_array_equal(data.y, CLASSES.ravel())
    check_cifar(tmp_path / "root")


# The reader of python batches


@pytest.mark.parametrize("order", ["C", "F"])
def test_python2_batches_are_read_and_agree_with_pickle(order):
    content = python2_batch(CLASSES[0], COLOURS[0], order)
    records = parse_python_batch("batch", content, 3072)
    np.testing.assert_array_equal(records[:, 0], CLASSES[0])
    np.testing.assert_array_equal(records[:, 1:], COLOURS[0].reshape(4, -1))
    # The emitter of this test is itself right: Python reads the same from it.
    batch = pickle.loads(content.replace(b"numpy.core", b"numpy._core"), encoding="bytes")
    np.testing.assert_array_equal(batch[b"data"], records[:, 1:])
    assert batch[b"labels"] == CLASSES[0].tolist()
    assert len(batch[b"filenames"]) == 4


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("kind", [str, str.encode])
def test_batches_that_python3_wrote_are_read(protocol, kind):
    batch = {kind("labels"): CLASSES[0].tolist(), kind("data"): COLOURS[0].reshape(4, -1)}
    records = parse_python_batch("batch", pickle.dumps(batch, protocol), 3072)
    assert records.tobytes() == cifar_binary(CLASSES[0], COLOURS[0])


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    for batch in (Evil(), {"labels": [0], "data": Evil()}, [Evil()]):
        with pytest.raises(ValueError, match="batch: expected a CIFAR python batch, got something else"):
            parse_python_batch("batch", pickle.dumps(batch, protocol), 3072)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "batch",
    [
        [1, 2],
        {},
        {1: 2},
        {"labels": [1]},
        {"labels": [1], "data": [2]},
        {"labels": [1], "data": np.uint8(3)},
        {"labels": [1], "data": np.zeros(3072, np.uint8)},
        {"labels": [1], "data": np.zeros((1, 3072), np.int8)},
        {"labels": [1, 2], "data": np.zeros((1, 3072), np.uint8)},
        {"labels": [300], "data": np.zeros((1, 3072), np.uint8)},
        {"labels": [True], "data": np.zeros((1, 3072), np.uint8)},
        {"labels": [], "data": np.zeros((0, 3072), np.uint8)},
    ],
)
def test_other_content_is_refused(batch):
    with pytest.raises(ValueError, match="batch: expected a CIFAR python batch, got something else"):
        parse_python_batch("batch", pickle.dumps(batch, 2), 3072)


TINY = python2_batch(CLASSES[0, :2], COLOURS[0, :2, :, :1, :1])


def check_reading(content):
    """Read a batch, which gives records or a ValueError that names the file."""
    complaint, width = "", 0
    try:
        width = parse_python_batch("batch", content, 3).shape[1]
    except ValueError as error:
        complaint = str(error)
    assert width == 4 or complaint.startswith("batch: expected a CIFAR python batch")


@settings(deadline=None, max_examples=500)
@given(
    cuts=st.lists(st.tuples(st.integers(0, len(TINY)), st.integers(0, 6), st.binary(max_size=5)), max_size=4),
    noise=st.binary(max_size=60),
    pure=st.booleans(),
)
def test_mutated_and_random_batches_raise_nothing_but_valueerror(cuts, noise, pure):
    content = TINY
    for at, size, patch in cuts:
        content = content[:at] + patch + content[at + size :]
    check_reading(noise if pure else content)


def test_a_damaged_escape_in_a_batch_warns_of_nothing():
    with pytest.raises(ValueError, match="something else \\(opcode STRING at byte 0\\)"):
        parse_python_batch("batch", b"S'\\ '\n.", 3)


def test_every_truncation_and_every_flipped_byte_of_a_batch():
    for size in range(len(TINY)):
        with pytest.raises(ValueError, match="batch: expected"):
            parse_python_batch("batch", TINY[:size], 3)
    for at in range(len(TINY)):
        for value in (0, 0x28, 0x52, 0x62, 0x65, 0x75, 0x85, 0xFF):
            check_reading(TINY[:at] + bytes([value]) + TINY[at + 1 :])


NAMES = ["train-images-idx3-ubyte", "data_batch_1.bin", "data_batch_1", "cifar-10-binary.tar.gz"]


@settings(deadline=None, max_examples=300)
@given(
    name=st.sampled_from(NAMES),
    start=st.sampled_from([b"", b"\0\0\x08\x01", b"\x1f\x8b\x08\0", b"\xfd7zXZ\0", b"\x80\x02}"]),
    noise=st.binary(max_size=700),
)
def test_readers_of_random_files_raise_nothing_but_valueerror_and_oserror(tmp_path_factory, name, start, noise):
    folder = tmp_path_factory.mktemp("noise")
    (folder / name).write_bytes(start + noise)
    for i in range(2, 6):
        (folder / name.replace("_1", f"_{i}")).write_bytes(start + noise)
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    for read in (datasets.mnist, datasets.cifar10):
        for verify in (True, False):
            with pytest.raises((ValueError, OSError)):
                read(folder, verify=verify)


# Real files, where there are some

SIZES = {"mnist": 28, "fashion_mnist": 28, "cifar10": 32}

if "FASTNN_DATA_DIR" in os.environ:

    @pytest.mark.parametrize("train", [True, False])
    @pytest.mark.parametrize("name", SIZES)
    def test_real_files_are_the_published_ones(name, train):
        data = getattr(datasets, name)(os.environ["FASTNN_DATA_DIR"], train)
        total = (50_000 if name == "cifar10" else 60_000) if train else 10_000
        channels = 3 if name == "cifar10" else 1
        assert data.x.shape == (total, channels, SIZES[name], SIZES[name])
        counts = np.bincount(data.y, minlength=10)
        assert len(counts) == 10
        assert name == "mnist" or (counts == total // 10).all()
        if train:
            fitted = Normalize(scale=data.scale).fit(data.x)
            np.testing.assert_allclose(fitted.mean, data.mean, atol=6e-5)
            np.testing.assert_allclose(fitted.std, data.std, atol=6e-5)
