"""How sure a choice is, in words: who is tied with it, or that nobody knows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.deciding.decision import Choice

NAMED = 5
"""So many rivals are named; more are counted."""


@dataclass(frozen=True)
class Certainty:
    """What the sentences are made from.

    Attributes:
        rows: The candidates, by setting.
        tokens: What a trial of each costs, by setting.
        name: Writes a setting.
        seeds: The most complete seeds that a candidate has.
    """

    rows: Mapping[Any, Mapping[Any, Any]]
    tokens: pd.Series
    name: Callable[[str], str]
    seeds: int

    def of(self, choice: Choice, what: str) -> str:
        """How sure a choice is.

        Args:
            choice: Has a best setting.
            what: What it is chosen as, after `the seeds exclude the rest as`.
        """
        others = [key for key in choice.rivals if key != choice.best]
        if len(self.rows) == 1:
            return "It is the only setting with complete trials, so there was nothing to choose."
        if not choice.told:
            return self._untold(len(choice.rivals))
        counting = f"At 95%, with {choice.tests} comparisons counted, the seeds exclude"
        rest = len(self.rows) - len(choice.rivals)
        if not others:
            excluded = "the other setting" if rest == 1 else f"all {rest} others"
            return f"{counting} {excluded} as {what}."
        excluded = "the rest" if rest else "nobody"
        return (
            f"Tied with {len(others)} of the {len(self.rows) - 1} other settings: "
            f"{self.listing(others, choice.cap)}. {self._cheapest(choice)} "
            f"{counting} {excluded} as {what}."
        )

    def listing(self, keys: Sequence[str], cap: float = float("inf")) -> str:
        """Settings by name, those that were measured above the cap marked."""
        names = []
        for key in keys[:NAMED]:
            above = self.rows[key]["forgetting"] > cap
            names.append(self.name(key) + (" (measured above the cap)" if above else ""))
        if len(keys) > NAMED:
            names.append(f"{len(keys) - NAMED} more")
        return labels.listing(names)

    def _untold(self, rivals: int) -> str:
        if self.seeds > 1:
            return (
                "Too few settings share seeds, so nothing can be told apart: this is the best as "
                "measured."
            )
        if rivals < 2:
            return (
                "No other setting was measured to forget so little; with one seed nothing can be "
                "told apart, so that may be chance."
            )
        return (
            f"With one seed nothing can be told apart: another seed might choose any of {rivals} "
            "settings. Sweep seed: [0, 1, 2] to find out."
        )

    def _cheapest(self, choice: Choice) -> str:
        """Which of the tied to take for its price."""
        spent = self.tokens[list(choice.rivals)]
        cheapest = str(spent.idxmin())
        if spent.nunique() == 1:
            return "All cost the same tokens."
        if spent[cheapest] == spent[choice.best]:
            return "None of them costs fewer tokens."
        share = spent[cheapest] / spent[choice.best]
        return f"The cheapest of them is {self.name(cheapest)}, at {share:.0%} of the tokens."
