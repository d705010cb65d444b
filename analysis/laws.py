"""The law of continual pre-training, fitted to the curves of a sweep by scipy.

For the loss on one held-out set, in nats per token (arXiv 2505.07796),

    L = L0 + A (S1_pt + S1)^-alpha - C1 S2_pt - C2 S2 + B(r) (1 - (1 + E S1)^-beta)

with S1 and S2 the areas of the stage so far, S1_pt and S2_pt those of pre-training
(`predicting.areas`). What each term says, and where it is from:

    A, alpha      training on, whatever the data: the power law of arXiv 2408.11029
    C1, C2        annealing, from the same
    B, E, beta    the shift to other data, of arXiv 2505.07796: raises the D0 loss, lowers D1's
    B(r) = B exp(-kappa r)    replay shrinks the shift exponentially, as there, in one parameter

A term that a sweep cannot tell is dropped: C1 where all trials have one pre-training (it is part of
L0 then), kappa where all have one share of replay. Where the areas of pre-training are not known,
S1_pt is taken to be ten times the largest S1, for which the term is all but straight.

    courses = laws.courses(sweep, trials)
    law = laws.fit(courses, "d0")
    law.constants       the letters above
    law.final(course)   the final loss that it gives
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from analysis.predicting.areas import DECAY, Array
from analysis.predicting.courses import Course, courses
from analysis.predicting.points import MOST_SETTINGS, Points, Units, data_of, points_of, units_of

__all__ = ["DECAYS", "Law", "courses", "fit"]

DECAYS = (DECAY, 0.99)
"""Both ends of the range that is reported for annealing: the usual value first, and the other."""
EVIDENCE = 3.0
"""The other value is taken where the settings speak so many times as much for it (Raftery, 1995:
positive evidence), by the ratio of costs to the power of half the number of settings."""
ROBUST = 0.01
"""Residuals beyond this share of the median loss count by their size, not its square."""
NAMES = (
    "level",
    "progress",
    "alpha",
    "anneal",
    "anneal_before",
    "shift",
    "relief",
    "speed",
    "beta",
)
LOWER = (0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.0, -5.0, 0.05)
UPPER = (np.inf, 1.0, 3.0, np.inf, np.inf, 1.0, 200.0, 8.0, 5.0)
"""Of the parameters; progress and shift as shares of the loss of the pre-trained model, so that no
term takes away more than there was, in whatever direction the data leave it open."""
STARTS = tuple(
    (alpha, relief, speed) for alpha in (0.2, 1.0) for relief in (1.0, 15.0) for speed in (0.0, 2.5)
)
TOLERANCE = 1e-6
"""Of scipy's stopping rules: relative changes of cost and parameters."""
TRIED, POLISHED, REFITTED = 30, 300, 60
"""Evaluations of a first try from each start, of the best one after it, and of a refit."""


@dataclass(frozen=True, eq=False)
class Law:
    """A fitted law of one held-out set.

    Attributes:
        role: d0 or d1.
        theta: Its parameters in the order of `NAMES`, in `units`; see `constants`.
        units: Of the areas.
        free: Which parameters were fitted; the others are 0, which drops their term.
        converged: Whether scipy's stopping rules were met.
        cost: Half the robust sum of squares that scipy made small.
        rivals: The same fitted with other lambdas, each with its share of the evidence: stages of a
            few hundred updates hardly tell them apart, but longer ones will differ by them.
    """

    role: str
    theta: Array
    units: Units
    free: NDArray[np.bool_]
    converged: bool
    cost: float
    rivals: tuple[tuple[float, "Law"], ...] = ()

    @property
    def parameters(self) -> int:
        """How many were fitted."""
        return int(self.free.sum())

    @property
    def constants(self) -> dict[str, float]:
        """L0, A, alpha, C1, C2, B, kappa, E, beta and lambda of the formula; areas as rates."""
        of, unit = dict(zip(NAMES, self.theta.tolist(), strict=True)), self.units
        return {
            "L0": of["level"] - of["progress"] + of["anneal_before"],
            "A": of["progress"] * unit.before ** of["alpha"],
            "alpha": of["alpha"],
            "C1": of["anneal_before"] / unit.s2_before,
            "C2": of["anneal"] / unit.s2,
            "B": _sign(self.role) * of["shift"],
            "kappa": of["relief"],
            "E": math.exp(of["speed"]) / unit.s1,
            "beta": of["beta"],
            "lambda": unit.decay,
        }

    def losses(self, course: Course, steps: NDArray[np.int64]) -> Array:
        """The loss after each of some numbers of updates, nats per token."""
        points = points_of([(course, steps)], self.units)
        return _law(self.theta, points, _sign(self.role))

    def finals(self, courses: Sequence[Course]) -> Array:
        """The final loss of each course, that at the middle of its window, nats per token."""
        points = points_of([(course, course.middle) for course in courses], self.units)
        return _law(self.theta, points, _sign(self.role))


