"""What a sweep found, as tables: losses, forgetting, adaptation and their noise.

Losses are in the unit of the sweep (nats per token, or bits per byte after `Sweep.in_unit`) on
fixed held-out sets: D0, which the model was pre-trained on, and D1 to Dk, one for each stage after
it. For one trial

    final_loss   mean over evaluations of the last stage with step > steps - final_window_steps
    forgetting   final D0 loss - D0 loss of the pre-trained model          larger is worse
    adaptation   mean over D1 ... Dk of (loss before the stage that first trains on the set
                 - final loss at the end of the path)                      larger is better
    mean_loss    mean of all final losses; never to be read without the two before

The pre-trained model is step 0 of the first stage after pre-training, the loss before a stage is
its step 0. With one stage, adaptation is the fall of D1 loss from the pre-trained model on. What a
later stage forgets of D1 counts against adaptation, since the final loss is that of the whole path.

A baseline from random weights is held against the pre-trained model of its seed on every set, so
that all trials share one origin. Only trials that are complete have measures: a stopped one never
reached the end of its schedule.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from analysis.load import Sweep
from analysis.stages import stage_table
from cpt.records import StatusWord

CONFIDENCE = 0.95


def loss_names(roles: Sequence[str]) -> list[str]:
    """The measures that are final losses, one a data set."""
    return [f"{role}_loss" for role in roles]


def measure_names(roles: Sequence[str]) -> list[str]:
    """All measures, in the order of trials.csv."""
    return [*loss_names(roles), "mean_loss", "forgetting", "adaptation"]


def final_window(sweep: Sweep) -> pd.DataFrame:
    """The evaluations that final losses are means of: `state`, `role`, `step`, `loss`."""
    complete = sweep.states[sweep.states["status"] == StatusWord.COMPLETE]
    # A window without those of its evaluations that lay in a lost folder would be another measure.
    complete = complete[complete["gap"] <= complete["steps"] - complete["final_window_steps"]]
    planned = complete[["steps", "final_window_steps"]].reset_index()
    rows = whole_sets(sweep).merge(planned, on="state")
    window = rows[rows["step"] > rows["steps"] - rows["final_window_steps"]]
    return window[["state", "role", "step", "loss"]]


def final_losses(sweep: Sweep) -> pd.DataFrame:
    """Final losses of complete states: index `state`, one column `<role>_loss` a data set."""
    window = final_window(sweep)
    names = [window["state"], window["role"]]
    # Where a loss was no finite number, the mean of the others is no final loss.
    broken = window["loss"].isna().groupby(names).any()
    losses = window["loss"].groupby(names).mean().mask(broken).unstack("role")
    return losses.reindex(columns=sweep.roles).rename(columns="{}_loss".format)


def window_variances(sweep: Sweep) -> pd.DataFrame:
    """How measures waver within the final windows.

    Returns:
        Index `state`; `evaluations` of the window that have every data set, and for each measure
        its variance between them (over their number, not one less), in squared nats per token.
        What forgetting and adaptation are counted from does not waver.
    """
    window = final_window(sweep).pivot(index=["state", "step"], columns="role", values="loss")
    window = window.reindex(columns=sweep.roles).dropna()
    measured = window.rename(columns="{}_loss".format)[loss_names(sweep.roles)]
    measured["mean_loss"] = window.mean(axis=1)
    measured["forgetting"] = window["d0"]
    measured["adaptation"] = -window[sweep.roles[1:]].mean(axis=1)
    groups = measured.groupby("state")
    return groups.var(ddof=0).assign(evaluations=groups.size())


def start_losses(sweep: Sweep) -> pd.DataFrame:
    """Losses at step 0 of a state's stage: index `state`, one column a role."""
    rows = whole_sets(sweep)
    losses = rows[rows["step"] == 0].set_index(["state", "role"])["loss"].unstack("role")
    return losses.reindex(columns=sweep.roles)


