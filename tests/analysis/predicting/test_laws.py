"""The loss law, fitted to settings that follow one."""

import dataclasses

import numpy as np
import pytest

from analysis import laws
from analysis.laws import NAMES, _law, _slopes
from analysis.predicting.courses import Rates
from analysis.predicting.points import data_of, units_of
from tests.analysis.predicting.known import LAWS, REFERENCE, measured


@pytest.mark.parametrize("role", ["d0", "d1"])
def test_a_fit_finds_the_losses_of_settings_that_were_not_run(lawful, role):
    law = laws.fit(lawful(), role)
    other = [
        measured(REFERENCE.course(0.015, 0.1)),
        measured(REFERENCE.course(0.08, 0.0)),
        measured(REFERENCE.course(0.01, 0.05, times=4)),
    ]

    assert law.converged
    assert law.constants["lambda"] == 0.999
    assert list(law.finals(other)) == pytest.approx([one.finals[role] for one in other], abs=2e-3)


def test_constants_are_those_of_the_formula(lawful):
    constants = laws.fit(lawful(), "d0").constants
    known = LAWS["d0"]

    assert constants["C2"] == pytest.approx(known.c2, rel=0.05)
    assert constants["B"] == pytest.approx(known.b, rel=0.05)
    assert constants["kappa"] == pytest.approx(known.kappa, rel=0.05)
    assert constants["C1"] == 0


def test_constants_and_losses_say_the_same(lawful):
    courses = lawful()
    law = laws.fit(courses, "d1")
    of = law.constants
    course = courses[5]
    s1, s2 = (area[60] for area in course.rates.areas(of["lambda"]))
    by_hand = (
        of["L0"]
        + of["A"] * (course.before.values.sum() + s1) ** -of["alpha"]
        - of["C2"] * s2
        + of["B"] * np.exp(-of["kappa"] * course.replay) * (1 - (1 + of["E"] * s1) ** -of["beta"])
    )

    assert law.losses(course, np.array([60]))[0] == pytest.approx(by_hand)


def test_terms_that_the_settings_cannot_tell_are_not_fitted(lawful):
    one_share = laws.fit(lawful(shares=(0.05,)), "d0")
    both = laws.fit(lawful(), "d0")

    assert one_share.constants["kappa"] == 0
    assert both.parameters == one_share.parameters + 1


def test_annealing_before_counts_where_pretrainings_differ(lawful):
    courses = lawful()
    annealed = Rates(np.linspace(0.02, 0.0, 200))
    courses += [dataclasses.replace(one, before=annealed) for one in courses[:4]]
    law = laws.fit(courses, "d0")

    assert law.free[NAMES.index("anneal_before")]


def test_a_pretraining_that_is_not_known_is_taken_to_be_long(lawful):
    courses = [dataclasses.replace(one, before=Rates(np.zeros(0))) for one in lawful()]
    law = laws.fit(courses, "d0")
    longest = max(one.rates.values.sum() for one in courses)

    assert law.units.before == pytest.approx(10 * longest)
    assert list(law.finals(courses)) == pytest.approx(
        [one.finals["d0"] for one in courses], abs=5e-3
    )


def test_of_many_settings_a_fit_reads_some_and_predicts_all(lawful):
    courses = lawful(
        peaks=tuple(np.geomspace(0.005, 0.04, 15)), shares=tuple(np.linspace(0, 0.5, 14))
    )
    law = laws.fit(courses, "d0")
    points = data_of(courses, "d0", law.units)

    # Of 210 settings 100, each with 1000 / 100 points of its curve and the final loss.
    assert len(points.loss) == 100 * 11
    assert list(law.finals(courses)) == pytest.approx(
        [one.finals["d0"] for one in courses], abs=2e-3
    )


def test_slopes_are_those_of_the_law(lawful):
    courses = lawful()
    points = data_of(courses, "d0", units_of(courses, "d0", 0.999))
    theta = np.array([2.0, 0.5, 0.7, 0.1, 0.2, 0.6, 5.0, 1.0, 0.8])
    for number in range(len(NAMES)):
        ahead, behind = theta.copy(), theta.copy()
        ahead[number] += 1e-6
        behind[number] -= 1e-6
        numeric = (_law(ahead, points, 1.0) - _law(behind, points, 1.0)) / 2e-6

        assert _slopes(theta, points, 1.0)[:, number] == pytest.approx(numeric, abs=1e-6)
