"""How fast each state trained, and what each setting took."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.deciding.costs import cost_table
from analysis.drawing import theme
from analysis.drawing.alternative import alternative
from analysis.drawing.chart import Chart, Key, panel
from analysis.load import Sweep
from analysis.stages import stage_table

MOST_BARS = 30
"""The settings that took longest, in hours."""
SLOW, FAST = 0.05, 0.95
"""The spread over a state's updates that is drawn."""


def speeds(sweep: Sweep, trials: pd.DataFrame) -> pd.DataFrame:
    """How fast each state trained the updates that are its own.

    Args:
        sweep: Has the rows of training.
        trials: As `measures.trial_table` returns them.

    Returns:
        One row a state with updates, in the order of the plan: `state`, `label`, `stage`,
        `status`, `setting` (of the trial that it ends; empty where several share it), `place`
        (in the plan, from 1), `tokens_per_second` (median over updates), `slow` and `fast` (their
        5% and 95% quantiles).
    """
    first = sweep.train["state"].map(sweep.states["first_step"])
    # The first update of an attempt pays for what is compiled and read; the median does not mind.
    own = sweep.train[sweep.train["step"] > first]
    groups = own["tokens_per_second"].astype(float).groupby(own["state"])
    table = sweep.states[["label", "stage", "status"]].reset_index()
    table["place"] = range(1, len(table) + 1)
    ends = stage_table(sweep).query("stage > 0").merge(trials[["trial", "setting"]], on="trial")
    owners = ends.groupby("state")["setting"].agg(lambda keys: "|".join(set(keys)))
    single = ends.groupby("state")["setting"].nunique() == 1
    table["setting"] = table["state"].map(owners[single]).fillna("")
    table["tokens_per_second"] = table["state"].map(groups.median())
    for name, share in (("slow", SLOW), ("fast", FAST)):
        table[name] = table["state"].map(groups.quantile(share))
    return table[table["tokens_per_second"].notna()].reset_index(drop=True)


def hours(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> pd.DataFrame:
    """What a trial of each setting took, longest first.

    Returns:
        `setting`, `name`, `hours` (of the stages after pre-training, mean over complete seeds),
        `tokens` of them, `factors`, `states`.
    """
    costs = cost_table(sweep, trials, settings)
    table = settings.join(costs[["hours"]]).dropna(subset="hours").reset_index()
    rows = table.to_dict("records")
    table["name"] = [labels.setting_label(sweep, row, center) for row in rows]
    table["factors"] = [labels.factors(sweep, row) for row in rows]
    table["tokens"] = table["path_tokens"]
    table = table.sort_values("hours", ascending=False, kind="stable").reset_index(drop=True)
    return table[["setting", "name", "hours", "tokens", "factors", "states"]]


def throughput_chart(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> Chart | None:
    """Tokens a second per state, and hours per setting; None before any update was made."""
    fast = speeds(sweep, trials)
    if fast.empty:
        return None
    panels = [panel("Tokens a second, state by state", speed_figure(fast))]
    caption = (
        "Medians over a state's own updates, evaluation and saving left out; bars hold nine "
        "tenths of them. States stand in the order of the plan."
    )
    told = alternative(
        fast, "states", "label", {"tokens_per_second": ("tokens a second", labels.amount)}
    )
    long = hours(sweep, trials, settings, center) if len(settings) else pd.DataFrame()
    if len(long):
        panels.append(panel("Time after pre-training, by setting", hours_figure(long[:MOST_BARS])))
        caption += " Time is that of one trial, evaluation and saving included"
        caption += ", a mean over complete seeds." if trials["seed"].nunique() > 1 else "."
        if len(long) > MOST_BARS:
            caption += f" The longest {MOST_BARS} of {len(long)} settings."
    stages = fast.groupby("stage", sort=False)["state"].first()
    keys = [
        Key(str(stage).replace("_", " "), *_look(list(stages.index), str(stage)))
        for stage in stages.index
    ]
    return Chart("", caption, keys, panels, told)


def speed_figure(table: pd.DataFrame) -> go.Figure:
    """Tokens a second, one mark a state, as `speeds` returns them."""
    drawn = theme.figure(x_title="state, in the order of the plan", y_title="tokens a second")
    stages = list(table["stage"].unique())
    for stage, rows in table.groupby("stage", sort=False):
        color, symbol = _look(stages, str(stage))
        medians = rows["tokens_per_second"]
        drawn.add_trace(
            go.Scatter(
                x=rows["place"],
                y=medians,
                name=str(stage).replace("_", " "),
                legendgroup=str(stage).replace("_", " "),
                meta=theme.owned(list(rows["setting"])),
                mode="markers",
                marker={"color": color, "symbol": symbol, "size": 8, "opacity": 1},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": rows["fast"] - medians,
                    "arrayminus": medians - rows["slow"],
                    "color": color,
                    "thickness": 1,
                    "width": 0,
                },
                customdata=[
                    f"<b>{theme.literal(str(row['label']))}</b>, {row['status']}<br>"
                    f"{labels.amount(row['tokens_per_second'])} tokens a second<br>"
                    f"{theme.literal(str(row['state']))}"
                    for row in rows.to_dict("records")
                ],
                hovertemplate="%{customdata}<extra></extra>",
            )
        )
    drawn.update_yaxes(rangemode="tozero")
    return drawn


def hours_figure(table: pd.DataFrame) -> go.Figure:
    """Hours of a setting, one line each, as `hours` returns them."""
    longest = float(table["hours"].max())
    unit, size = ("hours", 1.0) if longest >= 1 else ("minutes", 60.0)
    drawn = theme.figure(x_title=unit, y_title="", height=max(330, 70 + 17 * len(table)))
    names = [theme.literal(name) for name in table["name"]]
    drawn.add_trace(
        go.Scatter(
            x=table["hours"] * size,
            y=names,
            meta=theme.owned(list(table["setting"])),
            mode="markers",
            marker={"color": theme.INK, "symbol": "circle", "size": 8, "opacity": 1},
            customdata=[
                f"<b>{theme.literal(row['name'])}</b><br>{labels.duration(3600 * row['hours'])} "
                f"for {labels.amount(row['tokens'])} tokens<br>{theme.literal(row['factors'])}<br>"
                f"{theme.literal(str(row['states']))}"
                for row in table.to_dict("records")
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    drawn.update_xaxes(rangemode="tozero")
    drawn.update_yaxes(type="category", categoryorder="array", categoryarray=names[::-1])
    return drawn


def _look(stages: list[str], stage: str) -> tuple[str, str]:
    """The colour and symbol of a kind of stage."""
    at = stages.index(stage)
    return theme.categorical(len(stages))[at], theme.SYMBOLS[at % len(theme.SYMBOLS)]
