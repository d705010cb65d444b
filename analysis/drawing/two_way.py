"""Two factors at once: heat maps of what their pairs of values led to, all else as in the centre.

Where only one factor at a time left the centre there is nothing to see beside its own curves, so a
pair of factors is drawn only if some setting differs from the centre in both.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.alternative import Writer, alternative
from analysis.drawing.chart import Chart, panel
from analysis.drawing.plane import hover
from analysis.drawing.slices import swept
from analysis.load import Sweep
from analysis.settings import around
from cpt.records import StatusWord

ABSENT = "not in this sweep"
FIRST = ("max_lr", "replay_fraction", "warmup_fraction", "token_budget", "schedule")
"""The factors that are paired first."""
MOST_PAIRS = 3
ROOMY = 7
"""Up to so many columns the numbers are written large."""
MOST_VALUES = 16
"""An axis with more of them is not drawn as a table."""


def pairs(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The pairs of axes with a trial away from the centre in both, peak and replay first."""
    rank = {factor: place for place, factor in enumerate(FIRST)}
    axes = sorted(swept(sweep), key=lambda axis: rank.get(labels.factor(axis), len(rank)))
    found = []
    for across, down in itertools.combinations(axes, 2):
        rows = _plane(trials, across, down, center)
        # The values of a random design make no table.
        if max(len(sweep.plan["axes"][axis]) for axis in (across, down)) > MOST_VALUES:
            continue
        if ((rows[across] != center[across]) & (rows[down] != center[down])).any():
            found.append((across, down))
    return found


def cells(
    sweep: Sweep,
    trials: pd.DataFrame,
    settings: pd.DataFrame,
    center: Mapping[str, Any],
    pair: tuple[str, str],
) -> pd.DataFrame:
    """Every pair of values of two axes, all else as in the centre.

    Args:
        sweep: Has the values of the axes.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
        pair: The axes across and down.

    Returns:
        One row a cell, down by down: `across` and `down` (values in words), `setting` (empty
        where no trial has it), `status` (complete, what keeps it from a measure, or `ABSENT`),
        `name`, `hover`, and the means over seeds of `forgetting`, `adaptation` and
        `<role>_loss` in nats per token, NaN where it is not complete.
    """
    across, down = pair
    rows = _plane(trials, across, down, center)
    measures = ["forgetting", "adaptation", *(f"{role}_loss" for role in sweep.roles)]
    found = []
    for below, beside in itertools.product(
        theme.value_colors(sweep.plan["axes"][down]), theme.value_colors(sweep.plan["axes"][across])
    ):
        own = rows[(rows[across] == beside) & (rows[down] == below)]
        key = str(own["setting"].iloc[0]) if len(own) else ""
        words = labels.value_label(across, beside), labels.value_label(down, below)
        cell: dict[str, Any] = {
            "across": words[0],
            "down": words[1],
            "setting": key,
            "name": f"{labels.axis_label(across)} {words[0]}, {labels.axis_label(down)} {words[1]}",
        }
        if key in settings.index:
            setting = settings.loc[[key]].iloc[0]
            cell |= {"status": StatusWord.COMPLETE.value, **{it: setting[it] for it in measures}}
            cell["hover"] = hover(cell["name"], setting, center, sweep.roles)
        else:
            told = labels.listing(sorted(set(own["status"]))) or ABSENT
            states = ", ".join(own["state"])
            cell |= {"status": told, **dict.fromkeys(measures, float("nan"))}
            cell["hover"] = theme.literal(f"{cell['name']}: {told}") + (
                f"<br>{theme.literal(states)}" if states else ""
            )
        found.append(cell)
    return pd.DataFrame(found)


