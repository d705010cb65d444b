"""The curves: each figure is made by two functions, one to tidy data, one from it to the picture.

A choice of curves is a table like `measures.trial_table` with three more columns: `curve` (its
name in the legend), `color` and `central` (drawn thick). `along_axis` and `against_baselines` make
such a choice; losses, learning rates and end points are then drawn of the same choice.
"""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import labels, theme
from analysis.load import Sweep
from analysis.measures import ROLES, around, whole_sets

MAX_POINTS = 400
"""A drawn curve of training rows has at most so many points; evaluations are drawn all."""

Y_LOSS = "loss, nats per token"
X_TOKENS = "tokens of this stage"


def along_axis(
    sweep: Sweep, trials: pd.DataFrame, axis: str, center: dict[str, Any]
) -> pd.DataFrame:
    """The trials that differ from the centre in one axis alone, in the order of its values."""
    colors = theme.value_colors(sweep.plan["axes"][axis])
    rank = {value: index for index, value in enumerate(colors)}
    chosen = around(trials, axis, center).copy()
    chosen = chosen.sort_values(axis, key=lambda values: values.map(rank), kind="stable")
    chosen["central"] = chosen[axis] == center[axis]
    chosen["curve"] = [labels.value_label(axis, value) for value in chosen[axis]]
    chosen["color"] = chosen[axis].map(colors)
    return chosen


def against_baselines(sweep: Sweep, trials: pd.DataFrame, center: dict[str, Any]) -> pd.DataFrame:
    """The centre and every baseline."""
    baselines = trials[trials["baseline"] != ""].copy()
    names = list(baselines["baseline"].unique())
    colors = dict(zip(names, theme.categorical(len(names)), strict=True))
    baselines["curve"] = baselines["baseline"].map(labels.baseline_label)
    baselines["color"] = baselines["baseline"].map(colors)
    baselines["central"] = False
    central = around(trials, "", center).copy()
    central["curve"] = labels.setting_label(sweep, {**center, "baseline": ""}, center)
    central["color"] = theme.INK
    central["central"] = True
    return pd.concat([central, baselines])


def loss_curves(sweep: Sweep, chosen: pd.DataFrame) -> pd.DataFrame:
    """Held-out losses of chosen trials, all evaluations.

    Returns:
        `trial`, `state`, `status`, `curve`, `color`, `central`, `steps`, `from_scratch`, `role`,
        `step`, `tokens`, `loss`, `start` (the pre-trained model's loss), in the order of the
        choice and of the steps.
    """
    columns = ["trial", "state", "status", "curve", "color", "central", "steps", "from_scratch"]
    named = chosen[[*columns, *(f"{role}_start" for role in ROLES)]]
    rows = whole_sets(sweep)[["state", "role", "step", "tokens", "loss"]]
    curves = named.merge(rows, on="state")
    curves["start"] = curves["d0_start"].where(curves["role"] == "d0", curves["d1_start"])
    return curves


def loss_figure(curves: pd.DataFrame, role: str, *, first_share: float | None = None) -> go.Figure:
    """Loss on one set against tokens; the dashed line is the loss that training started from.

    The scale is that of the trials that continue; curves from random weights enter from above.

    Args:
        curves: As `loss_curves` returns them.
        role: d0 or d1.
        first_share: Draws only this first share of each stage, tokens on a logarithmic scale.
    """
    drawn = theme.figure(x_title=X_TOKENS, y_title=Y_LOSS)
    curves = curves[curves["role"] == role]
    start = curves["start"].dropna().unique()
    if first_share is not None:
        curves = curves[(curves["step"] > 0) & (curves["step"] <= first_share * curves["steps"])]
        ticks = _ticks_of_tokens(curves["tokens"])
        drawn.update_xaxes(
            type="log", tickvals=ticks, ticktext=[labels.amount(tick) for tick in ticks]
        )
    for _, rows in curves.groupby("trial", sort=False):
        drawn.add_trace(_line(rows, rows["loss"], "%{y:.4f}"))
    continued = curves.loc[~curves["from_scratch"], "loss"]
    if curves["from_scratch"].any() and len(continued):
        drawn.update_yaxes(range=_span(curves["loss"].min(), continued.max()))
    if len(start):
        drawn.add_hline(y=start.mean(), line={"color": theme.MUTED, "dash": "dash", "width": 1.2})
    return drawn


