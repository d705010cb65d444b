"""What the report says of trials that an early-stopping rule ended."""

import pandas as pd

from analysis import labels
from analysis.load import Sweep
from cpt.records import StatusWord

TYPES = {"asha": "ASHA"}


def stopped_sentence(sweep: Sweep, trials: pd.DataFrame) -> str:
    """How many trials were stopped, by what and where; empty where none was.

    Where a trial stopped is counted in tokens of the stage that it stopped in.
    """
    stopped = trials[trials["status"] == StatusWord.STOPPED]
    if stopped.empty:
        return ""
    rule = sweep.plan["stopping"]
    steps = set()
    for path in stopped["path"]:
        states = sweep.states.loc[list(path)]
        steps |= set(states.loc[states["status"] == StatusWord.STOPPED, "step"])
    told = labels.listing([labels.amount(step * sweep.tokens_per_step) for step in sorted(steps)])
    one = len(stopped) == 1
    were, they = ("was", "it has") if one else ("were", "they have")
    are = "is" if one else "are"
    by = "" if rule["type"] == "none" else f" by {TYPES.get(rule['type'], rule['type'])}"
    on = f" on {_metric(rule['metric'])}" if "metric" in rule else ""
    return (
        f"{len(stopped)} of {len(trials)} trials {were} stopped early{by}{on} at {told} tokens; "
        f"{they} no final losses and {are} in no ranking."
    )


def _metric(name: str) -> str:
    """`d1_loss` as `D1 loss`."""
    head, _, rest = name.partition("_")
    told = head.upper() if head[1:].isdigit() else head
    return f"{told} {rest.replace('_', ' ')}".strip()
