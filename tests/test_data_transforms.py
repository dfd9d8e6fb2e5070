"""Transforms of batches: their values, their layout, their state, their randomness."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn as fn
from fastnn.data.transforms import (
    Compose,
    Normalize,
    OneHot,
    PCAWhitening,
    RandomCrop,
    RandomHorizontalFlip,
    Scale,
    Standardize,
    Transform,
    ZCAWhitening,
)

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 5, 6, 3), np.uint8).transpose(0, 3, 1, 2)
EPS = float(np.finfo(np.float32).eps)


def in_channels_last(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


ON_IMAGES = [
    Scale(), Scale(2 / 255, -1), Normalize(0.5, 0.25, scale=1 / 255), Normalize([1, 2, 3], [4, 5, 6]),
    Normalize(per="image").fit(BYTES), Normalize(per="pixel").fit(BYTES), Normalize().fit(BYTES),
    Standardize().fit(BYTES), ZCAWhitening().fit(BYTES), RandomCrop(5, padding=2), RandomHorizontalFlip(),
    Compose([RandomCrop((4, 6)), RandomHorizontalFlip(), Scale()]),
]  # fmt: skip


@pytest.mark.parametrize("transform", ON_IMAGES, ids=repr)
def test_leaves_its_input_alone_and_serves_any_memory_order(transform):
    def run(x):
        return transform(x, np.random.default_rng(1)) if transform.random else transform(x)

    before = BYTES.copy()
    out = run(BYTES)
    np.testing.assert_array_equal(BYTES, before)
    assert not np.shares_memory(out, BYTES)
    strided = np.repeat(BYTES, 2, axis=3)[..., ::2]
    for other in (np.ascontiguousarray(BYTES), strided, np.asfortranarray(BYTES)):
        np.testing.assert_array_equal(run(other), out)
    if not isinstance(transform, ZCAWhitening):
        assert in_channels_last(out)
    assert out.dtype == (np.uint8 if transform.random and not isinstance(transform, Compose) else np.float32)


@pytest.mark.parametrize("transform", ON_IMAGES, ids=repr)
def test_an_empty_batch_stays_empty(transform):
    assert len(transform(BYTES[:0])) == 0


def test_scale():
    np.testing.assert_allclose(Scale()(BYTES), BYTES / 255.0, rtol=2 * EPS)
    np.testing.assert_array_equal(Scale(2, -1)(np.array([1.5, 3.0])), np.float32([2, 5]))


def test_normalize_with_published_statistics():
    mean, std = [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]
    expected = (BYTES / 255.0 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    np.testing.assert_allclose(Normalize(mean, std, scale=1 / 255)(BYTES), expected, atol=20 * EPS)
    composed = Compose([Scale(1 / 255), Normalize(mean, std)])(BYTES)
    np.testing.assert_allclose(composed, expected, atol=20 * EPS)


@pytest.mark.parametrize("shape", [(3,), (3, 1, 1), (3, 5, 6), (), (1,), (1, 5, 6)])
def test_normalize_broadcasts_over_channels_and_pixels(shape):
    mean = RNG.normal(size=shape)
    full = np.reshape(mean, (*shape, 1, 1)) if len(shape) == 1 else mean
    np.testing.assert_allclose(Normalize(mean)(BYTES), BYTES - full, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("shape", [(2,), (3, 5), (3, 6, 5), (2, 5, 6), (1, 1, 1, 1)])
def test_normalize_never_broadcasts_over_anything_else(shape):
    with pytest.raises(ValueError, match=r"expected a batch for statistics of shape .*, got shape \(40, 3, 5, 6\)"):
        Normalize(np.zeros(shape))(BYTES)


def test_normalize_learns_channels_pixel_or_image():
    x = BYTES.astype(np.float64)
    channel = Normalize().fit(BYTES)
    np.testing.assert_allclose(channel.mean, x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(channel.std, x.std((0, 2, 3)), rtol=1e-12)
    pixel = Normalize(per="pixel").fit(BYTES)
    np.testing.assert_allclose(pixel.mean, x.mean((0, 2, 3)), rtol=1e-12)
    assert pixel.std == 1
    image = Normalize(per="image").fit(BYTES)
    np.testing.assert_allclose(image.mean, x.mean(0), rtol=1e-12)
    scaled = Normalize(scale=1 / 255).fit(BYTES)
    np.testing.assert_allclose(scaled.std, x.std((0, 2, 3)) / 255, rtol=1e-12)
    np.testing.assert_allclose(scaled(BYTES), channel(BYTES), atol=20 * EPS)


def test_a_constant_channel_is_only_shifted():
    x = np.stack([np.full((8, 2, 2), 7.0), RNG.normal(size=(8, 2, 2))], axis=1)
    out = Normalize().fit(x)(x)
    np.testing.assert_array_equal(out[:, 0], 0)
    np.testing.assert_allclose(out[:, 1].std(), 1, rtol=1e-5)
    out = Standardize().fit(x)(x)
    np.testing.assert_array_equal(out[:, 0], 0)


def test_statistics_do_not_cancel_for_large_means_and_are_made_in_blocks(monkeypatch):
    monkeypatch.setattr("fastnn.data.transforms._statistics._BLOCK_VALUES", 64)
    x = 1e4 + RNG.normal(size=(500, 3))
    fitted = Standardize().fit(x)
    np.testing.assert_allclose(fitted.mean, x.mean(0), rtol=1e-14)
    np.testing.assert_allclose(fitted.std, x.std(0), rtol=1e-10)
    fitted = Normalize().fit(np.asarray(x[:, :, None, None]))
    np.testing.assert_allclose(fitted.std, x.std(0), rtol=1e-10)
    whitening = PCAWhitening(eps=0).fit(x)
    z = (x - whitening.mean) @ whitening.matrix.T
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(3), atol=1e-9)


@pytest.mark.parametrize("transform", [Normalize(), Standardize(), ZCAWhitening(), PCAWhitening()], ids=repr)
def test_inverse_goes_back(transform):
    x = RNG.normal(size=(60, 2, 3, 2)) * 3 + 5
    back = transform.fit(x).inverse(transform(x))
    np.testing.assert_allclose(back.reshape(x.shape), x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", [PCAWhitening, ZCAWhitening])
def test_whitened_features_are_uncorrelated(kind):
    x = RNG.normal(size=(400, 6)) @ RNG.normal(size=(6, 6)) + 3
    whitening = kind(eps=0).fit(x)
    z = whitening(x.astype(np.float32)).astype(np.float64)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(6), atol=1e-3)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    if kind is ZCAWhitening:
        np.testing.assert_allclose(whitening.matrix, whitening.matrix.T, atol=1e-10)


def test_decorrelation_turns_and_does_not_stretch():
    x = RNG.normal(size=(400, 6)) @ RNG.normal(size=(6, 6)) + 3
    turn = PCAWhitening(whiten=False).fit(x)
    z = turn(x).astype(np.float64)
    np.testing.assert_allclose(turn.matrix @ turn.matrix.T, np.eye(6), atol=1e-12)
    cov = np.cov(z.T, bias=True)
    assert np.abs(cov[~np.eye(6, dtype=bool)]).max() < 1e-4 * cov.max()
    assert (np.diff(np.diag(cov)) < 0).all()
    assert np.trace(cov) == pytest.approx(np.trace(np.cov(x.T, bias=True)), rel=1e-5)
    np.testing.assert_allclose(turn.inverse(turn(x)), x, atol=1e-4)


def test_pca_keeps_the_directions_of_largest_variance():
    x = RNG.normal(size=(300, 4)) * [1, 5, 3, 0.1]
    z = PCAWhitening(2, eps=0).fit(x)(x)
    assert z.shape == (300, 2)
    for component, feature in enumerate((1, 2)):
        assert abs(np.corrcoef(z[:, component], x[:, feature])[0, 1]) > 0.99
    one, two = PCAWhitening(2).fit(x), PCAWhitening(2).fit(x[::-1])
    np.testing.assert_allclose(one.matrix, two.matrix, rtol=1e-6)


def test_whitening_of_dependent_features_needs_eps():
    x = np.repeat(RNG.normal(size=(50, 1)), 3, axis=1)
    with pytest.raises(ValueError, match="expected eps > 0 for data of dependent features"):
        # The smallest eigenvalue is rounded to zero or below.
        PCAWhitening(eps=0).fit(np.zeros_like(x))
    assert np.isfinite(PCAWhitening().fit(x)(x)).all()


@given(
    seed=st.integers(0, 1000),
    padding=st.integers(0, 3),
    size=st.integers(1, 5),
    mode=st.sampled_from(["constant", "edge", "reflect", "symmetric"]),
)
def test_each_crop_is_a_window_of_the_padded_image(seed, padding, size, mode):
    crop = RandomCrop(size, padding=padding, fill=7, padding_mode=mode)
    x = BYTES[:4]
    border = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(x, border, constant_values=7) if mode == "constant" else np.pad(x, border, mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    for out, places in zip(crop(x, np.random.default_rng(seed)), windows, strict=True):
        assert (places == out[:, None, None]).all(axis=(0, 3, 4)).any()


def test_crops_reach_every_place_evenly():
    x = np.arange(9, dtype=np.uint8).reshape(1, 1, 3, 3).repeat(9000, axis=0)
    counts = np.bincount(RandomCrop(1)(x, np.random.default_rng(0)).ravel(), minlength=9)
    assert abs(counts - 1000).max() < 150


@given(seed=st.integers(0, 1000), p=st.sampled_from([0.0, 0.3, 1.0]))
def test_flips_mirror_some_images(seed, p):
    out = RandomHorizontalFlip(p)(BYTES, np.random.default_rng(seed))
    kept = (out == BYTES).all(axis=(1, 2, 3))
    mirrored = (out == BYTES[..., ::-1]).all(axis=(1, 2, 3))
    assert (kept ^ mirrored).all()
    if p in (0.0, 1.0):
        assert mirrored.all() == (p == 1.0)


def test_random_transforms_draw_from_the_package_without_a_generator():
    results = []
    for _ in range(2):
        fn.manual_seed(1)
        results.append(RandomCrop(4)(BYTES))
    np.testing.assert_array_equal(*results)


def test_one_hot():
    np.testing.assert_array_equal(OneHot(3)(np.array([[0], [2]], np.uint8)), [[[1, 0, 0]], [[0, 0, 1]]])
    assert OneHot(4)(np.zeros(0, np.int64)).shape == (0, 4)


@pytest.mark.parametrize("transform", [*ON_IMAGES, PCAWhitening(3).fit(BYTES)], ids=repr)
def test_state_carries_what_was_learnt(transform, tmp_path):
    from fastnn.io import load_state, save_state

    if transform.random:
        return
    save_state(tmp_path / "state", transform.state_dict())
    fresh = {Normalize: Normalize, PCAWhitening: lambda: PCAWhitening(3)}.get(type(transform), type(transform))()
    fresh.load_state_dict(load_state(tmp_path / "state"))
    if isinstance(transform, (Scale, Normalize)):
        fresh.__dict__.update({k: v for k, v in transform.__dict__.items() if k in ("scale", "factor", "shift")})
    np.testing.assert_array_equal(fresh(BYTES), transform(BYTES))


def test_compose_carries_its_members_states():
    fitted = Compose([Scale(), Normalize().fit(Scale()(BYTES)), lambda x: x + 1])
    fresh = Compose([Scale(), Normalize(), lambda x: x + 1])
    state = fitted.state_dict()
    assert set(state) == {"0", "1"}
    fresh.load_state_dict(state)
    np.testing.assert_array_equal(fresh(BYTES), fitted(BYTES))
    with pytest.raises(ValueError, match="expected the states of members"):
        Compose([Scale()]).load_state_dict(state)
    json.dumps(Compose([Scale(), RandomHorizontalFlip()]).state_dict())


@pytest.mark.parametrize("transform", [Normalize(), Standardize(), ZCAWhitening(), PCAWhitening()], ids=repr)
def test_must_be_fitted_first(transform):
    fresh = type(transform)()
    with pytest.raises(RuntimeError, match=r"expected fit\(x\) before the first use"):
        fresh(BYTES)
    with pytest.raises(ValueError, match="expected samples along the first axis to fit to"):
        fresh.fit(BYTES[:0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Normalize(0, 0), "expected a positive std, got 0"),
        (lambda: Normalize(0, [1, -1]), "expected a positive std"),
        (lambda: Normalize(std=1), "expected a mean together with std"),
        (lambda: Normalize(per="row"), "expected per to be one of 'channel', 'pixel', 'image', got 'row'"),
        (lambda: Standardize().fit(BYTES)(BYTES[:, :1]), r"expected samples of shape \(3, 5, 6\), got a batch"),
        (lambda: ZCAWhitening().fit(BYTES)(BYTES[:, :1]), "expected samples of 90 features, got a batch"),
        (lambda: PCAWhitening(91).fit(BYTES), "expected at most 90 components, got 91"),
        (lambda: RandomCrop(9, padding=1)(BYTES), r"expected images of at least \(9, 9\) with padding \(1, 1\)"),
        (lambda: RandomCrop(2)(BYTES[0]), r"expected images of shape \(N, C, H, W\), got shape \(3, 5, 6\)"),
        (
            lambda: RandomCrop(2, padding_mode="wrap"),
            "expected padding_mode to be one of 'constant', 'edge', 'reflect'",
        ),
        (lambda: RandomHorizontalFlip(2), "expected p to be a probability between 0 and 1, got 2.0"),
        (lambda: OneHot(3)([3]), "expected class indices from 0 to 2, got 3 to 3"),
        (lambda: OneHot(3)([-1, 1]), "expected class indices from 0 to 2, got -1 to 1"),
        (lambda: OneHot(3)([0.5]), "expected integer class indices, got dtype float64"),
        (lambda: Compose([Scale(), 3]), "expected callables, got 3"),
        (lambda: Scale().load_state_dict({"mean": 1}), r"expected the state \[\], got \['mean'\]"),
    ],
)
def test_refuses_bad_input(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_subclass_must_say_what_it_does():
    with pytest.raises(NotImplementedError, match="expected __call__ to be defined by the subclass"):
        Transform()(BYTES)
