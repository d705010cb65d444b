"""The curve of a stage, put together from the states that it was trained in."""

import math
import shutil

import pytest

from analysis.load import load_sweep
from analysis.measures import trial_table


def curve(tree, state, dataset="wiki"):
    """(step, loss) of one set, as a report reads them; the state is its trial's last."""
    sweep = load_sweep(tree.write({}))
    rows = sweep.evals[(sweep.evals["state"] == state) & (sweep.evals["dataset"] == dataset)]
    return list(zip(rows["step"], rows["loss"], strict=True))


@pytest.fixture
def joined(tree):
    """A stage of 100 steps: the first 50 in a shared beginning, the rest in its continuation."""
    tree.state("up", 0)
    tree.state(
        "trunk", 1, {"wiki": [(0, 2.0), (50, 2.5)]}, parent="up", steps=50, horizon=90, ends=False
    )
    tree.state("end", 1, {"wiki": [(90, 2.2), (100, 2.4)]}, parent="up", base="trunk", first=50)
    tree.trial("a", ["up", "trunk", "end"], ends=["up", "end"])
    return tree


def test_a_state_has_the_rows_of_its_base_before_its_own(joined):
    assert curve(joined, "end") == [(0, 2.0), (50, 2.5), (90, 2.2), (100, 2.4)]
    assert curve(joined, "trunk") == [(0, 2.0), (50, 2.5)]


def test_one_corpus_under_two_names_stands_under_both_once(tree):
    tree.corpora["german"] = tree.corpora["wiki"]
    same = [(0, 2.0), (100, 2.4)]
    tree.state("up", 0)
    tree.state("one", 1, {"wiki": same, "code": [(0, 3.0), (100, 1.0)]}, parent="up")
    both = {"wiki": same, "code": [(0, 1.0), (100, 1.2)], "german": same}
    tree.state("two", 2, both, parent="one")
    tree.trial("a", ["up", "one", "two"], center=True)
    assert curve(tree, "two", "german") == same
    (trial,) = trial_table(load_sweep(tree.write({}))).to_dict("records")
    assert trial["d0_loss"] == trial["d2_loss"] == pytest.approx(2.4)


def test_updates_are_joined_too(joined):
    train = load_sweep(joined.write({})).train
    assert train.loc[train["state"] == "end", "step"].tolist() == list(range(1, 101))


def test_a_final_window_may_begin_in_the_base(tree):
    # The window of 20 steps holds 90 of the base and 100 of its own: (2.2 + 2.4) / 2.
    tree.state("up", 0)
    start = {"wiki": [(0, 2.0), (90, 2.2)], "code": [(0, 3.0), (90, 1.6)], "german": [(0, 3.0)]}
    tree.state("trunk", 1, start, parent="up", steps=95, ends=False)
    end = {"wiki": [(100, 2.4)], "code": [(100, 1.4)]}
    tree.state("end", 1, end, parent="up", base="trunk", first=95)
    tree.trial("a", ["up", "trunk", "end"], ends=["up", "end"])
    (trial,) = trial_table(load_sweep(tree.write({}))).to_dict("records")
    assert trial["d0_loss"] == pytest.approx(2.3)
    assert trial["forgetting"] == pytest.approx(0.3)


def test_a_final_window_that_lost_a_part_is_no_final_loss(tree):
    tree.state("up", 0)
    tree.state("trunk", 1, {}, parent="up", steps=95, ends=False)
    end = {"wiki": [(100, 2.4)], "code": [(100, 1.4)], "german": [(100, 3.0)]}
    tree.state("end", 1, end, parent="up", base="trunk", first=95)
    tree.trial("a", ["up", "trunk", "end"], ends=["up", "end"])
    shutil.rmtree(tree.storage / "states" / "trunk")
    (trial,) = trial_table(load_sweep(tree.write({}))).to_dict("records")
    assert (trial["status"], math.isnan(trial["d0_loss"])) == ("complete", True)


