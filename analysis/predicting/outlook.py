"""All that a sweep's fits say together: which hold, and what they predict of forgetting.

Forgetting is the final D0 loss less that of the pre-trained model, adaptation the D1 loss of the
pre-trained model less the final one; the pre-trained model is the one that was measured, its mean
over seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.deciding.decision import KEPT
from analysis.load import Sweep
from analysis.predicting.areas import Array
from analysis.predicting.courses import Course, courses
from analysis.predicting.held_out import LAW, SURFACE, Judged, judge
from analysis.predicting.unrun import Unrun, unrun


@dataclass(frozen=True, eq=False)
class Outlook:
    """The fits of one sweep.

    Attributes:
        courses: Its settings with complete trials; none where nothing can be said.
        judged: Model and role to the fit and its judgement.
        starts: Role to the loss of the pre-trained model, nats per token.
        unrun: Makes settings that were not run; None where there is nothing to start from.
        why: Why nothing is predicted at all, as a sentence without a full stop; empty otherwise.
    """

    courses: Sequence[Course]
    judged: dict[tuple[str, str], Judged]
    starts: dict[str, float]
    unrun: Unrun | None
    why: str = ""

    def holding(self) -> list[str]:
        """The models that hold on both data sets, the law first, which reaches further."""
        return [
            model
            for model in (LAW, SURFACE)
            if self.judged and all(self.judged[model, role].holds for role in self.starts)
        ]

    def predict(self, model: str, settings: Sequence[Course]) -> pd.DataFrame:
        """What a model that holds says of settings.

        Returns:
            One row a setting, in their order: `d0_loss`, `d1_loss`, `forgetting` and `adaptation`
            in nats per token, each with `_low` and `_high`, the 95% prediction interval of the
            mean over as many seeds as the sweep has.
        """
        table: dict[str, Array] = {}
        for role, measure, sign in (("d0", "forgetting", 1.0), ("d1", "adaptation", -1.0)):
            judged = self.judged[model, role]
            losses, half = judged.finals(settings), judged.half_widths(settings)
            change = sign * (losses - self.starts[role])
            for name, values in ((f"{role}_loss", losses), (measure, change)):
                table |= {name: values, f"{name}_low": values - half, f"{name}_high": values + half}
        return pd.DataFrame(table)

    def measured(self) -> pd.DataFrame:
        """Forgetting and adaptation of the settings that were run, in the order of `courses`."""
        finals = pd.DataFrame([course.finals for course in self.courses])
        return pd.DataFrame(
            {
                "forgetting": finals["d0"] - self.starts["d0"],
                "adaptation": self.starts["d1"] - finals["d1"],
            }
        )

    def cap(self) -> float:
        """The report's default: what the least forgetful forgets of those that adapted (`KEPT`)."""
        measured = self.measured()
        adapted = measured["adaptation"] >= KEPT * measured["adaptation"].max()
        return float(measured.loc[adapted, "forgetting"].min())


def outlook(sweep: Sweep, trials: pd.DataFrame) -> Outlook:
    """Fits and judges both models on both data sets.

    Args:
        sweep: Any; with several stages after pre-training nothing is predicted.
        trials: As `measures.trial_table` returns them.
    """
    if sweep.several_stages:
        why = "the law and the surface speak of one stage after pre-training, and there are several"
        return Outlook([], {}, {}, None, why)
    complete = trials[trials["mean_loss"].notna() & ~trials["from_scratch"]]
    if complete.empty:
        return Outlook([], {}, {}, None, "no trial that continues is complete")
    settings = courses(sweep, trials)
    judged = {
        (model, role): judge(settings, role, model)
        for model in (LAW, SURFACE)
        for role in sweep.roles
    }
    starts = {role: float(complete[f"{role}_start"].mean()) for role in sweep.roles}
    return Outlook(settings, judged, starts, unrun(sweep, trials, settings))
