"""What claims are tested on: contrasts of settings that differ in one axis, and ratios of them.

Along an axis, settings are compared that share all other factors. Around a centre that is one
slice; in a grid it is every combination of the other factors, and a contrast is the mean over those
combinations that have all the compared values complete, since that is what a grid is trained for.

The interval of a ratio is Fieller's: all r for which the contrast numerator - r denominator is not
told apart from 0. Half the width of a contrast's interval is a seminorm of its weights, so that set
comes from a quadratic in r (Fieller 1954). Where the denominator itself is not told apart from 0
the data bound the ratio on no side, and the interval is the whole line.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis import labels
from analysis.deciding.noise import Estimate, Noise
from analysis.deciding.verdicts import Effect
from analysis.load import Sweep
from analysis.settings import agrees, around

NATS = "nats per token"
SHARE = "share"
Weights = Mapping[str, float]


@dataclass(frozen=True)
class Evidence:
    """A sweep with its tables.

    Attributes:
        sweep: For what was planned.
        trials: As `measures.trial_table` returns them.
        center: As `settings.anchor` returns it.
        noise: Of the complete trials.
        margin: Difference in nats per token below which two losses count as equal; NaN where
            nothing was adapted.
    """

    sweep: Sweep
    trials: pd.DataFrame
    center: Mapping[str, Any]
    noise: Noise
    margin: float

    @cached_property
    def complete(self) -> pd.DataFrame:
        """The trials that have measures."""
        return self.trials[self.trials["mean_loss"].notna()]

    def axes_of(self, factor: str) -> list[str]:
        """The axes that vary a factor, of the whole path or of one stage."""
        return [axis for axis in self.center if labels.factor(axis) == factor]

    def name(self, setting: str) -> str:
        """A setting in words."""
        row = self.trials[self.trials["setting"] == setting].iloc[0]
        return labels.setting_label(self.sweep, row.to_dict(), self.center)

    def planned(self, axis: str) -> list[Any]:
        """The values of an axis that the plan compares with all else equal, in their order."""
        chosen = [around(self.trials, axis, rest) for rest in self._rests(axis)]
        found = set(pd.concat([rows[axis] for rows in chosen]).dropna()) if chosen else set()
        return [value for value in self.sweep.plan["axes"][axis] if value in found]

    def levels(self, axis: str, wanted: Sequence[Any]) -> dict[Any, Weights]:
        """For each wanted value of an axis the settings that stand for it, with weights of sum 1.

        In a grid these are the combinations of the other factors that have every wanted value
        complete, in as many seeds as any has. Empty where there is none.
        """
        found: list[tuple[int, dict[Any, str]]] = []
        for rest in self._rests(axis):
            rows = around(self.complete, axis, rest)
            groups = {value: rows[rows[axis] == value] for value in wanted}
            seeds = set.intersection(*(set(group["seed"]) for group in groups.values()))
            if seeds:
                settings = {value: group["setting"].iloc[0] for value, group in groups.items()}
                found.append((len(seeds), settings))
        most = max((count for count, _ in found), default=0)
        chosen = [settings for count, settings in found if count == most]
        return {
            value: {settings[value]: 1 / len(chosen) for settings in chosen}
            for value in (wanted if chosen else ())
        }

    def baseline(self, name: str) -> str | None:
        """The setting of a baseline that shares with the centre what it can; None without one.

        A baseline has rates of its own. Where its other factors are not those of the centre, as in
        a random design, a difference between the two would be that of other factors.
        """
        rows = self.complete[self.complete["baseline"] == name]
        for axis, value in self.center.items():
            if labels.factor(axis) not in ("max_lr", "warmup_fraction", "schedule"):
                rows = rows[agrees(rows[axis], value)]
        return None if rows.empty else str(rows["setting"].iloc[0])

    def middle(self) -> str | None:
        """The setting of the centre; None before a trial of it is complete."""
        rows = around(self.complete, "", self.center)
        return None if rows.empty else str(rows["setting"].iloc[0])

    def effect(
        self, text: str, weights: Weights, measure: str, comparisons: int, **more: Any
    ) -> Effect:
        """A contrast in nats per token; `more` are further fields of the effect."""
        estimate = self.noise.contrast(weights, measure, comparisons)
        fields = {"unit": NATS, **more}
        return _effect(text, measure, tuple(weights), estimate, **fields)

    def share(
        self, text: str, part: Weights, whole: Weights, measure: str, comparisons: int, **more: Any
    ) -> Effect:
        """The ratio of two contrasts with Fieller's interval."""
        estimate = ratio(self.noise, part, whole, measure, comparisons)
        settings = tuple(dict.fromkeys([*part, *whole]))
        return _effect(text, measure, settings, estimate, unit=SHARE, **more)

    def _rests(self, axis: str) -> list[dict[str, Any]]:
        """The combinations of the other factors along which an axis is looked at.

        A budget is another question, so it stays that of the centre.
        """
        others = [
            other
            for other in self.center
            if other != axis and labels.factor(other) != "token_budget"
        ]
        if self.sweep.plan["design"] != "grid" or not others:
            return [dict(self.center)]
        plain = self.trials[self.trials["baseline"] == ""].dropna(subset=others)
        rows = plain.drop_duplicates(others)[others].to_dict("records")
        return [dict(self.center) | {str(name): row[name] for name in row} for row in rows]


def combined(*terms: tuple[float, Weights]) -> dict[str, float]:
    """A weighted sum of contrasts. Settings that cancel stay, so that seeds are paired on all."""
    total: dict[str, float] = {}
    for factor, weights in terms:
        for setting, weight in weights.items():
            total[setting] = total.get(setting, 0.0) + factor * weight
    return total


def ratio(
    noise: Noise, part: Weights, whole: Weights, measure: str, comparisons: int = 1
) -> Estimate:
    """`part` over `whole`, two contrasts of one measure, with Fieller's interval.

    Returns:
        A share. Both ends infinite where `whole` is not told apart from 0; NaN below two seeds.
    """
    pieces = [
        noise.contrast(combined((left, part), (right, whole)), measure, comparisons)
        for left, right in ((1, 0), (0, 1), (1, 1))
    ]
    top, bottom, both = pieces
    value = top.value / bottom.value if bottom.value else math.nan
    if bottom.seeds < 2:
        return Estimate(value, math.nan, math.nan, bottom.seeds)
    squares = [((piece.high - piece.low) / 2) ** 2 for piece in pieces]
    mixed = (squares[2] - squares[0] - squares[1]) / 2
    leading = bottom.value**2 - squares[1]
    if leading <= 0:
        return Estimate(value, -math.inf, math.inf, bottom.seeds)
    middle = top.value * bottom.value - mixed
    root = math.sqrt(max(middle**2 - leading * (top.value**2 - squares[0]), 0.0))
    return Estimate(value, (middle - root) / leading, (middle + root) / leading, both.seeds)


def _effect(
    text: str, measure: str, settings: tuple[str, ...], estimate: Estimate, **more: Any
) -> Effect:
    return Effect(
        text=text,
        measure=measure,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        seeds=estimate.seeds,
        settings=settings,
        **more,
    )
