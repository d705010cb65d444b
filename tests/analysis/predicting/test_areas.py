"""The areas below a learning-rate curve, against sums made by hand."""

import numpy as np
import pandas as pd
import pytest

from analysis.predicting import areas as module
from analysis.predicting.areas import areas, logged_rates, scheduled_rates
from cpt.schedule_config import ScheduleConfig


def test_areas_of_a_falling_rate_are_the_sums_of_the_formula():
    s1, s2 = areas(np.array([4.0, 4.0, 2.0, 1.0]), decay=0.5)

    assert list(s1) == [0, 4, 8, 10, 11]
    # The inner sums are 0, 0, 2, and 2 * 0.5 + 1 = 2.
    assert list(s2) == [0, 0, 0, 2, 4]


def test_a_rising_rate_is_no_annealing():
    _, s2 = areas(np.array([1.0, 3.0, 2.0]), decay=0.5)

    assert list(s2) == [0, 0, 0, 1]


def test_areas_agree_with_the_double_sum():
    rates = np.sort(np.random.default_rng(0).uniform(size=30))[::-1]
    falls = np.append(0.0, -np.diff(rates))
    by_hand = sum(falls[k] * 0.9 ** (i - k) for i in range(30) for k in range(i + 1))

    assert areas(rates, decay=0.9)[1][-1] == pytest.approx(by_hand)


def test_no_updates_have_no_area():
    assert [list(area) for area in areas(np.zeros(0))] == [[0.0], [0.0]]


def test_rates_between_thinned_rows_are_straight_and_held_outside_of_them():
    rows = pd.DataFrame({"step": [2, 4, 4], "lr": [1.0, 9.0, 3.0]})

    # Of two rows of one step the later counts.
    assert list(logged_rates(rows, 6)) == [1, 1, 2, 3, 3, 3]


def test_rates_of_a_schedule_are_those_its_updates_would_use():
    config = ScheduleConfig(type="cosine", max_lr=1.0, min_lr=0.0, warmup_fraction=0.5)

    assert list(scheduled_rates(config, 4)) == pytest.approx([0, 0.5, 1, 0.5])


def test_a_long_schedule_is_read_at_some_steps_and_has_nearly_the_same_areas(monkeypatch):
    config = ScheduleConfig(type="cosine", max_lr=1.0, min_lr=0.1, warmup_fraction=0.01)
    exact = areas(scheduled_rates(config, 4000))
    monkeypatch.setattr(module, "MOST_READ", 400)
    read = areas(scheduled_rates(config, 4000))

    assert [area[-1] for area in read] == pytest.approx([area[-1] for area in exact], rel=1e-3)
