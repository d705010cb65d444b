"""All trials in one chart, for a sweep in which no axis can be followed on its own."""

from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.drawing import lines, theme
from analysis.drawing.chart import Chart, keys_of, panel, stopped_note
from analysis.drawing.curve_numbers import losses_told, rates_told
from analysis.drawing.curves import loss_curves, lr_curves
from analysis.drawing.scatter import BEATEN, EFFICIENT
from analysis.drawing.slices import x_title
from analysis.load import Sweep
from analysis.stages import beginnings
from cpt.records import StatusWord

NOT_COMPLETE = "not complete"
MAX_CURVES = 80
"""More curves than that in one chart are a block of colour, and a page that takes long to open."""


def every_trial(trials: pd.DataFrame, settings: pd.DataFrame) -> pd.DataFrame:
    """All trials but baselines as a choice of curves, told apart by what came of them."""
    chosen = trials[trials["baseline"] == ""].copy()
    efficient = chosen["setting"].map(settings["efficient"])
    chosen["curve"] = [
        labels.curve_name("no final loss", status)
        if status == StatusWord.STOPPED
        else NOT_COMPLETE
        if pd.isna(front)
        else EFFICIENT
        if front
        else BEATEN
        for status, front in zip(chosen["status"], efficient, strict=True)
    ]
    chosen["color"] = chosen["curve"].map({EFFICIENT: "var(--cat-0)"}).fillna(theme.PALE)
    chosen["dash"] = theme.DASHES[0]
    chosen["central"] = False
    # What is drawn last lies on top.
    return chosen.sort_values("curve", key=lambda names: names == EFFICIENT, kind="stable")


def drawn(chosen: pd.DataFrame, most: int = MAX_CURVES) -> pd.DataFrame:
    """At most so many of the trials, in their order.

    Half of them at most are of settings that are not beaten, those with the least forgetting. The
    others are evenly spaced in the order of their mean final loss, the lowest and the highest
    among them, those without one behind them in the order of the plan.
    """
    if len(chosen) <= most:
        return chosen
    best = chosen[chosen["curve"] == EFFICIENT].sort_values("forgetting", kind="stable")
    others = chosen[chosen["curve"] != EFFICIENT].sort_values("mean_loss", kind="stable")
    best = best.head(max(most // 2, most - len(others)))
    places = np.linspace(0, len(others) - 1, min(most - len(best), len(others)))
    kept = [*best.index, *others.index[places.round().astype(int)]]
    return chosen[chosen.index.isin(kept)]


def drawn_note(chosen: pd.DataFrame, shown: pd.DataFrame) -> str:
    """What a caption says where not all trials are drawn; empty where all are."""
    if len(shown) == len(chosen):
        return ""
    best = int((shown["curve"] == EFFICIENT).sum())
    return (
        f" Drawn are {len(shown)} of {len(chosen):,} trials: {best} of settings that are not "
        f"beaten, and of the others {len(shown) - best}, evenly spaced from the lowest to the "
        "highest mean of their final losses, with those that have none. The table has all."
    )


def every_trial_losses(sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame) -> list[Chart]:
    """Losses of all trials, for a sweep without any axis to follow."""
    chosen, note = _drawn(trials, settings)
    losses = loss_curves(sweep, chosen)
    place = _place(sweep, chosen)
    panels = [
        panel(
            f"{role.upper()} loss, {sweep.dataset(role)}",
            lines.loss_figure(losses, role, **place),
        )
        for role in sweep.roles
        if (losses["role"] == role).any()
    ]
    caption = (
        "One curve for each trial; the dashed line is the loss before the first update, dotted "
        f"curves are not complete.{note}"
    )
    told = losses_told(losses, sweep.roles)
    return [Chart("Every trial", caption, keys_of(chosen), panels, told)] if panels else []


def every_trial_rates(sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame) -> list[Chart]:
    """Learning rates of all settings, for a sweep without any axis to follow."""
    chosen, note = _drawn(trials, settings)
    rates = lr_curves(sweep, chosen)
    if rates.empty:
        return []
    panels = [panel("", lines.lr_figure(rates, **_place(sweep, chosen)))]
    return [Chart("Every setting", note.strip(), keys_of(chosen), panels, rates_told(rates))]


def _drawn(trials: pd.DataFrame, settings: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The trials that are drawn, and what a caption says of them."""
    every = every_trial(trials, settings)
    chosen = drawn(every)
    return chosen, f"{drawn_note(every, chosen)}{stopped_note(chosen)}"


def _place(sweep: Sweep, chosen: pd.DataFrame) -> dict[str, Any]:
    return {"x_title": x_title(sweep), "marks": beginnings(sweep, chosen)}
