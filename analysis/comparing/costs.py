"""What each of several sweeps cost, and how fast it trained."""

from collections.abc import Sequence

import pandas as pd

from analysis.comparing.entries import Entry
from analysis.load import Sweep
from cpt.records import StatusWord


def cost_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """One row a sweep.

    Returns:
        `sweep`; `trials` and `complete` trials; `tokens`: as planned, every state once, those of
        pre-training in `pretraining_tokens`; `flops`: of training them, as planned; `hours`: spent
        in training so far, every state's own, evaluation and saving included (`elapsed_seconds` of
        its rows); `tokens_per_second`: median over updates; `tokens_per_setting`: planned, after
        pre-training, of its centre or reference (NaN where it has no complete trial).
    """
    return pd.DataFrame([_costs(entry) for entry in entries])


def _costs(entry: Entry) -> dict[str, object]:
    sweep = entry.sweep
    planned = pd.DataFrame(sweep.plan["states"])
    central = entry.settings[entry.settings["center"]]
    return {
        "sweep": entry.name,
        "trials": len(entry.trials),
        "complete": int((entry.trials["status"] == StatusWord.COMPLETE).sum()),
        "tokens": int(planned["tokens"].sum()),
        "pretraining_tokens": int(planned.loc[planned["stage"] == "upstream", "tokens"].sum()),
        "flops": float(planned["flops"].sum()),
        "hours": float(own_seconds(sweep).sum()) / 3600,
        "tokens_per_second": float(own_updates(sweep)["tokens_per_second"].median()),
        "tokens_per_setting": float(central["path_tokens"].mean()),
    }


def own_updates(sweep: Sweep) -> pd.DataFrame:
    """The updates that each state trained itself, those of its bases left out."""
    first = sweep.train["state"].map(sweep.states["first_step"])
    return sweep.train[sweep.train["step"] > first]


def own_seconds(sweep: Sweep) -> pd.Series:
    """Time that each state spent itself, by state; those without rows are left out."""
    first = sweep.train["state"].map(sweep.states["first_step"])
    clock = sweep.train.groupby("state")["elapsed_seconds"].max()
    before = sweep.train[sweep.train["step"] <= first].groupby("state")["elapsed_seconds"].max()
    return clock - before.reindex(clock.index).fillna(0)
