"""The next trials: where they lie and what they are worth."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from analysis.predicting.held_out import LAW, SURFACE, judge
from analysis.predicting.outlook import Outlook
from analysis.predicting.proposals import APART, Bounds, _improvement, _novelty, bounds, propose
from tests.analysis.predicting.known import LAWS, REFERENCE


def outlook_of(courses):
    judged = {
        (model, role): judge(courses, role, model)
        for model in (LAW, SURFACE)
        for role in ("d0", "d1")
    }
    starts = {role: law.loss(courses[0], 0) for role, law in LAWS.items()}
    return Outlook(courses, judged, starts, REFERENCE)


def points_of(courses):
    return pd.DataFrame(
        {"peak": [one.peak for one in courses], "replay": [one.replay for one in courses]}
    )


@pytest.fixture(scope="module")
def proposed(lawful):
    courses = lawful(noise=0.002)
    outlook = outlook_of(courses)
    cap = outlook.cap()
    planned = points_of(courses)
    return outlook, planned, cap, propose(outlook, LAW, bounds(courses, LAW), planned, cap)


def test_the_law_reaches_half_and_twice_the_peaks_tried(lawful):
    narrow, deep = lawful(shares=(0.1,)), lawful(peaks=(0.01,), shares=(0.1, 0.7))

    assert bounds(lawful(), LAW) == Bounds((0.0025, 0.08), (0.0, 0.5))
    assert bounds(narrow, LAW) == Bounds((0.0025, 0.08), (0.1, 0.1))
    assert bounds(deep, LAW) == Bounds((0.01, 0.01), (0.0, 0.7))
    assert bounds(lawful(peaks=(0.01,), shares=(0.1,)), LAW) is None


def test_the_surface_speaks_only_between_settings_that_were_run(lawful):
    courses = lawful(shares=(0.05, 0.25))
    other = dataclasses.replace(courses[0], peak=0.5, usual=False)

    assert bounds([*courses, other], SURFACE) == Bounds((0.005, 0.04), (0.05, 0.25))


def test_the_cap_is_what_the_least_forgetful_forgets_that_adapted(lawful):
    outlook = outlook_of(lawful())
    measured = outlook.measured()
    adapted = measured[measured["adaptation"] >= 0.95 * measured["adaptation"].max()]

    assert 0 < len(adapted) < len(measured)
    assert outlook.cap() == adapted["forgetting"].min()


def test_three_proposals_lie_within_bounds_apart_and_are_new(proposed):
    outlook, planned, _, table = proposed
    within = bounds(outlook.courses, LAW)
    places = np.vstack([within.place(planned), within.place(table)])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    own = apart[len(planned) :] + 9 * np.eye(3, len(places), len(planned))

    assert len(table) == 3
    assert table["peak"].between(*within.peaks).all()
    assert table["replay"].between(*within.shares).all()
    assert own.min() >= APART


def test_the_first_proposal_is_better_in_truth_than_all_that_was_run(proposed):
    outlook, _, cap, table = proposed
    course = REFERENCE.course(table["peak"][0], table["replay"][0])
    final = {role: law.loss(course, int(course.middle[0])) for role, law in LAWS.items()}
    measured = outlook.measured()
    best = measured.loc[measured["forgetting"] <= cap, "adaptation"].max()

    assert outlook.starts["d1"] - final["d1"] > best
    assert final["d0"] - outlook.starts["d0"] <= cap
    assert table["adaptation"][0] == pytest.approx(outlook.starts["d1"] - final["d1"], abs=0.02)
    assert (table["gain"].diff().dropna() <= 0).all()
    assert table["gain"].min() > 1e-4


def test_improvement_is_the_expectation_above_the_best():
    drawn = np.random.default_rng(0).normal(1.0, 0.5, 400_000)

    assert _improvement(np.array([1.0]), np.array([0.5]), 1.2)[0] == pytest.approx(
        np.maximum(drawn - 1.2, 0).mean(), abs=2e-3
    )
    assert _improvement(np.array([2.0]), np.array([1.0]), 2.0)[0] == pytest.approx(norm.pdf(0))
    assert list(_improvement(np.array([1.0, 2.0]), np.ones(2), -np.inf)) == [1, 1]


def test_little_is_new_at_a_setting_that_was_run_and_all_far_from_it():
    novelty = _novelty(np.array([[0.0, 0.0], [0.1, 0.0], [1.0, 1.0]]), np.array([[0.0, 0.0]]))

    # One setting whose own noise is a tenth: 1 - 0.9^2.
    assert novelty[0] == pytest.approx(0.19)
    assert novelty[0] < novelty[1] < novelty[2]
    assert novelty[2] == pytest.approx(1.0)


def test_where_every_point_is_taken_nothing_is_proposed(lawful):
    courses = lawful()
    outlook = outlook_of(courses)
    within = bounds(courses, LAW)

    assert propose(outlook, LAW, within, within.grid(), outlook.cap()).empty


def test_a_model_that_does_not_hold_is_not_among_those_that_do(lawful):
    outlook = outlook_of(lawful())
    surface = {
        (SURFACE, role): dataclasses.replace(outlook.judged[SURFACE, role], why="")
        for role in ("d0", "d1")
    }
    both = dataclasses.replace(outlook, judged=outlook.judged | surface)
    broken = {(SURFACE, "d0"): dataclasses.replace(outlook.judged[SURFACE, "d0"], why="no")}

    assert both.holding() == [LAW, SURFACE]
    assert dataclasses.replace(both, judged=both.judged | broken).holding() == [LAW]
