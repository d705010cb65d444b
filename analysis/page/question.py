"""What a sweep asked, in one sentence."""

from analysis import labels
from analysis.load import Sweep
from analysis.stages import stage_table

UNNAMED = "custom"
"""What a plan calls a model that is no preset and has no checkpoint."""


def question(sweep: Sweep) -> str:
    """The model, the data sets in order, and the budgets."""
    plan = sweep.plan
    model = plan["model"]
    more = "new" if sweep.additive_replay else "more"
    (first, spent), *rest = (_stage(sweep, index) for index in range(1, len(plan["stages"])))
    then = "".join(f", then to {name} with {budget}" for name, budget in rest)
    size = f"{labels.amount(model['parameters'])} parameters"
    unnamed = model["name"] == UNNAMED
    who = f"a model of {size}" if unnamed else f"{model['name']} ({size})"
    return (
        f"How should {who} go on from "
        f"{sweep.dataset('d0')} (D0) to {first} with {spent} {more} tokens{then}, and what will it "
        "forget?"
    )


def _stage(sweep: Sweep, stage: int) -> tuple[str, str]:
    """What a stage trains on, and with how many tokens: one budget or several."""
    plan = sweep.plan
    planned = plan["stages"][stage]
    name = f"{planned['dataset']} ({planned['role'].upper()})"
    if sweep.additive_replay:
        last = stage + 1 == len(plan["stages"])
        budgets = (plan["axes"].get("token_budget") if last else None) or [planned["tokens"]]
    else:
        stages = stage_table(sweep)
        continued = stages[(stages["stage"] == stage) & (stages["role"] != "")]
        budgets = sorted(set(continued["tokens"])) or [planned["tokens"]]
    return name, labels.listing([labels.amount(budget) for budget in budgets])
