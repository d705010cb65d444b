"""Which settings of two sweeps match, and by how much they differ."""

import math

import numpy as np
import pytest
from scipy import stats

import analysis
from analysis.comparing.entries import entries, unique_names
from analysis.comparing.matching import (
    clear,
    half_widths,
    matched_settings,
    shared_states,
    unmatched,
)
from analysis.units import Unit
from cpt.files import write_json

MEASURES = ["forgetting", "adaptation"]


def compared(folders):
    one, other = entries([analysis.load(folder) for folder in folders], Unit.NATS)
    return one, other, matched_settings(one, other, MEASURES)


def test_seeds_that_both_completed_are_paired(three_seeds):
    _, _, table = compared(three_seeds)
    (row,) = table.to_dict("records")
    assert (row["name"], row["how"], row["seeds"]) == ("centre", "paired", "3 pairs")
    assert row["forgetting_one"] == pytest.approx(1 / 3)
    assert row["forgetting_change"] == pytest.approx(0.12)
    # Three pairs 0.02 apart: s = 0.02, t for two degrees of freedom at 95% is 4.302653.
    assert row["forgetting_change_high"] == pytest.approx(0.12 + 4.302653 * 0.02 / math.sqrt(3))
    assert row["adaptation_change"] == pytest.approx(0)


def test_a_paired_interval_is_that_of_a_paired_test(three_seeds):
    _, _, table = compared(three_seeds)
    reference = stats.ttest_rel([0.30, 0.62, 0.44], [0.2, 0.5, 0.3]).confidence_interval(0.95)
    assert table["forgetting_change_low"][0] == pytest.approx(reference.low)
    assert table["forgetting_change_high"][0] == pytest.approx(reference.high)


def test_other_seeds_are_compared_by_welch(pair):
    ours, theirs = [0.2, 0.5, 0.3], [0.9, 0.8]
    for seed, forgetting in enumerate(ours):
        pair.trial("one", seed, forgetting, 0.5)
    for seed, forgetting in enumerate(theirs, 7):
        pair.trial("other", seed, forgetting, 0.5)
    _, _, table = compared(pair.write({"one": [0, 1, 2], "other": [7, 8]}))
    assert (table["how"][0], table["seeds"][0]) == ("unpaired", "3 and 2")
    reference = stats.ttest_ind(theirs, ours, equal_var=False)
    interval = reference.confidence_interval(0.95)
    assert table["forgetting_change"][0] == pytest.approx(np.mean(theirs) - np.mean(ours))
    assert table["forgetting_change_low"][0] == pytest.approx(interval.low)
    assert table["forgetting_change_high"][0] == pytest.approx(interval.high)


def test_a_single_seed_has_a_difference_and_no_interval(pair):
    pair.trial("one", 0, 0.2, 0.5)
    pair.trial("other", 0, 0.3, 0.5)
    _, _, table = compared(pair.write({"one": [0], "other": [0]}))
    assert table["how"][0] == "one seed"
    assert table["forgetting_change"][0] == pytest.approx(0.1)
    assert math.isnan(table["forgetting_change_low"][0])
    assert not clear(table, "forgetting").any()


def test_a_run_of_both_sweeps_is_no_second_observation(pair):
    for seed in (0, 1):
        pair.trial("one", seed, 0.2, 0.5, name=f"shared {seed}")
        pair.trial("other", seed, 0.2, 0.5, name=f"shared {seed}")
    one, other, table = compared(pair.write({"one": [0, 1], "other": [0, 1]}))
    assert table["how"][0] == "same run"
    assert math.isnan(table["forgetting_change"][0])
    assert shared_states(one, other) == ["up-0", "state-shared 0", "up-1", "state-shared 1"]


def test_what_is_not_complete_matches_nothing(pair):
    pair.trial("one", 0, 0.2, 0.5)
    pair.trial("one", 0, 0.2, 0.5, replay=0.5)
    pair.trial("other", 0, 0.2, 0.5, status="stopped")
    pair.trial("other", 0, 0.2, 0.5, replay=0.0)
    one, other, table = compared(pair.write({"one": [0], "other": [0]}, replay=(0, 0.05, 0.5)))
    assert table.empty
    assert unmatched(one, other) == (2, 1)


def test_a_factor_without_an_axis_is_the_centres(pair):
    for sweep in ("one", "other"):
        pair.trial(sweep, 0, 0.2, 0.5)
        pair.trial(sweep, 0, 0.1, 0.4, replay=0.5)
    folders = pair.write({"one": [0], "other": [0]}, replay=(0.05, 0.5))
    changed = {"axes": {"seed": [0]}, "center": {"replay_fraction": 0.05}}
    plan = folders[1] / "plan.json"
    content = analysis.load(folders[1]).plan | changed
    content["trials"] = [trial for trial in content["trials"] if trial["center"]]
    write_json(plan, content)
    _, _, table = compared(folders)
    assert list(table["name"]) == ["centre"]


def test_baselines_match_by_name(pair):
    for sweep in ("one", "other"):
        pair.trial(sweep, 0, 0.2, 0.5)
        pair.trial(sweep, 0, 0.0, 0.1, baseline="no_rewarm")
    _, _, table = compared(pair.write({"one": [0], "other": [0]}))
    assert list(table["baseline"]) == ["", "no_rewarm"]


def test_many_comparisons_ask_for_more(three_seeds):
    _, _, table = compared(three_seeds)
    alone, of_four = (half_widths(table, "forgetting", count)[0] for count in (1, 4))
    assert of_four == pytest.approx(alone * stats.t.ppf(1 - 0.05 / 8, 2) / stats.t.ppf(0.975, 2))
    assert list(clear(table, "forgetting")) == [True]
    assert list(clear(table, "adaptation")) == [False]


def test_sweeps_of_one_name_are_told_apart():
    assert unique_names(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]
