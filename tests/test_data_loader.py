"""DataLoader: every sample once, the same batches however they are made, and resuming at any of them."""

import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn as fn
from fastnn import _random
from fastnn.data import ArrayDataset, DataLoader
from fastnn.data.transforms import Compose, OneHot, RandomCrop, RandomHorizontalFlip, Scale
from processes import output_of

AUGMENT = Compose([RandomCrop(4, padding=1), RandomHorizontalFlip(), Scale()])


def data(n=23):
    x = np.random.default_rng(0).integers(0, 255, (n, 4, 4, 3), np.uint8).transpose(0, 3, 1, 2)
    return ArrayDataset(x, np.arange(n))


def loader(n=23, **options):
    return DataLoader(data(n), **{"batch_size": 4, "shuffle": True, "seed": 5, **options})


def equal(a, b):
    assert len(a) == len(b)
    for batch_a, batch_b in zip(a, b, strict=True):
        for array_a, array_b in zip(batch_a, batch_b, strict=True):
            assert array_a.dtype == array_b.dtype
            np.testing.assert_array_equal(array_a, array_b)


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastnn-prefetch")]


@given(
    n=st.integers(0, 40), batch_size=st.integers(1, 12), shuffle=st.booleans(), drop_last=st.booleans(),
    seed=st.integers(0, 2**70),
)  # fmt: skip
def test_every_sample_comes_once(n, batch_size, shuffle, drop_last, seed):
    batches = DataLoader(np.arange(n), batch_size, shuffle, seed=seed, drop_last=drop_last)
    seen = [x for (x,) in batches]
    assert len(seen) == len(batches) == (n // batch_size if drop_last else -(-n // batch_size))
    assert all(len(x) == batch_size for x in (seen if drop_last else seen[:-1]))
    values = np.concatenate([*seen, np.zeros(0, int)])
    assert len(set(values.tolist())) == len(values) == (n - n % batch_size if drop_last else n)
    if not shuffle:
        np.testing.assert_array_equal(values, np.arange(len(values)))


def test_order_follows_from_seed_and_epoch():
    one, two, other = loader(), loader(), loader(seed=6)
    first, second = list(one), list(one)
    equal(first, list(two))
    equal(second, list(two))
    orders = [np.concatenate([y for _, y in batches]).tolist() for batches in (first, second, list(other))]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


def test_manual_seed_seeds_a_loader_without_one():
    def order():
        fn.manual_seed(3)
        return [x.tolist() for (x,) in DataLoader(np.arange(20), 4, shuffle=True)]

    assert order() == order()
    unseeded = DataLoader(np.arange(20), 4, shuffle=True)
    assert unseeded.seed == unseeded.seed


def test_a_loader_without_randomness_draws_no_seed():
    fn.manual_seed(3)
    before = _random.get_state()
    plain = DataLoader(np.arange(20), 4, transform=Scale(), prefetch=2)
    list(plain)
    state = plain.state_dict()
    assert state["seed"] is None
    DataLoader(np.arange(20), 4).load_state_dict(state)
    assert _random.get_state() == before


def test_the_seed_is_not_drawn_on_the_thread(monkeypatch):
    drawn_on = []
    real = _random.generator
    monkeypatch.setattr(_random, "generator", lambda: drawn_on.append(threading.current_thread()) or real())
    list(DataLoader(data(), 4, transform=AUGMENT, prefetch=2))
    assert drawn_on == [threading.main_thread()]


@pytest.mark.parametrize("prefetch", [1, 2, 7])
def test_prefetch_never_changes_a_batch(prefetch):
    plain, ahead = loader(transform=AUGMENT, prefetch=0), loader(transform=AUGMENT, prefetch=prefetch)
    for _ in range(2):
        equal(list(plain), list(ahead))


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(1, 20), batch_size=st.integers(1, 6), stop=st.integers(0, 25), prefetch=st.sampled_from([0, 2]),
    shuffle=st.booleans(), drop_last=st.booleans(),
)  # fmt: skip
def test_a_resumed_iteration_yields_what_was_left(n, batch_size, stop, prefetch, shuffle, drop_last):
    options = {
        "batch_size": batch_size, "prefetch": prefetch, "shuffle": shuffle, "drop_last": drop_last,
        "transform": AUGMENT,
    }  # fmt: skip
    whole = loader(n, **options)
    expected = [list(whole) for _ in range(3)]
    total = len(whole)
    epochs, position = divmod(stop, total + 1)
    epochs = min(epochs, 1)

    interrupted = loader(n, **options)
    for _ in range(epochs):
        list(interrupted)
    iterator = iter(interrupted)
    for _ in range(position):
        next(iterator)
    state = json.loads(json.dumps(interrupted.state_dict()))
    iterator.close()

    resumed = loader(n, **{**options, "seed": 99})
    resumed.load_state_dict(state)
    equal(list(resumed), expected[epochs][position:])
    equal(list(resumed), expected[epochs + 1])
    # The loader that was interrupted can go on as well.
    interrupted.load_state_dict(state)
    equal(list(interrupted), expected[epochs][position:])


def test_state_between_epochs_starts_the_next():
    one, two = loader(), loader(seed=1)
    list(one)
    assert (one.epoch, one.state_dict()["position"]) == (1, 0)
    two.load_state_dict(one.state_dict())
    equal(list(one), list(two))


