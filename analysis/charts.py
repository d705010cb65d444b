"""The report's charts: panels that share a legend, and a caption that says how to read them."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import endpoints, figures, labels, plane, theme
from analysis.load import Sweep
from analysis.measures import ROLES

DIP_SHARE = 0.15
"""The first share of the stage that the zoom on the dip shows."""


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a curve's name, colour and mark (line, thick, dash or a symbol)."""

    name: str
    color: str
    mark: str


@dataclass(frozen=True)
class Panel:
    """One drawing area: what it shows, in words, and the figure as JSON."""

    title: str
    spec: str
    height: int


@dataclass(frozen=True)
class Chart:
    """Panels that share a legend and a caption saying how to read them."""

    title: str
    caption: str
    keys: list[Key]
    panels: list[Panel]


def plane_chart(sweep: Sweep, settings: pd.DataFrame, center: dict[str, Any]) -> Chart | None:
    """The main picture; None before any complete trial has a pre-trained model to compare with."""
    if settings["forgetting"].dropna().empty:
        return None
    points = plane.plane_points(sweep, settings, center)
    drawn = plane.plane_figure(points)
    keys = [
        Key(str(family), rows["color"].iloc[0], rows["symbol"].iloc[0])
        for family, rows in points.groupby("family", sort=False)
    ]
    if points["efficient"].any():
        keys.append(Key(plane.FRONT, theme.MUTED, "dash"))
    caption = (
        "Each point is one setting. Up is more adaptation, left is less forgetting: a setting is "
        "beaten by whatever lies above and to its left; the dashed steps join those that nothing "
        "beats. Baselines from random weights are shown against the same pre-trained model and "
        "do not enter the front. Point at a mark for its factors and state id."
    )
    far = plane.outside(points)
    if len(far):
        told = [
            f"{point['name']} (forgetting {labels.change(point['forgetting'])}, "
            f"adaptation {labels.loss(point['adaptation'])})"
            for _, point in far.iterrows()
        ]
        caption += f" Outside the picture: {labels.listing(told)}; a double click shows all."
    return Chart("Forgetting against adaptation", caption, keys, [_panel("", drawn)])


def axis_charts(sweep: Sweep, trials: pd.DataFrame, center: dict[str, Any]) -> list[Chart]:
    """Losses along each swept axis and where they end, then the baselines."""
    charts = []
    middle = labels.center_name(sweep)
    choices = {axis: figures.along_axis(sweep, trials, axis, center) for axis in _swept(sweep)}
    points = {axis: endpoints.end_points(chosen) for axis, chosen in choices.items()}
    spans = {role: endpoints.end_span(list(points.values()), role) for role in ROLES if points}
    for axis, chosen in choices.items():
        name = labels.axis_label(axis)
        panels = _loss_panels(sweep, chosen)
        if len(points[axis]) > 1 and theme.is_numeric(sweep.plan["axes"][axis]):
            panels += [
                _panel(
                    f"Final {role.upper()} loss",
                    endpoints.end_figure(points[axis], role, name, span=spans[role]),
                )
                for role in ROLES
            ]
        caption = (
            f"One curve for each value of {name}, all else as in the {middle}"
            f"{_rest(center, axis)}; the thick curve is the {middle}'s, the dashed line the loss "
            "before the first update, dotted curves are not complete."
        )
        if len(panels) > len(ROLES):
            caption += (
                " Final losses stand on one scale for all axes, so a flat line is an axis that "
                "hardly matters."
            )
        charts.append(Chart(labels.title(name), caption, _keys(chosen), panels))
    if (trials["baseline"] != "").any():
        chosen = figures.against_baselines(sweep, trials, center)
        caption = (
            f"The {middle} against the baselines. Those from random weights enter from above; "
            "their tokens count from their own step 0."
        )
        charts.append(Chart("Baselines", caption, _keys(chosen), _loss_panels(sweep, chosen)))
    return [chart for chart in charts if chart.panels]


def dip_charts(sweep: Sweep, trials: pd.DataFrame, center: dict[str, Any]) -> list[Chart]:
    """The start of the stage, along the axes that shape the dip: peak and warm-up."""
    charts = []
    for axis in _swept(sweep):
        if axis in ("max_lr", "warmup_fraction"):
            chosen = figures.along_axis(sweep, trials, axis, center)
            caption = (
                f"The first {DIP_SHARE:.0%} of the stage, tokens on a logarithmic scale: how high "
                "the losses climb above the dashed line, and when D1 loss is back below it."
            )
            name = labels.axis_label(axis)
            panels = _loss_panels(sweep, chosen, first_share=DIP_SHARE)
            charts.append(Chart(labels.title(name), caption, _keys(chosen), panels))
    return [chart for chart in charts if chart.panels]


def rate_charts(sweep: Sweep, trials: pd.DataFrame, center: dict[str, Any]) -> list[Chart]:
    """Learning rates along the axes that change them."""
    charts = []
    for axis in _swept(sweep):
        if axis in ("max_lr", "warmup_fraction", "schedule"):
            chosen = figures.along_axis(sweep, trials, axis, center)
            curves = figures.lr_curves(sweep, chosen)
            share = DIP_SHARE if axis == "warmup_fraction" else None
            if len(curves):
                name = labels.title(labels.axis_label(axis))
                title = f"{name}, first {DIP_SHARE:.0%} of the stage" if share else name
                drawn = figures.lr_figure(curves, first_share=share)
                charts.append(Chart(title, "", _keys(chosen), [_panel("", drawn)]))
    return charts


def pretraining_chart(sweep: Sweep) -> Chart | None:
    """The losses of pre-training; None where the sweep has trained none yet."""
    curves = figures.pretraining_curves(sweep)
    if curves.empty:
        return None
    keys = [
        Key(str(name), rows["color"].iloc[0], "line")
        for name, rows in curves.groupby("curve", sort=False)
    ]
    caption = "Where every continuation starts: the last point of each curve is its step 0."
    return Chart("", caption, keys, [_panel("", figures.pretraining_figure(curves))])


def _loss_panels(
    sweep: Sweep, chosen: pd.DataFrame, first_share: float | None = None
) -> list[Panel]:
    curves = figures.loss_curves(sweep, chosen)
    if curves.empty:
        return []
    return [
        _panel(
            f"{role.upper()} loss, {sweep.dataset(role)}",
            figures.loss_figure(curves, role, first_share=first_share),
        )
        for role in ROLES
    ]


def _keys(chosen: pd.DataFrame) -> list[Key]:
    return [
        Key(str(name), rows["color"].iloc[0], "thick" if rows["central"].any() else "line")
        for name, rows in chosen.groupby("curve", sort=False)
    ]


def _panel(title: str, drawn: go.Figure) -> Panel:
    """A figure as JSON that is safe inside a script element."""
    return Panel(title, str(drawn.to_json()).replace("<", "\\u003c"), drawn.layout.height)


def _swept(sweep: Sweep) -> list[str]:
    return [axis for axis in sweep.setting_axes if len(sweep.plan["axes"][axis]) > 1]


def _rest(center: dict[str, Any], axis: str) -> str:
    others = [
        f"{labels.axis_label(other)} {labels.value_label(other, value)}"
        for other, value in center.items()
        if other != axis
    ]
    return f" ({', '.join(others)})" if others else ""
