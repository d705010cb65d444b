"""What claims are tested on: settings that differ in one axis, and the contrasts between them.

Along an axis, settings are compared that share all other factors. Around a centre that is one
slice; in a grid it is every combination of the other factors, and a contrast is the mean over those
combinations that have all the compared values complete, since that is what a grid is trained for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis import labels
from analysis.deciding.contrasts import Contrasts, Weights
from analysis.deciding.noise import Estimate
from analysis.deciding.verdicts import Effect
from analysis.load import Sweep
from analysis.settings import agrees, around

NATS = "nats per token"
SHARE = "share"


@dataclass(frozen=True)
class Evidence:
    """A sweep with its tables.

    Attributes:
        sweep: For what was planned.
        trials: As `measures.trial_table` returns them.
        center: As `settings.anchor` returns it.
        contrasts: Of the complete trials.
        margin: Difference in nats per token below which two losses count as equal; NaN where
            nothing was adapted.
    """

    sweep: Sweep
    trials: pd.DataFrame
    center: Mapping[str, Any]
    contrasts: Contrasts
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

    @cached_property
    def lines(self) -> dict[str, list[dict[Any, tuple[str, frozenset[Any]]]]]:
        """For each axis, settings that differ in it alone: value to setting and complete seeds."""
        return {axis: self._lines(axis) for axis in self.center}

    def planned(self, axis: str) -> list[Any]:
        """The values of an axis that the plan compares with all else equal, in their order."""
        found = {value for line in self.lines[axis] for value in line}
        return [value for value in self.sweep.plan["axes"][axis] if value in found]

    def levels(self, axis: str, wanted: Sequence[Any]) -> dict[Any, Weights]:
        """For each wanted value of an axis the settings that stand for it, with weights of sum 1.

        In a grid these are the combinations of the other factors that have every wanted value
        complete in the same seeds, which are as many as any combination has. Empty where there is
        none.
        """
        lines = [line for line in self.lines[axis] if line.keys() >= set(wanted)]
        common = [frozenset.intersection(*(line[value][1] for value in wanted)) for line in lines]
        most: frozenset[Any] = max(common, key=len, default=frozenset())
        if not most:
            return {}
        chosen = [line for line, seeds in zip(lines, common, strict=True) if seeds == most]
        return {value: {line[value][0]: 1 / len(chosen) for line in chosen} for value in wanted}

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
        estimate = self.contrasts.contrast(weights, measure, comparisons)
        fields = {"unit": NATS, **more}
        return _effect(text, measure, tuple(weights), estimate, **fields)

    def share(
        self, text: str, part: Weights, whole: Weights, measure: str, comparisons: int, **more: Any
    ) -> Effect:
        """The ratio of two contrasts with Fieller's interval."""
        estimate = self.contrasts.ratio(part, whole, measure, comparisons)
        settings = tuple(dict.fromkeys([*part, *whole]))
        return _effect(text, measure, settings, estimate, unit=SHARE, **more)

    @cached_property
    def _settings(self) -> list[tuple[str, dict[str, Any], frozenset[Any]]]:
        """Each setting that is no baseline, its factors (None without meaning), complete seeds."""
        plain = self.trials[self.trials["baseline"] == ""]
        seeds = {
            setting: frozenset(rows)
            for setting, rows in plain[plain["mean_loss"].notna()].groupby("setting")["seed"]
        }
        once = plain.drop_duplicates("setting")
        factors = once[list(self.center)].astype(object)
        rows = factors.where(factors.notna(), None).to_dict("records")
        return [
            (setting, {str(name): row[name] for name in row}, seeds.get(setting, frozenset()))
            for setting, row in zip(once["setting"], rows, strict=True)
        ]

    def _lines(self, axis: str) -> list[dict[Any, tuple[str, frozenset[Any]]]]:
        """As in `lines`; a factor without meaning for a setting differs from no value."""
        others = [other for other in self.center if other != axis]
        exact: dict[Any, dict[Any, tuple[str, frozenset[Any]]]] = {}
        loose = []
        for setting, factors, seeds in self._settings:
            key = tuple(factors[other] for other in others)
            if factors[axis] is None:
                continue
            if None in key:
                loose.append((key, factors[axis], (setting, seeds)))
            else:
                exact.setdefault(key, {})[factors[axis]] = setting, seeds
        found = []
        for rest in self._rests(axis):
            wanted = tuple(rest[other] for other in others)
            line = dict(exact.get(wanted, {}))
            for key, value, known in loose:
                if all(one in (None, other) for one, other in zip(key, wanted, strict=True)):
                    line.setdefault(value, known)
            found.append(line)
        return found

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
