"""The stream of samples: exact, gapless, without state; and the shuffle, a bijection."""

from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpt.mixture import counts, locate, shuffled

proofs = settings(derandomize=True, deadline=None, database=None, max_examples=60)
shares = st.fractions(min_value=F(1, 1000), max_value=F(999, 1000), max_denominator=5000)
weight_lists = st.lists(
    st.fractions(min_value=F(1, 500), max_value=50, max_denominator=500), min_size=1, max_size=5
)


def stream(length: int, *weights: F) -> list[tuple[int, int]]:
    source, index = locate(np.arange(length), weights)
    return list(zip(source.tolist(), index.tolist(), strict=True))


def replay(share: F) -> tuple[F, F]:
    return share, 1 - share


# The order.


def test_a_quarter_of_replay_is_every_fourth_sample():
    assert stream(8, *replay(F(1, 4))) == [
        (1, 0), (1, 1), (1, 2), (0, 0),
        (1, 3), (1, 4), (1, 5), (0, 1),
    ]  # fmt: skip


def test_two_fifths_of_replay():
    assert stream(5, *replay(F(2, 5))) == [(1, 0), (1, 1), (0, 0), (1, 2), (0, 1)]


def test_half_and_half_alternates():
    assert stream(4, F(1), F(1)) == [(1, 0), (0, 0), (1, 1), (0, 1)]


def test_three_sources_are_split_off_one_after_the_other():
    # 1/4 of all, then 1/3 of the rest.
    assert stream(8, F(1), F(1), F(2)) == [
        (2, 0), (2, 1), (1, 0), (0, 0),
        (2, 2), (2, 3), (1, 1), (0, 1),
    ]  # fmt: skip


def test_a_single_source_is_read_in_order():
    assert stream(3, F(7)) == [(0, 0), (0, 1), (0, 2)]


def test_weights_need_not_sum_to_one():
    assert stream(200, F(1), F(19)) == stream(200, F(1, 20), F(19, 20))


def test_an_empty_range_has_no_samples():
    assert stream(0, F(1), F(1)) == []


@proofs
@given(weights=weight_lists, length=st.integers(0, 600))
def test_each_source_is_visited_once_in_order_without_gaps(weights, length):
    visited = stream(length, *weights)
    for number in range(len(weights)):
        own = [index for source, index in visited if source == number]
        assert own == list(range(len(own)))


@proofs
@given(weights=weight_lists, length=st.integers(0, 600))
def test_counts_are_what_the_stream_holds(weights, length):
    source, _ = locate(np.arange(length), weights)
    assert counts(length, weights) == np.bincount(source, minlength=len(weights)).tolist()


@proofs
@given(share=shares)
def test_every_prefix_is_within_one_sample_of_its_share(share):
    source, _ = locate(np.arange(500), replay(share))
    replayed = np.cumsum(source == 0).tolist()
    assert all(0 <= (n + 1) * share - taken < 1 for n, taken in enumerate(replayed))


@proofs
@given(weights=weight_lists, length=st.integers(1, 10**9))
def test_with_k_sources_every_count_is_within_k_minus_1_samples(weights, length):
    total = sum(weights)
    for taken, weight in zip(counts(length, weights), weights, strict=True):
        assert abs(taken - length * weight / total) <= len(weights) - 1


def test_what_many_sources_round_off_gathers_in_the_last():
    assert counts(355, [F(1), F(1), F(49)]) == [6, 6, 343]  # shares 6.96, 6.96, 341.08


# The paper.


def test_five_percent_of_the_papers_batches_is_55_or_56_samples():
    source, _ = locate(np.arange(5 * 1104), replay(F("0.05")))
    assert (source.reshape(5, 1104) == 0).sum(axis=1).tolist() == [55, 55, 55, 55, 56]


@pytest.mark.parametrize(
    ("share", "new", "replayed"),
    [
        ("0.005", 297.78, 1.50),
        ("0.01", 296.29, 2.99),
        ("0.05", 284.31, 14.96),
        ("0.1", 269.35, 29.93),
        ("0.5", 149.64, 149.64),
    ],
)
def test_the_token_table_of_the_weak_shift_in_billions(share, new, replayed):
    old, fresh = counts(132_366 * 1104, replay(F(share)))
    assert (round(fresh * 2048 / 1e9, 2), round(old * 2048 / 1e9, 2)) == (new, replayed)


@pytest.mark.parametrize(
    ("share", "new", "replayed"),
    [("0.01", 198, 2), ("0.05", 190, 10), ("0.1", 180, 20), ("0.25", 150, 50), ("0.5", 100, 100)],
)
def test_the_token_table_of_the_strong_shift_in_billions(share, new, replayed):
    old, fresh = counts(88_457 * 1104, replay(F(share)))
    assert (round(fresh * 2048 / 1e9), round(old * 2048 / 1e9)) == (new, replayed)


