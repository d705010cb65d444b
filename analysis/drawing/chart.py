"""What a chart on the page is made of: panels that share a legend, and a caption."""

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from cpt.records import StatusWord


@dataclass(frozen=True)
class Key:
    """One entry of a legend: a curve's name, colour and mark (line, thick, dots, dash, symbol)."""

    name: str
    color: str
    mark: str


@dataclass(frozen=True)
class Panel:
    """One drawing area: what it shows, in words, and the figure as JSON."""

    title: str
    spec: str
    height: int


@dataclass(frozen=True)
class Chart:
    """Panels that share a legend and a caption saying how to read them."""

    title: str
    caption: str
    keys: list[Key]
    panels: list[Panel]


def panel(title: str, drawn: go.Figure) -> Panel:
    """A figure as JSON that is safe inside a script element."""
    return Panel(title, str(drawn.to_json()).replace("<", "\\u003c"), drawn.layout.height)


def keys_of(chosen: pd.DataFrame) -> list[Key]:
    """The legend of a choice of curves, as `analysis.drawing.curves` makes them."""
    return [
        Key(str(name), rows["color"].iloc[0], _mark(rows))
        for name, rows in chosen.groupby("curve", sort=False)
    ]


def stopped_note(chosen: pd.DataFrame) -> str:
    """What a caption says of trials that were stopped early; empty where none was."""
    count = int((chosen["status"] == StatusWord.STOPPED).sum())
    if not count:
        return ""
    were, ends = ("was", "its curve ends") if count == 1 else ("were", "their curves end")
    return (
        f" Of {len(chosen)} trials drawn here {count} {were} stopped early: {ends} where training "
        "did, above or below what a final loss would have been."
    )


def _mark(rows: pd.DataFrame) -> str:
    if (rows["status"] == StatusWord.STOPPED).all():
        return "dots"
    return "thick" if rows["central"].any() else "line"
