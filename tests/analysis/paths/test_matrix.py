"""Measures and matrix of a path of three stages, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from analysis.load import load_sweep
from analysis.matrix import matrix_table
from analysis.measures import csv_table, trial_table
from analysis.page.heat import heat_tables
from analysis.settings import anchor

NAN = math.nan
ONE = {
    "wiki": [(0, 2.0), (90, 2.5), (100, 2.7)],
    "code": [(0, 3.0), (90, 1.5), (100, 1.7)],
    "german": [(0, 3.5)],
}
TWO = {
    "wiki": [(0, 2.6), (80, 99.0), (90, 2.8), (100, 3.0)],
    "code": [(0, 1.5), (80, 99.0), (90, 1.9), (100, 2.1)],
    "german": [(0, 3.2), (80, 99.0), (90, 2.2), (100, 2.0)],
}


@pytest.fixture
def path(tree):
    """Final losses: 2.9 on wiki, 2.0 on code, 2.1 on german."""
    tree.state("up", 0, {"wiki": [(0, 6.0), (100, 2.0)]})
    tree.state("one", 1, ONE, parent="up", annealed=False)
    tree.state("two", 2, TWO, parent="one")
    tree.trial("a", ["up", "one", "two"], center=True, schedule="wsd")
    return tree


def load(tree):
    return load_sweep(tree.write({"schedule": ["wsd"]}, {"schedule": "wsd"}))


def test_measures_are_those_of_the_whole_path(path):
    (trial,) = trial_table(load(path)).to_dict("records")
    assert [trial[f"d{at}_loss"] for at in range(3)] == pytest.approx([2.9, 2.0, 2.1])
    assert trial["mean_loss"] == pytest.approx((2.9 + 2.0 + 2.1) / 3)
    assert trial["forgetting"] == pytest.approx(2.9 - 2.0)
    # code from 3.0 before its stage, german from 3.2 before its own.
    assert trial["adaptation"] == pytest.approx(((3.0 - 2.0) + (3.2 - 2.1)) / 2)


def test_a_stage_may_begin_in_a_shared_beginning(path):
    two = {one: [row for row in rows if row[0] > 50] for one, rows in TWO.items()}
    trunk = {one: rows[:1] for one, rows in TWO.items()}
    path.state("trunk", 2, trunk, parent="one", steps=50, horizon=200, ends=False)
    path.state("end", 2, two, parent="one", base="trunk", first=50)
    ends = ["up", "one", "end"]
    path.trial("b", ["up", "one", "trunk", "end"], ends=ends, schedule="wsd")
    trials = trial_table(load(path)).set_index("trial")
    for measure in ("forgetting", "adaptation", "mean_loss"):
        assert trials.loc["b", measure] == pytest.approx(trials.loc["a", measure])


def test_from_scratch_every_set_is_held_against_the_pretrained_model(path):
    losses = {"wiki": [(0, 6.0), (100, 2.2)], "code": [(0, 6.0), (100, 1.8)]}
    losses["german"] = [(0, 6.0), (100, 1.9)]
    path.state("all", 2, losses, scratch=True)
    path.trial("union", ["all"], baseline="union", schedule="cosine")
    row = trial_table(load(path)).set_index("trial").loc["union"]
    assert row["forgetting"] == pytest.approx(2.2 - 2.0)
    assert row["adaptation"] == pytest.approx(((3.0 - 1.8) + (3.5 - 1.9)) / 2)


def test_trials_csv_has_a_loss_for_each_data_set(path):
    sweep = load(path)
    columns = list(csv_table(sweep, trial_table(sweep)).columns)
    assert columns[:13] == [
        "trial",
        "state",
        "schedule",
        "seed",
        "baseline",
        "status",
        "tokens",
        "d0_loss",
        "d1_loss",
        "d2_loss",
        "mean_loss",
        "forgetting",
        "adaptation",
    ]
    assert columns[13:15] == ["d0_loss_low", "d0_loss_high"]
    assert len(columns) == 13 + 2 * 6


def test_the_matrix_has_a_loss_for_each_boundary_and_set(path):
    matrix = matrix_table(load(path))
    losses = matrix["loss"].to_numpy().reshape(3, 3)
    assert losses == pytest.approx(np.array([[2.0, 3.0, 3.5], [2.6, 1.5, 3.2], [2.9, 2.0, 2.1]]))


def test_change_counts_from_where_a_set_was_last_trained_on(path):
    matrix = matrix_table(load(path))
    changes = matrix["change"].to_numpy().reshape(3, 3)
    expected = [[0.0, NAN, NAN], [0.6, 0.0, NAN], [0.9, 0.5, 0.0]]
    assert changes == pytest.approx(np.array(expected), nan_ok=True)
    assert matrix["trained"].to_numpy().reshape(3, 3).tolist() == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]


def test_a_boundary_of_a_schedule_that_goes_on_is_unannealed(path):
    matrix = matrix_table(load(path))
    assert matrix.groupby("boundary")["annealed"].first().tolist() == [True, False, True]


def test_what_was_not_evaluated_is_missing(tree):
    tree.state("up", 0)
    tree.state("one", 1, {"wiki": [(0, 2.0)], "code": [(0, 3.0)]}, status="running", step=40)
    tree.state("two", 2, parent="one", status=None)
    tree.trial("a", ["up", "one", "two"], center=True, schedule="wsd")
    losses = matrix_table(load(tree))["loss"].to_numpy().reshape(3, 3)
    expected = [[2.0, 3.0, NAN], [NAN, NAN, NAN], [NAN, NAN, NAN]]
    assert losses == pytest.approx(np.array(expected), nan_ok=True)


def test_a_baseline_from_random_weights_has_no_boundaries(path):
    path.state("all", 2, {"wiki": [(100, 2.2)]}, scratch=True)
    path.trial("union", ["all"], baseline="union", schedule="cosine")
    assert set(matrix_table(load(path))["trial"]) == {"a"}


def test_the_page_shows_one_matrix_a_schedule_on_one_scale(three_stages):
    sweep = load_sweep(three_stages)
    tables = heat_tables(sweep, trial_table(sweep), anchor(sweep))
    assert [table.title for table in tables] == ["Cosine", "Infinite cosine", "WSD"]
    notes = {table.title: [note for _, note, _ in table.rows] for table in tables}
    assert notes["Cosine"] == ["", "", ""]
    assert notes["WSD"] == ["un-annealed", "un-annealed", ""]
    shares = [cell.share for table in tables for _, _, cells in table.rows for cell in cells]
    assert max(shares) == 1.0
    cells = tables[0].rows[1][2]
    assert [cell.role for cell in cells] == ["rise", "trained", "untrained"]
