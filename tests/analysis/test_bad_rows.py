"""Rows that are cut off, repeated, missing or no numbers, and sweeps with nothing in them."""

import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from analysis.columns import from_rows
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.page.tables import settings_summary, trials_table
from analysis.report import write_report
from analysis.settings import anchor, settings_table
from cpt.rows import DataRow, EvalRow, TrainRow, read_rows

GOOD = {
    "prose": [(0, 2.0), (90, 2.2), (100, 2.4)],
    "code": [(0, 3.0), (90, 2.0), (100, 1.8)],
}


def evaluation(step, dataset, loss):
    return {
        "step": step,
        "tokens": 10 * step,
        "dataset": dataset,
        "domain": None,
        "loss": loss,
        "bits_per_byte": 1.0,
        "num_tokens": 10,
    }


def measured(sweep_dir):
    return trial_table(load_sweep(sweep_dir)).set_index("trial")


def strict(spec):
    """JSON as a browser reads it: without NaN and Infinity."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(spec, parse_constant=refuse)


def specs(page):
    return re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)


def test_lines_cut_off_before_a_resume_and_at_the_end_cost_only_themselves(typed):
    state = typed.add("a", losses=GOOD)
    typed.append(state, '{"step": 95, "tokens": 950, "dataset": "co')
    typed.append(state, "\n", evaluation(95, "code", 2.2), '{"step": 100, "tok')
    trials = measured(typed.write())
    # The attempt that went on before step 95 wrote again what came after it: nothing of code.
    assert trials.loc["a", "d1_loss"] == pytest.approx((2.0 + 2.2) / 2)
    assert trials.loc["a", "d0_loss"] == pytest.approx(2.2)


@pytest.mark.parametrize(("step", "dataset"), [(0, "prose"), (0, "code"), (100, "code")])
def test_a_loss_of_one_set_that_is_no_number_costs_the_trial_all_measures(typed, step, dataset):
    broken = typed.add("a", losses=GOOD)
    typed.add("b", replay=0.5, losses=GOOD)
    row = json.dumps(evaluation(step, dataset, float("nan")))
    kept = [
        line
        for line in typed.eval_file(broken).read_text().splitlines()
        if not (f'"step": {step},' in line and dataset in line)
    ]
    at = next((at for at, line in enumerate(kept) if json.loads(line)["step"] > step), len(kept))
    typed.eval_file(broken).write_text("\n".join([*kept[:at], row, *kept[at:]]) + "\n")
    trials = measured(typed.write())
    names = ["d0_loss", "d1_loss", "mean_loss", "forgetting", "adaptation"]
    assert trials.loc["a", names].isna().all()
    assert trials.loc["b", names].notna().all()


def test_a_file_that_is_whole_is_read_as_its_lines_are(tmp_path):
    lines = ['{"step": 1, "x": "a"}', "[1]", "3", '{"step": 2, "x": "b, {c}"}']
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    whole.write_text("\n".join(lines) + "\n")
    cut.write_text("\n".join([lines[0], '{"step": 7, "x": "d', *lines[1:]]) + "\n")
    assert read_rows(whole) == [{"step": 1, "x": "a"}, {"step": 2, "x": "b, {c}"}]
    assert read_rows(cut) == read_rows(whole)


def test_two_rows_on_one_line_are_no_row(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1}, {"step": 2}\n{"step": 3}\n')
    assert read_rows(path) == [{"step": 3}]


def test_steps_that_stand_twice_after_a_resume_count_once_and_as_written_last(typed):
    state = typed.add("a", losses=GOOD)
    typed.append(state, evaluation(90, "prose", 2.1), evaluation(90, "code", 1.9))
    typed.append(state, evaluation(100, "prose", 2.1), evaluation(100, "code", 1.7))
    sweep = load_sweep(typed.write())
    assert not sweep.evals.duplicated(["state", "role", "step", "domain"]).any()
    trials = trial_table(sweep)
    assert trials.loc[0, ["d0_loss", "d1_loss"]].tolist() == pytest.approx([2.1, 1.8])


def test_a_row_with_a_value_of_another_kind_is_left_out():
    rows = [
        evaluation(0, "prose", 2.0),
        evaluation(1, "prose", "2.0"),
        evaluation(2.5, "prose", 2.0),
        evaluation(3, None, 2.0),
        evaluation(4, "prose", 2) | {"num_tokens": 10**30},
        evaluation(5, "prose", True),
        evaluation(6, "prose", 3),
        evaluation(7, ["prose"], 3),
    ]
    columns = from_rows(rows, EvalRow)
    assert columns["step"].tolist() == [0, 6]
    assert columns["loss"].dtype == np.float64
    assert columns["domain"].tolist() == [None, None]


def test_what_a_row_type_allows_to_be_missing_is_nan():
    update = dict.fromkeys((field for field in TrainRow.__dataclass_fields__), 1)
    rows = from_rows([update | {"mfu": None, "loss": None}, update | {"mfu": 0.5}], TrainRow)
    np.testing.assert_array_equal(rows["mfu"], [math.nan, 0.5])
    np.testing.assert_array_equal(rows["loss"], [math.nan, 1.0])
    read = dict.fromkeys((field for field in DataRow.__dataclass_fields__), 1)
    rows = from_rows([read | {"source": "a", "domain": None, "samples": None}], DataRow)
    assert math.isnan(rows["samples"][0])


@pytest.mark.parametrize(
    ("loss", "step"), [(math.nan, 90), (math.inf, 100), (None, 100), (-math.inf, 0)]
)
def test_a_trial_whose_loss_is_no_number_is_seen_but_in_no_mean_and_no_rank(typed, loss, step):
    for seed in (0, 1):
        typed.add(f"replay-{seed}", 0.5, seed, losses=GOOD)
    typed.add("steady", losses=GOOD)
    state = typed.add("diverged", seed=1, losses=GOOD)
    rows = [
        evaluation(at, name, loss if (at, name) == (step, "code") else value)
        for name, points in GOOD.items()
        for at, value in points
    ]
    typed.eval_file(state).write_text("")
    typed.append(state, *sorted(rows, key=lambda row: row["step"]))
    sweep_dir = typed.write()
    sweep = load_sweep(sweep_dir)
    trials = trial_table(sweep).set_index("trial")
    told = f"the loss on code is not a finite number at step {step}"
    assert trials.loc["diverged", "status"] == "complete"
    assert trials.loc["diverged", "reason"] == told
    assert pd.isna(trials.loc["diverged", "adaptation"])
    # With one seed left of two there is no interval, rather than a narrow one.
    settings = settings_table(sweep, trials.reset_index(), anchor(sweep))
    central = settings.loc[trials.loc["steady", "setting"]]
    assert central["adaptation"] == pytest.approx(1.1)
    assert np.isfinite(settings["adaptation"]).all()
    page = write_report(sweep_dir).read_text(encoding="utf-8")
    assert f"complete, without measures: {told}" in page
    assert all(strict(spec)["data"] for spec in specs(page))
    shown = settings_summary(sweep, settings, anchor(sweep))
    assert not any(
        "nan" in cell.text or "inf" in cell.text for _, row in shown.rows for cell in row
    )


def test_a_state_that_was_never_evaluated_is_told_and_costs_no_other(typed):
    typed.add("fine", losses=GOOD)
    state = typed.add("silent", 0.5, losses=GOOD)
    half = typed.add("half", 0, losses={"prose": GOOD["prose"]})
    typed.eval_file(state).write_text("")
    sweep_dir = typed.write()
    sweep = load_sweep(sweep_dir)
    trials = trial_table(sweep)
    why = trials.set_index("trial")["reason"]
    assert why["silent"] == "no evaluation of prose and code in its final window"
    assert why["half"] == "no evaluation of code in its final window"
    assert trials["adaptation"].notna().tolist() == [True, False, False]
    settings = settings_table(sweep, trials, anchor(sweep))
    _, (name, *_) = trials_table(sweep, trials, settings, anchor(sweep)).rows[1]
    assert name.note == f"complete, without measures: {why['silent']}"
    page = write_report(sweep_dir).read_text(encoding="utf-8")
    assert page.count("complete, without measures: ") >= 2
    assert half in page


def test_a_plan_without_trials_becomes_a_page_that_says_so(typed):
    page = write_report(typed.write()).read_text(encoding="utf-8")
    assert "The plan of this sweep holds no trial" in page
    assert 'class="plot"' not in page
    assert (typed.storage / "sweeps" / "typed" / "trials.csv").read_text().startswith("trial,state")


def test_a_sweep_of_which_nothing_was_trained_has_no_empty_chart(typed):
    typed.add("a", status=None)
    typed.add("b", 0.5, status=None)
    page = write_report(typed.write()).read_text(encoding="utf-8")
    assert "0 of 2 trials complete; 2 pending." in page
    assert 'class="plot"' not in page
    assert page.count('class="gap"') >= 4


def test_a_plan_that_lacks_a_part_is_refused_in_one_sentence(typed):
    typed.add("a", losses=GOOD)
    path = typed.write() / "plan.json"
    plan = json.loads(path.read_text())
    del plan["states"]
    path.write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"plan\.json has no `states`, so it is not a whole plan"):
        load_sweep(path.parent)
