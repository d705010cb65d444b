"""Pictures of curves: losses and learning rates against tokens, drawn from `analysis.curves`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import labels, theme

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
    boundaries: Sequence[float] = (),
) -> go.Figure:
    """Loss on one set against tokens; the dashed line is the loss that training started from.

    The scale is that of the trials that continue; curves from random weights and pre-training
    enter from above.

    Args:
        curves: As `curves.loss_curves` returns them.
        role: d0, d1, ...
        first_share: Draws only this first share of each stage, tokens on a logarithmic scale.
        x_title: What the tokens count.
        boundaries: Tokens at which a stage ends and the next begins.
    """
    drawn = theme.figure(x_title=x_title, y_title=Y_LOSS)
    curves = curves[curves["role"] == role]
    start = curves["start"].dropna().unique()
    if first_share is not None:
        curves = curves[(curves["step"] > 0) & (curves["step"] <= first_share * curves["steps"])]
        ticks = _ticks_of_tokens(curves["tokens"])
        drawn.update_xaxes(
            type="log", tickvals=ticks, ticktext=[labels.amount(tick) for tick in ticks]
        )
    for _, rows in curves.groupby("trial", sort=False):
        drawn.add_trace(_line(rows, "loss", "%{y:.4f}"))
    entering = curves["from_scratch"] | (
        (curves["stage"] == 0) & (curves["step"] <= SETTLED_SHARE * curves["steps"])
    )
    settled = curves.loc[~entering, "loss"]
    if entering.any() and len(settled):
        drawn.update_yaxes(range=_span(curves["loss"].min(), settled.max()))
    if len(start):
        drawn.add_hline(y=start.mean(), line={"color": theme.MUTED, "dash": "dash", "width": 1.2})
    return _marked(drawn, boundaries)


def lr_figure(
    curves: pd.DataFrame,
    *,
    first_share: float | None = None,
    x_title: str = X_STAGE,
    boundaries: Sequence[float] = (),
    height: int = 260,
) -> go.Figure:
    """Learning rate against tokens, of whole stages or their first share."""
    drawn = theme.figure(x_title=x_title, y_title="learning rate", height=height)
    drawn.update_yaxes(rangemode="tozero", exponentformat="power")
    if first_share is not None:
        curves = curves[curves["step"] <= first_share * curves["steps"]]
    for _, rows in curves.groupby("trial", sort=False):
        drawn.add_trace(_line(rows, "lr", "%{y:.3g}"))
    return _marked(drawn, boundaries)


def _marked(drawn: go.Figure, boundaries: Sequence[float]) -> go.Figure:
    """A figure with a line wherever a stage ends and the next begins."""
    for tokens in boundaries:
        drawn.add_vline(x=tokens, line={"color": theme.PALE, "width": 1.2}, layer="below")
    return drawn


def _line(rows: pd.DataFrame, values: str, number: str) -> go.Scatter:
    """One trial's curve, broken between stages; a trial that is not complete is drawn dotted."""
    first = rows.iloc[0]
    unfinished = first["status"] not in ("complete", "stopped")
    told = f"{first['curve']}, {first['status']}" if unfinished else first["curve"]
    # A point without a value at the head of a stage breaks the line there.
    heads = rows["stage"] != rows["stage"].shift(fill_value=first["stage"])
    breaks = rows[heads].assign(**{values: np.nan})
    whole = pd.concat([breaks, rows]).sort_index(kind="stable")
    return go.Scatter(
        x=whole["tokens"],
        y=whole[values],
        name=told,
        legendgroup=first["curve"],
        mode="lines",
        line={
            "color": first["color"],
            "width": theme.WIDTH_OF_CENTER if first["central"] else theme.WIDTH,
            "dash": "solid" if first["status"] == "complete" else "dot",
        },
        hovertemplate=f"<b>{told}</b><br>%{{x}} tokens: {number}"
        f"<br>{first['trial']}<extra></extra>",
    )


def _ticks_of_tokens(tokens: pd.Series) -> list[float]:
    """Round numbers, 1, 2 and 5 times the powers of ten, within the range of `tokens`."""
    if tokens.empty:
        return []
    powers = range(int(np.log10(tokens.min())), int(np.log10(tokens.max())) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if tokens.min() <= tick <= tokens.max()]


def _span(low: float, high: float) -> tuple[float, float]:
    """A range of an axis with some air."""
    air = 0.06 * (high - low) or 0.01
    return low - air, high + air