def trial_table(sweep: Sweep) -> pd.DataFrame:
    """One row a trial: what it was, where it stands and, once complete, what it reached.

    Returns:
        The columns of `Sweep.trials`, then `setting` (equal for trials that differ in the seed
        alone), for each role `<role>_pretrained` (loss of the pre-trained model) and
        `<role>_start` (what the final loss is held against; for D0 the pre-trained model), nats
        per token, the measures of `measure_names`, and for each of them `<name>_window` (the
        variance that its final window adds to it: between its evaluations, over their number) and
        `<name>_low` and `<name>_high` (see `with_intervals`).
    """
    trials = _with_references(sweep, sweep.trials.copy())
    trials = trials.join(final_losses(sweep), on="state")
    trials["setting"] = [
        str((row["baseline"], *(row[axis] for axis in sweep.setting_axes)))
        for row in trials.to_dict("records")
    ]
    losses = loss_names(sweep.roles)
    gains = [trials[f"{role}_start"] - trials[f"{role}_loss"] for role in sweep.roles[1:]]
    trials["mean_loss"] = trials[losses].mean(axis=1, skipna=False)
    trials["forgetting"] = trials["d0_loss"] - trials["d0_start"]
    trials["adaptation"] = pd.concat(gains, axis=1).mean(axis=1, skipna=False)
    names, variances = measure_names(sweep.roles), window_variances(sweep)
    shares = variances[names].div(variances["evaluations"], axis=0)
    trials = trials.join(shares.rename(columns="{}_window".format), on="state")
    trials[names] = trials[names].mask(trials["state"].isin(_diverged(sweep)))
    return with_intervals(trials, names)


def _diverged(sweep: Sweep) -> set[str]:
    """States with a loss that is no finite number, where a measure is made: they have none."""
    rows = pd.concat([final_window(sweep), whole_sets(sweep).query("step == 0")])
    return set(rows.loc[rows["loss"].isna(), "state"])


def _with_references(sweep: Sweep, trials: pd.DataFrame) -> pd.DataFrame:
    """Adds `<role>_pretrained` and `<role>_start`."""
    starts = start_losses(sweep)
    after = stage_table(sweep).query("stage > 0")
    first = after.groupby("trial")["reached"].first()
    continued = ~trials["from_scratch"]
    for role in sweep.roles:
        trained = after[after["role"] == role].groupby("trial")["reached"].first()
        own = first if role == "d0" else trained.reindex(first.index).fillna(first)
        for name, states in (("pretrained", first), ("start", own)):
            losses = trials["trial"].map(states).map(starts[role])
            trials[f"{role}_{name}"] = losses.where(continued).astype(float)
        shared = trials.groupby("seed", dropna=False)[f"{role}_pretrained"].first()
        for name in ("pretrained", "start"):
            given = trials[f"{role}_{name}"]
            trials[f"{role}_{name}"] = given.where(continued, trials["seed"].map(shared))
    return trials


def with_intervals(trials: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Adds `<name>_low` and `<name>_high` for each measure.

    They bound the mean over the complete seeds of a trial's setting at 95% (see `half_widths`):
    how far that mean may lie from that of endless seeds. So all seeds of a setting carry the same
    interval, and a single seed need not lie in it. NaN where fewer than two seeds are complete,
    and for trials that are not.
    """
    trials = trials.copy()
    for name in names:
        half, mean = half_widths(trials[name], trials[f"{name}_window"], trials["setting"])
        known = trials[name].notna()
        trials[f"{name}_low"] = (trials["setting"].map(mean - half)).where(known)
        trials[f"{name}_high"] = (trials["setting"].map(mean + half)).where(known)
    return trials


def half_widths(
    values: pd.Series, windows: pd.Series, setting: pd.Series
) -> tuple[pd.Series, pd.Series]:
    """Half the width of the interval of each setting's mean (NaN below two seeds), and the mean.

    The interval is that of `analysis.deciding.noise`: Student's, on the standard error of a
    bootstrap over seeds and evaluations.

    Args:
        values: One a trial.
        windows: What final windows add to their variance; what is not known adds nothing.
        setting: What to group by.
    """
    groups = values.groupby(setting)
    count = groups.count()
    freedom = (count - 1).where(count > 1)
    added = windows.fillna(0).where(values.notna()).groupby(setting).mean()
    quantile = stdtrit(freedom.to_numpy(float), (1 + CONFIDENCE) / 2)
    return quantile * np.sqrt((groups.var(ddof=0) + added) / freedom), groups.mean()


def csv_table(sweep: Sweep, trials: pd.DataFrame) -> pd.DataFrame:
    """The columns of `trials.csv`: what was wanted, its status, measures, then their intervals."""
    names = measure_names(sweep.roles)
    intervals = [f"{name}_{end}" for name in names for end in ("low", "high")]
    identity = ["trial", "state", *sweep.axes, "baseline", "status", "tokens"]
    table = trials[[*identity, *names, *intervals]]
    return table.map(_no_formula).rename(columns=_no_formula)


def _no_formula(cell: Any) -> Any:
    """A name that a spreadsheet would compute gets an apostrophe, which makes it text there."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(tuple("=+-@\t\r")) else cell


def whole_sets(sweep: Sweep) -> pd.DataFrame:
    """The evaluation rows of whole data sets, without those of single domains."""
    return sweep.whole_sets
