"""Trials that a rule ended early: drawn, named, and in no ranking."""

import pytest

from analysis.drawing import curves, slices
from analysis.drawing.every_trial import every_trial_losses
from analysis.drawing.scatter import scatter_charts
from analysis.load import load_sweep
from analysis.measures import measure_names, trial_table
from analysis.page import story
from analysis.page.stopping import stopped_sentence
from analysis.report import write_report
from analysis.settings import anchor, settings_table

STOPPED = ["max_lr=0.00075", "max_lr=0.0015", "max_lr=0.012"]


@pytest.fixture
def measured(stopped):
    sweep = load_sweep(stopped)
    trials = trial_table(sweep)
    center = anchor(sweep)
    return sweep, trials, settings_table(sweep, trials, center), center


def test_they_keep_their_rows_and_have_no_measures(measured):
    sweep, trials, _, _ = measured
    rows = trials[trials["status"] == "stopped"]
    assert rows["trial"].tolist() == STOPPED
    assert rows[measure_names(sweep.roles)].isna().all(axis=None)
    assert sweep.evals.loc[sweep.evals["state"] == "lr-0.0015", "step"].max() == 60


def test_they_are_no_settings_and_in_no_finding(measured):
    sweep, trials, settings, center = measured
    assert settings["trial"].tolist() == ["max_lr=0.003", "max_lr=0.006"]
    subjects = {one.subject for one in story.findings(sweep, trials, settings, center)}
    assert subjects == {"", "peak LR 0.006", "centre"}


def test_one_sentence_says_how_many_by_what_and_where(measured):
    (finding,) = [one for one in story.findings(*measured) if one.title == "Stopped early"]
    assert finding.text == (
        "3 of 5 trials were stopped early by ASHA on D1 loss at 300 and 600 tokens; they have no "
        "final losses and are in no ranking."
    )


@pytest.mark.parametrize("made", [{"recorded": {"metric": "d0_loss"}}, {"may_stop": False}])
def test_what_another_rule_stopped_is_not_said_to_be_this_ones_work(stopped_by, made):
    sweep = load_sweep(stopped_by(**made))
    assert stopped_sentence(sweep, trial_table(sweep)) == (
        "3 of 5 trials were stopped early at 300 and 600 tokens; they have no final losses and "
        "are in no ranking. 3 of them by another rule than this sweep's; the next run goes on "
        "with such trials."
    )


def test_legend_and_caption_say_so(measured):
    sweep, trials, _, center = measured
    (chart,) = slices.axis_charts(sweep, trials, center)
    assert [(key.name, key.mark) for key in chart.keys] == [
        ("0.00075 (stopped)", "dots"),
        ("0.0015 (stopped)", "dots"),
        ("0.003", "thick"),
        ("0.006", "line"),
        ("0.012 (stopped)", "dots"),
    ]
    assert "Of 5 trials drawn here 3 were stopped early" in chart.caption


def test_a_stopped_seed_stands_beside_a_complete_one(two_sets):
    two_sets.state("up", 0)
    losses = {"wiki": [(0, 2.0), (100, 2.1)], "code": [(0, 3.0), (100, 2.0)]}
    two_sets.state("whole", 1, losses, parent="up")
    two_sets.state("short", 1, {"wiki": [(0, 2.0)]}, parent="up", status="stopped", step=10)
    two_sets.trial("a", ["up", "whole"], max_lr=1e-3, center=True)
    two_sets.trial("b", ["up", "short"], max_lr=1e-3, seed=1)
    sweep = load_sweep(two_sets.write({"max_lr": [1e-3]}, {"max_lr": 1e-3}))
    chosen = curves.along_axis(sweep, trial_table(sweep), "max_lr", {"max_lr": 1e-3})
    assert chosen["curve"].tolist() == ["0.001", "0.001 (stopped)"]


def test_the_table_says_where_and_why(stopped):
    page = write_report(stopped).read_text(encoding="utf-8")
    assert "stopped: step 60 of 100, d1_loss ranked 4 of 5 at 600 tokens" in page
    assert "2 of 5 trials complete; 3 stopped" in page


def test_among_all_trials_of_a_random_design_they_say_so(two_sets):
    losses = {"wiki": [(0, 2.0), (100, 2.1)], "code": [(0, 3.0), (100, 2.0)]}
    two_sets.state("up", 0)
    for index, status in enumerate(["complete", "complete", "stopped"]):
        two_sets.state(f"s{index}", 1, losses, parent="up", status=status)
        factors = {"max_lr": 1e-3 * (index + 1), "warmup_fraction": 0.01 * index}
        two_sets.trial(f"t{index}", ["up", f"s{index}"], **factors)
    axes = {"max_lr": [1e-3, 2e-3, 3e-3], "warmup_fraction": [0, 0.01, 0.02]}
    sweep = load_sweep(two_sets.write(axes, None, "random"))
    trials, center = trial_table(sweep), anchor(sweep)
    settings = settings_table(sweep, trials, center)
    (chart,) = every_trial_losses(sweep, trials, settings)
    assert [key.name for key in chart.keys] == ["no final loss (stopped)", "not beaten on both"]
    assert "Of 3 trials drawn here 1 was stopped early" in chart.caption
    _, adaptation = scatter_charts(sweep, trials, settings, center)
    assert "stopped early (1) have no point" in adaptation.caption


def test_a_trial_that_was_stopped_in_an_earlier_stage_is_stopped(tree):
    tree.state("up", 0)
    tree.state("one", 1, parent="up", status="stopped", step=30, reason="ranked last", label="code")
    tree.state("two", 2, parent="one", status=None)
    tree.trial("a", ["up", "one", "two"], max_lr=1e-3)
    sweep_dir = tree.write({"max_lr": [1e-3]})
    (trial,) = load_sweep(sweep_dir).trials.to_dict("records")
    assert (trial["status"], trial["reason"]) == (
        "stopped",
        "at step 30 of 100 of code: ranked last",
    )
    assert "stopped: at step 30 of 100" in write_report(sweep_dir).read_text(encoding="utf-8")
