"""A recommendation as a card: the setting, its numbers, how sure it is and how far it reaches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.deciding.costs import cost_table
from analysis.deciding.decision import KEPT, Choice, Decision
from analysis.deciding.extent import extent
from analysis.deciding.noise import Noise
from analysis.drawing.theme import is_numeric
from analysis.load import Sweep
from analysis.page.certainty import Certainty
from analysis.page.price import price


@dataclass(frozen=True)
class Figure:
    """A number of a card: what it is, the value, and lines below it."""

    label: str
    value: str
    notes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Card:
    """A recommendation in words.

    Attributes:
        best: Key of the setting; empty where there is none.
        rivals: Keys of those that cannot be told from it, itself included.
        cap: The largest forgetting that is accepted; None without a cap.
        heading: What kind of recommendation it is.
        condition: Under which cap, in words.
        name: The setting, in words.
        factors: Its values on the axes, (label, value); of a baseline none.
        figures: Forgetting, adaptation and cost.
        sure: How sure the choice is.
        reach: The recommended interval, (axis, values); empty where nothing can be told.
        edge: On which axes the setting is the last one tried; empty where it is inside.
    """

    best: str
    rivals: tuple[str, ...]
    cap: float | None
    heading: str
    condition: str
    name: str
    factors: Sequence[tuple[str, str]] = ()
    figures: Sequence[Figure] = ()
    sure: str
    reach: Sequence[tuple[str, str]] = ()
    edge: str = ""


class CardWriter:
    """Turns the choices of one sweep into cards.

    Attributes:
        rows: The candidates, by setting.
        most: The largest adaptation.
        seeds: The most complete seeds that a candidate has.
    """

    def __init__(
        self,
        sweep: Sweep,
        trials: pd.DataFrame,
        settings: pd.DataFrame,
        center: Mapping[str, Any],
        noise: Noise,
        decision: Decision,
    ) -> None:
        """Takes what `answer.answer` takes, and what is decided from it."""
        self._sweep, self._settings, self._center, self._noise = sweep, settings, center, noise
        self.rows: Mapping[Any, Mapping[Any, Any]] = decision.candidates.to_dict("index")
        self.most = float(decision.candidates["adaptation"].max())
        self.seeds = int(decision.candidates["seeds"].max())
        self._costs = cost_table(sweep, trials, settings)
        self._certainty = Certainty(self.rows, self._costs["tokens"], self._name, self.seeds)

    def under_cap(self, choice: Choice, *, is_default: bool) -> Card:
        """A stop of the slider."""
        condition = f"forgetting at most {labels.change(choice.cap)}"
        if not choice.best:
            return self._none(choice, condition)
        heading = "Recommended" if choice.told else "The best seen"
        if self.seeds == 1:
            heading = "The best seen, with one seed"
        if self.most <= 0:
            heading = "Nothing adapts; this loses least"
        what = "the best under this cap"
        if is_default:
            what = f"the one that forgets least and keeps {KEPT:.0%} of the largest adaptation"
        return self._card(choice, heading, condition, what)

    def by_average(self, choice: Choice) -> Card:
        """The choice by average loss."""
        what = "the one with the smallest average loss"
        return self._card(choice, "By average loss", "whatever is forgotten", what)

    def _none(self, choice: Choice, condition: str) -> Card:
        sure = "Every setting of this sweep was measured to forget more than that."
        if choice.rivals and choice.told:
            names = self._certainty.listing(choice.rivals)
            sure += f" The seeds do not exclude that it is less for {names}."
        return Card(
            best="",
            rivals=choice.rivals,
            cap=choice.cap,
            heading="Nothing stays under this cap",
            condition=condition,
            name="No setting to recommend",
            sure=sure,
        )

    def _card(self, choice: Choice, heading: str, condition: str, what: str) -> Card:
        row = self.rows[choice.best]
        share = f"{row['adaptation'] / self.most:.0%} of the largest" if self.most > 0 else ""
        return Card(
            best=choice.best,
            rivals=choice.rivals,
            cap=choice.cap if np.isfinite(choice.cap) else None,
            heading=heading,
            condition=condition,
            name=self._name(choice.best),
            factors=[] if row["baseline"] else self._factors(row),
            figures=[
                self._figure("Forgetting", choice.best, "forgetting", ""),
                self._figure("Adaptation", choice.best, "adaptation", share),
                Figure(*price(self._sweep, self._costs.loc[choice.best].to_dict())),
            ],
            sure=self._certainty.of(choice, what),
            reach=self._reach(choice),
            edge=self._edge(row),
        )

    def _figure(self, label: str, setting: str, measure: str, also: str) -> Figure:
        write = labels.change if measure == "forgetting" else labels.loss
        found = self._noise.of(setting, measure)
        if np.isnan(found.low):
            interval = "one seed: no interval"
        else:
            interval = f"{write(found.low)} to {write(found.high)}, {found.seeds} seeds"
        return Figure(label, write(found.value), list(filter(None, [interval, also])))

    def _reach(self, choice: Choice) -> list[tuple[str, str]]:
        if not choice.told or len(choice.rivals) < 2:
            return []
        found = extent(self._sweep, self._settings, choice.rivals)
        return [(labels.axis_label(axis), _span(axis, values)) for axis, values in found.items()]

    def _edge(self, row: Mapping[Any, Any]) -> str:
        """Where a better value may lie outside of what was tried; nothing lies below 0."""
        found = []
        for axis in self._center if not row["baseline"] else ():
            values = self._sweep.plan["axes"][axis]
            if len(values) < 2 or not is_numeric(values) or row[axis] is None:
                continue
            for end, word in ((min(values), "smallest"), (max(values), "largest")):
                if row[axis] == end and end != 0:
                    found.append(f"the {word} {labels.axis_label(axis)}")
        if not found:
            return ""
        return f"It has {labels.listing(found)} of this sweep: better values may lie beyond."

    def _factors(self, row: Mapping[Any, Any]) -> list[tuple[str, str]]:
        return [
            (labels.axis_label(axis), labels.value_label(axis, row[axis]))
            for axis in self._center
            if pd.notna(row[axis])
        ]

    def _name(self, key: str) -> str:
        return labels.setting_label(self._sweep, self.rows[key], self._center)


def _span(axis: str, values: Sequence[Any]) -> str:
    """`1% to 25%` on an axis of numbers, `cosine or wsd` on one of names."""
    names = [labels.value_label(axis, value) for value in values]
    if len(names) > 1 and is_numeric(values):
        return f"{names[0]} to {names[-1]}"
    return " or ".join(names)
