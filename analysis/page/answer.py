"""The answer, first on the page: what to take, how sure, and at what cost, as cards of text.

There is a card for every cap on forgetting at which the choice changes, one for the default rule
among them; a slider shows one at a time. All text is made here, so that the page without script
shows the default.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis import labels
from analysis.deciding.costs import cost_table
from analysis.deciding.decision import KEPT, Choice, Decision
from analysis.deciding.extent import extent
from analysis.deciding.noise import Estimate, Noise
from analysis.load import Sweep
from analysis.page.price import price

NAMED = 5
"""So many rivals are named; more are counted."""


@dataclass(frozen=True)
class Figure:
    """A number of a card: what it is, the value, and lines below it."""

    label: str
    value: str
    notes: Sequence[str]


@dataclass(frozen=True)
class Card:
    """A recommendation in words.

    Attributes:
        best: Key of the setting; empty where there is none.
        rivals: Keys of those that cannot be told from it, itself included.
        cap: Nats per token; None without a cap.
        heading: What kind of recommendation it is.
        condition: Under which cap, in words.
        name: The setting, in words.
        factors: Its values on the axes, (label, value); of a baseline none.
        figures: Forgetting, adaptation and cost.
        sure: How sure the choice is.
        reach: The recommended interval, (axis, values); empty where nothing can be told.
        spoken: The card in a phrase, for the slider.
    """

    best: str
    rivals: tuple[str, ...]
    cap: float | None
    heading: str
    condition: str
    name: str
    factors: Sequence[tuple[str, str]]
    figures: Sequence[Figure]
    sure: str
    reach: Sequence[tuple[str, str]]
    spoken: str


@dataclass(frozen=True)
class Answer:
    """The section's content.

    Attributes:
        cards: One for each stop of the slider, from the smallest cap to the largest.
        default: Index of the card that is shown first.
        rule: What the default cap is, in words.
        average: The choice by average loss.
        caution: Why not to trust it alone.
        counted: How many settings and comparisons there were.
        method: How intervals and sets were made.
    """

    cards: Sequence[Card]
    default: int
    rule: str
    average: Card
    caution: str
    counted: str
    method: str


def answer(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> Answer | None:
    """Every card of the answer; None while no setting can be recommended.

    Args:
        sweep: For names and what was planned.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
    """
    noise = Noise(sweep, trials)
    decision = Decision(noise, settings)
    if decision.candidates.empty:
        return None
    writer = _Writer(sweep, trials, settings, center, noise, decision)
    caps, default = decision.caps(), decision.default()
    if default.best:
        # Of equals on the front one alone is a stop of the slider.
        stops = [choice.cap for choice in caps]
        first = stops.index(default.cap)
        caps[first] = default
    else:
        first = len(caps) - 1
    cards = [writer.under_cap(choice, is_default=choice is default) for choice in caps]
    return Answer(
        cards=cards,
        default=first,
        rule=writer.rule(default),
        average=writer.by_average(decision.by_mean_loss()),
        caution=writer.caution(decision.by_mean_loss()),
        counted=writer.counted(caps[first]),
        method=writer.method(caps[first]),
    )


class _Writer:
    """Turns choices of one sweep into words."""

    def __init__(
        self,
        sweep: Sweep,
        trials: pd.DataFrame,
        settings: pd.DataFrame,
        center: Mapping[str, Any],
        noise: Noise,
        decision: Decision,
    ) -> None:
        self._sweep, self._settings, self._center = sweep, settings, center
        self._noise = noise
        self._rows: Mapping[Any, Mapping[Any, Any]] = decision.candidates.to_dict("index")
        self._most = float(decision.candidates["adaptation"].max())
        self._seeds = int(decision.candidates["seeds"].max())
        self._costs = cost_table(sweep, trials, settings)

    def under_cap(self, choice: Choice, *, is_default: bool) -> Card:
        """A stop of the slider."""
        condition = f"at most {labels.change(choice.cap)} nats per token forgotten"
        if not np.isfinite(choice.cap):
            condition = "whatever is forgotten"
        elif choice.limit and choice.limit != choice.best:
            condition += f", what {self._name(choice.limit)} forgets"
        if not choice.best:
            return self._none(choice, condition)
        heading = "Recommended" if choice.told else "The best seen, with one seed"
        what = "the best under this cap"
        if is_default:
            what = f"the one that forgets least and keeps {KEPT:.0%} of the largest adaptation"
        return self._card(choice, heading, condition, self._sure(choice, what))

    def by_average(self, choice: Choice) -> Card:
        """The choice by average loss."""
        sure = self._sure(choice, "the one with the smallest average loss")
        return self._card(choice, "By average loss", "whatever is forgotten", sure)

    def caution(self, choice: Choice) -> str:
        """What the average rewards."""
        adaptation = self._rows[choice.best]["adaptation"]
        gained = "adapts to nothing"
        if self._most > 0:
            gained = f"gains {adaptation / self._most:.0%} of the largest adaptation"
        return (
            f"The mean of the final losses rewards not adapting: this setting {gained}. Where the "
            "shift is strong, not re-warming at all can win on it. Choose by both measures."
        )

    def rule(self, choice: Choice) -> str:
        """The default cap in words."""
        if not choice.best:
            return (
                "No setting adapts at all, so there is no default cap: any forgetting is allowed."
            )
        return (
            f"The default cap is {labels.change(choice.cap)}: the forgetting of the setting that "
            f"forgets least among those that keep {KEPT:.0%} of the largest adaptation "
            f"({labels.loss(self._most)})."
        )

    def counted(self, choice: Choice) -> str:
        """How many were compared, and how often."""
        compared = f"{len(self._rows)} settings compared"
        if not choice.told:
            return f"{compared}, one seed each"
        return f"{compared} over {self._seeds} seeds, allowing for {choice.tests} comparisons"

    def method(self, choice: Choice) -> str:
        """What the intervals and the sets are."""
        left_out = "What was stopped, failed or is running is not among them."
        if not choice.told:
            return f"With one seed no interval and no test is possible. {left_out}"
        return (
            "Settings are compared seed by seed (paired), the noise of a difference estimated from "
            "all settings. What is said of one cap holds at 95% with all its comparisons counted "
            "(Bonferroni); caps that are tried one after the other are not counted together. The "
            "interval of a single number is 95% by itself, from a bootstrap over seeds and over "
            f"the evaluations of the final window. {left_out}"
        )

    def _none(self, choice: Choice, condition: str) -> Card:
        sure = "Every setting of this sweep was measured to forget more than that."
        if choice.rivals and choice.told:
            names = self._listing(choice.rivals)
            sure += f" Of them {names} may lie under the cap: the seeds do not tell."
        return Card(
            best="",
            rivals=choice.rivals,
            cap=choice.cap,
            heading="Nothing stays under this cap",
            condition=condition,
            name="No setting to recommend",
            factors=(),
            figures=(),
            sure=sure,
            reach=(),
            spoken="nothing stays under this cap",
        )

    def _card(self, choice: Choice, heading: str, condition: str, sure: str) -> Card:
        row = self._rows[choice.best]
        factors = [] if row["baseline"] else self._factors(row)
        name = self._name(choice.best)
        share = f"{row['adaptation'] / self._most:.0%} of the largest" if self._most > 0 else ""
        figures = [
            self._figure("Forgetting", choice.best, "forgetting", ""),
            self._figure("Adaptation", choice.best, "adaptation", share),
            Figure("Cost", *price(self._sweep, self._costs.loc[choice.best].to_dict())),
        ]
        return Card(
            best=choice.best,
            rivals=choice.rivals,
            cap=choice.cap if np.isfinite(choice.cap) else None,
            heading=heading,
            condition=condition,
            name=name,
            factors=factors,
            figures=figures,
            sure=sure,
            reach=self._reach(choice),
            spoken=f"{name}, adaptation {labels.loss(row['adaptation'])}",
        )

    def _figure(self, label: str, setting: str, measure: str, also: str) -> Figure:
        write = labels.change if measure == "forgetting" else labels.loss
        found: Estimate = self._noise.of(setting, measure)
        if np.isnan(found.low):
            interval = "one seed: no interval"
        else:
            interval = f"{write(found.low)} to {write(found.high)}, {found.seeds} seeds"
        return Figure(label, write(found.value), list(filter(None, [interval, also])))

    def _sure(self, choice: Choice, what: str) -> str:
        others = [key for key in choice.rivals if key != choice.best]
        if not choice.told:
            return (
                f"Nothing can be told apart with one seed: another seed might choose any of "
                f"{len(choice.rivals)} settings. Sweep seed: [0, 1, 2] to find out."
                if others
                else "No other setting was measured under this cap; with one seed, nobody can say "
                "how sure that is."
            )
        if not others:
            count = len(self._rows) - 1
            excluded = "the other setting" if count == 1 else f"all {count} others"
            return f"At 95%, the seeds exclude {excluded} as {what}." if count else "It is alone."
        number = "1 other setting" if len(others) == 1 else f"{len(others)} other settings"
        return (
            f"A tie: {number} cannot be excluded as {what}, at 95%: "
            f"{self._listing(others, choice.cap)}. {self._cheapest(choice)}"
        )

    def _cheapest(self, choice: Choice) -> str:
        """Which of the tied to take for its price."""
        spent = self._costs.loc[list(choice.rivals), "tokens"]
        if spent.nunique() == 1:
            return "They cost the same tokens, so the choice between them is free."
        cheapest = str(spent.idxmin())
        if spent[cheapest] == spent[choice.best]:
            return "None of them costs fewer tokens."
        share = spent[cheapest] / spent[choice.best]
        return f"The cheapest of them is {self._name(cheapest)}, at {share:.0%} of the tokens."

    def _listing(self, keys: Sequence[str], cap: float = np.inf) -> str:
        names = []
        for key in keys[:NAMED]:
            above = self._rows[key]["forgetting"] > cap
            names.append(self._name(key) + (" (measured above the cap)" if above else ""))
        if len(keys) > NAMED:
            names.append(f"{len(keys) - NAMED} more")
        return labels.listing(names)

    def _reach(self, choice: Choice) -> list[tuple[str, str]]:
        if not choice.told or len(choice.rivals) < 2:
            return []
        found = extent(self._sweep, self._settings, choice.rivals)
        return [(labels.axis_label(axis), _span(axis, values)) for axis, values in found.items()]

    def _factors(self, row: Mapping[Any, Any]) -> list[tuple[str, str]]:
        return [
            (labels.axis_label(axis), labels.value_label(axis, row[axis]))
            for axis in self._center
            if pd.notna(row[axis])
        ]

    def _name(self, key: str) -> str:
        return labels.setting_label(self._sweep, self._rows[key], self._center)


def _span(axis: str, values: Sequence[Any]) -> str:
    """`1% to 25%` on an axis of numbers, `cosine or wsd` on one of names."""
    names = [labels.value_label(axis, value) for value in values]
    if len(names) > 1 and not isinstance(values[0], str):
        return f"{names[0]} to {names[-1]}"
    return " or ".join(names)
