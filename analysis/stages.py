"""A trial's path, stage by stage: which state's rows show each stage, and where it begins."""

import pandas as pd

from analysis.load import Sweep

COLUMNS = ["trial", "stage", "state", "reached", "role", "steps", "tokens", "before"]


def stage_table(sweep: Sweep) -> pd.DataFrame:
    """One row a trial and stage, in the order of the trials and of their stages.

    Returns:
        `trial`; `stage`: 0 for pre-training, 1 for the first stage after it and for the only one
        of a baseline from random weights; `state`: the stage's end; `reached`: the state whose
        curve stands for the stage, the last of it that has rows (its end where none has); `role`
        of the data set it trains on (empty from scratch); `steps`; `tokens` of the stage;
        `before`: tokens between the end of pre-training and the stage's beginning (negative for
        pre-training itself).
    """
    begun = sweep.begun
    states = sweep.states.to_dict("index")
    rows = []
    for trial in sweep.trials[["trial", "path", "stage_ends"]].to_dict("records"):
        before, stage = 0, 1
        path = list(trial["path"])
        for end in trial["stage_ends"]:
            segment = path[: path.index(end) + 1]
            path = path[len(segment) :]
            planned = states[end]
            tokens = int(planned["stage_tokens"])
            upstream = planned["stage"] == "upstream"
            rows.append(
                {
                    "trial": trial["trial"],
                    "stage": 0 if upstream else stage,
                    "state": end,
                    "reached": next((one for one in reversed(segment) if one in begun), end),
                    "role": planned["role"],
                    "steps": planned["steps"],
                    "tokens": tokens,
                    "before": -tokens if upstream else before,
                }
            )
            if not upstream:
                before += tokens
                stage += 1
    return pd.DataFrame(rows, columns=COLUMNS)


def from_beginning(stages: pd.DataFrame) -> pd.DataFrame:
    """The same table with `before` counted from the first step of each trial's path."""
    first = stages.groupby("trial")["before"].transform("min")
    return stages.assign(before=stages["before"] - first)


def beginnings(sweep: Sweep, chosen: pd.DataFrame, *, upstream: bool = False) -> dict[int, str]:
    """Where stages of the chosen trials begin: tokens to the name of the stage's data set.

    Args:
        sweep: For paths and names.
        chosen: Has a column `trial`.
        upstream: Count from the beginning of pre-training, else from its end.
    """
    stages = stage_table(sweep)
    stages = stages[stages["trial"].isin(chosen["trial"]) & (stages["role"] != "")]
    stages = from_beginning(stages) if upstream else stages[stages["stage"] > 0]
    placed = stages.sort_values("before", kind="stable")
    return {
        int(tokens): sweep.dataset(role)
        for tokens, role in zip(placed["before"], placed["role"], strict=True)
    }