def test_replay_comes_out_of_the_stages_budget():
    assert counts(1000, replay(F("0.05"))) == [50, 950]


# Large numbers.


@pytest.mark.parametrize("first", [0, 2**31 - 3, 2**53 - 3, 2**62 - 7])
@pytest.mark.parametrize(
    "share",
    [
        F(1, 20),
        F(1, 3),
        F(2**31 - 2, 2**31 - 1),
        F(10**9 + 7, 2**31),
        F(2**40 - 1, 2**40),
        F(1, 2**61),
        F(10**40 + 1, 3 * 10**40),
    ],
)
def test_nothing_overflows(first, share):
    source, index = locate(np.arange(first, first + 5), replay(share))
    expected = []
    for i in range(first, first + 5):
        before, after = i * share // 1, (i + 1) * share // 1
        expected.append((0, before) if after > before else (1, i - before))
    assert list(zip(source.tolist(), index.tolist(), strict=True)) == expected


# The cut.


@pytest.mark.parametrize("num_ranks", [1, 2, 4])
def test_the_stream_is_the_same_for_any_number_of_ranks(num_ranks):
    weights, batch, steps = [F(1, 10), F(2, 10), F(7, 10)], 8, 25
    per_rank = batch // num_ranks
    read = []
    for step in range(steps):
        for rank in range(num_ranks):
            first = step * batch + rank * per_rank
            source, index = locate(np.arange(first, first + per_rank), weights)
            read += zip(source.tolist(), index.tolist(), strict=True)
    assert read == stream(steps * batch, *weights)


def test_the_stream_can_be_entered_anywhere():
    source, index = locate(np.array([7, 3, 7]), replay(F(1, 4)))
    assert (source.tolist(), index.tolist()) == ([0, 0, 0], [1, 0, 1])


def test_the_samples_asked_for_are_left_as_they_were():
    samples = np.arange(6)
    locate(samples, [F(1), F(2), F(3)])
    assert samples.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("weights", [[], [F(0)], [F(1), F(-1, 2)]])
def test_weights_must_be_above_zero(weights):
    with pytest.raises(ValueError, match="must be above 0"):
        locate(np.arange(3), weights)
    with pytest.raises(ValueError, match="must be above 0"):
        counts(3, weights)


# The shuffle.


@pytest.mark.parametrize("size", [*range(1, 70), 255, 256, 257, 1000, 1023, 1025, 65_537])
def test_a_shuffle_is_a_bijection(size):
    assert sorted(shuffled(np.arange(size), size, 7, 1).tolist()) == list(range(size))


@proofs
@given(size=st.integers(1, 5000), seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_a_shuffle_is_a_bijection_for_any_seed_and_epoch(size, seed, epoch):
    assert len(set(shuffled(np.arange(size), size, seed, epoch).tolist())) == size


@pytest.mark.parametrize(
    ("seed", "epoch", "order"),
    [
        (0, 0, [8, 9, 7, 5, 4, 2, 1, 3, 6, 0]),
        (1, 0, [1, 6, 7, 2, 9, 0, 5, 8, 4, 3]),
        (0, 1, [6, 0, 9, 1, 2, 8, 4, 5, 3, 7]),
    ],
)
def test_the_order_of_ten_samples_never_changes(seed, epoch, order):
    assert shuffled(np.arange(10), 10, seed, epoch).tolist() == order


def test_the_order_of_a_million_samples_never_changes():
    positions = shuffled(np.arange(4), 1_000_003, 1234, 2)
    assert positions.tolist() == [759_713, 679_904, 213_265, 568_185]


def test_each_seed_and_each_epoch_has_its_own_order():
    orders = {tuple(shuffled(np.arange(50), 50, s, e).tolist()) for s in range(8) for e in range(8)}
    assert len(orders) == 64


def test_one_sample_does_not_depend_on_which_others_are_asked_for():
    whole = shuffled(np.arange(1000), 1000, 3, 0)
    assert [shuffled(np.array([i]), 1000, 3, 0)[0] for i in range(0, 1000, 37)] == list(whole[::37])


def test_a_shuffle_leaves_no_visible_order():
    order = shuffled(np.arange(10_000), 10_000, 0, 0)
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.05


def test_a_shuffle_of_nothing_is_nothing():
    assert shuffled(np.arange(0), 10, 0, 0).tolist() == []


@pytest.mark.parametrize("size", [2**40 + 15, 2**62])
def test_a_huge_corpus_has_distinct_positions_inside_it(size):
    positions = shuffled(np.arange(size - 2000, size), size, 0, 0)
    assert len(set(positions.tolist())) == 2000
    assert positions.min() >= 0
    assert positions.max() < size
