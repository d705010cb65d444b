"""Settings held against each other: the one that others are compared with, and who is beaten."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.load import Sweep
from analysis.measures import half_widths, measure_names

DESIGNS_WITHOUT_SLICES = ("random", "list")
"""Designs whose trials need not share any value."""


def anchor(sweep: Sweep) -> dict[str, Any]:
    """The setting that curves are drawn around: one value per axis, the seed left out.

    The centre's value where the axis holds it, else the most common value among the trials that
    are no baseline; of equally common ones the first on the axis. In a random design and in a list
    such a mixture need not be any trial: there it is the trial named centre, or the first one.
    """
    center = sweep.plan["center"] or {}
    plain = sweep.trials[sweep.trials["baseline"] == ""]
    if sweep.plan["design"] in DESIGNS_WITHOUT_SLICES and len(plain):
        one = plain.sort_values("center", ascending=False, kind="stable").iloc[0]
        return {axis: one[axis] for axis in sweep.setting_axes}
    values = {}
    for axis in sweep.setting_axes:
        on_axis = sweep.plan["axes"][axis]
        if center.get(axis) in on_axis:
            values[axis] = center[axis]
        else:
            values[axis] = max(on_axis, key=lambda value: int((plain[axis] == value).sum()))
    return values


def around(trials: pd.DataFrame, axis: str, center: Mapping[str, Any]) -> pd.DataFrame:
    """The trials, no baseline among them, that share every value of `center` but that of `axis`.

    A factor without meaning for a trial (the peak of an infinite schedule that goes on at the
    rate it holds) differs from no value.
    """
    chosen = trials["baseline"] == ""
    for other, value in center.items():
        if other != axis:
            chosen &= agrees(trials[other], value)
    return trials[chosen]


def agrees(values: pd.Series, value: Any) -> pd.Series:
    """Where a factor has this value, or where one of the two has no meaning."""
    if value is None:
        return pd.Series(data=True, index=values.index)
    same: pd.Series = values == value
    return same | values.isna()


def settings_table(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> pd.DataFrame:
    """One row a setting with at least one complete trial.

    Args:
        sweep: Says which data sets there are.
        trials: As `measures.trial_table` returns them.
        center: As `anchor` returns it.

    Returns:
        Index `setting`, in the order of the trials; `trial` (label of its first complete trial),
        the axes, `baseline`, `center`, `from_scratch`, `tokens`, `path_tokens`, `seeds` (complete
        ones), `states` (their ids); the means of the measures with `<name>_low` and
        `<name>_high`; `efficient` (see `is_efficient`); `forgetting_change` and
        `adaptation_change` with `_low` and `_high`: the mean over seeds of the difference to
        `center` with the same seed, paired because trials of a seed share their data order. NaN
        where the centre has no complete trial of that seed.
    """
    names = measure_names(sweep.roles)
    complete = trials[trials["mean_loss"].notna()]
    groups = complete.groupby("setting", sort=False)
    identity = ["trial", *center, "baseline", "center", "from_scratch", "tokens", "path_tokens"]
    intervals = [f"{name}_{end}" for name in names for end in ("low", "high")]
    table = groups[identity].first().join(groups[names].mean()).join(groups[intervals].first())
    table["seeds"] = groups.size()
    table["states"] = groups["state"].agg(", ".join)
    table["efficient"] = is_efficient(table)
    central = around(complete, "", center).drop_duplicates("seed").set_index("seed")
    for name in ("forgetting", "adaptation"):
        paired = complete[name] - complete["seed"].map(central[name])
        windows = complete[f"{name}_window"] + complete["seed"].map(central[f"{name}_window"])
        itself = complete["trial"].isin(central["trial"])
        half, mean = half_widths(paired, windows.mask(itself, 0.0), complete["setting"])
        table[f"{name}_change"] = mean
        table[f"{name}_change_low"] = mean - half
        table[f"{name}_change_high"] = mean + half
    return table


def is_efficient(settings: pd.DataFrame) -> pd.Series:
    """Which settings no other beats: none forgets no more and adapts no less, and one of them less.

    Baselines from random weights neither enter nor count: they spend other compute.
    """
    compared = settings["forgetting"].notna() & settings["adaptation"].notna()
    entrants = settings[~settings["from_scratch"] & compared]
    forgetting = entrants["forgetting"].to_numpy(float)
    adaptation = entrants["adaptation"].to_numpy(float)
    no_worse = (forgetting[None] <= forgetting[:, None]) & (adaptation[None] >= adaptation[:, None])
    better = (forgetting[None] < forgetting[:, None]) | (adaptation[None] > adaptation[:, None])
    efficient = pd.Series(~(no_worse & better).any(axis=1), index=entrants.index, dtype=bool)
    return efficient.reindex(settings.index, fill_value=False)
