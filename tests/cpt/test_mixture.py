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


def alone(*weights: F) -> list[list[F]]:
    """Each source a data set of its own."""
    return [[weight] for weight in weights]


def stream(length: int, *weights: F) -> list[tuple[int, int]]:
    source, index = locate(np.arange(length), alone(*weights))
    return list(zip(source.tolist(), index.tolist(), strict=True))


def replay(share: F) -> list[list[F]]:
    return [[share], [1 - share]]


# The order.


def test_a_quarter_of_replay_is_every_fourth_sample():
    assert stream(8, F(1, 4), F(3, 4)) == [
        (1, 0), (1, 1), (1, 2), (0, 0),
        (1, 3), (1, 4), (1, 5), (0, 1),
    ]  # fmt: skip


def test_two_fifths_of_replay():
    assert stream(5, F(2, 5), F(3, 5)) == [(1, 0), (1, 1), (0, 0), (1, 2), (0, 1)]


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
    source, _ = locate(np.arange(length), alone(*weights))
    assert counts(length, alone(*weights)) == np.bincount(source, minlength=len(weights)).tolist()


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
    for taken, weight in zip(counts(length, alone(*weights)), weights, strict=True):
        assert abs(taken - length * weight / total) <= len(weights) - 1


def test_what_many_sources_round_off_gathers_in_the_last():
    assert counts(355, alone(F(1), F(1), F(49))) == [6, 6, 343]  # shares 6.96, 6.96, 341.08


# Data sets of several sources.

SLIMPAJAMA = [
    F(weight)
    for weight in (
        "52.087671651", "26.688499472", "5.224141056", "4.428184641",
        "4.203131326", "3.997293125", "3.371078725",
    )
]  # fmt: skip
"""Common Crawl, C4, GitHub, arXiv, books, Wikipedia, StackExchange: the paper's own numbers."""
TABLE_2 = [F(share) for share in ("0.005", "0.01", "0.05", "0.1", "0.25", "0.5")]
groups_of_weights = st.lists(weight_lists, min_size=1, max_size=3)


def off(source: np.ndarray, numbers: list[int], weights: list[F]) -> list[float]:
    """The most that each source of a data set is off its share of that data set, at any prefix."""
    inside = source[np.isin(source, numbers)]
    share = [weight / sum(weights) for weight in weights]
    prefixes = np.arange(1, len(inside) + 1)
    return [
        float(np.abs(np.cumsum(inside == number) - prefixes * float(part)).max())
        for number, part in zip(numbers, share, strict=True)
    ]


def test_two_sources_of_one_data_set_take_the_nearest_count():
    # The lighter has a quarter: floor(n / 4 + 1/2) of every n.
    source, index = locate(np.arange(8), [[F(3), F(1)]])
    assert source.tolist() == [0, 1, 0, 0, 0, 1, 0, 0]
    assert index.tolist() == [0, 0, 1, 2, 3, 1, 4, 5]


def test_the_two_lightest_sources_are_parted_last():
    # 2 against {1, 1}: every other sample; then one by one.
    source, _ = locate(np.arange(8), [[F(1), F(1), F(2)]])
    assert source.tolist() == [2, 0, 2, 1, 2, 0, 2, 1]


def test_sources_of_one_data_set_are_no_data_sets_of_their_own():
    assert counts(7, [[F(1), F(9)]]) == [1, 6]
    assert counts(7, alone(F(1), F(9))) == [0, 7]


def test_the_sources_of_a_data_set_do_not_move_another():
    plain, _ = locate(np.arange(5000), replay(F(1, 20)))
    mixed, _ = locate(
        np.arange(5000), [[F(1, 20)], [F(19, 20) * w / sum(SLIMPAJAMA) for w in SLIMPAJAMA]]
    )
    assert np.array_equal(plain == 0, mixed == 0)


@proofs
@given(groups=groups_of_weights, length=st.integers(0, 600))
def test_sources_of_several_data_sets_are_read_in_order_without_gaps(groups, length):
    source, index = locate(np.arange(length), groups)
    for number in range(sum(map(len, groups))):
        own = index[source == number]
        assert own.tolist() == list(range(len(own)))
    assert counts(length, groups) == [
        int((source == number).sum()) for number in range(sum(map(len, groups)))
    ]


