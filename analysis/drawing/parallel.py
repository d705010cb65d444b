"""Every factor at once: each setting a line through its factors to what it forgot and gained.

Drawn as ordinary lines over named positions, not as plotly's own parallel coordinates: those have
no hover text, are painted as pixels where an SVG is asked for, know no keyboard, and cannot be told
from outside which line to show. Lines of one colour are one trace with gaps, so a thousand settings
stay quick; what a line reached is told twice, by its colour and by where it ends.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.alternative import alternative
from analysis.drawing.chart import Chart, Key, panel
from analysis.drawing.plane import hover
from analysis.drawing.slices import swept
from analysis.load import Sweep

FEWEST = 4
"""Below so many settings a table is easier to read."""
MOST_STEPS = 10
"""A factor with at most so many values has them at even distances, each written."""
OUTCOMES = ("forgetting", "adaptation")
THIRDS = ("lowest third of adaptation", "middle third", "highest third of adaptation")


def parallel_lines(
    sweep: Sweep, settings: pd.DataFrame, center: Mapping[str, Any]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The lines, and what is written at the axes.

    Args:
        sweep: Has the values of the axes.
        settings: As `settings.settings_table` returns them; baselines are left out, since their
            factors mean something else.
        center: As `settings.anchor` returns it.

    Returns:
        Lines, one row a setting and axis, setting by setting: `setting`, `third` (of `THIRDS`, by
        adaptation), `axis` (place from the left), `height` (0 to 1; NaN where the factor has no
        meaning), `hover`. Ticks, one row a text: `axis`, `name` of the axis, `height`, `text`.
    """
    plain = settings[(settings["baseline"] == "") & settings["adaptation"].notna()]
    rank = plain["adaptation"].rank(method="first")
    third = np.ceil(3 * rank / max(len(plain), 1)).astype(int) - 1
    told = [
        hover(labels.setting_label(sweep, row.to_dict(), center), row, center, sweep.roles)
        for _, row in plain.iterrows()
    ]
    axes = [axis for axis in swept(sweep) if plain[axis].notna().any()]
    lines, ticks = [], []
    for place, axis in enumerate([*axes, *OUTCOMES]):
        heights, texts = (
            _measured(axis, plain[axis]) if axis in OUTCOMES else _factor(sweep, axis, plain[axis])
        )
        name = axis if axis in OUTCOMES else labels.axis_label(axis)
        ticks += [{"axis": place, "name": name, "height": at, "text": text} for at, text in texts]
        lines.append(
            pd.DataFrame(
                {
                    "setting": plain.index,
                    "third": [THIRDS[index] for index in third],
                    "axis": place,
                    "height": heights,
                    "hover": told,
                    "order": range(len(plain)),
                }
            )
        )
    table = pd.concat(lines, ignore_index=True).sort_values(["order", "axis"], kind="stable")
    columns = ["axis", "name", "height", "text"]
    return table.drop(columns="order"), pd.DataFrame(ticks, columns=columns)


def parallel_chart(sweep: Sweep, settings: pd.DataFrame, center: Mapping[str, Any]) -> Chart | None:
    """Lines through all swept factors; None below `FEWEST` settings or two swept factors."""
    lines, ticks = parallel_lines(sweep, settings, center)
    if lines["setting"].nunique() < FEWEST or lines["axis"].nunique() < len(OUTCOMES) + 2:
        return None
    colors = dict(zip(THIRDS, theme.sequential(len(THIRDS)), strict=True))
    keys = [Key(name, colors[name], "line") for name in THIRDS if (lines["third"] == name).any()]
    caption = (
        "One line for each setting, baselines left out. A line without a factor has a gap there. "
        "Point at the marks on the two axes at the right for factors and state ids; a click on a "
        "line or mark highlights its setting."
    )
    plain = settings[settings.index.isin(lines["setting"])]
    named = plain.assign(
        name=[labels.setting_label(sweep, row.to_dict(), center) for _, row in plain.iterrows()]
    )
    words = {"forgetting": ("forgetting", labels.change), "adaptation": ("adaptation", labels.loss)}
    told = alternative(named.reset_index(), "settings", "name", words)
    return Chart("", caption, keys, [panel("", parallel_figure(lines, ticks))], told)


