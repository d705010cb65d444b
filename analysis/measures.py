"""What a sweep found, as tables: losses, forgetting, adaptation, their noise, and the dip.

Losses are nats per token on fixed held-out sets. For one trial

    final_loss   mean over evaluations with step > total_steps - final_window_steps
    forgetting   final D0 loss - D0 loss at step 0      larger is worse
    adaptation   D1 loss at step 0 - final D1 loss      larger is better
    mean_loss    mean of the two final losses; never to be read without the two before

Step 0 is the pre-trained model that the trial starts from. A baseline from random weights is held
against the pre-trained model of its seed, so that all trials share one origin. Only trials that
are complete have measures: a stopped one never reached the end of its schedule.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from analysis.load import Sweep
from cpt.records import StatusWord

MEASURES = ("d0_loss", "d1_loss", "mean_loss", "forgetting", "adaptation")
ROLES = ("d0", "d1")
CONFIDENCE = 0.95


def final_losses(sweep: Sweep) -> pd.DataFrame:
    """Final losses of complete states: index `state`, columns `d0_loss`, `d1_loss`."""
    complete = sweep.states[sweep.states["status"] == StatusWord.COMPLETE]
    planned = complete[["steps", "final_window_steps"]].reset_index()
    rows = whole_sets(sweep).merge(planned, on="state")
    window = rows[rows["step"] > rows["steps"] - rows["final_window_steps"]]
    losses = window.groupby(["state", "role"])["loss"].mean().unstack("role")
    return losses.reindex(columns=list(ROLES)).rename(columns="{}_loss".format)


def start_losses(sweep: Sweep) -> pd.DataFrame:
    """Losses before the first update: index `state`, columns `d0_start`, `d1_start`."""
    rows = whole_sets(sweep)
    losses = rows[rows["step"] == 0].set_index(["state", "role"])["loss"].unstack("role")
    return losses.reindex(columns=list(ROLES)).rename(columns="{}_start".format)


def trial_table(sweep: Sweep) -> pd.DataFrame:
    """One row a trial: what it was, where it stands and, once complete, what it reached.

    Returns:
        The columns of `Sweep.trials`, then `setting` (equal for trials that differ in the seed
        alone), `d0_start` and `d1_start` (the reference, nats per token), the five `MEASURES`,
        and for each of them `<name>_low` and `<name>_high` (see `with_intervals`).
    """
    trials = sweep.trials.join(start_losses(sweep), on="state").join(
        final_losses(sweep), on="state"
    )
    references = trials[~trials["from_scratch"]].groupby("seed", dropna=False)
    for start in ("d0_start", "d1_start"):
        shared = trials["seed"].map(references[start].first())
        trials[start] = trials[start].where(~trials["from_scratch"], shared).astype(float)
    trials["setting"] = [
        str((row["baseline"], *(row[axis] for axis in sweep.setting_axes)))
        for _, row in trials.iterrows()
    ]
    trials["mean_loss"] = (trials["d0_loss"] + trials["d1_loss"]) / 2
    trials["forgetting"] = trials["d0_loss"] - trials["d0_start"]
    trials["adaptation"] = trials["d1_start"] - trials["d1_loss"]
    return with_intervals(trials)


def with_intervals(trials: pd.DataFrame) -> pd.DataFrame:
    """Adds `<name>_low` and `<name>_high` for each measure.

    They bound the mean over the complete seeds of a trial's setting, mean -/+ t s / sqrt(n) with
    Student's t for n - 1 degrees of freedom at 95%: how far that mean may lie from that of endless
    seeds. So all seeds of a setting carry the same interval, and a single seed need not lie
    in it. NaN where fewer than two seeds are complete, and for trials that are not.
    """
    trials = trials.copy()
    for name in MEASURES:
        half, mean = half_widths(trials.groupby("setting")[name])
        known = trials[name].notna()
        trials[f"{name}_low"] = (trials["setting"].map(mean - half)).where(known)
        trials[f"{name}_high"] = (trials["setting"].map(mean + half)).where(known)
    return trials


def half_widths(groups: Any) -> tuple[pd.Series, pd.Series]:
    """Half the width of the Student interval of each group's mean (NaN below two), and the mean."""
    count = groups.count()
    freedom = (count - 1).where(count > 1)
    quantile = stdtrit(freedom.to_numpy(float), (1 + CONFIDENCE) / 2)
    return quantile * groups.std(ddof=1) / np.sqrt(count), groups.mean()


def csv_table(sweep: Sweep, trials: pd.DataFrame) -> pd.DataFrame:
    """The columns of `trials.csv`: what was wanted, its status, measures, then their intervals."""
    intervals = [f"{name}_{end}" for name in MEASURES for end in ("low", "high")]
    identity = ["trial", "state", *sweep.axes, "baseline", "status", "tokens"]
    return trials[[*identity, *MEASURES, *intervals]]


def anchor(sweep: Sweep) -> dict[str, Any]:
    """The setting that curves are drawn around: one value per axis, the seed left out.

    The centre's value where the axis holds it, else the most common value among the trials that
    are no baseline; of equally common ones the first on the axis.
    """
    center = sweep.plan["center"] or {}
    plain = sweep.trials[sweep.trials["baseline"] == ""]
    values = {}
    for axis in sweep.setting_axes:
        on_axis = sweep.plan["axes"][axis]
        if center.get(axis) in on_axis:
            values[axis] = center[axis]
        else:
            values[axis] = max(on_axis, key=lambda value: int((plain[axis] == value).sum()))
    return values