def two_way_charts(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> list[Chart]:
    """Heat maps of forgetting, adaptation and final losses for up to `MOST_PAIRS` pairs of axes."""
    if settings.empty:
        return []
    every = pairs(sweep, trials, center)
    charts = []
    for pair in every[:MOST_PAIRS]:
        table = cells(sweep, trials, settings, center, pair)
        across, down = map(labels.axis_label, pair)
        measures: dict[str, tuple[str, Writer]] = {
            "forgetting": ("forgetting", labels.change),
            "adaptation": ("adaptation", labels.loss),
            **{f"{role}_loss": (f"final {role.upper()} loss", labels.loss) for role in sweep.roles},
        }
        missing = table[table["status"] != StatusWord.COMPLETE]
        gaps = [f"{count} {word}" for word, count in missing["status"].value_counts().items()]
        others = [axis for axis in swept(sweep) if axis not in pair]
        rest = [
            f"{labels.axis_label(axis)} {labels.value_label(axis, center[axis])}" for axis in others
        ]
        caption = (
            "Nats per token; a stronger colour is a larger number, which is worse for all but "
            f"adaptation.{f' All else fixed: {labels.listing(rest)}.' if rest else ''}"
            f"{f' Empty cells: {labels.listing(gaps)}.' if gaps else ''}"
        )
        left = len(every) - MOST_PAIRS
        if left > 0 and pair == every[MOST_PAIRS - 1]:
            caption += f" {left} more pairs of factors are not drawn."
        drawn = [
            panel(labels.title(heading), two_way_figure(table, measure, across, down, write))
            for measure, (heading, write) in measures.items()
        ]
        known = table[table["status"] == StatusWord.COMPLETE]
        told = alternative(known, "settings", "name", measures)
        charts.append(Chart(labels.title(f"{across} and {down}"), caption, [], drawn, told))
    return charts


def two_way_figure(
    table: pd.DataFrame, measure: str, across: str, down: str, write: Writer
) -> go.Figure:
    """One measure over two factors; every cell bears its number, a missing one its status.

    Args:
        table: As `cells` returns them.
        measure: A column of them.
        across: Name of the factor across.
        down: Name of the factor down.
        write: How a number is written.
    """
    columns = [theme.literal(word) for word in table["across"].unique()]
    rows = [theme.literal(word) for word in table["down"].unique()]
    drawn = theme.figure(x_title=across, y_title=down, height=110 + 42 * len(rows))
    drawn.add_trace(
        go.Heatmap(
            x=columns,
            y=rows,
            z=table[measure].to_numpy(float).reshape(len(rows), len(columns)).tolist(),
            colorscale=[[0, theme.HEAT_LOW], [1, theme.HEAT_HIGH]],
            showscale=False,
            xgap=3,
            ygap=3,
            hoverinfo="skip",
        )
    )
    # Marks that nobody sees until their setting is highlighted, which is then framed.
    drawn.add_trace(
        go.Scatter(
            x=[theme.literal(word) for word in table["across"]],
            y=[theme.literal(word) for word in table["down"]],
            meta=theme.owned(list(table["setting"])),
            mode="markers+text",
            text=[
                write(row[measure]) if pd.notna(row[measure]) else _gap(row["status"])
                for _, row in table.iterrows()
            ],
            textfont={"size": 11.5 if len(columns) <= ROOMY else 9.5, "color": theme.INK},
            marker={
                "symbol": "square-open",
                "size": 46,
                "opacity": 0,
                "color": theme.ACCENT,
                "line": {"width": 3, "color": theme.ACCENT},
            },
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 0}, "textfont": {"color": theme.MUTED}},
            cliponaxis=False,
            customdata=table["hover"],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    # Where the cells end; the marks, which are larger, would widen it.
    drawn.update_xaxes(type="category", showgrid=False, range=(-0.5, len(columns) - 0.5))
    drawn.update_yaxes(type="category", showgrid=False, range=(-0.5, len(rows) - 0.5))
    return drawn


def _plane(trials: pd.DataFrame, across: str, down: str, center: Mapping[str, Any]) -> pd.DataFrame:
    """The trials that share every value of the centre but those of two axes."""
    rest = {axis: value for axis, value in center.items() if axis not in (across, down)}
    return around(trials, "", rest)


def _gap(status: str) -> str:
    return labels.MISSING if status == ABSENT else status
