"""The order in which a source is read, anew and again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpt.mixture import shuffled
from cpt.order import positions, training_order
from cpt.stream_config import Source, first_in_training_order

proofs = settings(derandomize=True, deadline=None, database=None, max_examples=60)


def source(**options: object) -> Source:
    return Source(name="old", corpus="c", weight=1, **options)


def order(number: int, seed: int = 0, **options: object) -> list[int]:
    return training_order(source(**options), np.arange(number), seed).tolist()


def test_new_data_go_on_and_on():
    assert order(5) == [0, 1, 2, 3, 4]


def test_replay_starts_over_after_what_was_seen():
    assert order(8, seen=3) == [0, 1, 2, 0, 1, 2, 0, 1]


def test_an_offset_wraps_around_inside_what_was_seen():
    assert order(9, seen=4, offset=3) == [3, 0, 1, 2, 3, 0, 1, 2, 3]


@proofs
@given(seen=st.integers(1, 300), data=st.data())
def test_reshuffled_visits_each_seen_sample_once_a_round(seen, data):
    offset = data.draw(st.integers(0, seen - 1))
    numbers = order(3 * seen, seen=seen, offset=offset, order="reshuffled")
    rounds = [numbers[n * seen : (n + 1) * seen] for n in range(3)]
    assert all(sorted(each) == list(range(seen)) for each in rounds)


def test_each_round_and_each_seed_is_reshuffled_anew():
    numbers = order(300, seen=100, order="reshuffled")
    again = order(100, seed=1, seen=100, order="reshuffled")
    rounds = {tuple(numbers[n : n + 100]) for n in (0, 100, 200)} | {tuple(again)}
    assert len(rounds) == 4
    assert tuple(range(100)) not in rounds


def test_reshuffled_is_not_the_training_order():
    reshuffled = positions(source(seen=64, order="reshuffled"), np.arange(64), 64, 0)
    trained = positions(source(), np.arange(64), 64, 0)
    assert sorted(reshuffled) == sorted(trained)
    assert reshuffled.tolist() != trained.tolist()
    # Nor does its key have anything to do with that of an epoch.
    numbers = order(64, seen=64, order="reshuffled")
    assert numbers not in [shuffled(np.arange(64), 64, 0, epoch).tolist() for epoch in range(8)]


@pytest.mark.parametrize("offset", [0, 5, 17])
def test_replay_of_more_than_an_epoch_repeats_every_epochs_own_order(offset):
    """25 samples were seen of a store of 10: two epochs and a half."""
    trained = positions(source(), np.arange(25), 10, 3).tolist()
    again = positions(source(seen=25, offset=offset), np.arange(60), 10, 3).tolist()
    assert again == [trained[(n + offset) % 25] for n in range(60)]


@proofs
@given(index=st.integers(0, 10**6), seen=st.integers(2, 1000))
def test_the_recorded_range_is_the_one_that_is_read(index, seen):
    one = source(seen=seen, offset=seen // 2)
    assert first_in_training_order(one, index) == training_order(one, np.array([index]), 0)[0]
