"""The charts that show a sweep as a whole: the plane of the two measures, and pre-training."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.drawing import plane, pretraining, theme
from analysis.drawing.chart import Chart, Key, panel
from analysis.load import Sweep


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
    far = plane.outside(points)
    if len(far):
        told = [
            f"{point['name']} (forgetting {labels.change(point['forgetting'])}, "
            f"adaptation {labels.loss(point['adaptation'])})"
            for _, point in far.iterrows()
        ]
        caption += f" Outside the picture: {labels.listing(told)}; a double click shows all."
    return Chart("Forgetting against adaptation", caption, keys, [panel("", drawn)])


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
    return Chart("", caption, keys, drawn)
