"""The words follow from the numbers."""

import pytest

from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.page import story
from analysis.settings import anchor, settings_table


def told(sweep_dir):
    sweep = load_sweep(sweep_dir)
    trials, center = trial_table(sweep), anchor(sweep)
    settings = settings_table(sweep, trials, center)
    findings = {
        finding.title: finding for finding in story.findings(sweep, trials, settings, center)
    }
    return findings, story.certainty(sweep, settings, center)


def add(typed, trial, replay, forgetting, adaptation, **more):
    losses = {
        "prose": [(0, 2.0), (100, 2.0 + forgetting)],
        "code": [(0, 3.0), (100, 3.0 - adaptation)],
    }
    typed.add(trial, replay, losses=losses, **more)


@pytest.fixture
def three(typed):
    """No replay adapts most; 5% keeps 98% of that, 50% keeps 90%; no re-warming wins the mean."""
    add(typed, "r0", 0, 0.9, 1.0)
    add(typed, "r5", 0.05, 0.4, 0.98)
    add(typed, "r50", 0.5, 0.1, 0.9)
    add(typed, "no_rewarm", 0.05, 0.0, 0.85, baseline="no_rewarm")
    return typed


def test_each_question_gets_its_setting(three):
    findings, _ = told(three.write())
    assert findings["Adapts most"].subject == "replay 0%"
    assert findings["Forgets least of the re-warmed"].subject == "replay 50%"
    assert findings["Cheapest of those that keep 95% of that adaptation"].subject == "centre"


def test_the_mean_loss_is_exposed_where_it_rewards_not_adapting(three):
    findings, _ = told(three.write())
    finding = findings["The mean loss alone would choose"]
    assert finding.subject == "no re-warming"
    assert "gains 85% of the largest adaptation" in finding.text


def test_replay_is_held_against_none(three):
    findings, _ = told(three.write())
    assert findings["What replay buys"].text.startswith(
        "Forgetting goes from +0.900 without replay to +0.400 (5%) and +0.100 (50%); "
        "adaptation from 1.000 to 0.980 (5%) and 0.900 (50%)."
    )


def test_one_seed_cannot_tell_noise_from_effect(three):
    _, certainty = told(three.write())
    assert "cannot tell an effect from noise" in certainty


def test_seeds_tell_which_differences_stand_out(typed):
    for seed, wobble in ((0, 0.0), (1, 0.001)):
        add(typed, f"c{seed}", 0.05, 0.4, 0.98, seed=seed)
        add(typed, f"r{seed}", 0.5, 0.1 + wobble, 0.98 + wobble, seed=seed)
    _, certainty = told(typed.write())
    assert "Of 1 settings held against the centre" in certainty
    assert "in forgetting of 1 and adaptation of 0" in certainty


def test_nothing_complete_is_said_plainly(typed):
    typed.add("a", status="running", losses={"prose": [(0, 2.0)], "code": [(0, 3.0)]})
    findings, _ = told(typed.write())
    assert list(findings) == ["Nothing to compare yet"]
