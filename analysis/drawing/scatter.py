"""Each measure against each factor, for designs in which no two trials need share a value."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.alternative import alternative
from analysis.drawing.chart import Chart, Key, panel
from analysis.drawing.lines import log_ticks
from analysis.drawing.plane import hover
from analysis.drawing.slices import slices, swept
from analysis.load import Sweep
from cpt.records import StatusWord

EFFICIENT = "not beaten on both"
BEATEN = "beaten"
TITLES = {
    "forgetting": "Forgetting \N{LEFTWARDS ARROW} less is better",
    "adaptation": "Adaptation \N{RIGHTWARDS ARROW} more is better",
}

WRITTEN = {"forgetting": labels.change, "adaptation": labels.loss}


def scatter_charts(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> list[Chart]:
    """Forgetting, then adaptation, against every axis that has no slice around the centre."""
    sliced = slices(sweep, trials, center)
    points = settings[(settings["baseline"] == "") & settings["forgetting"].notna()]
    axes = [axis for axis in swept(sweep) if axis not in sliced and points[axis].nunique() > 1]
    if not axes:
        return []
    told = [
        hover(labels.setting_label(sweep, row.to_dict(), center), row, center, sweep.roles)
        for _, row in points.iterrows()
    ]
    points = points.assign(hover=told)
    names = [labels.setting_label(sweep, row.to_dict(), center) for _, row in points.iterrows()]
    named = points.assign(name=names).reset_index()
    keys = [Key(EFFICIENT, "var(--cat-0)", "circle"), Key(BEATEN, theme.MUTED, "circle-open")]
    caption = (
        "One point for each setting, against one factor at a time while all the others vary too: "
        "the scatter around a trend is what the other factors do. One scale for all factors."
    )
    stopped = int((trials["status"] == StatusWord.STOPPED).sum())
    if stopped:
        caption += f" Trials that were stopped early ({stopped}) have no point."
    return [
        Chart(
            title,
            caption if measure == "adaptation" else "",
            keys,
            [
                panel(labels.title(labels.axis_label(axis)), _scatter(sweep, points, axis, measure))
                for axis in axes
            ],
            alternative(named, "settings", "name", {measure: (measure, WRITTEN[measure])}),
        )
        for measure, title in TITLES.items()
    ]


def _scatter(sweep: Sweep, points: pd.DataFrame, axis: str, measure: str) -> go.Figure:
    """One measure against one factor; points without a value on the axis are left out."""
    drawn = theme.figure(x_title=labels.axis_label(axis), y_title="nats per token", height=240)
    known = points[points[axis].notna()]
    numeric = theme.is_numeric(sweep.plan["axes"][axis])
    for efficient, name in ((False, BEATEN), (True, EFFICIENT)):
        rows = known[known["efficient"] == efficient]
        half = rows[f"{measure}_high"] - rows[measure]
        color = "var(--cat-0)" if efficient else theme.MUTED
        drawn.add_trace(
            go.Scatter(
                x=rows[axis].astype(float)
                if numeric
                else [theme.literal(labels.value_label(axis, value)) for value in rows[axis]],
                y=rows[measure],
                name=name,
                legendgroup=name,
                meta=theme.owned(list(rows.index)),
                mode="markers",
                marker={
                    "symbol": "circle" if efficient else "circle-open",
                    "size": 9,
                    "color": color,
                    "opacity": 1,
                    "line": {"width": 1.6, "color": color},
                },
                error_y={
                    "type": "data",
                    "array": half.fillna(0),
                    "color": color,
                    "thickness": 1,
                    "width": 0,
                    "visible": bool(half.notna().any()),
                },
                customdata=rows["hover"],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    if not numeric:
        order = [
            theme.literal(labels.value_label(axis, value)) for value in sweep.plan["axes"][axis]
        ]
        drawn.update_xaxes(type="category", categoryorder="array", categoryarray=order)
    elif labels.factor(axis) == "max_lr":
        drawn.update_xaxes(**log_ticks(known[axis].astype(float)))
    elif axis.endswith("_fraction"):
        drawn.update_xaxes(tickformat=".3~%")
    low, high = points[measure].min(), points[measure].max()
    air = 0.1 * (high - low) or 0.01
    drawn.update_yaxes(range=(float(low) - air, float(high) + air))
    return drawn
