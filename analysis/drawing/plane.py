"""The main picture: what each setting forgets against what it gains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.drawing import theme
from analysis.drawing.beside import CORNERS, FONT, places_of_names
from analysis.load import Sweep
from analysis.settings import DESIGNS_WITHOUT_SLICES

SYMBOLS = {
    "no_rewarm": "diamond-open",
    "no_redecay": "square-open",
    "downstream_only": "x-thin-open",
    "union": "star-open",
}
CENTER = "centre"
SETTING = "one setting"
FRONT = "not beaten on both"
SIZE, SIZE_OF_CENTER = 11, 20
"""Of a mark, pixels."""
NARROWEST = (640.0, 385.0)
"""Width and height of the axes that names are placed for, pixels; larger ones have the room too."""


def plane_points(sweep: Sweep, settings: pd.DataFrame, center: Mapping[str, Any]) -> pd.DataFrame:
    """One point a setting.

    A setting that differs from the centre in one axis belongs to that axis' family, which has one
    colour and symbol; in a grid the families are the values of one axis, replay where it is swept.

    Args:
        sweep: For names.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.

    Returns:
        `name`, `family`, `color`, `symbol`, `order` (rank within the family), `forgetting`,
        `adaptation` and their `_low`, `_high`; `efficient`, `from_scratch`, `baseline`,
        `hover`, `label` (empty: none is written), `label_at` (where beside the mark).
    """
    rows = []
    for _, setting in settings.iterrows():
        family, color, order = _family(sweep, setting.to_dict(), center)
        name = labels.setting_label(sweep, setting.to_dict(), center)
        rows.append(
            {
                "name": name,
                "family": family,
                "color": color,
                "order": order,
                "symbol": SYMBOLS.get(setting["baseline"], "hexagon-open")
                if setting["baseline"]
                else ("circle-open" if name == CENTER else "circle"),
                "hover": hover(name, setting, center, sweep.roles),
            }
        )
    columns = ["efficient", "from_scratch"]
    for name in ("forgetting", "adaptation"):
        columns += [name, f"{name}_low", f"{name}_high"]
    points = pd.DataFrame(rows, index=settings.index).join(settings[[*columns, "baseline"]])
    filled = points["symbol"] == "circle"
    families = dict.fromkeys(points.loc[filled, "family"])
    symbols = {name: theme.SYMBOLS[at % len(theme.SYMBOLS)] for at, name in enumerate(families)}
    points["symbol"] = points["symbol"].mask(filled, points["family"].map(symbols))
    return points.join(_placed_labels(points))


def view(points: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """The part of the plane to show first: low and high of `forgetting` and `adaptation`.

    It holds every setting that continues from the pre-trained model, with a fifth of air; a
    baseline from random weights may be so far off that the others would shrink to one spot.
    """
    continued = points[~points["from_scratch"]]
    shown = points if continued.empty else continued
    ranges = {}
    for name in ("forgetting", "adaptation"):
        air = 0.2 * _width(shown[name])
        ranges[name] = (float(shown[name].min()) - air, float(shown[name].max()) + air)
    return ranges


def outside(points: pd.DataFrame) -> pd.DataFrame:
    """The settings that lie outside `view`."""
    within = [points[name].between(low, high) for name, (low, high) in view(points).items()]
    return points[~(within[0] & within[1])]


def new_losses(sweep: Sweep) -> str:
    """What adaptation is a fall of."""
    new = [role.upper() for role in sweep.roles[1:]]
    return f"{new[0]} loss" if len(new) == 1 else f"mean of {labels.listing(new)} losses"


def plane_figure(points: pd.DataFrame, gained: str) -> go.Figure:
    """Forgetting to the right, adaptation upwards: the upper left is better.

    Args:
        points: As `plane_points` returns them.
        gained: As `new_losses` returns it.
    """
    ranges = view(points)
    drawn = theme.figure(
        x_title="forgetting: rise of D0 loss, nats per token \N{LEFTWARDS ARROW} less is better",
        y_title=f"adaptation: fall of {gained}, nats per token \N{RIGHTWARDS ARROW} more is better",
        height=560,
    )
    # By this the page's script knows where the chosen setting and the cap are to be marked.
    drawn.update_layout(meta={"plane": True})
    drawn.update_xaxes(range=ranges["forgetting"])
    drawn.update_yaxes(range=ranges["adaptation"])
    front = points[points["efficient"]].sort_values("forgetting")
    if len(front):
        drawn.add_trace(
            go.Scatter(
                x=front["forgetting"],
                y=front["adaptation"],
                name=FRONT,
                legendgroup=FRONT,
                mode="lines",
                line={"color": theme.MUTED, "width": 1.2, "dash": "dash", "shape": "hv"},
                hoverinfo="skip",
            )
        )
    for family, rows in points.groupby("family", sort=False):
        drawn.add_trace(_family_trace(str(family), rows.sort_values("order")))
    return drawn


def _family_trace(family: str, rows: pd.DataFrame) -> go.Scatter:
    central = rows["name"] == CENTER
    errors = {
        axis: {
            "type": "data",
            "array": (rows[f"{name}_high"] - rows[name]).fillna(0),
            "color": theme.PALE,
            "thickness": 1,
            "width": 0,
            "visible": bool(rows[f"{name}_high"].notna().any()),
        }
        for axis, name in (("error_x", "forgetting"), ("error_y", "adaptation"))
    }
    return go.Scatter(
        x=rows["forgetting"],
        y=rows["adaptation"],
        name=theme.literal(family),
        legendgroup=family,
        meta=theme.owned(list(rows.index)),
        mode="markers+text",
        text=[theme.literal(label) for label in rows["label"]],
        textposition=list(rows["label_at"]),
        textfont={"size": FONT, "color": theme.INK},
        marker={
            "color": list(rows["color"]),
            "symbol": list(rows["symbol"]),
            "size": [SIZE_OF_CENTER if it else SIZE for it in central],
            "opacity": 1,
            "line": {"width": 1.6, "color": list(rows["color"])},
        },
        customdata=rows["hover"],
        hovertemplate="%{customdata}<extra></extra>",
        **errors,
    )


def _placed_labels(points: pd.DataFrame) -> pd.DataFrame:
    """Names beside the marks of centre, baselines and front, which choose their places in turn."""
    (left, right), (bottom, top) = view(points).values()
    pixels = pd.DataFrame(
        {
            "x": (points["forgetting"] - left) / (right - left) * NARROWEST[0],
            "y": (top - points["adaptation"]) / (top - bottom) * NARROWEST[1],
        }
    )
    rank = pd.Series(3, index=points.index)
    rank[points["efficient"]] = 2
    rank[points["baseline"] != ""] = 1
    rank[points["name"] == CENTER] = 0
    shown = pixels["x"].between(0, NARROWEST[0]) & pixels["y"].between(0, NARROWEST[1])
    pixels, rank, names = pixels[shown], rank[shown], points.loc[shown, "name"]
    places = places_of_names(
        pixels.to_numpy(),
        [SIZE_OF_CENTER / 2 if name == CENTER else SIZE / 2 for name in names],
        list(names),
        [int(at) for at in np.argsort(rank, kind="stable") if rank.iloc[at] < 3],
        NARROWEST,
        _stairs(pixels[points.loc[shown, "efficient"]].sort_values("x")),
    )
    found = pd.Series({names.index[at]: corner for at, corner in places.items()}, dtype=object)
    beside = found.reindex(points.index)
    return pd.DataFrame(
        {"label": points["name"].where(beside.notna(), ""), "label_at": beside.fillna(CORNERS[0])}
    )


def _stairs(front: pd.DataFrame) -> list[tuple[float, float]]:
    """The corners of the line through the front: level to the next mark, then upright."""
    corners: list[tuple[float, float]] = []
    for x, y in front.itertuples(index=False):
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _width(values: pd.Series) -> float:
    return float(values.max() - values.min()) or 1.0


def _family(
    sweep: Sweep, setting: dict[Any, Any], center: Mapping[str, Any]
) -> tuple[str, str, float]:
    """The family of a setting, its colour and its rank in it."""
    if setting["baseline"]:
        return labels.baseline_label(sweep, setting["baseline"]), theme.INK, 0
    if sweep.plan["design"] in DESIGNS_WITHOUT_SLICES and not labels.has_center(sweep):
        return SETTING, "var(--cat-0)", 0
    if sweep.plan["design"] == "grid":
        swept = [axis for axis in center if len(sweep.plan["axes"][axis]) > 1]
        axis = "replay_fraction" if "replay_fraction" in swept else (swept or list(center))[0]
        if pd.isna(setting[axis]):
            return f"other {labels.axis_label(axis)}", theme.MUTED, 0
        colors = theme.value_colors(sweep.plan["axes"][axis])
        name = f"{labels.axis_label(axis)} {labels.value_label(axis, setting[axis])}"
        return name, colors[setting[axis]], list(colors).index(setting[axis])
    axes = list(center)
    for axis, color in zip(axes, theme.categorical(len(axes)), strict=True):
        if pd.notna(setting[axis]) and setting[axis] != center[axis]:
            values = list(theme.value_colors(sweep.plan["axes"][axis]))
            return f"other {labels.axis_label(axis)}", color, values.index(setting[axis])
    return CENTER, theme.INK, 0


def hover(name: str, setting: pd.Series, center: Mapping[str, Any], roles: Sequence[str]) -> str:
    """What a mark says of its setting when pointed at."""
    factors = " · ".join(
        f"{labels.axis_label(axis)} {labels.value_label(axis, setting[axis])}" for axis in center
    )
    losses = " · ".join(f"{role.upper()} {labels.loss(setting[f'{role}_loss'])}" for role in roles)
    seeds = "" if setting["seeds"] == 1 else f"mean of {setting['seeds']} seeds<br>"
    return (
        f"<b>{theme.literal(name)}</b><br>forgetting {labels.change(setting['forgetting'])}"
        f" · adaptation {labels.loss(setting['adaptation'])}<br>"
        f"final loss: {losses}<br>{theme.literal(factors)}<br>{seeds}"
        f"{theme.literal(str(setting['states']))}"
    )
