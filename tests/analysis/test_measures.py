"""Measures against numbers worked out by hand: 100 steps, a final window of 20."""

import math

import pandas as pd
import pytest

from analysis.dips import dip_table
from analysis.load import load_sweep
from analysis.measures import csv_table, trial_table
from analysis.settings import anchor, around, is_efficient, settings_table


def curve(start, *ends):
    """Step 0, the edge of the window (which does not count), and two evaluations in it."""
    return [(0, start), (80, 99.0), (90, ends[0]), (100, ends[-1])]


def measured(typed):
    return trial_table(load_sweep(typed.write())).set_index("trial")


def test_final_loss_is_the_mean_over_the_last_window(typed):
    typed.add("a", losses={"prose": curve(2.0, 2.2, 2.4), "code": curve(3.0, 1.5, 1.3)})
    row = measured(typed).loc["a"]
    assert row["d0_loss"] == pytest.approx(2.3)
    assert row["d1_loss"] == pytest.approx(1.4)
    assert row["mean_loss"] == pytest.approx(1.85)
    assert row["forgetting"] == pytest.approx(0.3)
    assert row["adaptation"] == pytest.approx(1.6)


def test_the_loss_of_a_single_domain_does_not_enter(typed):
    state = typed.add("a", losses={"prose": curve(2.0, 2.2), "code": curve(3.0, 1.5)})
    line = typed.eval_file(state).read_text().splitlines()[6]
    typed.append(
        state, line.replace('"domain": null', '"domain": "x"').replace("2.2", "7.0") + "\n"
    )
    assert measured(typed).loc["a", "d0_loss"] == pytest.approx(2.2)


@pytest.mark.parametrize("status", ["running", "stopped", "failed", None])
def test_a_trial_that_is_not_complete_keeps_its_row_without_measures(typed, status):
    losses = {"prose": curve(2.0, 2.2), "code": curve(3.0, 1.5)}
    typed.add("a", losses=losses, status=status)
    row = measured(typed).loc["a"]
    assert row["status"] == (status or "pending")
    assert row[["d0_loss", "d1_loss", "mean_loss", "forgetting", "adaptation"]].isna().all()


def test_from_scratch_is_held_against_the_pretrained_model_of_its_seed(typed):
    for seed, start in ((0, 2.0), (1, 2.1)):
        losses = {"prose": curve(start, 2.2), "code": curve(3.0, 1.5)}
        typed.add(f"a{seed}", seed=seed, losses=losses)
    scratch = {"prose": curve(6.0, 2.6), "code": curve(6.0, 1.6)}
    typed.add("only", None, seed=1, losses=scratch, baseline="downstream_only", scratch=True)
    row = measured(typed).loc["only"]
    assert row["forgetting"] == pytest.approx(0.5)
    assert row["adaptation"] == pytest.approx(1.4)


def test_from_scratch_alone_has_losses_but_no_reference(typed):
    scratch = {"prose": curve(6.0, 2.6), "code": curve(6.0, 1.6)}
    typed.add("only", None, losses=scratch, baseline="downstream_only", scratch=True)
    row = measured(typed).loc["only"]
    assert row["d0_loss"] == pytest.approx(2.6)
    assert math.isnan(row["forgetting"])


def test_interval_over_two_seeds_is_students(typed):
    # Mean 0.3, s = 0.1 sqrt(2), t(0.975, 1) = 12.7062, half = t s / sqrt(2) = 1.27062.
    for seed, end in ((0, 2.2), (1, 2.4)):
        losses = {"prose": curve(2.0, end), "code": curve(3.0, 1.5)}
        typed.add(f"a{seed}", seed=seed, losses=losses)
    typed.add("other", 0.5, losses={"prose": curve(2.0, 2.1), "code": curve(3.0, 1.6)})
    table = measured(typed)
    for trial in ("a0", "a1"):
        assert table.loc[trial, "forgetting_low"] == pytest.approx(0.3 - 1.27062, abs=1e-5)
        assert table.loc[trial, "forgetting_high"] == pytest.approx(0.3 + 1.27062, abs=1e-5)
        assert table.loc[trial, "d1_loss_low"] == pytest.approx(1.5)
    assert math.isnan(table.loc["other", "forgetting_low"])


def test_trials_csv_has_the_columns_of_the_contract(typed):
    typed.add("a", losses={"prose": curve(2.0, 2.2), "code": curve(3.0, 1.5)})
    sweep = load_sweep(typed.write())
    assert list(csv_table(sweep, trial_table(sweep)).columns) == [
        "trial",
        "state",
        "replay_fraction",
        "seed",
        "baseline",
        "status",
        "tokens",
        "d0_loss",
        "d1_loss",
        "mean_loss",
        "forgetting",
        "adaptation",
        "d0_loss_low",
        "d0_loss_high",
        "d1_loss_low",
        "d1_loss_high",
        "mean_loss_low",
        "mean_loss_high",
        "forgetting_low",
        "forgetting_high",
        "adaptation_low",
        "adaptation_high",
    ]


