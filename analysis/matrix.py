"""The forgetting matrix: the loss on every data set at every boundary between stages.

Rows are boundaries: the pre-trained model, then the model after each stage. Columns are data sets.
The loss at a boundary is that of step 0 of the stage that goes on from it, which evaluates all
sets, those of later stages included; the last one is the final loss. Let b(s) be the last boundary
up to which set s was trained on. Then

    change(b, s) = loss(b, s) - loss(b(s), s)

is what has been forgotten of s by boundary b (replay of s since then notwithstanding): 0 where s
was trained on last, NaN before any stage has trained on it.
"""

import itertools
import math

import pandas as pd

from analysis.load import Sweep
from analysis.measures import final_losses, start_losses
from analysis.stages import stage_table

COLUMNS = ["trial", "boundary", "role", "loss", "change", "trained", "annealed"]


def matrix_table(sweep: Sweep) -> pd.DataFrame:
    """One row a trial of several stages, boundary and data set, in this order.

    Baselines from random weights have no boundaries and are left out.

    Returns:
        `trial`; `boundary`: 0 for the pre-trained model, i after the i-th stage; `role`; `loss`
        (nats per token, NaN where it was not evaluated or the trial is not complete); `change`
        (see above); `trained`: whether the stage before the boundary trained on the set;
        `annealed`: False where the learning rate had not come down at the boundary, since the
        schedule goes on from it.
    """
    starts, finals = _cells(start_losses(sweep)), _cells(final_losses(sweep))
    came_down = sweep.states["annealed"].to_dict()
    scratch = set(sweep.trials.loc[sweep.trials["from_scratch"], "trial"])
    listed = stage_table(sweep).to_dict("records")
    rows = []
    for trial, each in itertools.groupby(listed, key=lambda stage: stage["trial"]):
        path = list(each)
        stages = [stage for stage in path if stage["stage"] > 0]
        if trial in scratch or len(stages) < 2:
            continue
        trained_on = ["d0", *(stage["role"] for stage in stages)]
        annealed = [came_down[stage["state"]] for stage in path]
        if len(path) == len(stages):
            annealed = [True, *annealed]
        losses = {
            role: [
                *(starts.get((stage["reached"], role), math.nan) for stage in stages),
                finals.get((stages[-1]["state"], f"{role}_loss"), math.nan),
            ]
            for role in sweep.roles
        }
        for boundary in range(len(trained_on)):
            for role in sweep.roles:
                seen = [at for at in range(boundary + 1) if trained_on[at] == role]
                loss = losses[role][boundary]
                rows.append(
                    {
                        "trial": trial,
                        "boundary": boundary,
                        "role": role,
                        "loss": loss,
                        "change": loss - losses[role][seen[-1]] if seen else float("nan"),
                        "trained": trained_on[boundary] == role,
                        "annealed": annealed[boundary],
                    }
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def _cells(losses: pd.DataFrame) -> dict[tuple[str, str], float]:
    """(state, column) to a loss."""
    columns = losses.to_dict()
    return {(state, str(name)): loss for name in columns for state, loss in columns[name].items()}
