"""Images in folders, through Pillow."""

import sys

import numpy as np
import pytest

from fastnn.data import DataLoader
from fastnn.datasets import ImageFolder, read_image

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path):
    """Two classes, five colour images of 6 x 8, one of them a level deeper."""
    for i in range(5):
        place = tmp_path / ("dog" if i % 2 else "cat") / ("more" if i == 4 else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (6, 8, 3), np.uint8)).save(place / f"{i}.png")
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    return tmp_path


def test_subfolders_are_classes(folder):
    images = ImageFolder(folder)
    assert (len(images), images.classes, images.y.tolist()) == (5, ("cat", "dog"), [0, 0, 0, 1, 1])
    x, y = images[3]
    assert (x.shape, x.dtype, int(y)) == ((3, 6, 8), np.uint8, 1)
    np.testing.assert_array_equal(x.transpose(1, 2, 0), np.array(Image.open(images.paths[3])))


def test_loads_by_batches_or_at_once(folder):
    images = ImageFolder(folder)
    data = images.load()
    assert (data.x.shape, data.classes, data.scale) == ((5, 3, 6, 8), ("cat", "dog"), 1 / 255)
    assert data.x.transpose(0, 2, 3, 1).flags.c_contiguous
    loader = DataLoader(images, 2, shuffle=True, seed=0)
    assert loader.prefetch == 2
    seen = list(loader)
    twin = list(DataLoader(data, 2, shuffle=True, seed=0))
    for (x, y), (x_twin, y_twin) in zip(seen, twin, strict=True):
        np.testing.assert_array_equal(x, x_twin)
        np.testing.assert_array_equal(y, y_twin)


def test_resizes_and_greys(folder):
    images = ImageFolder(folder, size=(4, 5), grayscale=True)
    assert images.load().x.shape == (5, 1, 4, 5)
    assert images.batch(np.zeros(0, np.intp))[0].shape == (0, 1, 4, 5)
    assert read_image(images.paths[0], 3).shape == (3, 3, 3)


def test_images_of_two_sizes_need_a_size(folder):
    Image.new("RGB", (3, 3)).save(folder / "dog" / "9.png")
    with pytest.raises(ValueError, match=r"9.png: expected an image of shape \(3, 6, 8\) as .*, got \(3, 3, 3\)"):
        ImageFolder(folder).load()
    assert ImageFolder(folder, size=6).load().x.shape == (6, 3, 6, 6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_image_becomes_rgb_or_grey(tmp_path, mode):
    suffix = "tif" if mode in ("CMYK", "I;16") else "png"
    Image.new(mode, (4, 3)).save(tmp_path / f"x.{suffix}")
    assert read_image(tmp_path / f"x.{suffix}").shape == (3, 3, 4)
    assert read_image(tmp_path / f"x.{suffix}", grayscale=True).shape == (1, 3, 4)


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    values = np.array([[0, 255, 256, 0x7FFF, 0xFFFF]], np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read_image(tmp_path / "x.png", grayscale=True), [values >> 8])


def test_a_turned_photograph_is_set_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4)).save(tmp_path / "x.jpg", exif=exif)
    assert read_image(tmp_path / "x.jpg").shape == (3, 8, 4)


def test_damaged_images_are_refused_by_name(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(RNG.integers(0, 256, (9, 9, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    for size in range(0, len(whole) // 2, 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"x.png: expected an image, got"):
            read_image(path)
    path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"x.png: expected an image, got a file of no kind that Pillow reads$"):
        read_image(path)
    for content in (b"", b"GIF89a", b"II*\0" + b"\xff" * 50):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"x.png: expected an image, got"):
            read_image(path)


def test_missing_folders_and_images_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a folder with one subfolder a class, got .*absent"):
        ImageFolder(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"expected one subfolder a class in .*, found none"):
        ImageFolder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected images .* in .*cat, found none"):
        ImageFolder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"absent.png"):
        read_image(tmp_path / "absent.png")


def test_without_pillow_the_error_names_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"needs Pillow: pip install 'fastnn-core\[images\]'"):
        ImageFolder(folder)