def around(trials: pd.DataFrame, axis: str, center: dict[str, Any]) -> pd.DataFrame:
    """The trials, no baseline among them, that share every value of `center` but that of `axis`."""
    chosen = trials["baseline"] == ""
    for other, value in center.items():
        if other != axis:
            chosen &= trials[other] == value
    return trials[chosen]


def settings_table(trials: pd.DataFrame, center: dict[str, Any]) -> pd.DataFrame:
    """One row a setting with at least one complete trial.

    Args:
        trials: As `trial_table` returns them.
        center: As `anchor` returns it.

    Returns:
        Index `setting`, in the order of the trials; `trial` (label of its first complete trial),
        the axes, `baseline`, `center`, `from_scratch`, `tokens`, `seeds` (complete ones),
        `states` (their ids); the means of the five `MEASURES` with `<name>_low` and
        `<name>_high`; `efficient` (see `is_efficient`); `forgetting_change` and
        `adaptation_change` with `_low` and `_high`: the mean over seeds of the difference to
        `center` with the same seed, paired because trials of a seed share their data order. NaN
        where the centre has no complete trial of that seed.
    """
    complete = trials[trials["mean_loss"].notna()]
    groups = complete.groupby("setting", sort=False)
    identity = ["trial", *center, "baseline", "center", "from_scratch", "tokens"]
    means = groups[list(MEASURES)].mean()
    intervals = [f"{name}_{end}" for name in MEASURES for end in ("low", "high")]
    table = groups[identity].first().join(means).join(groups[intervals].first())
    table["seeds"] = groups.size()
    table["states"] = groups["state"].agg(", ".join)
    table["efficient"] = is_efficient(table)
    central = around(complete, "", center).set_index("seed")
    for name in ("forgetting", "adaptation"):
        paired = complete[name] - complete["seed"].map(central[name])
        half, mean = half_widths(paired.groupby(complete["setting"]))
        table[f"{name}_change"] = mean
        table[f"{name}_change_low"] = mean - half
        table[f"{name}_change_high"] = mean + half
    return table


def is_efficient(settings: pd.DataFrame) -> pd.Series:
    """Which settings no other beats: none forgets no more and adapts no less, and one of them less.

    Baselines from random weights neither enter nor count: they spend other compute.
    """
    entrants = settings[~settings["from_scratch"] & settings["forgetting"].notna()]
    forgetting = entrants["forgetting"].to_numpy(float)
    adaptation = entrants["adaptation"].to_numpy(float)
    no_worse = (forgetting[None] <= forgetting[:, None]) & (adaptation[None] >= adaptation[:, None])
    better = (forgetting[None] < forgetting[:, None]) | (adaptation[None] > adaptation[:, None])
    efficient = pd.Series(~(no_worse & better).any(axis=1), index=entrants.index, dtype=bool)
    return efficient.reindex(settings.index, fill_value=False)


def dip_table(sweep: Sweep, trials: pd.DataFrame) -> pd.DataFrame:
    """The bump that re-warming causes, one row a trial that started from a pre-trained model.

    Returns:
        `trial`; `d0_rise` and `d1_rise`: largest loss after step 0 minus the loss at step 0, nats
        per token (negative where the loss never rose); `recovered_step` and `recovered_tokens`:
        the first evaluation, after D1 loss first rose above its value at step 0, that lies below
        that value again; 0 where it never rose, NaN where it has not come back.
    """
    rows = []
    losses = dict(iter(whole_sets(sweep).groupby(["state", "role"])))
    for _, trial in trials[~trials["from_scratch"]].iterrows():
        d0, d1 = (losses.get((trial["state"], role)) for role in ROLES)
        if d0 is not None and d1 is not None and 0 < len(d0.query("step == 0")) < len(d0):
            rows.append({"trial": trial["trial"], **_dip(d0, d1)})
    columns = ["trial", "d0_rise", "d1_rise", "recovered_step", "recovered_tokens"]
    return pd.DataFrame(rows, columns=columns)


def _dip(d0: pd.DataFrame, d1: pd.DataFrame) -> dict[str, float]:
    """The dip of one trial; both curves in the order of their steps, the first at step 0."""
    start = d1["loss"].iloc[0]
    rose = d1[d1["loss"] > start]
    if rose.empty:
        step = tokens = 0.0
    else:
        back = d1[(d1["step"] > rose["step"].iloc[0]) & (d1["loss"] < start)]
        step, tokens = back[["step", "tokens"]].iloc[0] if len(back) else (np.nan, np.nan)
    return {
        "d0_rise": d0["loss"].iloc[1:].max() - d0["loss"].iloc[0],
        "d1_rise": d1["loss"].iloc[1:].max() - start,
        "recovered_step": step,
        "recovered_tokens": tokens,
    }


def whole_sets(sweep: Sweep) -> pd.DataFrame:
    """The evaluation rows of D0 and D1 as a whole, without those of single domains."""
    return sweep.evals[sweep.evals["domain"].isna() & sweep.evals["role"].isin(ROLES)]
