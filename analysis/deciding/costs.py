"""What a setting costs, held against training on everything from random weights.

A trial's cost is its own: the stages after pre-training, each from its beginning, whoever shared
it, and no pre-training, which a continuation is given. Hours are those its workers spent, as its
training rows say, evaluations and saving included; money follows from the price and the rate that
the plan was reckoned with, for training tokens alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.load import Sweep


@dataclass(frozen=True)
class Union:
    """Training on all data sets together from random weights.

    Attributes:
        tokens: Of the run.
        hours: That it took; NaN where it was not trained.
        money: In the plan's currency; NaN where the plan has no price or rate.
        trained: Whether the sweep has such a run; if not, its tokens are the sum of the budgets,
            NaN where the model came from elsewhere.
    """

    tokens: float
    hours: float
    money: float
    trained: bool


def cost_table(sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame) -> pd.DataFrame:
    """What one trial of each setting costs.

    Args:
        sweep: Has the rows of training.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.

    Returns:
        Index `setting`; `tokens` after pre-training; `hours` measured, the mean over its complete
        trials, NaN where any of a trial's stages has no rows; `money` in the plan's currency,
        NaN where the plan has no price or no rate; `union_tokens`, `union_hours`, `union_money`
        and `union_trained`, those of the union run with the same budgets (see `Union`).
    """
    seconds = sweep.train.groupby("state")["elapsed_seconds"].max().to_dict()
    complete = trials[trials["setting"].isin(settings.index) & trials["mean_loss"].notna()]
    spent = [
        sum(seconds.get(state, float("nan")) for state in sweep.downstream(row))
        for row in _rows(complete)
    ]
    hours = pd.Series(spent, index=complete.index, dtype=float).groupby(complete["setting"]).mean()
    table = settings[["path_tokens"]].rename(columns={"path_tokens": "tokens"}).astype(float)
    table["hours"] = hours / 3600
    table["money"] = table["tokens"] * _price(sweep)
    unions = settings[settings["baseline"] == "union"]
    budgets = [axis for axis in sweep.setting_axes if labels.factor(axis) == "token_budget"]
    found = [_union(sweep, row, table, unions, budgets) for row in _rows(settings)]
    for name in ("tokens", "hours", "money", "trained"):
        table[f"union_{name}"] = [getattr(union, name) for union in found]
    return table


def currency(sweep: Sweep) -> str:
    """Of the plan's price."""
    return str(_tariff(sweep).get("currency", ""))


def _rows(table: pd.DataFrame) -> list[dict[Any, Any]]:
    return table.reset_index().to_dict("records")


def _tariff(sweep: Sweep) -> Mapping[str, Any]:
    # Plans written before costs were reckoned have none.
    tariff: Mapping[str, Any] = sweep.plan.get("cost", {}).get("tariff", {})
    return tariff


def _price(sweep: Sweep) -> float:
    """Of one training token."""
    tariff = _tariff(sweep)
    price, rate = tariff.get("price_per_worker_hour"), tariff.get("tokens_per_second")
    return price / 3600 / rate if price is not None and rate is not None else float("nan")


def _union(
    sweep: Sweep,
    setting: Mapping[Any, Any],
    costs: pd.DataFrame,
    unions: pd.DataFrame,
    budgets: list[str],
) -> Union:
    same = unions
    for axis in budgets:
        same = same[same[axis] == setting[axis]]
    if len(same):
        own = costs.loc[same.index[0]]
        return Union(own["tokens"], own["hours"], own["money"], trained=True)
    # What a model from elsewhere was trained on is not known; its stage has no tokens.
    upstream = sweep.plan["stages"][0]["tokens"] or float("nan")
    tokens = float(upstream + setting["path_tokens"])
    return Union(tokens, float("nan"), tokens * _price(sweep), trained=False)