def test_differences_to_the_centre_are_paired_by_seed(typed):
    # The seeds differ by 1 nat, the settings by 0.1 within each seed: the pairs agree exactly.
    for seed, offset in ((0, 0.0), (1, 1.0)):
        for name, replay, end in (("c", 0.05, 2.3), ("r", 0.5, 2.2)):
            losses = {"prose": curve(2.0, end + offset), "code": curve(3.0, 1.5)}
            typed.add(f"{name}{seed}", replay, seed=seed, losses=losses)
    sweep = load_sweep(typed.write())
    settings = settings_table(sweep, trial_table(sweep), anchor(sweep)).set_index("trial")
    row = settings.loc["r0"]
    assert row["seeds"] == 2
    assert row["forgetting_change"] == pytest.approx(-0.1)
    assert row["forgetting_change_high"] == pytest.approx(-0.1)
    assert row["forgetting_high"] - row["forgetting"] > 6


def test_a_setting_is_efficient_unless_another_beats_it():
    table = pd.DataFrame(
        {
            "forgetting": [0.1, 0.3, 0.3, 0.2, 0.0],
            "adaptation": [0.5, 0.9, 0.8, 0.4, 9.0],
            "from_scratch": [False, False, False, False, True],
        },
        index=["least", "most", "worse than most", "beaten", "scratch"],
    )
    assert is_efficient(table).to_dict() == {
        "least": True,
        "most": True,
        "worse than most": False,
        "beaten": False,
        "scratch": False,
    }


def test_equal_settings_do_not_beat_each_other():
    table = pd.DataFrame(
        {"forgetting": [0.1, 0.1], "adaptation": [0.5, 0.5], "from_scratch": [False, False]}
    )
    assert is_efficient(table).tolist() == [True, True]


def dips(typed):
    sweep = load_sweep(typed.write())
    (row,) = dip_table(sweep, trial_table(sweep)).to_dict("records")
    return row


def test_dip_is_the_largest_rise_and_the_first_return(typed):
    code = [(0, 3.0), (1, 3.0), (2, 3.4), (4, 3.1), (8, 2.9), (16, 3.2), (32, 2.5)]
    prose = [(0, 2.0), (1, 2.0), (2, 2.3), (4, 2.6), (8, 2.4), (16, 2.4), (32, 2.5)]
    typed.add("a", losses={"prose": prose, "code": code})
    row = dips(typed)
    assert row["d0_rise"] == pytest.approx(0.6)
    assert row["d1_rise"] == pytest.approx(0.4)
    assert row["d1_recovered_tokens"] == 80
    assert math.isnan(row["d0_recovered_tokens"])
    assert (row["d0_peak_tokens"], row["d1_peak_tokens"]) == (40, 20)


def test_a_dip_that_has_not_ended_has_no_return(typed):
    typed.add("a", losses={"prose": [(0, 2.0), (2, 2.3)], "code": [(0, 3.0), (2, 3.4)]})
    assert math.isnan(dips(typed)["d1_recovered_tokens"])


def test_a_loss_that_only_falls_has_a_negative_rise_and_nothing_to_recover(typed):
    typed.add("a", losses={"prose": [(0, 2.0), (2, 2.1)], "code": [(0, 3.0), (2, 2.9), (4, 2.8)]})
    row = dips(typed)
    assert row["d1_rise"] == pytest.approx(-0.1)
    assert (row["d1_recovered_tokens"], row["d1_peak_tokens"]) == (0, 0)


def test_without_a_centre_curves_go_around_the_most_common_values(typed):
    typed.center = None
    typed.add("a", 0)
    typed.add("b", 0.5)
    typed.add("c", 0.5, seed=1)
    typed.add("union", 0.05, baseline="union", scratch=True)
    sweep = load_sweep(typed.write())
    assert anchor(sweep) == {"replay_fraction": 0.5}


def test_around_the_centre_stand_the_trials_that_differ_in_one_axis():
    trials = pd.DataFrame(
        {
            "trial": ["c", "x2", "y2", "both", "baseline"],
            "x": [1, 2, 1, 2, 1],
            "y": [1, 1, 2, 2, 1],
            "baseline": ["", "", "", "", "no_rewarm"],
        }
    )
    assert around(trials, "x", {"x": 1, "y": 1})["trial"].tolist() == ["c", "x2"]
    assert around(trials, "", {"x": 1, "y": 1})["trial"].tolist() == ["c"]
