"""What the report says of trials that an early-stopping rule ended."""

import pandas as pd

from analysis import labels
from analysis.load import Sweep
from cpt.records import StatusWord

TYPES = {"asha": "ASHA"}


def stopped_sentence(sweep: Sweep, trials: pd.DataFrame) -> str:
    """How many trials were stopped, by what and where; empty where none was.

    Where a trial stopped is counted in tokens of the stage that it stopped in. The rule is named
    only where it ended them all, rather than another sweep's or this one's before it was changed.
    """
    stopped = trials[trials["status"] == StatusWord.STOPPED]
    if stopped.empty:
        return ""
    rule = sweep.plan["stopping"]
    steps, others = set(), 0
    for path in stopped["path"]:
        states = sweep.states.loc[list(path)]
        ended = states[states["status"] == StatusWord.STOPPED]
        steps |= set(ended["step"])
        others += not ended["ended_by_rule"].all()
    told = labels.listing([labels.amount(step * sweep.tokens_per_step) for step in sorted(steps)])
    one = len(stopped) == 1
    were, they = ("was", "it has") if one else ("were", "they have")
    are = "is" if one else "are"
    by = "" if others else f" by {TYPES[rule['type']]} on {_metric(rule['metric'])}"
    goes_on = "the next run goes on with such trials"
    anew = f" {others} of them by another rule than this sweep's; {goes_on}." if others else ""
    return (
        f"{len(stopped)} of {len(trials)} trials {were} stopped early{by} at {told} tokens; "
        f"{they} no final losses and {are} in no ranking.{anew}"
    )


def _metric(name: str) -> str:
    """`d1_loss` as `D1 loss`."""
    head, _, rest = name.partition("_")
    told = head.upper() if head[1:].isdigit() else head
    return f"{told} {rest.replace('_', ' ')}".strip()
