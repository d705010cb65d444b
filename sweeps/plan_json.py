"""What `plan.json` and `rewarm plan --json` hold: the plan, and what a reader wants to know of it.

Beside `Plan.to_json`: costs three ways; `epochs` of each trial; for each state `lr_before` (where
the state it starts from ended), `lr_first` (its first update's), `lr_last` (at its end step) and
`wanted` (false for a beginning that is there only to be shared), and `may_stop` (whether the
stopping rule may end it).
"""

from typing import Any

from sweeps.cohorts import stoppable
from sweeps.cost import Costs
from sweeps.epochs import Epochs
from sweeps.joins import lr_first, lr_last
from sweeps.plan import Plan


def plan_json(plan: Plan, costs: Costs) -> dict[str, Any]:
    """The whole content, as plain JSON values."""
    content, epochs = plan.to_json(), Epochs(plan)
    for trial, written in zip(plan.trials, content["trials"], strict=True):
        written["epochs"] = epochs.of(trial)
    may_stop = stoppable(plan)
    last = {name: lr_last(state) for name, state in plan.states.items()}
    for state, written in zip(plan.states.values(), content["states"], strict=True):
        written["lr_before"] = None if state.before is None else last[state.before]
        written["lr_first"] = lr_first(state)
        written["lr_last"] = last[state.id]
        written["wanted"] = state.is_wanted
        written["may_stop"] = state.id in may_stop
    return content | {"cost": costs.to_json()}
