"""Settings that were not run: the reference of a sweep with another peak, replay or budget."""

import math
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.load import Sweep
from analysis.predicting.areas import scheduled_rates
from analysis.predicting.courses import Course, Rates, factors_of, is_usual, schedule_of
from analysis.settings import anchor, around
from cpt.schedule_config import ScheduleConfig


@dataclass(frozen=True, eq=False)
class Unrun:
    """Makes courses of settings that were not run.

    Attributes:
        setting: The reference, as `trials["setting"]` has it.
        schedule: Its own.
        peak: The learning rate that it re-warms to.
        replay: Its share of replay.
        steps: Its updates without replay on top.
        additive: Whether replay comes on top of them.
        before: Rates of pre-training.
        back: How far the evaluations of the final window lie before the end, in updates.
    """

    setting: str
    schedule: ScheduleConfig
    peak: float
    replay: float
    steps: int
    additive: bool
    before: Rates
    back: NDArray[np.int64]
    _rates: dict[tuple[float, int], Rates] = field(default_factory=dict, repr=False)

    def course(self, peak: float, replay: float, times: int = 1) -> Course:
        """The course of a setting.

        Args:
            peak: Learning rate to re-warm to; the floor stays the same share of it.
            replay: Share of D0, in [0, 1).
            times: Token budget in budgets of the reference; the schedule keeps its shape.
        """
        steps = self.steps * times
        steps = math.ceil(steps / (1 - replay)) if self.additive else steps
        if (peak, steps) not in self._rates:
            self._rates[peak, steps] = Rates(scheduled_rates(self._scaled(peak, steps), steps))
        return Course(
            peak=peak,
            replay=replay,
            before=self.before,
            rates=self._rates[peak, steps],
            window=np.maximum(steps - self.back, 0),
        )

    def _scaled(self, peak: float, steps: int) -> ScheduleConfig:
        schedule, share = self.schedule, peak / self.peak
        changed = {
            "max_lr": peak,
            "min_lr": schedule.min_lr * share,
            "start_lr": min(schedule.start_lr, peak),
            # Lengths are shares of each stage's own steps: the same shape, however long.
            "reference_steps": None,
        }
        if schedule.constant_lr is not None:
            changed["constant_lr"] = schedule.constant_lr * share
        return schedule.model_copy(update=changed)


def unrun(sweep: Sweep, trials: pd.DataFrame, courses: list[Course]) -> Unrun | None:
    """From the reference, or the first setting near it that was run; None without one.

    It must re-warm, and have a configuration that names its schedule.

    Args:
        sweep: With one stage after pre-training.
        trials: As `measures.trial_table` returns them.
        courses: As `courses.courses` returns them.
    """
    states = trials[trials["mean_loss"].notna()].groupby("setting")["state"].first()
    central = set(around(trials, "", anchor(sweep))["setting"])
    for course in sorted(courses, key=lambda one: one.setting not in central):
        if not course.usual or not math.isfinite(course.peak) or not len(course.window):
            continue
        configured = schedule_of(sweep, str(states[course.setting]))
        if configured is None:
            continue
        schedule, steps = configured
        # The inverse of `ceil(alone / (1 - replay))`, by which a sweep makes room for replay.
        alone = math.floor(steps * (1 - course.replay) + 1e-9)
        return Unrun(
            setting=course.setting,
            schedule=schedule,
            peak=course.peak,
            replay=course.replay,
            steps=alone if sweep.additive_replay else steps,
            additive=sweep.additive_replay,
            before=course.before,
            back=steps - course.window,
        )
    return None


def planned_points(sweep: Sweep) -> pd.DataFrame:
    """What a sweep has already, run or not: `peak` and `replay` of its usual settings."""
    usual = is_usual(sweep, sweep.trials)
    factors = factors_of(sweep)
    rows = [
        (float(factors[trial]["max_lr"]), float(factors[trial]["replay_fraction"]))
        for trial in sweep.trials.loc[usual, "trial"]
        if None not in (factors[trial]["max_lr"], factors[trial]["replay_fraction"])
    ]
    return pd.DataFrame(rows, columns=["peak", "replay"]).drop_duplicates(ignore_index=True)
