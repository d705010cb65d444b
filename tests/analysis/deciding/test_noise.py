"""Intervals against numbers worked out by hand, against drawing, and against the truth."""

import math

import numpy as np
import pytest

from analysis.deciding.noise import Noise, estimate, quantile
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table

STUDENT_2 = 4.302653
"""Student's 97.5% quantile for two degrees of freedom, from a printed table."""


def add(typed, trial, replay, adaptation, seed=0, wobble=0.0, **more):
    """Two evaluations in the window, `wobble` to either side."""
    losses = {
        "prose": [(0, 2.0), (90, 2.5), (100, 2.5)],
        "code": [(0, 3.0), (90, 3.0 - adaptation + wobble), (100, 3.0 - adaptation - wobble)],
    }
    typed.add(trial, replay, losses=losses, seed=seed, **more)


def read(sweep_dir):
    sweep = load_sweep(sweep_dir)
    trials = trial_table(sweep)
    settings = trials.set_index("trial")["setting"]
    return Noise(sweep, trials), settings


def test_the_mean_of_two_seeds_has_student_s_interval(typed):
    add(typed, "a", 0, 1.0, seed=0)
    add(typed, "b", 0, 1.2, seed=1)
    noise, settings = read(typed.write())
    found = noise.of(settings["a"], "adaptation")
    # s = 0.2 / sqrt 2, over sqrt 2 seeds: 0.1; Student's quantile for one degree is 12.7062
    assert found.value == pytest.approx(1.1)
    assert found.high - found.value == pytest.approx(1.27062, rel=1e-5)
    assert found.value - found.low == pytest.approx(1.27062, rel=1e-5)
    assert found.seeds == 2


def test_the_window_widens_it_by_its_share(typed):
    add(typed, "a", 0, 1.0, seed=0, wobble=0.04)
    add(typed, "b", 0, 1.2, seed=1, wobble=0.02)
    noise, settings = read(typed.write())
    found = noise.of(settings["a"], "adaptation")
    # seeds (0.01 + 0.01) / 2 = 0.01; windows (0.04^2 / 2 + 0.02^2 / 2) / 2 = 0.0005; over n - 1 = 1
    assert found.high - found.value == pytest.approx(12.70620 * math.sqrt(0.0105), rel=1e-5)


def test_a_difference_is_paired_by_seed(typed):
    typed.axes["seed"] = [0, 1, 2]
    for seed, common, gain in ((0, 1.0, 0.10), (1, 2.0, 0.11), (2, 1.5, 0.12)):
        add(typed, f"a{seed}", 0, common, seed=seed)
        add(typed, f"b{seed}", 0.5, common + gain, seed=seed)
    noise, settings = read(typed.write())
    found = noise.difference(settings["b0"], settings["a0"], "adaptation")
    assert found.value == pytest.approx(0.11)
    assert found.high - found.value == pytest.approx(STUDENT_2 * 0.01 / math.sqrt(3), rel=1e-5)


def test_only_seeds_that_both_have_complete_are_paired(typed):
    typed.axes["seed"] = [0, 1, 2]
    for seed in range(3):
        add(typed, f"a{seed}", 0, 1.0 + seed, seed=seed)
        add(typed, f"b{seed}", 0.5, 1.5 + seed, seed=seed, status="complete" if seed else "stopped")
    noise, settings = read(typed.write())
    found = noise.difference(settings["b0"], settings["a0"], "adaptation")
    assert (found.value, found.seeds) == (pytest.approx(0.5), 2)


def test_one_seed_has_a_value_and_no_interval(typed):
    add(typed, "a", 0, 1.0, wobble=0.03)
    noise, settings = read(typed.write())
    found = noise.of(settings["a"], "adaptation")
    assert found.value == pytest.approx(1.0)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_setting_without_a_complete_trial_has_no_value(typed):
    add(typed, "a", 0, 1.0, status="stopped")
    add(typed, "b", 0.5, 1.0)
    noise, settings = read(typed.write())
    assert math.isnan(noise.of(settings["a"], "adaptation").value)
    assert noise.of(settings["a"], "adaptation").seeds == 0
    assert noise.difference(settings["a"], settings["b"], "forgetting").seeds == 0


def test_a_setting_less_itself_is_nothing_for_sure(typed):
    for seed in range(2):
        add(typed, f"a{seed}", 0, 1.0 + seed, seed=seed, wobble=0.01)
    noise, settings = read(typed.write())
    found = noise.difference(settings["a0"], settings["a0"], "adaptation")
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_tables_have_the_same_intervals(typed):
    for seed in range(2):
        add(typed, f"a{seed}", 0, 1.0 + 0.1 * seed, seed=seed, wobble=0.02)
        add(typed, f"b{seed}", 0.05, 1.5 + 0.3 * seed, seed=seed, wobble=0.03)
    sweep = load_sweep(typed.write())
    trials = trial_table(sweep)
    table, noise = settings_table(sweep, trials, anchor(sweep)), Noise(sweep, trials)
    one, other = table.index
    own, change = noise.of(one, "adaptation"), noise.difference(one, other, "adaptation")
    row = table.loc[one]
    assert [row["adaptation_low"], row["adaptation_high"]] == pytest.approx([own.low, own.high])
    assert row["adaptation_change_low"] == pytest.approx(change.low)
    assert row["adaptation_change_high"] == pytest.approx(change.high)
    assert table.loc[other, "adaptation_change_high"] == 0


def test_comparisons_widen_the_quantile():
    assert quantile(2, 1) == pytest.approx(STUDENT_2)
    # 1 - 0.05 / 20 = 0.9975 for two degrees of freedom
    assert quantile(2, 10) == pytest.approx(14.08905, rel=1e-6)
    with pytest.raises(ValueError, match="comparisons is 0"):
        quantile(2, 0)


def test_the_closed_form_is_the_bootstrap_s_variance():
    rng = np.random.default_rng(7)
    seeds, evaluations, draws = 3, 6, 200_000
    windows = rng.normal(0, 0.02, (seeds, evaluations)) + rng.normal(0, 0.01, (seeds, 1))
    chosen = rng.integers(seeds, size=(draws, seeds))
    picked = rng.integers(evaluations, size=(draws, seeds, evaluations))
    drawn = windows[chosen[..., None], picked].mean(axis=(1, 2))
    found = estimate(windows.mean(axis=1), windows.var(axis=1) / evaluations)
    error = (found.high - found.value) / STUDENT_2
    assert error == pytest.approx(drawn.std() * math.sqrt(seeds / (seeds - 1)), rel=0.01)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("between", [0.0, 0.01])
def test_intervals_hold_the_truth_as_often_as_they_say(seeds, between):
    rng = np.random.default_rng(seeds)
    worlds, evaluations = 4_000, 8
    means = rng.normal(0, between, (worlds, seeds, 1))
    windows = means + rng.normal(0, 0.01, (worlds, seeds, evaluations))
    each, added = windows.mean(axis=2), windows.var(axis=2) / evaluations
    held = [found.low <= 0 <= found.high for found in map(estimate, each, added)]
    assert np.mean(held) >= 0.945
