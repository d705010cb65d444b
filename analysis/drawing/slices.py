"""One axis at a time: the charts of trials that differ from the centre in one axis alone."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.dips import newest_role
from analysis.drawing import endpoints, lines, theme
from analysis.drawing.alternative import NONE, Alternative
from analysis.drawing.chart import Chart, Panel, keys_of, panel, stopped_note
from analysis.drawing.curve_numbers import losses_told, rates_told
from analysis.drawing.curves import against_baselines, along_axis, loss_curves, lr_curves
from analysis.load import Sweep
from analysis.stages import beginnings

DIP_SHARE = 0.15
"""The first share of the stage that the zoom on the dip shows."""


def slices(
    sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]
) -> dict[str, pd.DataFrame]:
    """The curves along each swept axis, where more than one of its values meets the centre's rest.

    In a random design or a list there may be no such axis.
    """
    choices = {axis: along_axis(sweep, trials, axis, center) for axis in swept(sweep)}
    return {axis: chosen for axis, chosen in choices.items() if chosen[axis].nunique() > 1}


def swept(sweep: Sweep) -> list[str]:
    """The axes with more than one value, but for the seed."""
    return [axis for axis in sweep.setting_axes if len(sweep.plan["axes"][axis]) > 1]


def axis_charts(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> list[Chart]:
    """Losses along each swept axis and where they end, then the baselines."""
    charts = []
    middle = labels.center_name(sweep)
    choices = slices(sweep, trials, center)
    points = {axis: endpoints.end_points(sweep, chosen) for axis, chosen in choices.items()}
    spans = {
        role: endpoints.end_span(list(points.values()), role) for role in sweep.roles if points
    }
    for axis, chosen in choices.items():
        name = labels.axis_label(axis)
        panels, told = _loss_panels(sweep, chosen)
        curves = len(panels)
        if len(points[axis]) > 1 and theme.is_numeric(sweep.plan["axes"][axis]):
            panels += [
                panel(
                    f"Final {role.upper()} loss",
                    endpoints.end_figure(points[axis], role, name, span=spans[role]),
                )
                for role in sweep.roles
            ]
        caption = (
            f"One curve for each value of {name}, all else as in the {middle}"
            f"{_rest(center, axis)}; the thick curve is the {middle}'s, the dashed line the loss "
            "before the first update, dotted curves are not complete."
        )
        if axis == "token_budget" and _shares_beginning(sweep, chosen):
            caption += " The curves share one beginning, which each leaves for its own ending."
        if sweep.several_stages:
            caption += " At each vertical line the next stage begins."
        caption += stopped_note(chosen)
        if len(panels) > curves:
            caption += (
                " Final losses stand on one scale for all axes, so a flat line is an axis that "
                "hardly matters."
            )
        charts.append(Chart(labels.title(name), caption, keys_of(chosen), panels, told))
    if (trials["baseline"] != "").any():
        chosen = against_baselines(sweep, trials, center)
        caption = (
            f"The {middle} against the baselines. Those from random weights enter from above; "
            f"their tokens count from their own step 0.{stopped_note(chosen)}"
        )
        charts.append(Chart("Baselines", caption, keys_of(chosen), *_loss_panels(sweep, chosen)))
    return [chart for chart in charts if chart.panels]


def dip_charts(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> list[Chart]:
    """The start of the stage, along the axes that shape the dip: peak and warm-up."""
    charts = []
    for axis, chosen in slices(sweep, trials, center).items():
        if labels.factor(axis) in ("max_lr", "warmup_fraction"):
            stage, role = _stage(sweep, axis)
            caption = (
                f"The first {DIP_SHARE:.0%} of the stage{_where(sweep, stage)}, tokens on a "
                "logarithmic scale: how high the losses climb above the dashed line, and when "
                f"{role.upper()} loss is back below it.{stopped_note(chosen)}"
            )
            panels, told = _loss_panels(sweep, chosen, stage=stage)
            name = labels.title(labels.axis_label(axis))
            charts.append(Chart(name, caption, keys_of(chosen), panels, told))
    return [chart for chart in charts if chart.panels]


def rate_charts(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> list[Chart]:
    """Learning rates along the axes that change them."""
    charts = []
    for axis, chosen in slices(sweep, trials, center).items():
        if labels.factor(axis) in ("max_lr", "warmup_fraction", "schedule"):
            name = labels.title(labels.axis_label(axis))
            if labels.factor(axis) == "warmup_fraction":
                stage, _ = _stage(sweep, axis)
                name = f"{name}, first {DIP_SHARE:.0%} of the stage{_where(sweep, stage)}"
                curves = lr_curves(sweep, chosen, stage=stage)
                drawn = lines.lr_figure(curves, first_share=DIP_SHARE)
            else:
                curves = lr_curves(sweep, chosen)
                drawn = lines.lr_figure(
                    curves, x_title=x_title(sweep), marks=beginnings(sweep, chosen)
                )
            if len(curves):
                note, told = stopped_note(chosen), rates_told(curves)
                charts.append(Chart(name, note, keys_of(chosen), [panel("", drawn)], told))
    return charts


def _loss_panels(
    sweep: Sweep, chosen: pd.DataFrame, stage: int | None = None
) -> tuple[list[Panel], Alternative]:
    """One panel a data set, the whole path or how one stage begins; and the same in words."""
    curves = loss_curves(sweep, chosen, stage=stage)
    if curves.empty:
        return [], NONE
    roles = [role for role in sweep.roles if _evolves(curves, role)]
    if stage is None:
        marks, counted = beginnings(sweep, chosen), x_title(sweep)
        drawn = [lines.loss_figure(curves, role, x_title=counted, marks=marks) for role in roles]
    else:
        drawn = [lines.loss_figure(curves, role, first_share=DIP_SHARE) for role in roles]
    panels = [
        panel(f"{role.upper()} loss, {sweep.dataset(role)}", figure)
        for role, figure in zip(roles, drawn, strict=True)
    ]
    return panels, losses_told(curves, roles)


def _evolves(curves: pd.DataFrame, role: str) -> bool:
    """Whether there is more of a set than one point a stage, as there is of a set to come."""
    rows = curves[curves["role"] == role]
    return rows.empty or bool((rows["step"] > 0).any()) or not (curves["step"] > 0).any()


def _shares_beginning(sweep: Sweep, chosen: pd.DataFrame) -> bool:
    """Whether trials go through one state in the midst of a stage."""
    trunks = set(sweep.states.index[~sweep.states["ends_stage"].astype(bool)])
    through = [state for path in chosen["path"] for state in set(path) & trunks]
    return len(through) > len(set(through))


def x_title(sweep: Sweep) -> str:
    """What the tokens of curves over all stages after pre-training count."""
    return lines.X_PATH if sweep.several_stages else lines.X_STAGE


def _stage(sweep: Sweep, axis: str) -> tuple[int, str]:
    """The stage whose beginning an axis shapes (its own, else the last), and its newest set."""
    stages = sweep.plan["stages"]
    for number, stage in enumerate(stages):
        if number and stage["dataset"] == labels.stage_of(axis):
            return number, str(stage["role"])
    return len(stages) - 1, newest_role(sweep)


def _where(sweep: Sweep, stage: int) -> str:
    """Which stage is meant, where there are several."""
    return f" on {sweep.plan['stages'][stage]['dataset']}" if sweep.several_stages else ""


def _rest(center: Mapping[str, Any], axis: str) -> str:
    others = [
        f"{labels.axis_label(other)} {labels.value_label(other, value)}"
        for other, value in center.items()
        if other != axis
    ]
    return f" ({', '.join(others)})" if others else ""
