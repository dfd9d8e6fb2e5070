"""The race to an accuracy: fastnn's side of ``bench/peer_accuracy.py``, on the digits."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import fastnn as fn
import peer_accuracy


@pytest.fixture(scope="module")
def race():
    data = peer_accuracy.read(None, quick=True)
    fn.manual_seed(0)
    weights = dict(peer_accuracy.network(data).state_dict())
    threads = fn.get_num_threads()
    return partial(
        peer_accuracy.seconds_to,
        data=data,
        trainer=partial(peer_accuracy.fastnn_trainer, data, weights, threads),
        epochs=8,
        seed=0,
    )


def test_it_stops_at_the_first_measurement_that_reaches_the_aim(race):
    low, high = race(0.5), race(0.9)
    assert low["accuracy"] >= 0.5
    assert high["accuracy"] >= 0.9
    assert 0 < low["steps"] < high["steps"] < 8 * 11


def test_out_of_reach_it_ends_with_the_cycle_and_says_what_was_reached(race):
    found = race(1.1)
    assert found["steps"] == 8 * 11
    assert 0.9 < found["accuracy"] <= 1.0


def test_rates_rise_over_a_quarter_and_fall_to_nothing():
    rates = np.array([rate for _, rate in peer_accuracy.batches(128 * 20, 5, 0)])
    assert rates.argmax() == 24
    assert rates.max() == pytest.approx(peer_accuracy.PEAK, rel=0.01)
    assert rates[-1] < 1e-4
    rows = [rows for rows, _ in peer_accuracy.batches(128 * 20, 1, 0)]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(128 * 20))
