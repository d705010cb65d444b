"""The recommended interval: how far a set of settings reaches along each axis."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.drawing.theme import is_numeric
from analysis.load import Sweep


def extent(sweep: Sweep, settings: pd.DataFrame, chosen: Sequence[str]) -> dict[str, list[Any]]:
    """The values that these settings take on each axis of which the sweep tries several.

    Args:
        sweep: Has the axes.
        settings: As `settings.settings_table` returns them.
        chosen: Keys of settings; baselines among them reach nowhere.

    Returns:
        Axis to values in the axis' order. On an axis of numbers they are all values from the
        smallest to the largest that are taken: an interval has no holes.
    """
    plain = settings.loc[list(chosen)]
    plain = plain[plain["baseline"] == ""]
    found = {}
    for axis in sweep.setting_axes:
        values = sweep.plan["axes"][axis]
        taken = set(plain[axis].dropna())
        if len(values) < 2 or not taken:
            continue
        if is_numeric(values):
            low, high = min(taken), max(taken)
            found[axis] = sorted(value for value in values if low <= value <= high)
        else:
            found[axis] = [value for value in values if value in taken]
    return found


def inside(sweep: Sweep, settings: pd.DataFrame, chosen: Sequence[str]) -> list[str]:
    """The settings that lie within the extent of the chosen ones, these among them."""
    ranges = extent(sweep, settings, chosen)
    within = settings["baseline"] == ""
    for axis, values in ranges.items():
        within &= settings[axis].isin(values) | settings[axis].isna()
    within &= bool(ranges)
    return [key for key in settings.index if within[key] or key in chosen]
