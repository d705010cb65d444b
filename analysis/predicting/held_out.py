"""Whether a fit can be believed: it is judged on settings that it has not seen.

All seeds of a setting are left out together. Up to `ONE_BY_ONE` settings are left out one by one,
more in `FOLDS` groups drawn at random, always the same. A fit that does not hold predicts nothing;
the sentence says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from analysis import labels, laws
from analysis.laws import Law
from analysis.measures import CONFIDENCE
from analysis.predicting import surface
from analysis.predicting.areas import Array
from analysis.predicting.courses import Course
from analysis.predicting.surface import Surface

ONE_BY_ONE, FOLDS = 30, 10
BOUND = 0.01
"""A fit whose held-out error (root mean square) is a larger share of the loss does not hold."""
LAW, SURFACE = "loss law", "response surface"


class Fitted(Protocol):
    """What `laws.fit` and `surface.fit` return."""

    @property
    def parameters(self) -> int:
        """How many were fitted."""

    @property
    def converged(self) -> bool:
        """Whether the fit ended by its own rules."""

    def finals(self, courses: Sequence[Course]) -> Array:
        """The final loss of each setting, nats per token."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A fit of one held-out set's final losses, and what it did with settings it had not seen.

    Attributes:
        model: `LAW` or `SURFACE`.
        role: d0 or d1.
        fit: To all settings; None where there were too few of them to try.
        folds: Fits with some settings left out.
        table: One row a setting: `setting`, `observed` (mean final loss over seeds), `fitted`,
            `held_out` (predicted without it), `others` (mean of the settings of its fold's fit),
            all nats per token; `error` = held_out - observed; `share` = |error| / observed.
        why: Why it does not hold, as a sentence without a full stop; empty where it does.
    """

    model: str
    role: str
    fit: Fitted | None
    folds: Sequence[Fitted]
    table: pd.DataFrame
    why: str

    @property
    def holds(self) -> bool:
        """Whether it may predict."""
        return not self.why

    @property
    def error(self) -> float:
        """Root mean square of held-out errors, nats per token."""
        return _size(self.table["error"])

    @property
    def error_of_mean(self) -> float:
        """The same of predicting the mean of the other settings."""
        return _size(self.table["others"] - self.table["observed"])

    @property
    def freedom(self) -> int:
        """Settings less parameters; at least 1."""
        return max(1, len(self.table) - self.parameters)

    @property
    def parameters(self) -> int:
        """How many were fitted; 0 where nothing was."""
        return self.fit.parameters if self.fit else 0

    def finals(self, courses: Sequence[Course]) -> Array:
        """The final losses of settings that need not have been run, nats per token.

        Raises:
            ValueError: The fit does not hold.
        """
        if self.fit is None or self.why:
            raise ValueError(f"the {self.model} of {self.role} does not hold: {self.why}")
        return self.fit.finals(courses)

    def losses(self, course: Course, steps: NDArray[np.int64]) -> Array:
        """The law's loss after each of some numbers of updates, nats per token.

        Raises:
            ValueError: The fit does not hold, or is a surface, which knows final losses alone.
        """
        if not isinstance(self.fit, Law) or self.why:
            raise ValueError(f"there is no law of {self.role} that holds: {self.why or self.model}")
        return self.fit.losses(course, steps)

    def spread(self, courses: Sequence[Course]) -> Array:
        """Standard deviations of those predictions, for what the settings leave open of the fit.

        Of the surface by the theory of least squares. Of the law the jackknife over folds, and how
        far its rivals predict another loss, squared and weighed by their evidence. All of it grows
        outside of what was tried.
        """
        if isinstance(self.fit, Surface):
            return self.fit.spread(courses)
        around = np.array([fold.finals(courses) for fold in self.folds])
        variance = (len(around) - 1) * around.var(axis=0)
        if isinstance(self.fit, Law):
            own = self.fit.finals(courses)
            for share, rival in self.fit.rivals:
                variance += share * (rival.finals(courses) - own) ** 2
        return np.asarray(np.sqrt(variance))

    def half_widths(self, courses: Sequence[Course]) -> Array:
        """Half the 95% prediction interval of each setting's mean over seeds, by Student's t.

        The variance is that of the fit itself (`spread`) and the held-out error squared: what is
        left of a few settings once a surface is laid through them would be too little.
        """
        deviations = np.hypot(self.spread(courses), self.error)
        return float(stdtrit(self.freedom, (1 + CONFIDENCE) / 2)) * deviations


def judge(courses: Sequence[Course], role: str, model: str) -> Judged:
    """Fits a model to all settings, and to all but some, and says whether it holds.

    Args:
        courses: As `courses.courses` returns them; the surface reads the usual ones alone.
        role: d0 or d1.
        model: `LAW` or `SURFACE`.
    """
    if model == SURFACE:
        courses = [
            one for one in courses if one.usual and np.isfinite([one.peak, one.replay]).all()
        ]
    courses = [
        one
        for one in courses
        if np.isfinite(one.replay) and len(one.window) and len(one.steps) and len(one.rates.values)
    ]
    if len(courses) < 3:
        few = f"{len(courses)} settings with a complete trial are too few to leave one out"
        return Judged(model, role, None, [], _table([], [], [], []), few)
    law = laws.fit(courses, role) if model == LAW else None
    fit: Fitted = law or surface.fit(courses, role)

    def again(kept: Sequence[Course]) -> Fitted:
        return laws.fit(kept, role, like=law) if law else surface.fit(kept, role)

    if len(courses) <= fit.parameters:
        few = f"{len(courses)} settings cannot check {fit.parameters} parameters"
        return Judged(model, role, fit, [], _table([], [], [], []), few)
    groups = _groups(len(courses))
    folds = [
        again([one for one, own in zip(courses, groups, strict=True) if own != group])
        for group in range(groups.max() + 1)
    ]
    finals = np.array([one.finals[role] for one in courses])
    table = _table(
        courses,
        finals,
        fit.finals(courses),
        [float(folds[own].finals([one])[0]) for one, own in zip(courses, groups, strict=True)],
    )
    table["others"] = [float(finals[groups != group].mean()) for group in groups]
    judged = Judged(model, role, fit, folds, table, "")
    return Judged(model, role, fit, folds, table, _trouble(judged))


def _groups(count: int) -> NDArray[np.int64]:
    """The fold of each setting."""
    if count <= ONE_BY_ONE:
        return np.arange(count)
    return np.random.default_rng(0).permutation(count) % FOLDS


def _table(
    courses: Sequence[Course],
    observed: Sequence[float] | Array,
    fitted: Sequence[float] | Array,
    held_out: Sequence[float],
) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "setting": [one.setting for one in courses],
            "observed": np.asarray(observed, dtype=float),
            "fitted": np.asarray(fitted, dtype=float),
            "held_out": np.asarray(held_out, dtype=float),
            "others": np.nan,
        }
    )
    table["error"] = table["held_out"] - table["observed"]
    table["share"] = table["error"].abs() / table["observed"]
    return table


def _trouble(judged: Judged) -> str:
    """Why a fit does not hold; empty where it does."""
    fit, table = judged.fit, judged.table
    if fit is None:
        return judged.why
    if not fit.converged:
        return "the fit did not converge"
    if not judged.error < judged.error_of_mean:
        return (
            f"its held-out error of {labels.loss(judged.error)} nats is no smaller than that of "
            f"guessing the mean of the other settings, {labels.loss(judged.error_of_mean)}"
        )
    share = judged.error / float(table["observed"].mean())
    if share > BOUND:
        return f"its held-out error is {share:.1%} of the loss, above the bound of {BOUND:.0%}"
    return ""


def _size(errors: pd.Series) -> float:
    return float(np.sqrt((errors**2).mean()))
