"""Settings whose losses follow a law exactly, made without a result tree."""

import dataclasses
import math

import numpy as np

from analysis.predicting.areas import areas
from analysis.predicting.courses import Course, Rates
from analysis.predicting.unrun import Unrun
from cpt.schedule_config import ScheduleConfig

STEPS = 100
SCHEDULE = ScheduleConfig(type="cosine", max_lr=0.01, min_lr=0.001, warmup_fraction=0.1)
BEFORE = Rates(np.full(200, 0.01))
PEAKS = (0.005, 0.01, 0.02, 0.04)
SHARES = (0.0, 0.05, 0.25, 0.5)


@dataclasses.dataclass(frozen=True)
class Known:
    """The formula of `analysis.laws`, written out once more."""

    l0: float
    a: float
    alpha: float
    c2: float
    b: float
    kappa: float
    e: float
    beta: float

    def loss(self, course: Course, step: int) -> float:
        s1, s2 = (area[step] for area in areas(course.rates.values))
        shift = self.b * math.exp(-self.kappa * course.replay)
        return float(
            self.l0
            + self.a * (course.before.values.sum() + s1) ** -self.alpha
            - self.c2 * s2
            + shift * (1 - (1 + self.e * s1) ** -self.beta)
        )


LAWS = {
    "d0": Known(l0=1.5, a=0.5, alpha=0.5, c2=0.1, b=0.6, kappa=8.0, e=4.0, beta=0.8),
    "d1": Known(l0=2.0, a=0.4, alpha=0.5, c2=0.1, b=-0.8, kappa=0.5, e=3.0, beta=0.7),
}
REFERENCE = Unrun(
    setting="0.01 0.05",
    schedule=SCHEDULE,
    peak=0.01,
    replay=0.05,
    steps=STEPS,
    additive=False,
    before=BEFORE,
    back=np.array([6, 3, 0]),
)


def measured(course: Course, off: float = 0.0) -> Course:
    """A course with the losses that the laws give it, the final one `off` by so much."""
    steps = np.array([0, 1, 2, 4, 8, 16, 32, 48, 64, 80, 90])
    return dataclasses.replace(
        course,
        setting=f"{course.peak:g} {course.replay:g}",
        steps=steps,
        losses={
            role: np.array([law.loss(course, step) for step in steps]) for role, law in LAWS.items()
        },
        finals={
            role: float(np.mean([law.loss(course, step) for step in course.window])) + off
            for role, law in LAWS.items()
        },
        seeds=1,
    )
