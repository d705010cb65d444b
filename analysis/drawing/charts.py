"""The charts that show a sweep as a whole: the plane of the two measures, and pre-training."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.drawing import plane, pretraining, theme
from analysis.drawing.alternative import Alternative, Writer, alternative
from analysis.drawing.chart import Chart, Key, panel
from analysis.load import Sweep

FEW = 8
"""The front is named in words up to so many settings."""


def plane_chart(sweep: Sweep, settings: pd.DataFrame, center: Mapping[str, Any]) -> Chart | None:
    """The main picture; None before any complete trial has a pre-trained model to compare with."""
    if settings["forgetting"].dropna().empty:
        return None
    points = plane.plane_points(sweep, settings, center)
    drawn = plane.plane_figure(points, plane.new_losses(sweep))
    keys = [
        Key(str(family), rows["color"].iloc[0], rows["symbol"].iloc[0])
        for family, rows in points.groupby("family", sort=False)
    ]
    if points["efficient"].any():
        keys.append(Key(plane.FRONT, theme.MUTED, "dash"))
    caption = (
        "Each point is one setting. Up is more adaptation, left is less forgetting: a setting is "
        "beaten by whatever lies above and to its left; the dashed steps join those that nothing "
        "beats. Baselines from random weights are shown against the same pre-trained model and "
        "do not enter the front. Point at a mark for its factors and state id."
    )
    if points["forgetting_low"].notna().any():
        caption += (
            " Pale bars span 95% over seeds; most of it is what all settings of a seed share, and "
            "differences paired by seed are surer."
        )
    far = plane.outside(points)
    if len(far):
        told = [
            f"{point['name']} (forgetting {labels.change(point['forgetting'])}, "
            f"adaptation {labels.loss(point['adaptation'])})"
            for _, point in far.iterrows()
        ]
        caption += f" Outside the picture: {labels.listing(told)}; a double click shows all."
    return Chart(
        "Forgetting against adaptation", caption, keys, [panel("", drawn)], plane_told(points)
    )


def plane_told(points: pd.DataFrame) -> Alternative:
    """The plane in words and numbers."""
    numbers: dict[str, tuple[str, Writer]] = {
        "forgetting": ("forgetting", labels.change),
        "adaptation": ("adaptation", labels.loss),
    }
    for name in list(numbers):
        points = points.assign(**{f"{name}_half": points[f"{name}_high"] - points[name]})
        if points[f"{name}_half"].notna().any():
            numbers[f"{name}_half"] = ("\N{PLUS-MINUS SIGN} 95%", labels.loss)
    found = alternative(points.reset_index(), "settings", "name", numbers)
    front = points[points["efficient"]].sort_values("forgetting")["name"]
    beaten_by_none = labels.listing(list(front)[:FEW])
    more = f" and {len(front) - FEW} more" if len(front) > FEW else ""
    return dataclasses.replace(
        found, sentence=f"{found.sentence} Not beaten on both: {beaten_by_none}{more}."
    )


def pretraining_chart(sweep: Sweep) -> Chart | None:
    """The losses of pre-training; None where the sweep has trained none yet."""
    curves = pretraining.pretraining_curves(sweep)
    if curves.empty:
        return None
    keys = [
        Key(str(name), rows["color"].iloc[0], "line")
        for name, rows in curves.groupby("curve", sort=False)
    ]
    caption = "Where every continuation starts: the last point of each curve is its step 0."
    panels = [("", curves)]
    if (curves["curve"] != curves["panel"]).any():
        caption = (
            "Each seed has several pre-trained models, one for each way to schedule it; where a "
            "curve ends, the trials that go on from it start."
        )
        panels = [
            (labels.title(str(name)), rows) for name, rows in curves.groupby("panel", sort=False)
        ]
    drawn = [panel(name, pretraining.pretraining_figure(rows)) for name, rows in panels]
    lasts = curves.groupby(["state", "panel", "curve"], sort=False)["loss"].agg(["first", "last"])
    lasts = lasts.reset_index()
    lasts["name"] = [
        ", ".join(dict.fromkeys([row["curve"], row["panel"], row["state"]]))
        for _, row in lasts.iterrows()
    ]
    ends = {"first": ("first loss", labels.loss), "last": ("last loss", labels.loss)}
    return Chart("", caption, keys, drawn, alternative(lasts, "curves", "name", ends))