def test_own_rows_up_to_the_base_were_left_by_another_attempt(tree):
    tree.state("up", 0)
    tree.state("trunk", 1, {"wiki": [(0, 2.0), (50, 2.5)]}, steps=50, ends=False)
    stale = {"wiki": [(0, 9.0), (40, 9.0), (50, 9.0), (100, 2.4)]}
    tree.state("end", 1, stale, base="trunk", first=50)
    tree.trial("a", ["up", "trunk", "end"], ends=["up", "end"])
    assert curve(tree, "end") == [(0, 2.0), (50, 2.5), (100, 2.4)]


def test_rows_past_the_end_of_a_base_do_not_count(tree):
    tree.state("up", 0)
    tree.state("trunk", 1, {"wiki": [(0, 2.0), (50, 2.5), (60, 9.0)]}, steps=50, ends=False)
    tree.state("end", 1, {"wiki": [(100, 2.4)]}, base="trunk", first=50)
    tree.trial("a", ["up", "trunk", "end"], ends=["up", "end"])
    assert curve(tree, "end") == [(0, 2.0), (50, 2.5), (100, 2.4)]


def test_bases_go_on_from_bases(tree):
    tree.state("up", 0)
    tree.state("first", 1, {"wiki": [(0, 2.0), (30, 2.1)]}, steps=30, ends=False)
    tree.state("second", 1, {"wiki": [(60, 2.2)]}, base="first", first=30, steps=60, ends=False)
    tree.state("end", 1, {"wiki": [(100, 2.3)]}, base="second", first=60)
    tree.trial("a", ["up", "first", "second", "end"], ends=["up", "end"])
    assert curve(tree, "end") == [(0, 2.0), (30, 2.1), (60, 2.2), (100, 2.3)]


def test_the_configuration_names_the_base_even_outside_of_the_plan(tree):
    tree.state("up", 0)
    tree.state("of another sweep", 1, {"wiki": [(0, 2.0), (50, 2.5)]}, steps=50, planned=False)
    tree.state("end", 1, {"wiki": [(50, 9.0), (100, 2.4)]}, base="of another sweep", first=50)
    tree.states["end"] |= {"base": None, "first_step": 0}
    tree.trial("a", ["up", "end"])
    assert curve(tree, "end") == [(0, 2.0), (50, 2.5), (100, 2.4)]
    state = load_sweep(tree.write({})).states.loc["end"]
    assert (state["base"], state["first_step"]) == ("of another sweep", 50)


def test_a_planned_base_whose_folder_is_gone_leaves_a_gap(joined):
    shutil.rmtree(joined.storage / "states" / "trunk")
    assert curve(joined, "end") == [(90, 2.2), (100, 2.4)]


def test_an_unknown_base_leaves_a_gap(tree):
    tree.state("up", 0)
    tree.state("end", 1, {"wiki": [(90, 2.2), (100, 2.4)]}, base="gone", first=50)
    tree.trial("a", ["up", "end"])
    assert curve(tree, "end") == [(90, 2.2), (100, 2.4)]


def test_bases_that_go_round_in_a_circle_end(tree):
    tree.state("up", 0)
    tree.state("a", 1, {"wiki": [(100, 2.4)]}, base="b", first=50)
    tree.state("b", 1, {"wiki": [(50, 2.2)]}, base="a", steps=50, ends=False)
    tree.trial("a", ["up", "b", "a"], ends=["up", "a"])
    assert (100, 2.4) in curve(tree, "a")


def test_data_sets_of_later_stages_are_known_by_their_corpus(tree):
    tree.state("up", 0)
    tree.state("one", 1, {"german": [(0, 3.5)]}, parent="up")
    tree.trial("a", ["up", "one"])
    sweep = load_sweep(tree.write({}))
    rows = sweep.evals[sweep.evals["dataset"] == "german"]
    assert list(zip(rows["role"], rows["step"], rows["loss"], strict=True)) == [("d2", 0, 3.5)]
    assert sweep.roles == ["d0", "d1", "d2"]
