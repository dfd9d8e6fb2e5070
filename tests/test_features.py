"""Features made by hand, and features of networks kept on disk."""

from __future__ import annotations

import doctest
import importlib
import sys

import numpy as np
import pytest

import fastnn as fn
from fastnn import features

RNG = np.random.default_rng(0)
IMAGES = np.ones((2, 1, 8, 8))


@pytest.mark.parametrize("module", ["by_hand", "extraction"])
def test_examples_run(module):
    assert doctest.testmod(importlib.import_module(f"fastnn.features.{module}")).failed == 0


def test_colour_histogram_counts_each_channel_by_itself():
    images = RNG.integers(0, 256, (3, 3, 5, 7), dtype=np.uint8)
    found = features.colour_histogram(images, bins=4).reshape(3, 3, 4)
    for i in range(3):
        for c in range(3):
            counts, _ = np.histogram(images[i, c], bins=4, range=(0, 255.000001))
            assert found[i, c] == pytest.approx(counts / 35, rel=1e-6)


def test_hog_turns_with_the_image():
    ramp = np.tile(np.linspace(0, 1, 16), (16, 1))
    across, down = features.hog(np.stack([ramp, ramp.T])[:, None], orientations=2, cell=8, block=2).reshape(2, 4, 2)
    assert (across.argmax(axis=1) == across[0].argmax()).all()
    assert (down.argmax(axis=1) != across.argmax(axis=1)).all()


def test_hog_takes_the_steepest_of_three_channels():
    grey = RNG.random((1, 1, 16, 16))
    colour = np.concatenate([0.1 * grey, grey, np.zeros_like(grey)], axis=1)
    assert features.hog(colour) == pytest.approx(features.hog(grey), abs=1e-6)


def test_bag_of_visual_words_tells_textures_apart():
    plain = RNG.random((40, 1, 1, 12)) > 0.5
    images = np.concatenate([np.tile(plain, (1, 1, 12, 1)), np.tile(plain.transpose(0, 1, 3, 2), (1, 1, 1, 12))])
    images = images.astype(np.float32)
    bag = features.BagOfVisualWords(words=8, patch=4, stride=1, samples=2000).fit(images)
    shares = bag(images)
    assert shares.shape == (80, 32)
    assert shares.reshape(80, 4, 8).sum(axis=2) == pytest.approx(np.ones((80, 4)), rel=1e-5)
    # striped one way or the other: no word is shared by both but that of a patch without a stripe
    upright, lying = (shares[part].reshape(-1, 4, 8).sum(axis=(0, 1)) for part in (slice(0, 40), slice(40, 80)))
    assert np.count_nonzero(np.minimum(upright, lying)) <= 1
    assert np.minimum(upright, lying).sum() < 0.2 * upright.sum()


REFUSED = {
    "shape": (lambda: features.colour_histogram(np.ones((2, 3))), ValueError, r"\(N, C, H, W\).*got shape \(2, 3\)"),
    "range": (lambda: features.colour_histogram(np.full((1, 1, 2, 2), 2.0)), ValueError, "from 0 to 1, got 2 to 2"),
    "bins": (lambda: features.colour_histogram(IMAGES, bins=10**12), ValueError, "colour_histogram: expected bins"),
    "top": (lambda: features.colour_histogram(IMAGES, top=0), ValueError, "expected top > 0 and finite, got 0"),
    "top word": (lambda: features.colour_histogram(IMAGES, top="a"), TypeError, "expected top to be a number, got 'a'"),
    "no channel": (lambda: features.colour_histogram(IMAGES[:, :0]), ValueError, r"got shape \(2, 0, 8, 8\)"),
    "not a number": (lambda: features.hog(IMAGES * np.nan), ValueError, "hog: expected finite pixels, got nan"),
    "infinite": (lambda: features.BagOfVisualWords().fit(IMAGES + np.inf), ValueError, "finite pixels, got inf"),
    "orientations": (lambda: features.hog(IMAGES, 0, 4), ValueError, "hog: expected orientations to be an int >= 1"),
    "hog": (lambda: features.hog(np.ones((1, 1, 8, 8))), ValueError, "at least 16 x 16 pixels"),
    "words": (lambda: features.BagOfVisualWords(words=1), ValueError, "words"),
    "unfitted": (lambda: features.BagOfVisualWords()(np.ones((1, 1, 8, 8))), RuntimeError, "fit"),
    "patch": (lambda: features.BagOfVisualWords().fit(np.ones((1, 1, 4, 4))), ValueError, "at least 6 x 6"),
    "few": (lambda: features.BagOfVisualWords().fit(np.ones((1, 1, 8, 8))), ValueError, "at least 64 patches, got 4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    call, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("module", "call"),
    [
        ("skimage", lambda: features.hog(np.ones((1, 1, 16, 16)))),
        ("sklearn.cluster", lambda: features.BagOfVisualWords().fit(np.ones((1, 1, 16, 16)))),
    ],
)
def test_without_the_library_the_extra_is_named(module, call, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"fastnn-core\[features\]"):
        call()


# ---- extraction ----


@pytest.fixture
def network():
    fn.manual_seed(0)
    return fn.models.DigitsCNN()


def test_features_are_the_layers_outputs_in_eval_mode(network):
    fn.set_precision("exact")  # else batch norm is folded where only the last values are asked for
    data = fn.datasets.digits(train=False)[:70]
    found, targets = features.extract(network, data, "features", batch_size=32)
    network.eval()
    x = data.x.astype(np.float32)
    parts = [network.features(x[i : i + 32]) for i in range(0, 70, 32)]  # bits may depend on how many there are
    assert np.array_equal(found, np.concatenate(parts).reshape(70, -1))
    assert np.array_equal(targets, data.y)


def test_a_file_is_read_again_until_something_changes(network, tmp_path, capsys):
    data, path = fn.datasets.digits(train=False)[:40], tmp_path / "features.safetensors"

    def said(given=data, layer="features"):
        found = features.extract(network, given, layer, path, verbose=True)
        return found, "written" if "written" in capsys.readouterr().out else "read"

    (first, _), how = said()
    assert how == "written"
    (again, targets), how = said()
    assert how == "read"
    assert np.array_equal(first, again)
    assert np.array_equal(targets, data.y)
    assert said(data[:39])[1] == "written"
    assert said(data[:39], "classifier")[1] == "written"
    network.features[0].weight.data[0, 0, 0, 0] += 1.0
    assert said(data[:39], "classifier")[1] == "written"
    assert said(data[:39], "classifier")[1] == "read"


def test_extraction_refuses_loaders_and_unknown_layers(network):
    data = fn.datasets.digits(train=False)[:8]
    with pytest.raises(TypeError, match="whose order may change"):
        features.extract(network, fn.data.DataLoader(data), "features")
    with pytest.raises(AttributeError, match=r"extract: expected a layer of named_modules\(\), got 'nowhere'"):
        features.extract(network, data, "nowhere")
    with pytest.raises(TypeError, match="extract: expected a Module and the name of a layer, got int and 'features'"):
        features.extract(3, data, "features")
    with pytest.raises(ValueError, match="extract: expected at least one sample, got none"):
        features.extract(network, data[:0], "features")
