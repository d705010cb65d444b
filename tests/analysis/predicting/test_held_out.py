"""Fits judged on settings that they have not seen."""

import dataclasses

import numpy as np
import pytest
from scipy.special import stdtrit

from analysis.predicting import held_out
from analysis.predicting.held_out import LAW, SURFACE, judge
from tests.analysis.predicting.known import REFERENCE


@pytest.mark.parametrize("role", ["d0", "d1"])
def test_a_law_that_is_true_holds_and_its_interval_is_narrow(lawful, role):
    judged = judge(lawful(noise=0.002), role, LAW)
    table = judged.table

    assert judged.holds
    assert list(table["error"]) == pytest.approx(list(table["held_out"] - table["observed"]))
    assert judged.error == pytest.approx(np.sqrt((table["error"] ** 2).mean()))
    assert judged.error < 0.006 < judged.error_of_mean


def test_each_setting_is_predicted_by_a_fit_without_it(lawful):
    courses = lawful()
    far = dataclasses.replace(courses[5], finals=dict.fromkeys(("d0", "d1"), 9.0))
    with_it = judge([*courses[:5], far, *courses[6:]], "d0", SURFACE).table
    without = judge(courses, "d0", SURFACE).table

    assert with_it.loc[5, "held_out"] == pytest.approx(without.loc[5, "held_out"])
    assert with_it.loc[5, "others"] == pytest.approx(without.loc[5, "others"])
    assert with_it.loc[4, "held_out"] != pytest.approx(without.loc[4, "held_out"])


def test_half_widths_are_students_and_grow_outside(lawful):
    judged = judge(lawful(noise=0.002), "d0", LAW)
    inside, outside = REFERENCE.course(0.015, 0.1), REFERENCE.course(0.32, 0.0)
    half = judged.half_widths([inside, outside])
    deviation = np.hypot(judged.spread([inside])[0], judged.error)

    assert judged.freedom == 16 - 8
    assert half[0] == pytest.approx(stdtrit(8, 0.975) * deviation)
    assert half[1] > half[0]


def test_settings_without_a_pattern_do_not_hold_and_predict_nothing(lawful):
    drawn = np.random.default_rng(1)
    courses = [
        dataclasses.replace(one, finals={"d0": 2 + 0.3 * drawn.normal(), "d1": 2.0})
        for one in lawful()
    ]
    judged = judge(courses, "d0", SURFACE)

    assert not judged.holds
    assert "no smaller than that of guessing the mean" in judged.why
    with pytest.raises(ValueError, match="response surface of d0 does not hold"):
        judged.finals(courses)


def test_an_error_above_the_bound_does_not_hold(lawful, monkeypatch):
    monkeypatch.setattr(held_out, "BOUND", 0.0001)
    judged = judge(lawful(noise=0.005), "d0", SURFACE)

    assert "above the bound of 0%" in judged.why


def test_fewer_settings_than_parameters_do_not_hold(lawful):
    judged = judge(lawful(peaks=(0.01, 0.02), shares=(0.0, 0.5)), "d0", LAW)

    assert judged.why == "4 settings cannot check 8 parameters"
    assert judged.table.empty


def test_two_settings_are_too_few_to_leave_one_out(lawful):
    judged = judge(lawful(peaks=(0.01, 0.02), shares=(0.0,)), "d0", SURFACE)

    assert judged.fit is None
    assert judged.why.startswith("2 settings with a complete trial are too few")


def test_many_settings_are_left_out_in_groups_that_cut_across_the_grid(lawful):
    shares = tuple(np.linspace(0, 0.5, 10))
    judged = judge(lawful(shares=shares), "d0", SURFACE)
    groups = held_out._groups(40)

    assert len(judged.folds) == 10
    assert [int((groups == fold).sum()) for fold in range(10)] == [4] * 10
    # The place in the list modulo ten is a share of replay: no fold may be one share alone.
    assert min(len(set(np.flatnonzero(groups == fold) % 10)) for fold in range(10)) > 1
    assert list(held_out._groups(30)) == list(range(30))


def test_the_surface_reads_only_settings_like_the_reference(lawful):
    courses = lawful()
    other = dataclasses.replace(courses[0], usual=False, finals={"d0": 9.0, "d1": 9.0})
    held = dataclasses.replace(courses[0], peak=float("nan"), finals={"d0": 9.0, "d1": 9.0})

    assert len(judge([*courses, other, held], "d0", SURFACE).table) == len(courses)