def test_an_iteration_left_early_is_followed_by_a_new_epoch():
    broken, whole = loader(), loader()
    for _ in broken:
        break
    list(whole)
    equal(list(broken), list(whole))


def test_two_iterations_at_once_do_not_disturb_each_other():
    pair, alone = loader(), loader()
    first, second = list(alone), list(alone)
    together = list(zip(pair, pair, strict=True))
    equal([a for a, _ in together], first)
    equal([b for _, b in together], second)
    assert pair.epoch == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 24}, "expected a state with samples 23, got 24"),
        ({"batch_size": 5}, "expected a state with batch_size 4, got 5"),
        ({"shuffle": False}, "expected a state with shuffle True, got False"),
        ({"position": 7}, "expected a position of at most 6, got 7"),
        ({"position": -1}, "expected position to be an int >= 0, got -1"),
        ({"epoch": None}, "missing epoch"),
    ],
)
def test_refuses_the_state_of_another_loader(change, message):
    state = {**loader().state_dict(), **change}
    state = {key: value for key, value in state.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        loader().load_state_dict(state)


def test_batches_belong_to_the_caller():
    source = data()
    before = source.x.copy()
    for shuffle in (False, True):
        for x, y in DataLoader(source, 5, shuffle):
            x[...] = 0
            y[...] = 0
    np.testing.assert_array_equal(source.x, before)
    np.testing.assert_array_equal(source.y, np.arange(23))


@pytest.mark.parametrize("transform", [None, Scale(), AUGMENT])
def test_images_stay_in_channels_last_memory(transform):
    for shuffle in (False, True):
        for x, _ in loader(transform=transform, shuffle=shuffle):
            assert x.shape[1:] == (3, 4, 4)
            assert x.transpose(0, 2, 3, 1).flags.c_contiguous


def test_transforms_targets():
    _, y = next(iter(loader(shuffle=False, target_transform=OneHot(23))))
    np.testing.assert_array_equal(y, np.eye(23, dtype=np.float32)[:4])
    with pytest.raises(ValueError, match="expected targets for target_transform, got a dataset of one array"):
        next(iter(DataLoader(np.arange(3), target_transform=OneHot(3))))


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_comes_in_its_turn_from_where_it_arose(prefetch):
    def refuse_eight(x):
        if 8 in x:
            raise LookupError("eight")
        return x

    seen = []
    batches = DataLoader(np.arange(40), 4, transform=refuse_eight, prefetch=prefetch)
    with pytest.raises(LookupError, match="eight") as caught:
        seen.extend(x.tolist() for (x,) in batches)
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert any(entry.name == "refuse_eight" for entry in caught.traceback)
    assert not prefetch_threads()


def first_batch_raises(batches, kind):
    for _ in batches:
        raise kind


@pytest.mark.parametrize("how", ["break", "exception", "interrupt", "abandoned", "exhausted", "never started"])
def test_the_thread_ends_with_the_iteration(how):
    batches = loader(prefetch=2, transform=AUGMENT)
    if how == "break":
        for _ in batches:
            assert prefetch_threads()
            break
    elif how in ("exception", "interrupt"):
        kind = ValueError if how == "exception" else KeyboardInterrupt
        with pytest.raises(kind):
            first_batch_raises(batches, kind)
    elif how == "abandoned":
        iterator = iter(batches)
        next(iterator)
        del iterator
    elif how == "exhausted":
        list(batches)
    else:
        iter(batches)
    assert not prefetch_threads()


FORKED = """
import os, sys, warnings
import numpy as np
warnings.simplefilter("ignore")
from fastnn.data import DataLoader
loader = DataLoader(np.arange(30), 3, shuffle=True, seed=0, prefetch=3, transform=lambda x: x * 2)
expected = [x.tolist() for (x,) in loader]
loader = DataLoader(np.arange(30), 3, shuffle=True, seed=0, prefetch=3, transform=lambda x: x * 2)
iterator = iter(loader)
got = [next(iterator)[0].tolist() for _ in range(4)]
child = os.fork()
got += [x.tolist() for (x,) in iterator]
again = [x.tolist() for (x,) in loader]
if child == 0:
    os._exit(0 if got == expected and len(again) == 10 else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(status or got != expected)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")
def test_a_forked_child_goes_on_without_the_thread():
    output_of(FORKED)


LEFT_OPEN = """
import numpy as np
from fastnn.data import DataLoader
iterator = iter(DataLoader(np.arange(10**6), 2, transform=lambda x: x * 2, prefetch=3))
next(iterator)
"""


def test_an_iteration_left_open_does_not_keep_python_from_ending():
    output_of(LEFT_OPEN)


def test_prefetches_by_itself_only_where_batches_cost_work():
    assert loader().prefetch == 0
    assert loader(transform=Scale()).prefetch == 2
    assert DataLoader([np.zeros(2)]).prefetch == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "expected batch_size to be an int >= 1, got 0"),
        ({"batch_size": 1.5}, "expected batch_size to be an int >= 1, got 1.5"),
        ({"prefetch": -1}, "expected prefetch to be an int >= 0, got -1"),
        ({"seed": -1}, "expected seed to be an int >= 0, got -1"),
    ],
)
def test_refuses_bad_options(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        loader(**options)


@pytest.mark.parametrize("source", [3, "text", None, [1, 2], (), {"x": 1}])
def test_refuses_what_is_no_dataset(source):
    with pytest.raises((TypeError, ValueError), match="expected"):
        DataLoader(source)
