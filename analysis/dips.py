"""The bump that re-warming causes: how high the losses climb, where, and when they are back.

A rise is the largest loss after step 0 of a stage minus the loss at step 0. For the set that the
stage brings it is the dip itself. For D0 it holds what is forgotten as well, which may never come
back. The highest of many evaluations lies above the first one even where nothing happens, so what
re-warming does is told by the difference to the baseline that does not re-warm.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.deciding.noise import Estimate, estimate
from analysis.load import Sweep
from analysis.measures import whole_sets
from analysis.settings import around
from analysis.stages import stage_table
from cpt.records import StatusWord

SHAPING = ("max_lr", "warmup_fraction")
"""The factors that shape a dip."""
DIP_MEASURES = ("rise", "peak_tokens", "recovered_tokens")


def newest_role(sweep: Sweep) -> str:
    """The role of the data set that the last stage brings."""
    return str(sweep.plan["stages"][-1]["role"])


def dip_table(sweep: Sweep, trials: pd.DataFrame, stage: int | None = None) -> pd.DataFrame:
    """The bump in one stage, one row a trial that started from a pre-trained model.

    Args:
        sweep: Has the evaluations.
        trials: As `measures.trial_table` returns them.
        stage: 1 for the first stage after pre-training; by default the last one.

    Returns:
        `trial`; for each role `<role>_rise`: largest loss after step 0 minus the loss at step 0,
        nats per token (negative where the loss never rose); `<role>_peak_tokens`: tokens of the
        stage at which that largest loss lies (0 where it never rose); `<role>_recovered_tokens`:
        tokens at the first evaluation, after the loss first rose above its value at step 0, that
        lies below that value again; 0 where it never rose, NaN where it has not come back.
    """
    number = len(sweep.plan["stages"]) - 1 if stage is None else stage
    stages = stage_table(sweep)
    ends = stages[stages["stage"] == number].set_index("trial")["state"]
    bumps = pd.DataFrame(_bumps(whole_sets(sweep)).unstack("role"))
    continued = trials.loc[~trials["from_scratch"], "trial"]
    found = bumps.reindex(continued.map(ends)).set_axis(continued, axis=0)
    curved = [("curved", role) for role in sweep.roles]
    found = found.reindex(
        columns=pd.MultiIndex.from_product([["curved", *DIP_MEASURES], sweep.roles])
    )
    known = found[found[curved].eq(other=True).all(axis=1)]
    named = {
        f"{role}_{name}": known[(name, role)].astype(float)
        for role in sweep.roles
        for name in DIP_MEASURES
    }
    return pd.DataFrame(named, index=known.index).rename_axis("trial").reset_index()


def dip_settings(
    sweep: Sweep, dips: pd.DataFrame, trials: pd.DataFrame, center: Mapping[str, Any]
) -> pd.DataFrame:
    """The dips of the settings that tell what shapes one, means over complete seeds.

    Args:
        sweep: For axes and roles.
        dips: As `dip_table` returns them.
        trials: As `measures.trial_table` returns them.
        center: As `settings.anchor` returns it.

    Returns:
        One row a setting: the centre, those that differ from it in peak or warm-up alone, and the
        baseline that does not re-warm. Index `setting`; `trial` (the first of it), the axes,
        `baseline`, `center`, `seeds` (complete ones with a curve); for each role `<role>_rise`
        with `<role>_rise_low` and `_high` (Student, 95%; NaN below two seeds),
        `<role>_rise_change` with `_low` and `_high`: its difference to not re-warming, paired by
        seed; `<role>_peak_tokens`, the mean; `<role>_back`: in how many seeds the loss came back
        below its start or never rose above it; `<role>_recovered_tokens`: the mean over seeds,
        NaN where one of them has not come back.
    """
    joined = dips.merge(trials[trials["status"] == StatusWord.COMPLETE], on="trial")
    axes = [axis for axis in center if labels.factor(axis) in SHAPING]
    chosen = [around(joined, axis, center) for axis in axes or [""]]
    resting = joined[joined["baseline"] == "no_rewarm"]
    shown = pd.concat([*chosen, resting]).drop_duplicates("trial")
    still = resting.drop_duplicates("seed").set_index("seed")
    rows = []
    for setting, group in shown.groupby("setting", sort=False):
        first = group.iloc[0]
        row: dict[Any, Any] = {
            "setting": setting,
            **first[["trial", *center, "baseline", "center"]].to_dict(),
        }
        row["seeds"] = len(group)
        for role in sweep.roles:
            rises = group[f"{role}_rise"]
            row |= _spread(f"{role}_rise", student(rises))
            change = rises - group["seed"].map(still[f"{role}_rise"])
            row |= _spread(f"{role}_rise_change", student(change))
            row[f"{role}_peak_tokens"] = group[f"{role}_peak_tokens"].mean()
            row[f"{role}_back"] = group[f"{role}_recovered_tokens"].notna().sum()
            row[f"{role}_recovered_tokens"] = group[f"{role}_recovered_tokens"].mean(skipna=False)
        rows.append(row)
    return pd.DataFrame(rows, columns=_columns(sweep, center)).set_index("setting")


def student(each: pd.Series, comparisons: int = 1) -> Estimate:
    """The mean over seeds with Student's interval; values of seeds that lack one are NaN."""
    known = each.dropna().to_numpy(float)
    return estimate(known, np.zeros_like(known), comparisons)


def _columns(sweep: Sweep, center: Mapping[str, Any]) -> list[str]:
    named = ["setting", "trial", *center, "baseline", "center", "seeds"]
    for role in sweep.roles:
        for name in ("rise", "rise_change"):
            named += [f"{role}_{name}{end}" for end in ("", "_low", "_high")]
        named += [f"{role}_{name}" for name in ("peak_tokens", "back", "recovered_tokens")]
    return named


def _spread(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _bumps(rows: pd.DataFrame) -> pd.DataFrame:
    """How high, where and until when, of each curve; rows of one in the order of their steps.

    Returns:
        Index `state` and `role`; `curved`: whether the curve begins at step 0 and goes on; and
        `DIP_MEASURES`, NaN where the losses are no numbers.
    """
    keys = [rows["state"], rows["role"]]
    groups = rows.groupby(["state", "role"])
    table = groups[["step", "loss"]].first()
    table["curved"] = (table["step"] == 0) & (groups.size() > 1)
    start = groups["loss"].transform("first")
    later = groups.cumcount() > 0
    height = (rows["loss"] - start).where(later)
    above = later & (height > 0)
    table["rise"] = height.groupby(keys).max()
    highest = above & (height == height.groupby(keys).transform("max"))
    back = later & (height < 0) & above.groupby(keys).cummax()
    for name, chosen in (("peak_tokens", highest), ("recovered_tokens", back)):
        first = rows[chosen].groupby(["state", "role"])["tokens"].first()
        never = table["rise"].le(0).map({True: 0.0, False: np.nan})
        table[name] = first.reindex(table.index).fillna(never)
    return table[["curved", *DIP_MEASURES]]
