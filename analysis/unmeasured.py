"""Why a trial that ran to its end has no measures: said beside it, since it is in no ranking."""

from collections.abc import Collection, Mapping

import pandas as pd

from cpt.records import StatusWord


def unmeasured(
    states: pd.DataFrame, evals: pd.DataFrame, lasts: Collection[str], datasets: Mapping[str, str]
) -> dict[str, str]:
    """A sentence for each complete state whose final losses are not all known.

    Args:
        states: As in `load.Sweep`.
        evals: Likewise; a loss that is no finite number is NaN.
        lasts: The last states of trials, which have a final loss on every data set.
        datasets: Role to the name of its data set.
    """
    complete = states[(states["status"] == StatusWord.COMPLETE) & states.index.isin(list(lasts))]
    begin = complete["steps"] - complete["final_window_steps"]
    lost = complete.loc[complete["gap"] > begin, "gap"]
    told = {str(state): f"evaluations up to step {gap} are lost" for state, gap in lost.items()}
    rows = evals[evals["domain"].isna() & evals["state"].isin(complete.index)]
    within = rows["step"].to_numpy() > begin.reindex(rows["state"]).to_numpy()
    broken = rows[rows["loss"].isna() & (within | (rows["step"] == 0))].drop_duplicates("state")
    for state, dataset, step in zip(
        broken["state"], broken["dataset"], broken["step"], strict=True
    ):
        told.setdefault(state, f"the loss on {dataset} is not a finite number at step {step}")
    known = rows[within].groupby("state")["role"].agg(set)
    for state in complete.index:
        missing = [datasets[role] for role in datasets if role not in known.get(state, ())]
        if missing:
            names = " and ".join(missing)
            told.setdefault(state, f"no evaluation of {names} in its final window")
    return told
