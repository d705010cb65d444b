"""What a chart on the page is made of: panels that share a legend, a caption, and words."""

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from analysis.drawing import theme
from analysis.drawing.alternative import NONE, Alternative
from cpt.records import StatusWord


@dataclass(frozen=True)
class Key:
    """One entry of a legend.

    Attributes:
        name: The traces' `legendgroup`.
        color: Role of the colour.
        mark: line | thick | dots | dash, or a symbol of plotly's.
        dash: The line's pattern, as plotly writes it: lengths in pixels between commas.
    """

    name: str
    color: str
    mark: str
    dash: str = theme.DASHES[0]

    @property
    def lengths(self) -> str:
        """The pattern as SVG writes it; empty for a solid line."""
        return "" if self.dash == theme.DASHES[0] else self.dash.replace("px,", " ").strip("px")


@dataclass(frozen=True)
class Panel:
    """One drawing area: what it shows, in words, and the figure, whose colours are roles."""

    title: str
    figure: go.Figure

    @property
    def spec(self) -> str:
        """The figure as JSON that is safe inside a script element."""
        return str(self.figure.to_json()).replace("<", "\\u003c")

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.figure.layout.height)


@dataclass(frozen=True)
class Chart:
    """Panels that share a legend, a caption saying how to read them, and the same in words."""

    title: str
    caption: str
    keys: list[Key]
    panels: list[Panel]
    alternative: Alternative = NONE


def panel(title: str, drawn: go.Figure) -> Panel:
    """A panel of a figure."""
    return Panel(title, drawn)


def keys_of(chosen: pd.DataFrame) -> list[Key]:
    """The legend of a choice of curves, as `analysis.drawing.curves` makes them."""
    return [
        Key(str(name), rows["color"].iloc[0], _mark(rows), rows["dash"].iloc[0])
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