def lr_curves(sweep: Sweep, chosen: pd.DataFrame) -> pd.DataFrame:
    """Learning rates that were used, one curve a setting (its first trial that has rows).

    Returns:
        `trial`, `state`, `status`, `curve`, `color`, `central`, `steps`, `step`, `tokens`, `lr`;
        at most `MAX_POINTS` rows a trial, closer together at the start.
    """
    named = chosen[["trial", "state", "status", "curve", "color", "central", "steps"]]
    rows = named.merge(sweep.train[["state", "step", "tokens", "lr"]], on="state")
    first = rows.groupby("curve", sort=False)["trial"].transform("first")
    rows = rows[rows["trial"] == first]
    return _thinned(rows, "trial")


def lr_figure(curves: pd.DataFrame, *, first_share: float | None = None) -> go.Figure:
    """Learning rate against tokens, of the whole stage or its first share."""
    drawn = theme.figure(x_title=X_TOKENS, y_title="learning rate", height=260)
    drawn.update_yaxes(rangemode="tozero", exponentformat="power")
    if first_share is not None:
        curves = curves[curves["step"] <= first_share * curves["steps"]]
    for _, rows in curves.groupby("trial", sort=False):
        drawn.add_trace(_line(rows, rows["lr"], "%{y:.3g}"))
    return drawn


def pretraining_curves(sweep: Sweep) -> pd.DataFrame:
    """Losses of the states that trials start from.

    Returns:
        `state`, `curve` (training loss, or which held-out set), `color`, `tokens`, `loss`;
        training loss thinned to at most `MAX_POINTS` rows a state.
    """
    upstream = sweep.states.index[sweep.states["stage"] == "upstream"]
    train = sweep.train[sweep.train["state"].isin(upstream)]
    parts = [_thinned(train, "state").assign(curve="training loss", color=theme.PALE)]
    colors = dict(zip(ROLES, theme.categorical(2), strict=True))
    evals = whole_sets(sweep)
    for role, color in colors.items():
        rows = evals[evals["state"].isin(upstream) & (evals["role"] == role)]
        name = f"held-out {role.upper()}, {sweep.dataset(role)}"
        parts.append(rows.assign(curve=name, color=color))
    columns = ["state", "curve", "color", "tokens", "loss"]
    return pd.concat([part[columns] for part in parts], ignore_index=True)


def pretraining_figure(curves: pd.DataFrame) -> go.Figure:
    """Pre-training: loss against tokens, one line for each state and kind of loss."""
    drawn = theme.figure(x_title="tokens of pre-training", y_title=Y_LOSS)
    for (_, name), rows in curves.groupby(["state", "curve"], sort=False):
        drawn.add_trace(
            go.Scatter(
                x=rows["tokens"],
                y=rows["loss"],
                name=name,
                legendgroup=name,
                mode="lines",
                line={"color": rows["color"].iloc[0], "width": theme.WIDTH},
                hovertemplate=f"{name}<br>%{{x}} tokens: %{{y:.4f}}<extra></extra>",
            )
        )
    return drawn


def _line(rows: pd.DataFrame, values: pd.Series, number: str) -> go.Scatter:
    """One trial's curve; a trial that is not complete is drawn dotted."""
    first = rows.iloc[0]
    told = (
        first["curve"] if first["status"] == "complete" else f"{first['curve']}, {first['status']}"
    )
    return go.Scatter(
        x=rows["tokens"],
        y=values,
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


def _thinned(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """At most `MAX_POINTS` rows a group: half evenly spaced, half by equal ratios of the step."""
    parts = [rows.iloc[:0]]
    for _, group in rows.groupby(by, sort=False):
        last = len(group) - 1
        even = np.linspace(0, last, MAX_POINTS // 2)
        ratios = np.geomspace(1, last + 1, MAX_POINTS // 2) - 1
        kept = np.unique(np.concatenate([even, ratios]).round().astype(int))
        parts.append(group.iloc[kept])
    return pd.concat(parts, ignore_index=True)
