"""The dip by setting: means over seeds, and against not re-warming."""

import math

import pytest

from analysis.dips import dip_settings, dip_table
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.page.dip_summary import dip_means, dip_sentence
from analysis.settings import anchor


def measured(typed):
    sweep = load_sweep(typed.write())
    trials, center = trial_table(sweep), anchor(sweep)
    return sweep, dip_settings(sweep, dip_table(sweep, trials), trials, center), center


def bump(peak, back):
    """D1 loss from 3: highest at step 10, below 3 again at step `back`; D0 loss climbs to 2.5."""
    code = [(0, 3.0), (10, peak), *((step, 3.1 if step < back else 2.9) for step in (20, 40, 60))]
    return {"prose": [(0, 2.0), (10, 2.1), (100, 2.5)], "code": [*code, (100, 2.0)]}


@pytest.fixture
def dipped(typed):
    """The centre in two seeds against not re-warming; a trial with other replay, one running."""
    typed.add("c0", seed=0, losses=bump(3.4, 20))
    typed.add("c1", seed=1, losses=bump(3.6, 40))
    for seed in (0, 1):
        still = {"prose": [(0, 2.0), (100, 2.2)], "code": [(0, 3.0), (10, 2.9), (100, 2.5)]}
        typed.add(f"s{seed}", seed=seed, losses=still, baseline="no_rewarm")
    typed.add("other", 0.5, losses=bump(3.9, 20))
    typed.add("running", seed=2, losses=bump(9.0, 20), status="running")
    return typed


def test_a_setting_has_the_mean_height_place_and_end_of_its_dips(dipped):
    _, means, _ = measured(dipped)
    assert list(means["trial"]) == ["c0", "s0"]
    centre = means.iloc[0]
    # Rises 0.4 and 0.6: mean 0.5, half 12.7062 x 0.1.
    assert centre["d1_rise"] == pytest.approx(0.5)
    assert centre["d1_rise_high"] == pytest.approx(0.5 + 1.27062, abs=1e-4)
    assert (centre["d1_peak_tokens"], centre["d1_recovered_tokens"]) == (100, 300)
    assert (centre["d0_peak_tokens"], centre["d0_back"]) == (1000, 0)
    assert math.isnan(centre["d0_recovered_tokens"])


def test_rewarming_is_held_against_not_rewarming_seed_by_seed(dipped):
    _, means, _ = measured(dipped)
    # Without re-warming D1 loss never rises: its largest later value is 2.9.
    assert means["d1_rise_change"].tolist() == pytest.approx([0.6, 0.0])
    assert means["d0_rise_change"].tolist() == pytest.approx([0.3, 0.0])


def test_the_table_shows_heights_places_and_ends(dipped):
    table = dip_means(*measured(dipped))
    shown = [[cell.text for cell in cells] for _, cells in table.rows]
    assert shown == [
        ["centre", "2", "+0.500", "+0.600", "100", "300", "+0.500", "+0.300", "1k", "never"],
        [
            "no re-warming",
            "2",
            "−0.100",
            "",
            "never rose",
            "never rose",
            "+0.200",
            "",
            "1k",
            "never",
        ],
    ]


def test_the_centres_dip_is_told_in_a_sentence(dipped):
    assert dip_sentence(*measured(dipped)) == (
        "In the centre D1 loss climbs by 0.500 (the mean over seeds, +0.600 against not "
        "re-warming), is highest after 100 tokens and is back after 300."
    )


def test_without_a_complete_trial_nothing_is_told(typed):
    typed.add("a", losses=bump(3.4, 20), status="running")
    sweep, means, center = measured(typed)
    assert means.empty
    assert dip_sentence(sweep, means, center) == ""
    assert dip_means(sweep, means, center).rows == []


def test_a_loss_that_is_no_number_has_no_dip(typed):
    typed.add("a", losses=bump(3.4, 20))
    sweep = load_sweep(typed.write())
    sweep.evals.loc[sweep.evals["step"] > 0, "loss"] = math.nan
    (row,) = dip_table(sweep, trial_table(sweep)).to_dict("records")
    assert math.isnan(row["d1_rise"])
    assert math.isnan(row["d1_peak_tokens"])
