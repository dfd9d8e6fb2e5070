"""ArrayDataset, Subset and the batches that any dataset gives."""

import numpy as np
import pytest

from fastnn.data import ArrayDataset, DataLoader, Dataset, Subset


def images(n=6, c=3, h=4, w=5, channels_last=True):
    x = np.arange(n * c * h * w, dtype=np.uint8).reshape(n, h, w, c).transpose(0, 3, 1, 2)
    return x if channels_last else np.ascontiguousarray(x)


def in_channels_last(x):
    return x.transpose(0, 2, 3, 1).flags.c_contiguous


def test_keeps_its_arrays_and_what_is_known_of_them():
    x, y = images(), np.arange(6)
    data = ArrayDataset(x, y, classes=list("abcdef"), scale=1 / 255, mean=[0.1, 0.2, 0.3], std=(1, 2, 3), name="six")
    assert len(data) == 6
    assert data.x is x
    assert data.y is y
    assert (data.classes, data.mean, data.std) == (tuple("abcdef"), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    part = data[[4, -1]]
    np.testing.assert_array_equal(part.y, [4, 5])
    assert (part.classes, part.scale, part.mean, part.name) == (data.classes, data.scale, data.mean, "six")
    assert repr(data) == "ArrayDataset(six: 6 samples: (3, 4, 5) uint8, () int64)"


def test_an_integer_gives_a_sample_and_anything_else_a_dataset():
    data = ArrayDataset(images(), np.arange(6))
    x, y = data[2]
    assert x.shape == (3, 4, 5)
    assert y == 2
    np.testing.assert_array_equal(data[1::2].y, [1, 3, 5])
    np.testing.assert_array_equal(data[data.y > 3].y, [4, 5])
    np.testing.assert_array_equal(data[np.array([], int)].y, [])
    assert np.shares_memory(data[1:3].x, data.x)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((), "expected at least one array, got none"),
        ((np.zeros(3), np.zeros(4)), r"expected arrays of equal length, got \[3, 4\]"),
        (([(np.zeros(3), 0)], [0]), "expected arrays, one of inputs and one of targets, got a list whose items differ"),
        ((np.float32(1),), "expected arrays with a first axis, got a scalar"),
    ],
)
def test_refuses_arrays_that_are_no_samples(arrays, message):
    with pytest.raises(ValueError, match=message):
        ArrayDataset(*arrays)


def test_has_no_y_without_a_second_array():
    with pytest.raises(AttributeError, match="expected a second array as y, got only one"):
        _ = ArrayDataset(np.zeros(3)).y


@pytest.mark.parametrize("indices", [[6], [-7], [True, False], [1.5], [[1]]])
def test_refuses_indices_that_point_nowhere(indices):
    with pytest.raises((IndexError, TypeError), match="expected"):
        ArrayDataset(np.zeros(6)).subset(indices)
    with pytest.raises((IndexError, TypeError), match="expected"):
        Subset(ArrayDataset(np.zeros(6)), indices)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("where", [slice(1, 4), np.array([5, 0, 2])])
def test_batches_are_fresh_and_keep_the_memory_order(channels_last, where):
    x = images(channels_last=channels_last)
    (batch,) = ArrayDataset(x).batch(where)
    np.testing.assert_array_equal(batch, x[where])
    assert in_channels_last(batch) == channels_last
    assert not np.shares_memory(batch, x)


def test_a_single_channel_is_in_both_memory_orders():
    (batch,) = ArrayDataset(images(c=1)).batch(np.array([1, 3]))
    assert in_channels_last(batch)
    assert batch.flags.c_contiguous


def test_subset_looks_into_any_dataset():
    data = ArrayDataset(images(), np.arange(6))
    part = Subset(Subset(data, [5, 3, 1]), [2, 0])
    assert [int(y) for _, y in (part[0], part[1])] == [1, 5]
    _, y = part.batch(slice(None))
    np.testing.assert_array_equal(y, [1, 5])
    assert isinstance(part, Dataset)


class Squares:
    """A user's dataset: items only."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return np.full(2, index), index**2


def test_items_of_a_users_dataset_are_stacked():
    batches = list(DataLoader(Squares(), batch_size=2))
    np.testing.assert_array_equal(batches[1][0], [[2, 2], [3, 3]])
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), [0, 1, 4, 9, 16])


def test_items_of_different_shapes_are_refused_by_index():
    class Ragged(Squares):
        def __getitem__(self, index):
            return np.zeros(index)

    with pytest.raises(ValueError, match=r"expected samples of one shape in a batch, got \(0,\) at 0 and \(1,\) at 1"):
        list(DataLoader(Ragged(), batch_size=2))
