"""The section on prediction: what may be believed, what follows from it, and what to run next.

Everything is said from tables of `analysis.predicting`. A fit that does not hold is named with the
reason, and nothing of it is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.drawing.chart import Chart
from analysis.drawing.predictions import prediction_charts
from analysis.load import Sweep
from analysis.page.prediction_tables import (
    constants_table,
    elsewhere_table,
    judgements_table,
    proposals_table,
)
from analysis.page.tables import Table
from analysis.predicting import tables
from analysis.predicting.held_out import BOUND, LAW, Judged
from analysis.predicting.next_sweep import next_sweep
from analysis.predicting.outlook import Outlook, outlook
from analysis.predicting.proposals import bounds, propose
from analysis.predicting.unrun import planned_points


@dataclass(frozen=True)
class Prediction:
    """The section of the report.

    Attributes:
        why: Why there is no prediction at all, a sentence without a full stop; else empty.
        judgements: Errors of each fit on settings it had not seen.
        troubles: A sentence for each fit that does not hold.
        constants: The fitted letters of the law, where it holds.
        charts: Parity, dials, longer budgets; those for which a fit holds.
        elsewhere: Values for settings that were not run.
        cap: The forgetting that proposals stay under, in words.
        proposals: The next trials, or no rows.
        unproposed: Why there are none, or no file for them; else empty.
        file: The proposals as a sweep file.
        bound: The held-out error above which a fit does not hold.
    """

    why: str = ""
    judgements: Table | None = None
    troubles: Sequence[str] = ()
    constants: Table | None = None
    charts: Sequence[Chart] = ()
    elsewhere: Table | None = None
    cap: str = ""
    proposals: Table | None = None
    unproposed: str = ""
    file: str = ""
    bound: str = f"{BOUND:.0%}"


def prediction_section(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> Prediction:
    """What the report says of settings that were not run.

    Args:
        sweep: Any, finished or not.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
    """
    found = outlook(sweep, trials)
    if found.why:
        return Prediction(why=found.why)
    judged = list(found.judged.values())
    if bounds(found.courses, LAW) is None:
        unproposed = "neither peak nor replay was varied, so nothing tells what another value does"
    elif found.unrun is None:
        unproposed = "no trial that re-warms has a configuration to make others from"
    elif not found.holding():
        unproposed = "no model holds on both data sets, so nothing is predicted of other settings"
    else:
        unproposed = ""
    follows = {"unproposed": unproposed} if unproposed else _next(sweep, found)
    return Prediction(
        judgements=judgements_table(sweep, judged, tables.by_trial(found, trials)),
        troubles=[_trouble(one) for one in judged if not one.holds],
        constants=constants_table(judged),
        charts=prediction_charts(sweep, trials, settings, center, found),
        **follows,
    )


def _next(sweep: Sweep, found: Outlook) -> dict[str, Any]:
    """What follows where a model holds on both data sets."""
    unrun, model = found.unrun, found.holding()[0]
    within = bounds(found.courses, model)
    assert within is not None
    assert unrun is not None
    cap = found.cap()
    proposals = propose(found, model, within, planned_points(sweep), cap)
    file, unproposed = next_sweep(sweep, proposals) if len(proposals) else ("", "")
    if proposals.empty:
        unproposed = "no setting within the bounds is expected to do better than the best known"
    return {
        "elsewhere": elsewhere_table(sweep, tables.elsewhere(found), unrun.steps),
        "cap": labels.change(cap),
        "proposals": proposals_table(proposals, model, found.courses),
        "unproposed": unproposed,
        "file": file,
    }


def _trouble(judged: Judged) -> str:
    return f"The {judged.model} of {judged.role.upper()} does not hold: {judged.why}."
