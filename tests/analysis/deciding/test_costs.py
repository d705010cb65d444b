"""Costs from rows and budgets that are typed here."""

import json
import math

import pytest

from analysis.deciding.costs import cost_table, currency
from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.settings import anchor, settings_table
from cpt.records import ResultTree
from cpt.rows import TrainRow, append_rows

LOSSES = {"prose": [(0, 2.0), (100, 2.5)], "code": [(0, 3.0), (100, 2.0)]}


def clocked(typed, trial, seconds, **more):
    """A trial whose last update was done so many seconds after its first began."""
    state = typed.add(trial, losses=LOSSES, **more)
    rows = [
        TrainRow(
            step=step,
            tokens=10 * step,
            lr=1e-3,
            loss=2.0,
            grad_norm=1.0,
            tokens_per_second=1.0,
            mfu=None,
            elapsed_seconds=seconds * step / 100,
        )
        for step in (50, 100)
    ]
    append_rows(ResultTree(typed.storage).state(state).train_rows, rows)


def read(path):
    sweep = load_sweep(path)
    trials = trial_table(sweep)
    settings = settings_table(sweep, trials, anchor(sweep))
    costs = cost_table(sweep, trials, settings)
    return sweep, costs.rename(
        index=trials.drop_duplicates("setting").set_index("setting")["trial"]
    )


def priced(path, tariff):
    """Writes what the sweep was reckoned with into its plan."""
    plan = json.loads((path / "plan.json").read_text())
    (path / "plan.json").write_text(json.dumps(plan | {"cost": {"tariff": tariff}}))
    return path


def test_a_union_run_is_the_measure(typed):
    clocked(typed, "a", 1800.0)
    clocked(typed, "b", 5400.0, seed=1)
    clocked(typed, "union", 7200.0, replay=None, baseline="union", scratch=True)
    typed.states["state-union"]["tokens"] = 2000
    _, costs = read(typed.write())
    assert costs.at["a", "tokens"] == 1000
    assert costs.at["a", "hours"] == pytest.approx(1.0)
    assert costs.at["a", "union_tokens"] == 2000
    assert costs.at["a", "union_hours"] == pytest.approx(2.0)
    assert costs.at["a", "union_trained"]
    assert math.isnan(costs.at["a", "money"])


def test_without_one_its_tokens_are_the_budgets(typed):
    clocked(typed, "a", 1800.0)
    _, costs = read(typed.write())
    # Pre-training has 100 updates of 4096 tokens in the plan, the stage after it 1000 tokens.
    assert costs.at["a", "union_tokens"] == 409_600 + 1000
    assert math.isnan(costs.at["a", "union_hours"])
    assert not costs.at["a", "union_trained"]


def test_money_is_the_price_of_the_plan(typed):
    clocked(typed, "a", 1800.0)
    tariff = {"tokens_per_second": 10.0, "price_per_worker_hour": 36.0, "currency": "EUR"}
    sweep, costs = read(priced(typed.write(), tariff))
    # 1000 tokens at 10 a second: 100 s at 0.01 a second
    assert costs.at["a", "money"] == pytest.approx(1.0)
    assert currency(sweep) == "EUR"


def test_a_stage_without_rows_has_no_hours(typed):
    typed.add("a", losses=LOSSES)
    _, costs = read(typed.write())
    assert math.isnan(costs.at["a", "hours"])
