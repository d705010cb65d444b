"""The points that a loss law is fitted to: thinned curves and final losses, in plain units."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.predicting.areas import Array
from analysis.predicting.courses import Course

MOST_SETTINGS = 100
"""Settings that a fit reads; of more, so many drawn at random, always the same."""
MOST_POINTS = 1000
"""Points of all curves together that enter a fit; longer curves are thinned evenly."""
POINTS_OF_A_CURVE = 24
CURVE = 0.1
"""Weight of a whole curve against that of its final loss: enough to tell terms apart that final
losses alone do not, and no more, since the law knows nothing of the first steps of a re-warming."""
UNKNOWN_BEFORE = 10.0
"""S1 of a pre-training that is not known, in largest S1 of the sweep."""


@dataclass(frozen=True, eq=False)
class Units:
    """What areas are measured in while fitting, so that parameters are of the order of one.

    Attributes:
        decay: Lambda of the annealing area.
        before: Mean S1_pt.
        s1: Largest S1.
        s2: Largest S2.
        s2_before: Mean S2_pt.
        loss: Of the pre-trained model on the set, nats per token.
    """

    decay: float
    before: float
    s1: float
    s2: float
    s2_before: float
    loss: float


@dataclass(frozen=True, eq=False)
class Points:
    """What a fit reads: arrays of one length, an entry for each loss.

    Attributes:
        way: (S1_pt + S1) / mean S1_pt.
        s1: S1, in units of its largest.
        s2: S2, likewise.
        s2_before: S2_pt - its mean, in units of the mean.
        replay: Share.
        loss: Nats per token; NaN where there is none.
        weight: Of the residual: see `CURVE`.
    """

    way: Array
    s1: Array
    s2: Array
    s2_before: Array
    replay: Array
    loss: Array
    weight: Array


def units_of(courses: Sequence[Course], role: str, decay: float) -> Units:
    """The units that suit these settings."""
    own = [course.rates.areas(decay) for course in courses]
    before = [course.before.areas(decay) for course in courses]
    s1, s2 = (max(area[number].max() for area in own) or 1.0 for number in (0, 1))
    return Units(
        decay=decay,
        before=float(np.mean([area[0][-1] for area in before])) or UNKNOWN_BEFORE * s1,
        s1=s1,
        s2=s2,
        s2_before=float(np.mean([area[1][-1] for area in before])) or 1.0,
        loss=float(np.mean([course.losses[role][0] for course in courses])),
    )


def points_of(read: Sequence[tuple[Course, NDArray[np.int64]]], units: Units) -> Points:
    """The points of some courses at some steps each, without losses, all of one weight."""
    columns = []
    for course, steps in read:
        s1, s2 = course.rates.areas(units.decay)
        before = course.before.areas(units.decay)
        start = before[0][-1] or units.before
        ones = np.ones(len(steps))
        columns.append(
            (
                (start + s1[steps]) / units.before,
                s1[steps] / units.s1,
                s2[steps] / units.s2,
                ones * ((before[1][-1] or units.s2_before) / units.s2_before - 1),
                ones * course.replay,
                ones * np.nan,
                ones,
            )
        )
    return Points(*(np.concatenate(column) for column in zip(*columns, strict=True)))


def data_of(courses: Sequence[Course], role: str, units: Units) -> Points:
    """The thinned curves and the final losses; a final loss stands at the window's middle step."""
    if len(courses) > MOST_SETTINGS:
        drawn = np.random.default_rng(0).permutation(len(courses))[:MOST_SETTINGS]
        courses = [courses[number] for number in sorted(drawn)]
    most = min(POINTS_OF_A_CURVE, MOST_POINTS // len(courses))
    read, losses, weights = [], [], []
    for course in courses:
        chosen = np.unique(np.linspace(0, len(course.steps) - 1, most).round().astype(int))
        read.append((course, np.append(course.steps[chosen], course.middle)))
        losses.append(np.append(course.losses[role][chosen], course.finals[role]))
        weights.append(np.append(np.full(len(chosen), CURVE * len(chosen) ** -0.5), 1.0))
    points = points_of(read, units)
    return dataclasses.replace(points, loss=np.concatenate(losses), weight=np.concatenate(weights))
