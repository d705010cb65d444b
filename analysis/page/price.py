"""What a setting costs against the union run, in the words of a card."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.deciding.costs import currency
from analysis.load import Sweep


def price(sweep: Sweep, cost: Mapping[Any, Any]) -> tuple[str, str, list[str]]:
    """What the cost is held against, its share of that, and lines of tokens, time and money.

    Args:
        sweep: For the currency.
        cost: A row of `costs.cost_table`.
    """
    known = not pd.isna(cost["union_tokens"])
    lines = [f"{_against(cost, 'tokens', labels.amount)} tokens"] if known else []
    if not pd.isna(cost["hours"]):
        lines.append(_against(cost, "hours", lambda hours: labels.duration(3600 * hours)))
    if not pd.isna(cost["money"]):
        lines.append(f"{_against(cost, 'money', '{:,.2f}'.format)} {currency(sweep)}")
    if not known:
        lines.append("what a union run takes is not known")
        return "Cost", f"{labels.amount(cost['tokens'])} tokens", lines
    if not cost["union_trained"]:
        lines.append("computed from the budgets: no union run was trained")
    return (
        "Cost, share of a union run",
        f"{100 * cost['tokens'] / cost['union_tokens']:.3g}%",
        lines,
    )


def _against(cost: Mapping[Any, Any], name: str, write: Callable[[float], str]) -> str:
    own, union = cost[name], cost[f"union_{name}"]
    if pd.isna(union):
        return write(own)
    return f"{write(own)} against {write(union)}"
