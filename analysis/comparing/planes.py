"""The settings of all sweeps in one plane of the two measures: a colour and a mark a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis.comparing.entries import Entry
from analysis.comparing.highlights import Keys
from analysis.drawing import plane, theme

SIZE, SIZE_OF_CENTER, SIZE_OF_BASELINE = 11, 20, 7
PALE = 0.55


def plane_points(entries: Sequence[Entry], keys: Keys) -> pd.DataFrame:
    """One point a setting of any of the sweeps; empty before any has a complete trial.

    Args:
        entries: The sweeps.
        keys: As `highlights.keys_of` returns them.

    Returns:
        `sweep` (name of the entry), `setting`, `key` (see `highlights`), and the columns of
        `drawing.plane.plane_points`, of which `color` and `symbol` are the sweep's; `efficient`
        among the settings of its own sweep; `repeated`: an earlier sweep has the same runs, and
        their mark.
    """
    parts, known = [], set[str]()
    for entry in entries:
        if entry.settings.empty:
            continue
        points = plane.plane_points(entry.sweep, entry.settings, entry.center)
        runs = [set(states.split(", ")) for states in entry.settings["states"]]
        points = points.assign(
            sweep=entry.name,
            color=entry.color,
            symbol=entry.symbol,
            hover=f"<b>{theme.literal(entry.name)}</b><br>" + points["hover"],
            repeated=[bool(known & own) for own in runs],
            key=[keys[entry.name, str(setting)] for setting in points.index],
        )
        known |= set().union(*runs)
        parts.append(points.dropna(subset=["forgetting", "adaptation"]).reset_index())
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def plane_figure(
    entries: Sequence[Entry], points: pd.DataFrame, recommended: pd.DataFrame
) -> go.Figure:
    """Forgetting to the right, adaptation upwards; the front of each sweep is a dashed line.

    Args:
        entries: Those of the points.
        points: As `plane_points` returns them; not empty.
        recommended: As `recommendations.recommendation_table` returns them: their names are
            written.
    """
    taken = set(zip(recommended["sweep"], recommended["key"], strict=True))
    ranges = plane.view(points)
    unit = entries[0].sweep.unit.words
    gained = plane.new_losses(entries[0].sweep)
    drawn = theme.figure(
        x_title=f"forgetting: rise of D0 loss, {unit} \N{LEFTWARDS ARROW} less is better",
        y_title=f"adaptation: fall of {gained}, {unit} \N{RIGHTWARDS ARROW} more is better",
        height=560,
    )
    drawn.update_xaxes(range=ranges["forgetting"])
    drawn.update_yaxes(range=ranges["adaptation"])
    for entry in entries:
        own = points[points["sweep"] == entry.name]
        drawn.add_trace(_front(entry, own[own["efficient"]].sort_values("forgetting")))
        drawn.add_trace(_marks(entry, own[~own["repeated"]]))
        for point in own.to_dict("records"):
            if (entry.name, point["setting"]) in taken:
                drawn.add_annotation(_label(entry, point))
    return drawn


def _label(entry: Entry, point: Mapping[Any, Any]) -> dict[str, Any]:
    """The name of a recommended setting, above its mark."""
    return {
        "x": point["forgetting"],
        "y": point["adaptation"],
        "text": theme.literal(point["name"]),
        "showarrow": False,
        "yanchor": "bottom",
        "yshift": 7,
        "font": {"size": 11.5, "color": entry.color},
    }


def _front(entry: Entry, front: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=front["forgetting"],
        y=front["adaptation"],
        name=theme.literal(entry.name),
        legendgroup=entry.name,
        mode="lines",
        line={"color": entry.color, "width": 1.2, "dash": "dash", "shape": "hv"},
        hoverinfo="skip",
    )


def _marks(entry: Entry, points: pd.DataFrame) -> go.Scatter:
    central = points["name"] == plane.CENTER
    baseline = points["baseline"] != ""
    size = pd.Series(SIZE, index=points.index).mask(central, SIZE_OF_CENTER)
    # Of all settings they would cover one another.
    barred = points["efficient"] | central
    errors = {
        axis: {
            "type": "data",
            "array": (points[f"{name}_high"] - points[name]).where(barred).fillna(0),
            "color": entry.color,
            "thickness": 0.8,
            "width": 0,
        }
        for axis, name in (("error_x", "forgetting"), ("error_y", "adaptation"))
    }
    return go.Scatter(
        x=points["forgetting"],
        y=points["adaptation"],
        name=theme.literal(entry.name),
        meta=theme.owned(list(points["key"])),
        legendgroup=entry.name,
        mode="markers",
        marker={
            "color": entry.color,
            "symbol": entry.symbol,
            "size": list(size.mask(baseline, SIZE_OF_BASELINE)),
            "opacity": list(pd.Series(1.0, index=points.index).mask(baseline, PALE)),
            "line": {"width": 1.6, "color": entry.color},
        },
        customdata=points["hover"],
        hovertemplate="%{customdata}<extra></extra>",
        **errors,
    )
