"""How figures look: roles of colours, line widths, and the layout that all of them share.

A colour in a figure is a role such as `var(--seq-3)`; the page's style sheet says what it is in
light and in dark, and the page's script puts it in before drawing. Ordered numbers take a
sequential palette (dark to bright violet-amber), words take Okabe and Ito's colours, which people
with any form of colour blindness tell apart.
"""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

INK = "var(--ink)"
MUTED = "var(--muted)"
FAINT = "var(--rule)"
PALE = "var(--pale)"
PAPER = "var(--paper)"
NUM_SEQUENTIAL = 9
NUM_CATEGORICAL = 6
WIDTH = 1.6
WIDTH_OF_CENTER = 3.2
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

CONFIG = {
    "responsive": True,
    "displaylogo": False,
    "doubleClick": "reset+autosize",
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
}


def sequential(count: int) -> list[str]:
    """Colours for `count` ordered values, as far apart as the palette allows."""
    if count == 1:
        return [f"var(--seq-{NUM_SEQUENTIAL // 2})"]
    return [
        f"var(--seq-{round(index * (NUM_SEQUENTIAL - 1) / (count - 1))})" for index in range(count)
    ]


def categorical(count: int) -> list[str]:
    """Colours for `count` words; from the seventh on they come round again."""
    return [f"var(--cat-{index % NUM_CATEGORICAL})" for index in range(count)]


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether an axis is ordered by number."""
    return all(isinstance(value, int | float) for value in values)


def value_colors(values: Sequence[Any]) -> dict[Any, str]:
    """One colour for each value of an axis, the same in every figure; in the order of display."""
    if is_numeric(values):
        return dict(zip(sorted(values), sequential(len(values)), strict=True))
    return dict(zip(values, categorical(len(values)), strict=True))


def literal(text: str) -> str:
    """Text as plotly shows it word for word, which takes tags, links and templates out of others.

    For every name that comes from a sweep file, a data set or a task.
    """
    for found, written in _ENTITIES.items():
        text = text.replace(found, written)
    return text


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "%{": "&#37;{"}


def figure(*, x_title: str, y_title: str, height: int = 330) -> go.Figure:
    """An empty figure in the report's style; the legend is the page's, not plotly's."""
    axis: dict[str, Any] = {
        "showgrid": True,
        "gridcolor": FAINT,
        "zeroline": False,
        "linecolor": FAINT,
        "ticks": "",
        "automargin": True,
        "exponentformat": "B",
        "title": {"font": {"size": 12, "color": MUTED}, "standoff": 10},
        "tickfont": {"size": 11, "color": MUTED},
    }
    drawn = go.Figure()
    drawn.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 12, "t": 12, "b": 8},
        font={"family": FONT, "size": 12, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        hovermode="closest",
        hoverlabel={"bgcolor": PAPER, "bordercolor": MUTED, "font": {"color": INK, "size": 12}},
        xaxis={**axis, "title": {**axis["title"], "text": literal(x_title)}},
        yaxis={**axis, "title": {**axis["title"], "text": literal(y_title)}},
    )
    return drawn
