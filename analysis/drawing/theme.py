"""How figures look: roles of colours, line widths, and the layout that all of them share.

A colour in a figure is a role such as `var(--seq-3)`; `PALETTE` alone says what it is in light and
in dark. The page's style sheet is written from it, and the page's script puts the colours in before
drawing; for a figure outside a page `resolved` does. Ordered numbers take a sequential palette
(dark to bright violet-amber), words take Okabe and Ito's colours, which people with any form of
colour blindness tell apart, and a pattern of dashes each.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

PALETTE: dict[str, dict[str, str]] = {
    "light": {
        "paper": "#ffffff", "ink": "#1b1f24", "muted": "#5d6670", "rule": "#e3e6ea",
        "wash": "#f4f6f8", "pale": "#b9c1ca", "accent": "#0b5cad", "good": "#1a7f4b",
        "bad": "#b3261e", "wait": "#8a6100",
        "seq-0": "#3b1c8c", "seq-1": "#5a24a8", "seq-2": "#7d2db0", "seq-3": "#a0349f",
        "seq-4": "#bf4185", "seq-5": "#d75569", "seq-6": "#e66f4c", "seq-7": "#ea8c2d",
        "seq-8": "#dfa611",
        "cat-0": "#0072b2", "cat-1": "#d55e00", "cat-2": "#009e73", "cat-3": "#c4669b",
        "cat-4": "#e69f00", "cat-5": "#56b4e9",
        "heat-low": "#f3f6fa", "heat-high": "#82bbe2", "rise": "#e07b1f", "fall": "#1f8fc4",
    },
    "dark": {
        "paper": "#14181d", "ink": "#e6e9ed", "muted": "#9aa4af", "rule": "#2c333b",
        "wash": "#1c2229", "pale": "#4d5763", "accent": "#6cb2f5", "good": "#5ccf95",
        "bad": "#ff8a80", "wait": "#e3b341",
        "seq-0": "#7b6df0", "seq-1": "#9470ee", "seq-2": "#ae72e6", "seq-3": "#c876d3",
        "seq-4": "#de7cba", "seq-5": "#ee879c", "seq-6": "#f79a7c", "seq-7": "#fab162",
        "seq-8": "#f7cd55",
        "cat-0": "#4aa3e0", "cat-1": "#f0803c", "cat-2": "#2fc39a", "cat-3": "#dd8fbd",
        "cat-4": "#f2bb3b", "cat-5": "#8ed0f7",
        "heat-low": "#1c2229", "heat-high": "#1f5c8a", "rise": "#f0803c", "fall": "#3f9fe0",
    },
}  # fmt: skip
"""What each role of a colour is, in light and in dark."""

INK = "var(--ink)"
MUTED = "var(--muted)"
FAINT = "var(--rule)"
PALE = "var(--pale)"
PAPER = "var(--paper)"
ACCENT = "var(--accent)"
HEAT_LOW = "var(--heat-low)"
HEAT_HIGH = "var(--heat-high)"
NUM_SEQUENTIAL = 9
NUM_CATEGORICAL = 6
DASHES = ("solid", "9px,3px", "6px,2px,1px,2px", "4px,4px", "12px,2px,2px,2px,2px,2px")
"""Patterns for curves that words tell apart; dots are kept for curves that are not complete."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "triangle-down")
"""Marks of families of points; open ones are kept for baselines."""
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


def value_dashes(values: Sequence[Any]) -> dict[Any, str]:
    """A pattern for each value of an axis: solid for numbers, whose colours are ordered by light.

    Words take one pattern each, in the order of `value_colors`.
    """
    if is_numeric(values):
        return dict.fromkeys(values, DASHES[0])
    return {value: DASHES[index % len(DASHES)] for index, value in enumerate(values)}


def broken(count: int) -> list[str]:
    """Patterns beside a solid line; from the fifth on they come round again."""
    return [DASHES[1 + index % (len(DASHES) - 1)] for index in range(count)]


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


def owned(settings: Sequence[str], starts: Sequence[int] = ()) -> dict[str, Any]:
    """A trace's `meta`: whose it is, by which the page's script highlights a setting everywhere.

    Args:
        settings: Keys as in the column `setting` of `measures.trial_table`: one for a whole
            trace, else one a point, or with `starts` one a run of points.
        starts: Index of the first point of each run.
    """
    return {"settings": list(settings), **({"starts": list(starts)} if starts else {})}


def resolved(drawn: go.Figure, theme: str) -> go.Figure:
    """A copy of a figure with colours in place of their roles.

    Args:
        drawn: Colours are roles.
        theme: light | dark.
    """
    palette = PALETTE[theme]
    text = re.sub(
        r'"var\(--([\w-]+)\)"', lambda found: f'"{palette[found[1]]}"', str(drawn.to_json())
    )
    return go.Figure(json.loads(text))