def parallel_figure(lines: pd.DataFrame, ticks: pd.DataFrame) -> go.Figure:
    """The lines, as `parallel_lines` returns them."""
    drawn = theme.figure(x_title="", y_title="", height=380)
    colors = dict(zip(THIRDS, theme.sequential(len(THIRDS)), strict=True))
    places = int(lines["axis"].max()) + 1
    outcomes = lines[lines["axis"] >= places - len(OUTCOMES)]
    for third in THIRDS:
        rows = lines[lines["third"] == third]
        settings = list(dict.fromkeys(rows["setting"]))
        if not settings:
            continue
        # One row of points a setting, and a gap after each.
        heights = rows["height"].to_numpy(float).reshape(len(settings), places)
        gaps = np.full((len(settings), 1), np.nan)
        drawn.add_trace(
            go.Scatter(
                x=np.tile([*range(places), np.nan], len(settings)),
                y=np.hstack([heights, gaps]).ravel(),
                name=third,
                legendgroup=third,
                meta=theme.owned(settings, range(0, len(settings) * (places + 1), places + 1))
                if len(settings) > 1
                else theme.owned(settings),
                mode="lines",
                line={"color": colors[third], "width": theme.WIDTH},
                opacity=0.75,
                # It answers a click, and leaves the telling to the marks.
                hoverinfo="none",
            )
        )
        marks = outcomes[outcomes["third"] == third]
        drawn.add_trace(
            go.Scatter(
                x=marks["axis"],
                y=marks["height"],
                name=third,
                legendgroup=third,
                meta=theme.owned(list(marks["setting"])),
                mode="markers",
                marker={"color": colors[third], "size": 7, "opacity": 1},
                customdata=marks["hover"],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    for _, tick in ticks.iterrows():
        drawn.add_annotation(
            x=tick["axis"],
            y=tick["height"],
            text=theme.literal(tick["text"]),
            showarrow=False,
            xanchor="left" if tick["axis"] < places - 1 else "right",
            xshift=6 if tick["axis"] < places - 1 else -6,
            font={"size": 11, "color": theme.MUTED},
            bgcolor=theme.PAPER,
            opacity=0.85,
            borderpad=0,
        )
    names = ticks.drop_duplicates("axis")
    drawn.update_xaxes(
        tickvals=list(names["axis"]),
        ticktext=[theme.literal(name) for name in names["name"]],
        gridcolor=theme.PALE,
        range=(-0.35, places - 0.65),
        side="top",
        tickfont={"size": 12, "color": theme.INK},
    )
    drawn.update_yaxes(showgrid=False, showticklabels=False, range=(-0.05, 1.05))
    drawn.update_layout(margin={"t": 24})
    return drawn


def _factor(
    sweep: Sweep, axis: str, values: pd.Series
) -> tuple[list[float], list[tuple[float, str]]]:
    """The heights of a factor's values, and what is written beside the axis."""
    every = list(theme.value_colors(sweep.plan["axes"][axis]))
    if len(every) <= MOST_STEPS or not theme.is_numeric(every):
        steps = {value: at / max(len(every) - 1, 1) for at, value in enumerate(every)}
        heights = [steps.get(value, float("nan")) for value in values]
        written = every if len(every) <= MOST_STEPS else [every[0], every[-1]]
        return heights, [(steps[value], labels.value_label(axis, value)) for value in written]
    numbers = values.astype(float)
    scale = np.log(numbers) if labels.factor(axis) == "max_lr" else numbers
    low, high = float(scale.min()), float(scale.max())
    ends = [(0.0, numbers.min()), (1.0, numbers.max())]
    return (
        list((scale - low) / ((high - low) or 1.0)),
        [(at, labels.value_label(axis, float(value))) for at, value in ends],
    )


def _measured(name: str, values: pd.Series) -> tuple[list[float], list[tuple[float, str]]]:
    """The heights of an outcome, and its two ends."""
    low, high = float(values.min()), float(values.max())
    write = labels.change if name == "forgetting" else labels.loss
    heights = (values.astype(float) - low) / ((high - low) or 1.0)
    return list(heights), [(0.0, write(low)), (1.0, write(high))]
