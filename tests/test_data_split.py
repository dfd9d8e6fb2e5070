"""Splits and folds: disjoint, complete, of the right sizes, with the classes' shares kept."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastnn as fn
from fastnn.data import ArrayDataset, Subset, k_fold, train_test_split

labels_of_some_classes = st.lists(st.integers(0, 4), min_size=2, max_size=60)


@given(labels=labels_of_some_classes, share=st.floats(0.05, 0.95), stratified=st.booleans(), seed=st.integers(0, 99))
def test_split_is_a_partition(labels, share, stratified, seed):
    y = np.array(labels)
    if not 0 < round(share * len(y)) < len(y):
        return
    rows = np.arange(len(y))
    train, test, y_train, y_test = train_test_split(
        rows, y, test_size=share, stratify=y if stratified else None, seed=seed
    )
    assert len(test) == round(share * len(y))
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), rows)
    np.testing.assert_array_equal(y_train, y[train])
    np.testing.assert_array_equal(y_test, y[test])
    if stratified:
        for label in np.unique(y):
            ideal = (y == label).sum() * len(test) / len(y)
            assert abs((y_test == label).sum() - ideal) < 1


@given(labels=labels_of_some_classes, k=st.integers(2, 8), stratified=st.booleans(), shuffle=st.booleans())
def test_folds_are_a_partition(labels, k, stratified, shuffle):
    y = np.array(labels)
    if k > len(y):
        return
    folds = list(k_fold(len(y), k, stratify=y if stratified else None, shuffle=shuffle, seed=1))
    assert len(folds) == k
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(y)))
    for train, test in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(len(y)))
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1
    if stratified:
        for label in np.unique(y):
            counts = [(y[test] == label).sum() for _, test in folds]
            assert max(counts) - min(counts) <= 1


def test_a_seed_decides_the_split_and_manual_seed_the_rest():
    rows = np.arange(50)
    one, two = (train_test_split(rows, seed=3)[1] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert (one != train_test_split(rows, seed=4)[1]).any()
    drawn = []
    for _ in range(2):
        fn.manual_seed(8)
        drawn.append(train_test_split(rows)[1].tolist() + next(k_fold(50))[1].tolist())
    assert drawn[0] == drawn[1]


def test_a_dataset_is_split_into_datasets():
    data = ArrayDataset(np.arange(10), np.arange(10) % 2, classes=["a", "b"])
    train, test = train_test_split(data, test_size=4, stratify=True, seed=0)
    assert (len(train), len(test), test.y.sum(), test.classes) == (6, 4, 2, ("a", "b"))
    train, test = train_test_split(Subset(data, range(10)), test_size=0.5, seed=0)
    assert isinstance(train, Subset)
    assert {int(row) for row, _ in (*train, *test)} == set(range(10))
    train, test = next(k_fold(data, 5, stratify=True, seed=0))
    assert (len(train), len(test), test.y.sum()) == (8, 2, 1)


def test_without_shuffling_the_last_are_held_out():
    train, test = train_test_split(np.arange(10), shuffle=False)
    assert (train.tolist(), test.tolist()) == ([0, 1, 2, 3, 4, 5, 6, 7], [8, 9])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_size": 0.01}, "expected both parts to hold samples, got 10 and 0 of 10"),
        ({"test_size": 10}, "expected both parts to hold samples, got 0 and 10 of 10"),
        ({"test_size": 1.5}, r"expected test_size to be a share in \(0, 1\) or a count, got 1.5"),
        ({"test_size": True}, "expected test_size to be a share"),
        ({"stratify": [1, 2]}, r"expected stratify to hold 10 labels, got shape \(2,\)"),
        ({"stratify": True}, "the data have no y"),
        ({"stratify": [0] * 10, "shuffle": False}, "expected shuffle=True together with stratify"),
        ({"seed": -3}, "expected seed to be an int >= 0, got -3"),
    ],
)
def test_split_refuses_bad_options(options, message):
    with pytest.raises((ValueError, TypeError, AttributeError), match=message):
        train_test_split(np.arange(10), **options)


@pytest.mark.parametrize("k", [1, 11, 0, -2])
def test_folds_need_a_sample_each(k):
    with pytest.raises(ValueError, match=f"expected k from 2 to 10 .*, got {k}"):
        k_fold(np.arange(10), k)
