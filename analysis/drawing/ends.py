"""Names where curves end: a reader who cannot tell their colours apart need not."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.optimize import isotonic_regression

from analysis.drawing import theme

MOST_CURVES = 8
"""More names than that would not find room beside each other."""
APART = 13.0
"""Least distance of two names, pixels."""
AROUND_PLOT = 75.0
"""What axis titles and margins take of a figure's height, pixels."""
SAME = 0.97
"""Curves that end from this share of the longest one's tokens on have their names in one column."""
LETTER = 6.4
"""Width of a letter, pixels."""


def end_names(curves: pd.DataFrame, values: str) -> pd.DataFrame:
    """Where the names of curves stand, for those that a pattern of dashes does not tell apart.

    Args:
        curves: As `curves.loss_curves` or `curves.lr_curves` return them.
        values: The column drawn.

    Returns:
        One row a curve: `curve`, `last` (the mean of its trials' last values), `tokens` (at
        the longest one's end). None at all where there is a single curve, more than
        `MOST_CURVES`, or any but solid ones.
    """
    names = curves["curve"].unique()
    if not 1 < len(names) <= MOST_CURVES or (curves["dash"] != theme.DASHES[0]).any():
        return pd.DataFrame(columns=["curve", "last", "tokens"])
    ends = curves.groupby(["curve", "trial"], sort=False)[[values, "tokens"]].last()
    groups = ends.groupby("curve", sort=False)
    return groups.agg(last=(values, "mean"), tokens=("tokens", "max")).reset_index()


def with_end_names(drawn: go.Figure, names: pd.DataFrame, span: tuple[float, float]) -> go.Figure:
    """The figure with names at the right, none on top of another.

    Args:
        drawn: A figure of curves, its height given.
        names: As `end_names` returns them.
        span: Values at the bottom and the top of the axis; a curve that ends outside has no name.
    """
    low, high = span
    shown = names[names["last"].between(low, high)].sort_values("last", kind="stable")
    if shown.empty or high <= low:
        return drawn
    room = float(drawn.layout.height) - AROUND_PLOT
    wanted = [float(room * (value - low) / (high - low)) for value in shown["last"]]
    longest = shown["tokens"].max()
    by_log = drawn.layout.xaxis.type == "log"
    for name, value, tokens, want, at in zip(
        shown["curve"],
        shown["last"],
        shown["tokens"],
        wanted,
        apart(wanted, room),
        strict=True,
    ):
        # An annotation on a logarithmic axis is placed by the logarithm.
        place = {"x": np.log10(tokens) if by_log else tokens, "xref": "x"}
        drawn.add_annotation(
            # The page's script leaves out the name of a curve that is hidden.
            name=str(name),
            **({"x": 1, "xref": "paper"} if tokens >= SAME * longest else place),
            xanchor="left",
            xshift=4,
            y=value,
            yshift=at - want,
            text=theme.literal(str(name)),
            showarrow=False,
            font={"size": 11, "color": theme.MUTED},
        )
    letters = max(len(str(name)) for name in shown["curve"])
    drawn.update_layout(margin={"r": 12 + LETTER * letters})
    return drawn


def apart(wanted: list[float], room: float) -> list[float]:
    """The places nearest to ascending ones, in squares, that are `APART` and within 0 and `room`.

    Less the distance that each must keep from the first, places only have to ascend: an isotonic
    regression. Names too many for the room go on above it.
    """
    kept = APART * np.arange(len(wanted))
    free = isotonic_regression(np.array(wanted) - kept).x
    return list(np.clip(free, 0.0, max(room - kept[-1], 0.0)) + kept)
