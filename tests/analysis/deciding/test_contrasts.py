"""Contrasts with pooled noise, and how often they call true what is false."""

import math

import numpy as np
import pytest

from analysis.deciding.contrasts import Contrasts, combined
from analysis.deciding.pooling import pool


class Drawn:
    """Values of settings by seeds, in place of a sweep's."""

    def __init__(self, values):
        self.values = np.asarray(values, dtype=float)

    def pool(self, settings, measure):
        rows = [int(setting) for setting in settings]
        return pool(self.values[rows], np.zeros(len(rows)))


def contrasts(values):
    return Contrasts(Drawn(values), [str(row) for row in range(len(values))])


def test_the_difference_of_two_settings_is_the_paired_t_interval():
    # Differences 0.3, 0.1, 0.2: mean 0.2, s = 0.1, t(0.975, 2) = 4.30265.
    found = contrasts([[1.3, 2.1, 3.2], [1.0, 2.0, 3.0]]).contrast({"0": 1, "1": -1}, "")
    half = 4.30265 * 0.1 / math.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.2, 0.2 - half, 0.2 + half), abs=1e-5
    )
    assert found.seeds == 3


def test_a_setting_of_weight_nothing_still_takes_part_in_the_pairing():
    values = [[1.3, 2.1, 3.2], [1.0, 2.0, 3.0], [1.0, np.nan, 1.0]]
    found = contrasts(values).contrast({"0": 1, "1": -1, "2": 0}, "")
    assert (found.value, found.seeds) == (pytest.approx(0.25), 2)


def test_one_common_seed_has_no_interval():
    found = contrasts([[1.0, 2.0, np.nan], [np.nan, 2.5, 3.0], [1, 2, 3]]).contrast(
        {"0": 1, "1": -1}, ""
    )
    assert (found.value, found.seeds) == (-0.5, 1)
    assert math.isnan(found.low)


def test_settings_that_cancel_stay():
    assert combined((1, {"a": 1, "b": -1}), (-1, {"a": 1})) == {"a": 0, "b": -1}


def test_what_seeds_share_cancels_in_a_share_of_differences():
    quiet = np.array([[0.5, 0.5, 0.5], [0.2, 0.2, 0.2], [0.1, 0.1, 0.1]])
    noise = np.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2]]) * 0.003
    weights = {"0": 1, "1": -1}, {"0": 1, "2": -1}
    alone, shared = (
        contrasts(values).ratio(*weights, "")
        for values in (quiet + noise, quiet + noise + [0, 1, 7])
    )
    assert alone.value == pytest.approx(0.75)
    assert (shared.low, shared.high) == pytest.approx((alone.low, alone.high))


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_share_at_its_threshold_is_seldom_called_above_it(seeds):
    """Truth: 0.5 of 0.4; the seeds share twice the noise of a trial."""
    draw = np.random.default_rng(0)
    means = np.array([0.4, 0.2, 0.1, 0.3, 0.25, 0.35])[:, None]
    called = 0
    for _ in range(400):
        noise = draw.normal(0, 0.01, (6, seeds)) + draw.normal(0, 0.02, seeds)
        found = contrasts(means + noise).ratio({"0": 1, "1": -1}, {"0": 1}, "")
        called += found.low > 0.5
    assert called <= 0.05 * 400


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_difference_at_the_margin_is_seldom_called_inside_it(seeds):
    draw = np.random.default_rng(1)
    means = np.array([0.4, 0.35, 0.4, 0.4, 0.4, 0.4])[:, None]
    called = 0
    for _ in range(400):
        noise = draw.normal(0, 0.005, (6, seeds)) + draw.normal(0, 0.02, seeds)
        found = contrasts(means + noise).contrast({"0": 1, "1": -1}, "")
        called += found.low > -0.05 and found.high < 0.05
    assert called <= 0.05 * 400
