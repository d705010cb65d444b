"""What happened to each domain of a data set: the same differences as for whole sets, one a domain.

    change of a domain of D0       final loss - loss of the pre-trained model     forgetting
    change of a domain of D1 ...   loss before the stage that first trains on the set - final loss
                                                                                  adaptation

with the windows of `analysis.measures`. Baselines from random weights have no start of their own
and are left out.
"""

import pandas as pd

from analysis.load import Sweep
from analysis.stages import stage_table
from cpt.records import StatusWord


def domain_changes(sweep: Sweep, trials: pd.DataFrame) -> pd.DataFrame:
    """Forgetting and adaptation, domain by domain.

    Args:
        sweep: Has the evaluations.
        trials: As `measures.trial_table` returns them.

    Returns:
        One row a setting, role and domain: `setting`, `role`, `domain`, `change` (mean over the
        complete seeds, nats per token: of D0 a rise, of later sets a fall), `seeds`.
    """
    rows = sweep.evals[sweep.evals["domain"].notna()]
    complete = sweep.states[sweep.states["status"] == StatusWord.COMPLETE]
    planned = complete[["steps", "final_window_steps"]].reset_index()
    window = rows.merge(planned, on="state")
    window = window[window["step"] > window["steps"] - window["final_window_steps"]]
    groups = window.groupby(["state", "role", "domain"])["loss"]
    # Where a loss was no finite number, the mean of the others is no final loss.
    finals = groups.mean().where(groups.count() == groups.size()).rename("final")
    starts = rows[rows["step"] == 0].set_index(["state", "role", "domain"])["loss"].rename("start")
    paired = (
        _pairs(sweep, trials)
        .merge(finals.reset_index(), left_on=["state", "role"], right_on=["state", "role"])
        .merge(
            starts.reset_index(),
            left_on=["begun", "role", "domain"],
            right_on=["state", "role", "domain"],
            suffixes=("", "_begun"),
        )
    )
    sign = paired["role"].map(lambda role: 1.0 if role == "d0" else -1.0).astype(float)
    paired["change"] = sign * (paired["final"] - paired["start"])
    groups = paired.groupby(["setting", "role", "domain"], sort=False)["change"]
    table = groups.agg(["mean", "size"]).reset_index()
    return table.rename(columns={"mean": "change", "size": "seeds"})


def _pairs(sweep: Sweep, trials: pd.DataFrame) -> pd.DataFrame:
    """Of complete trials that continue: `setting`, `role`, `state` (the last), `begun` (step 0)."""
    after = stage_table(sweep).query("stage > 0")
    first = after.groupby("trial")["reached"].first()
    known = trials[trials["mean_loss"].notna() & ~trials["from_scratch"]]
    parts = []
    for role in sweep.roles:
        trained = after[after["role"] == role].groupby("trial")["reached"].first()
        begun = first if role == "d0" else trained.reindex(first.index).fillna(first)
        parts.append(known[["setting", "state"]].assign(role=role, begun=known["trial"].map(begun)))
    return pd.concat(parts, ignore_index=True)
