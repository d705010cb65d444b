"""The tidy tables that curves are drawn from.

A choice of curves is a table like `measures.trial_table` with four more columns: `curve` (its
name in the legend), `color`, `dash` (its pattern) and `central` (drawn thick). `along_axis` and
`against_baselines` make such a choice; losses, learning rates and end points are then drawn of the
same choice.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.drawing import theme
from analysis.load import Sweep
from analysis.measures import whole_sets
from analysis.settings import around
from analysis.stages import from_beginning, stage_table

MAX_POINTS = 400
"""A drawn curve of training rows has at most so many points; evaluations are drawn all."""

CHOICE = ["trial", "setting", "status", "curve", "color", "dash", "central", "from_scratch"]


def along_axis(
    sweep: Sweep, trials: pd.DataFrame, axis: str, center: Mapping[str, Any]
) -> pd.DataFrame:
    """The trials that differ from the centre in one axis alone, in the order of its values.

    Trials for which the axis has no meaning are left out.
    """
    colors = theme.value_colors(sweep.plan["axes"][axis])
    rank = {value: index for index, value in enumerate(colors)}
    chosen = around(trials, axis, center)
    chosen = chosen[chosen[axis].notna()].copy()
    chosen = chosen.sort_values(axis, key=lambda values: values.map(rank), kind="stable")
    chosen["central"] = chosen[axis] == center[axis]
    chosen["curve"] = [
        labels.curve_name(labels.value_label(axis, value), status)
        for value, status in zip(chosen[axis], chosen["status"], strict=True)
    ]
    chosen["color"] = chosen[axis].map(colors)
    chosen["dash"] = chosen[axis].map(theme.value_dashes(list(colors)))
    return chosen


def against_baselines(
    sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]
) -> pd.DataFrame:
    """The centre and every baseline."""
    baselines = trials[trials["baseline"] != ""].copy()
    names = list(baselines["baseline"].unique())
    colors = dict(zip(names, theme.categorical(len(names)), strict=True))
    baselines["curve"] = [
        labels.curve_name(labels.baseline_label(sweep, name), status)
        for name, status in zip(baselines["baseline"], baselines["status"], strict=True)
    ]
    baselines["color"] = baselines["baseline"].map(colors)
    # The centre's is the solid one.
    baselines["dash"] = baselines["baseline"].map(
        dict(zip(names, theme.broken(len(names)), strict=True))
    )
    baselines["central"] = False
    return pd.concat([only_center(sweep, trials, center), baselines])


def only_center(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> pd.DataFrame:
    """The centre alone."""
    central = around(trials, "", center).copy()
    name = labels.setting_label(sweep, {**center, "baseline": ""}, center)
    central["curve"] = [labels.curve_name(name, status) for status in central["status"]]
    central["color"] = theme.INK
    central["dash"] = theme.DASHES[0]
    central["central"] = True
    return central


def loss_curves(
    sweep: Sweep, chosen: pd.DataFrame, *, stage: int | None = None, upstream: bool = False
) -> pd.DataFrame:
    """Held-out losses of chosen trials, all evaluations.

    Args:
        sweep: Has the rows.
        chosen: A choice of curves.
        stage: Only this stage after pre-training, counted from 1; a baseline from random weights
            has only one, which is taken for any. None: all of them.
        upstream: Pre-training too; tokens then count from its beginning.

    Returns:
        The columns of `CHOICE`, `factors` (in one line), `stage`, `state`, `steps` (of the
        stage), `role`, `step` (in the stage), `tokens` (since its beginning where one stage is
        asked for, else since the end of pre-training), `loss`, `start` (before the first update
        of the stage, or of all stages), in the order of the choice, the stages and the steps.
    """
    references = chosen.set_index("trial")
    pretrained = {role: references[f"{role}_pretrained"].to_dict() for role in sweep.roles}
    rows = whole_sets(sweep)[["state", "role", "step", "tokens", "loss"]]
    curves = _placed(sweep, chosen, rows, stage, upstream=upstream)
    curves["start"] = [
        pretrained[role][trial] for trial, role in zip(curves["trial"], curves["role"], strict=True)
    ]
    if stage is not None:
        own = curves["loss"].where(curves["step"] == 0)
        own = own.groupby([curves["trial"], curves["role"]]).transform("first")
        curves["start"] = curves["start"].where(curves["from_scratch"], own)
    return curves


def lr_curves(
    sweep: Sweep, chosen: pd.DataFrame, *, stage: int | None = None, upstream: bool = False
) -> pd.DataFrame:
    """Learning rates that were used, one curve a setting (its first trial that has rows).

    Returns:
        As `loss_curves`, with `lr` for the losses; at most `MAX_POINTS` rows a stage, closer
        together at its start.
    """
    updates = sweep.train[["state", "step", "tokens", "lr"]]
    rows = _placed(sweep, chosen, updates, stage, upstream=upstream)
    first = rows.groupby("setting", sort=False)["trial"].transform("first")
    return thinned(rows[rows["trial"] == first], ["trial", "stage"])


def _placed(
    sweep: Sweep, chosen: pd.DataFrame, rows: pd.DataFrame, stage: int | None, *, upstream: bool
) -> pd.DataFrame:
    """Rows of the chosen trials' stages, `tokens` counted as `loss_curves` says."""
    stages = stage_table(sweep)
    stages = from_beginning(stages) if upstream else stages[stages["stage"] > 0]
    stages = stages.drop(columns=["state", "role", "tokens"]).rename(columns={"reached": "state"})
    told = [labels.factors(sweep, trial) for trial in chosen.to_dict("records")]
    named = chosen[CHOICE].assign(factors=told).merge(stages, on="trial")
    if stage is not None:
        named = named[(named["stage"] == stage) | named["from_scratch"]].assign(before=0)
    placed = named.merge(rows, on="state")
    placed["tokens"] += placed["before"]
    return placed.drop(columns="before")


def thinned(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """At most `MAX_POINTS` rows a group: half evenly spaced, half by equal ratios of the step."""
    parts = [rows.iloc[:0]]
    for _, group in rows.groupby(by, sort=False):
        last = len(group) - 1
        even = np.linspace(0, last, MAX_POINTS // 2)
        ratios = np.geomspace(1, last + 1, MAX_POINTS // 2) - 1
        kept = np.unique(np.concatenate([even, ratios]).round().astype(int))
        parts.append(group.iloc[kept])
    return pd.concat(parts, ignore_index=True)
