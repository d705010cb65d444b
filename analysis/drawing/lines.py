"""Curves as pictures: losses and learning rates against tokens, from `drawing.curves`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.ends import end_names, with_end_names

Y_LOSS = "loss, nats per token"
X_STAGE = "tokens of this stage"
X_PATH = "tokens since pre-training"
SETTLED_SHARE = 0.2
"""A scale with pre-training on it leaves out how it began: this share of its steps."""


def loss_figure(
    curves: pd.DataFrame,
    role: str,
    *,
    first_share: float | None = None,
    x_title: str = X_STAGE,
    marks: Mapping[int, str] | None = None,
) -> go.Figure:
    """Loss on one set against tokens; the dashed line is the loss that training started from.

    The scale is that of the trials that continue; curves from random weights and pre-training
    enter from above.

    Args:
        curves: As `curves.loss_curves` returns them.
        role: d0, d1, ...
        first_share: Draws only this first share of each stage, tokens on a logarithmic scale.
        x_title: What the tokens count.
        marks: Tokens at which stages begin, to the names of their data sets.
    """
    drawn = theme.figure(x_title=x_title, y_title=Y_LOSS)
    curves = curves[curves["role"] == role]
    start = curves["start"].dropna().unique()
    if first_share is not None:
        curves = curves[(curves["step"] > 0) & (curves["step"] <= first_share * curves["steps"])]
        ticks = _round_numbers(curves["tokens"])
        drawn.update_xaxes(
            type="log", tickvals=ticks, ticktext=[labels.amount(tick) for tick in ticks]
        )
    for _, rows in curves.groupby("trial", sort=False):
        drawn.add_trace(_line(rows, "loss", "%{y:.4f}"))
    entering = curves["from_scratch"] | (
        (curves["stage"] == 0) & (curves["step"] <= SETTLED_SHARE * curves["steps"])
    )
    settled = curves.loc[~entering, "loss"]
    shown = pd.concat([curves["loss"], pd.Series(start)])
    span = _span(shown.min(), shown.max())
    if entering.any() and len(settled):
        span = _span(curves["loss"].min(), settled.max())
        drawn.update_yaxes(range=span)
    drawn = with_end_names(drawn, end_names(curves, "loss"), span)
    if len(start):
        drawn.add_hline(y=start.mean(), line={"color": theme.MUTED, "dash": "dash", "width": 1.2})
    return _marked(drawn, marks or {})


def lr_figure(
    curves: pd.DataFrame,
    *,
    first_share: float | None = None,
    x_title: str = X_STAGE,
    marks: Mapping[int, str] | None = None,
    height: int = 260,
) -> go.Figure:
    """Learning rate against tokens, of whole stages or their first share."""
    drawn = theme.figure(x_title=x_title, y_title="learning rate", height=height)
    drawn.update_yaxes(rangemode="tozero", exponentformat="power")
    if first_share is not None:
        curves = curves[curves["step"] <= first_share * curves["steps"]]
    for _, rows in curves.groupby("trial", sort=False):
        drawn.add_trace(_line(rows, "lr", "%{y:.3g}"))
    drawn = with_end_names(drawn, end_names(curves, "lr"), (0.0, 1.05 * curves["lr"].max()))
    return _marked(drawn, marks or {})


def _marked(drawn: go.Figure, marks: Mapping[int, str]) -> go.Figure:
    """A figure with a line where each stage begins and its name above; one stage needs neither."""
    if len(marks) < 2:
        return drawn
    for index, (tokens, name) in enumerate(marks.items()):
        if index:
            drawn.add_vline(x=tokens, line={"color": theme.PALE, "width": 1.2}, layer="below")
        drawn.add_annotation(
            x=tokens,
            y=1,
            yref="paper",
            text=theme.literal(name),
            showarrow=False,
            xanchor="left",
            yanchor="bottom",
            font={"size": 11, "color": theme.MUTED},
        )
    drawn.update_layout(margin={"t": 22})
    return drawn


def log_ticks(values: pd.Series) -> dict[str, Any]:
    """An axis' settings for a logarithmic scale with round numbers written plainly."""
    ticks = _round_numbers(values)
    return {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _line(rows: pd.DataFrame, values: str, number: str) -> go.Scatter:
    """One trial's curve, broken between stages; a trial that is not complete is drawn dotted."""
    first = rows.iloc[0]
    unfinished = first["status"] not in ("complete", "stopped")
    told = f"{first['curve']}, {first['status']}" if unfinished else first["curve"]
    # A point without a value at the head of a stage breaks the line there.
    tokens, numbers = rows["tokens"].to_numpy(), rows[values].to_numpy()
    heads = np.flatnonzero(np.diff(rows["stage"].to_numpy())) + 1
    return go.Scatter(
        x=np.insert(tokens, heads, tokens[heads]),
        y=np.insert(numbers, heads, np.nan),
        name=theme.literal(told),
        legendgroup=first["curve"],
        meta=theme.owned([first["setting"]]),
        mode="lines",
        line={
            "color": first["color"],
            "width": theme.WIDTH_OF_CENTER if first["central"] else theme.WIDTH,
            "dash": first["dash"] if first["status"] == "complete" else "dot",
        },
        hovertemplate=f"<b>{theme.literal(told)}</b><br>%{{x}} tokens: {number}"
        f"<br>{theme.literal(first['factors'])}<br>{theme.literal(str(first['trial']))}"
        f" · {theme.literal(str(first['state']))}<extra></extra>",
    )


def _round_numbers(values: pd.Series) -> list[float]:
    """Round numbers, 1, 2 and 5 times the powers of ten, within the range of `values`."""
    if values.empty:
        return []
    low, high = float(values.min()), float(values.max())
    powers = range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _span(low: float, high: float) -> tuple[float, float]:
    """A range of an axis with some air."""
    air = 0.06 * (high - low) or 0.01
    return low - air, high + air
