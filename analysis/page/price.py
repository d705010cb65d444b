"""What a setting costs against the union run, in the words of a card."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.deciding.costs import currency
from analysis.load import Sweep


def price(sweep: Sweep, cost: Mapping[Any, Any]) -> tuple[str, list[str]]:
    """The share of the union run's tokens, and lines of tokens, time and money where known.

    Args:
        sweep: For the currency.
        cost: A row of `costs.cost_table`.
    """
    known = not pd.isna(cost["union_tokens"])
    tokens = _against(cost, "tokens", lambda tokens: f"{labels.amount(tokens)} tokens")
    lines = [tokens if known else f"{tokens}; what a union run takes is not known"]
    if not pd.isna(cost["hours"]):
        lines.append(_against(cost, "hours", lambda hours: labels.duration(3600 * hours)))
    if not pd.isna(cost["money"]):
        lines.append(_against(cost, "money", lambda money: f"{money:,.2f} {currency(sweep)}"))
    if known and not cost["union_trained"]:
        lines.append("no union run here: its tokens are the budgets of all data")
    share = f"{100 * cost['tokens'] / cost['union_tokens']:.3g}% of a union run's tokens"
    return share if known else labels.amount(cost["tokens"]), lines


def _against(cost: Mapping[Any, Any], name: str, write: Callable[[float], str]) -> str:
    own, union = cost[name], cost[f"union_{name}"]
    if pd.isna(union):
        return write(own)
    return f"{write(own)} against {write(union)}"