def fit(
    courses: Sequence[Course],
    role: str,
    *,
    like: Law | None = None,
    decays: Sequence[float] = DECAYS,
) -> Law:
    """Fits the law of one held-out set by least squares, robust and within bounds.

    Args:
        courses: The settings, at least one; of more than `MOST_SETTINGS` so many are read.
        role: d0, whose loss the shift raises, or d1, whose loss it lowers.
        like: A law of nearly the same courses to start from, with its units and free parameters;
            None: from several starts, and with `rivals`.
        decays: Lambda of the annealing area, see `EVIDENCE`.
    """
    if like is not None:
        return _least(data_of(courses, role, like.units), like, like.theta, REFITTED)
    laws = [_from_starts(courses, role, decays[0])]
    laws += [_again(courses, role, decay, laws[0]) for decay in decays[1:]]
    least = min(law.cost for law in laws)
    read = min(len(courses), MOST_SETTINGS)
    evidence = [(least / law.cost) ** (read / 2) if law.cost else 1.0 for law in laws]
    best = int(np.argmax(evidence))
    taken = best if evidence[best] > EVIDENCE * evidence[0] else 0
    rivals = tuple(
        (evidence[number] / sum(evidence), law)
        for number, law in enumerate(laws)
        if number != taken
    )
    return dataclasses.replace(laws[taken], rivals=rivals)


def _from_starts(courses: Sequence[Course], role: str, decay: float) -> Law:
    """The best of fits from several starts."""
    units = units_of(courses, role, decay)
    points = data_of(courses, role, units)
    blank = Law(role, np.zeros(len(NAMES)), units, _free(points), converged=False, cost=math.inf)
    tried = [_least(points, blank, start, TRIED) for start in _starts(courses, role, units.loss)]
    best = min(tried, key=lambda law: law.cost)
    return _least(points, best, best.theta, POLISHED)


def _again(courses: Sequence[Course], role: str, decay: float, law: Law) -> Law:
    """The same law with another lambda."""
    units = units_of(courses, role, decay)
    points = data_of(courses, role, units)
    return _least(points, dataclasses.replace(law, units=units), law.theta, POLISHED)


def _sign(role: str) -> float:
    return 1.0 if role == "d0" else -1.0


def _free(points: Points) -> NDArray[np.bool_]:
    """Which parameters the data can tell."""
    free = dict.fromkeys(NAMES, True)
    free["relief"] = bool(np.ptp(points.replay) > 0)
    free["anneal"] = bool(points.s2.max() > 0)
    free["anneal_before"] = bool(np.ptp(points.s2_before) > 0.01)
    return np.array([free[name] for name in NAMES])


def _starts(courses: Sequence[Course], role: str, first: float) -> Iterator[Array]:
    """Where fits begin: the shift as large as the largest change, half of it, slow and fast."""
    changes = [_sign(role) * (course.finals[role] - first) for course in courses]
    shift = max(0.05, 1.3 * max(changes))
    for alpha, relief, speed in STARTS:
        yield np.array([first, 0.3, alpha, 0.05, 0.0, shift, relief, speed, 1.0])


def _least(points: Points, law: Law, start: Array, most: int) -> Law:
    """One run of scipy's trust region from one start."""
    free, sign = law.free, _sign(law.role)
    whole = np.where([name in ("progress", "shift") for name in NAMES], law.units.loss, 1.0)
    lower, upper = np.array(LOWER)[free], (whole * UPPER)[free]

    def full(theta: Array) -> Array:
        whole = np.zeros(len(NAMES))
        whole[free] = theta
        return whole

    found = least_squares(
        lambda theta: points.weight * (_law(full(theta), points, sign) - points.loss),
        np.clip(start[free], lower + 1e-6, upper - 1e-6),
        jac=lambda theta: (points.weight[:, None] * _slopes(full(theta), points, sign))[:, free],
        bounds=(lower, upper),
        x_scale="jac",
        ftol=TOLERANCE,
        xtol=TOLERANCE,
        loss="soft_l1",
        f_scale=ROBUST * float(np.median(points.loss)),
        max_nfev=most,
    )
    return dataclasses.replace(
        law, theta=full(found.x), converged=found.status > 0, cost=float(found.cost)
    )


def _law(theta: Array, points: Points, sign: float) -> Array:
    level, progress, alpha, anneal, anneal_before, shift, relief, speed, beta = theta
    moved = 1 - (1 + math.exp(speed) * points.s1) ** -beta
    return np.asarray(
        level
        + progress * (points.way**-alpha - 1)
        - anneal * points.s2
        - anneal_before * points.s2_before
        + sign * shift * np.exp(-relief * points.replay) * moved
    )


def _slopes(theta: Array, points: Points, sign: float) -> Array:
    """The derivatives of `_law` by its parameters: one column each."""
    _, progress, alpha, _, _, shift, relief, speed, beta = theta
    left = points.way**-alpha
    grown = math.exp(speed) * points.s1
    kept = (1 + grown) ** -beta
    relieved = sign * np.exp(-relief * points.replay)
    return np.column_stack(
        [
            np.ones(len(left)),
            left - 1,
            -progress * left * np.log(points.way),
            -points.s2,
            -points.s2_before,
            relieved * (1 - kept),
            -points.replay * relieved * shift * (1 - kept),
            shift * relieved * beta * grown * kept / (1 + grown),
            shift * relieved * kept * np.log1p(grown),
        ]
    )
