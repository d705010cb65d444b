"""The bump that re-warming causes: how high the losses climb, and when the new one is back."""

import numpy as np
import pandas as pd

from analysis.load import Sweep
from analysis.measures import whole_sets


def newest_role(sweep: Sweep) -> str:
    """The role of the data set that the last stage brings."""
    return str(sweep.plan["stages"][-1]["role"])


def dip_table(sweep: Sweep, trials: pd.DataFrame) -> pd.DataFrame:
    """The bump in the last stage, one row a trial that started from a pre-trained model.

    Returns:
        `trial`; for each role `<role>_rise`: largest loss after step 0 minus the loss at step 0,
        nats per token (negative where the loss never rose); `recovered_step` and
        `recovered_tokens`: the first evaluation, after the newest set's loss first rose above its
        value at step 0, that lies below that value again; 0 where it never rose, NaN where it has
        not come back.
    """
    rows = []
    losses = dict(iter(whole_sets(sweep).groupby(["state", "role"])))
    for _, trial in trials[~trials["from_scratch"]].iterrows():
        curves = {role: losses.get((trial["state"], role)) for role in sweep.roles}
        known = {role: curve for role, curve in curves.items() if curve is not None}
        if len(known) == len(curves) and all(
            curve["step"].iloc[0] == 0 and len(curve) > 1 for curve in known.values()
        ):
            rises = {
                f"{role}_rise": curve["loss"].iloc[1:].max() - curve["loss"].iloc[0]
                for role, curve in known.items()
            }
            rows.append({"trial": trial["trial"], **rises, **_return(known[newest_role(sweep)])})
    columns = [f"{role}_rise" for role in sweep.roles]
    return pd.DataFrame(rows, columns=["trial", *columns, "recovered_step", "recovered_tokens"])


def _return(losses: pd.DataFrame) -> dict[str, float]:
    """When a loss was back below where it began; rows in the order of their steps, 0 first."""
    start = losses["loss"].iloc[0]
    rose = losses[losses["loss"] > start]
    if rose.empty:
        step = tokens = 0.0
    else:
        back = losses[(losses["step"] > rose["step"].iloc[0]) & (losses["loss"] < start)]
        step, tokens = back[["step", "tokens"]].iloc[0] if len(back) else (np.nan, np.nan)
    return {"recovered_step": step, "recovered_tokens": tokens}