@proofs
@given(
    weights=st.lists(
        st.fractions(min_value=F(1, 10**6), max_value=100, max_denominator=10**6),
        min_size=2,
        max_size=9,
    )
)
def test_no_source_is_ever_two_samples_off_its_share_of_its_data_set(weights):
    source, _ = locate(np.arange(3000), [weights])
    assert max(off(source, list(range(len(weights))), weights)) < 2


@pytest.mark.parametrize("length", [10**6, 10**12, 10**15, 10**18])
def test_a_long_stream_is_no_more_off_than_a_short_one(length):
    whole = sum(SLIMPAJAMA)
    for taken, weight in zip(counts(length, [SLIMPAJAMA]), SLIMPAJAMA, strict=True):
        assert abs(taken - length * weight / whole) < F(3, 2)


@pytest.mark.parametrize("share", TABLE_2, ids=str)
def test_slimpajama_with_every_replay_of_table_2_over_100_000_samples(share):
    """Replay is exact to one sample; the seven sources stay within 1.06 samples of their shares."""
    weights = [(1 - share) * weight / sum(SLIMPAJAMA) for weight in SLIMPAJAMA]
    source, index = locate(np.arange(100_000), [[share], weights])
    replayed = np.cumsum(source == 0)
    exact = [(n + 1) * share.numerator // share.denominator for n in range(100_000)]
    assert replayed.tolist() == exact
    assert max(off(source, list(range(1, 8)), weights)) < 1.06
    for number in range(8):
        own = index[source == number]
        assert np.array_equal(own, np.arange(len(own)))


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


def test_a_quotient_that_floats_round_down_is_exact():
    """In floats 49 * (1 / 49) is below 1."""
    assert int(49 * (1 / 49)) == 0
    source, index = locate(np.arange(500), replay(F(1, 49)))
    expected = [n // 49 if n % 49 == 48 else n - n // 49 for n in range(500)]
    assert index.tolist() == expected
    assert np.flatnonzero(source == 0).tolist() == list(range(48, 500, 49))


# The cut.


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("groups", [alone(F(1, 10), F(2, 10), F(7, 10)), [[F(1)], [F(5), F(2)]]])
def test_the_stream_is_the_same_for_any_number_of_ranks(num_ranks, groups):
    batch, steps = 24, 25
    per_rank = batch // num_ranks
    read = []
    for step in range(steps):
        for rank in range(num_ranks):
            first = step * batch + rank * per_rank
            source, index = locate(np.arange(first, first + per_rank), groups)
            read += zip(source.tolist(), index.tolist(), strict=True)
    source, index = locate(np.arange(steps * batch), groups)
    assert read == list(zip(source.tolist(), index.tolist(), strict=True))


def test_the_stream_can_be_entered_anywhere():
    source, index = locate(np.array([7, 3, 7]), replay(F(1, 4)))
    assert (source.tolist(), index.tolist()) == ([0, 0, 0], [1, 0, 1])


def test_the_samples_asked_for_are_left_as_they_were():
    samples = np.arange(6)
    locate(samples, [[F(1), F(2)], [F(3)]])
    assert samples.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("groups", [[], [[]], [[F(1)], []], [[F(0)]], [[F(1), F(-1, 2)]]])
def test_weights_must_be_above_zero(groups):
    with pytest.raises(ValueError, match="must be above 0"):
        locate(np.arange(3), groups)
    with pytest.raises(ValueError, match="must be above 0"):
        counts(3, groups)


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


def test_a_family_has_orders_of_its_own():
    training = {tuple(shuffled(np.arange(50), 50, 0, epoch).tolist()) for epoch in range(8)}
    replay = {tuple(shuffled(np.arange(50), 50, 0, round_, (1,)).tolist()) for round_ in range(8)}
    assert len(training | replay) == 16
    assert sorted(next(iter(replay))) == list(range(50))


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
