"""Where curves end: final loss against the value of an axis."""

import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.load import Sweep
from analysis.measures import loss_names


def end_points(sweep: Sweep, chosen: pd.DataFrame) -> pd.DataFrame:
    """Where each curve of a choice ended: the mean over its complete seeds.

    Returns:
        One row a curve: `curve`, `setting`, `color`, `central`, `told` (its factors and states),
        and for each role `<role>_loss`,
        `<role>_loss_low`, `<role>_loss_high` (NaN below two seeds).
    """
    complete = chosen[chosen["mean_loss"].notna()].copy()
    complete["told"] = [labels.factors(sweep, trial) for trial in complete.to_dict("records")]
    groups = complete.groupby("curve", sort=False)
    names = loss_names(sweep.roles)
    columns = [f"{name}_{end}" for name in names for end in ("low", "high")]
    means = groups[names].mean()
    points = groups[["setting", "color", "central", "told", *columns]].first().join(means)
    points["told"] = [
        f"{told}\n{', '.join(rows['state'])}"
        for told, (_, rows) in zip(points["told"], groups, strict=True)
    ]
    return points.reset_index()


def end_figure(
    points: pd.DataFrame, role: str, axis_name: str, *, span: tuple[float, float]
) -> go.Figure:
    """Final loss against the value of an axis, values evenly spaced; bars span 95% over seeds.

    Args:
        points: As `end_points` returns them.
        role: d0, d1, ...
        axis_name: Title of the horizontal axis.
        span: Losses at the bottom and top; one span for every axis shows which of them matters.
    """
    drawn = theme.figure(x_title=axis_name, y_title="final loss, nats per token", height=230)
    losses = points[f"{role}_loss"]
    drawn.add_trace(
        go.Scatter(
            x=[theme.literal(str(curve)) for curve in points["curve"]],
            y=losses,
            meta=theme.owned(list(points["setting"])),
            mode="lines+markers",
            line={"color": theme.MUTED, "width": 1.2},
            marker={
                "color": list(points["color"]),
                "size": [13 if central else 9 for central in points["central"]],
                "opacity": 1,
            },
            error_y={
                "type": "data",
                "symmetric": False,
                "array": (points[f"{role}_loss_high"] - losses).fillna(0),
                "arrayminus": (losses - points[f"{role}_loss_low"]).fillna(0),
                "color": theme.MUTED,
                "thickness": 1.2,
                "visible": bool(points[f"{role}_loss_high"].notna().any()),
            },
            customdata=[theme.literal(told).replace("\n", "<br>") for told in points["told"]],
            hovertemplate="<b>%{x}</b>: %{y:.4f}<br>%{customdata}<extra></extra>",
        )
    )
    drawn.update_xaxes(type="category", showgrid=False)
    drawn.update_yaxes(range=span)
    return drawn


def end_span(points: list[pd.DataFrame], role: str) -> tuple[float, float]:
    """The lowest and highest final loss of several choices and their intervals, with some air."""
    columns = [f"{role}_loss", f"{role}_loss_low", f"{role}_loss_high"]
    losses = pd.concat(points)[columns]
    low, high = float(losses.min().min()), float(losses.max().max())
    air = 0.08 * (high - low) or 0.01
    return low - air, high + air
