"""What is read of a result tree for fits: who takes part, and with which rates and losses."""

import json

import numpy as np
import pytest
import yaml

from analysis import laws
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.predicting.courses import courses
from analysis.predicting.outlook import outlook
from analysis.predicting.unrun import planned_points, unrun
from cpt.records import ResultTree


def read(folder):
    sweep = load_sweep(folder)
    return sweep, trial_table(sweep)


def test_complete_settings_that_continue_take_part_each_once(quickstart):
    sweep, trials = read(quickstart(seeds=(0, 1), unfinished={"schedule=wsd": "running"}))
    found = courses(sweep, trials)
    complete = trials[(trials["status"] == "complete") & ~trials["from_scratch"]]

    assert [one.setting for one in found] == list(dict.fromkeys(complete["setting"]))
    assert {one.seeds for one in found} == {2}
    assert laws.courses is courses


def test_losses_are_means_over_seeds_and_finals_those_of_the_trials(quickstart):
    sweep, trials = read(quickstart(seeds=(0, 1)))
    one = courses(sweep, trials)[0]
    own = trials[trials["setting"] == one.setting]
    rows = sweep.evals[sweep.evals["domain"].isna() & sweep.evals["state"].isin(own["state"])]
    at_first = rows[(rows["step"] == one.steps[1]) & (rows["role"] == "d1")]

    assert one.finals["d0"] == pytest.approx(own["d0_loss"].mean())
    assert len(at_first) == 2
    assert one.losses["d1"][1] == pytest.approx(at_first["loss"].mean())
    assert one.steps.max() < one.window.min()


def test_rates_are_those_of_the_rows_and_before_those_of_pretraining(quickstart):
    sweep, trials = read(quickstart())
    one = courses(sweep, trials)[0]
    own = sweep.train[sweep.train["state"] == trials["state"].iloc[0]]
    before = sweep.train[sweep.train["state"] == "up-0"]

    assert list(one.rates.values) == list(own["lr"])
    assert list(one.before.values) == list(before["lr"])


def test_baselines_have_no_peak_and_other_schedules_are_not_usual(quickstart):
    sweep, trials = read(quickstart())
    by_trial = dict(zip(trials["setting"], trials["trial"], strict=True))
    found = {by_trial[one.setting]: one for one in courses(sweep, trials)}

    assert np.isnan(found["no_rewarm"].peak)
    assert not found["no_rewarm"].usual
    assert not found["schedule=wsd"].usual
    assert found["replay_fraction=0.5"].usual
    assert found["replay_fraction=0.5"].replay == 0.5
    points = planned_points(sweep)
    assert set(points["peak"]) == {1.5e-3, 3e-3, 6e-3}
    assert len(points) == 7


def test_without_rows_the_schedule_tells_the_rates(quickstart):
    folder = quickstart()
    sweep, trials = read(folder)
    state = ResultTree(folder.parent.parent).state(trials["state"].iloc[0])
    rates = courses(sweep, trials)[0].rates.values
    state.train_rows.unlink()
    again = courses(*read(folder))[0]

    assert list(again.rates.values) == pytest.approx(list(rates))


def test_the_reference_with_twice_the_budget_has_the_same_shape(quickstart):
    sweep, trials = read(quickstart())
    found = courses(sweep, trials)
    maker = unrun(sweep, trials, found)
    same, longer = (maker.course(3e-3, 0.05, times) for times in (1, 2))

    assert (maker.peak, maker.replay) == (3e-3, 0.05)
    assert list(same.rates.values) == pytest.approx(list(found[0].rates.values))
    assert list(same.window) == list(found[0].window)
    assert longer.rates.values.sum() == pytest.approx(2 * same.rates.values.sum(), rel=0.01)
    assert len(longer.rates.values) == 2 * len(same.rates.values)
    # Half the peak has half of every rate: the floor stays the same share of it.
    half = maker.course(1.5e-3, 0.05)
    assert list(half.rates.values) == pytest.approx(list(same.rates.values / 2))


def test_a_checkpoint_from_elsewhere_is_taken_to_have_been_trained_as_told(quickstart):
    folder = quickstart()
    plan_path = folder / "plan.json"
    plan = json.loads(plan_path.read_text())
    plan["states"] = [one for one in plan["states"] if one["stage"] != "upstream"]
    for one in plan["states"]:
        one["parent"] = None
    for trial in plan["trials"]:
        trial["states"] = trial["stage_ends"] = trial["states"][-1:]
    plan_path.write_text(json.dumps({name: it for name, it in plan.items() if name != "seal"}))
    sweep, trials = read(folder)
    unknown = courses(sweep, trials)[0].before.values
    told = {"checkpoint": "x", "dataset": "prose", "token_budget": 4_096_000, "max_lr": "3e-3"}
    (folder / "sweep.yaml").write_text(yaml.safe_dump({"upstream": told}))
    known = courses(sweep, trials)[0].before.values

    assert len(unknown) == 0
    assert len(known) == 1000
    assert known.max() == pytest.approx(3e-3)
    assert known[-1] == pytest.approx(3e-4, rel=1e-3)


def test_a_sweep_with_nothing_complete_says_so(quickstart, typed):
    typed.add("center", status="running")

    assert outlook(*read(typed.write())).why == "no trial that continues is complete"
