"""Which setting to take: the largest adaptation whose forgetting stays under a cap, and how sure.

Candidates are settings with complete trials that continue from the pre-trained model; what was
trained from random weights spends other compute. A `Choice` names the best candidate as measured
and its rivals: the settings that cannot be excluded as the true best, at 95%.

A rival is never excluded by its own luck alone. Under a cap it is excluded where its forgetting
lies above the cap for sure, or where another one, whose forgetting lies under the cap for sure,
adapts more for sure. For the true best to be excluded, one test must be wrong for each other
candidate (that it adapts more; or, where it does, that it forgets no more than the cap), and one
for itself: k tests for k candidates, each of which may err on one side, so each is made at
0.05 / k. Without a cap of one's own the rule is to forget least among the settings that keep 95% of
the largest adaptation; there two tests may go wrong for each other candidate. All differences are
paired by seed, their noise is that of `pooling`. With one seed nothing is excluded.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.deciding.noise import Noise
from analysis.deciding.pooling import Pool

KEPT = 0.95
"""A setting that keeps this share of the largest adaptation counts as having adapted."""


@dataclass(frozen=True)
class Choice:
    """A recommendation.

    Attributes:
        best: The setting to take, as measured; empty where none stays under the cap.
        rivals: The settings that cannot be excluded as the true best, `best` among them where
            there is one, the better ones first.
        cap: The largest forgetting that is accepted, nats per token; infinite without one.
        limit: The setting whose forgetting is the cap; empty where the cap is a given number.
        tests: How many comparisons were allowed for.
        told: Whether there was any noise to judge by. If not, every candidate under the cap as
            measured is a rival.
    """

    best: str
    rivals: tuple[str, ...]
    cap: float
    limit: str
    tests: int
    told: bool


def candidates(settings: pd.DataFrame) -> pd.DataFrame:
    """The rows of `settings.settings_table` that may be recommended."""
    measured = settings["forgetting"].notna() & settings["adaptation"].notna()
    return settings[measured & ~settings["from_scratch"]]


def margin(settings: pd.DataFrame) -> float:
    """The difference in nats per token that matters to nobody: 5% of the largest adaptation.

    0 where nothing adapts, NaN without a candidate.
    """
    return max((1 - KEPT) * float(candidates(settings)["adaptation"].max()), 0.0)


class Decision:
    """Every choice that a sweep allows.

    Attributes:
        candidates: See `candidates`.
    """

    def __init__(self, noise: Noise, settings: pd.DataFrame) -> None:
        """Compares all candidates.

        Args:
            noise: Of the same trials.
            settings: As `settings.settings_table` returns them.
        """
        self.candidates = candidates(settings)
        self._noise = noise
        self._keys = list(self.candidates.index)
        self._forgetting = self.candidates["forgetting"].to_numpy(float)
        self._adaptation = self.candidates["adaptation"].to_numpy(float)

    def under(self, cap: float) -> Choice:
        """The largest adaptation among those that forget no more than `cap`, a number of nats."""
        _, low, high = self._pools["forgetting"].means(self._tests / 2)
        return self._largest(cap, "", ~(low > cap), high <= cap)

    def no_more_than(self, limit: str) -> Choice:
        """The largest adaptation among those that forget no more than the setting `limit` does.

        Raises:
            ValueError: `limit` is no candidate.
        """
        if limit not in self._keys:
            raise ValueError(f"{limit} is no candidate: it has no complete trial that continues")
        at = self._keys.index(limit)
        low, high = (bounds[:, at] for bounds in self._forgets_more)
        return self._largest(self._forgetting[at], limit, ~(low > 0), high <= 0)

    def default(self) -> Choice:
        """The least forgetting among those that keep `KEPT` of the largest adaptation.

        Where nothing adapts there is no such setting, and all candidates are rivals.
        """
        if not self._keys or self._adaptation.max() <= 0:
            return self._choice("", np.ones(len(self._keys), bool), self._forgetting, np.inf, "", 0)
        keeping = self._adaptation >= KEPT * self._adaptation.max()
        best = self._first(np.where(keeping, self._forgetting, np.inf))
        tests = max(2 * (len(self._keys) - 1), 1)
        # Row less 95% of column: below 0 the row does not keep 95%, of column's adaptation.
        _, low, high = self._pools["adaptation"].differences(tests / 2, KEPT)
        np.fill_diagonal(low, 0.0)
        np.fill_diagonal(high, 0.0)
        keeps, fails = np.all(low >= 0, axis=1), np.any(high < 0, axis=1)
        more = self._pools["forgetting"].differences(tests / 2)[1] > 0
        excluded = fails | np.any(more & keeps[None, :], axis=1)
        cap = float(self._forgetting[self._keys.index(best)])
        return self._choice(best, ~excluded, self._forgetting, cap, best, tests)

    def by_mean_loss(self) -> Choice:
        """The smallest mean of all final losses, whatever is forgotten."""
        means = self.candidates["mean_loss"].to_numpy(float)
        tests = max(len(self._keys) - 1, 1)
        worse = np.any(self._pools["mean_loss"].differences(tests / 2)[1] > 0, axis=1)
        return self._choice(self._first(means), ~worse, means, np.inf, "", tests)

    def caps(self) -> list[Choice]:
        """The choice at every cap where it changes, from the smallest cap to the largest.

        The caps are what the settings on the Pareto front forget. Where all of them forget
        something the first cap is 0, which none stays under.
        """
        front = self.candidates[self.candidates["efficient"]].sort_values("forgetting")
        front = front.drop_duplicates("forgetting")
        chosen = [self.no_more_than(str(limit)) for limit in front.index]
        nothing = [self.under(0.0)] if len(front) and front["forgetting"].iloc[0] > 0 else []
        return nothing + chosen

    @cached_property
    def _pools(self) -> dict[str, Pool]:
        names = ("forgetting", "adaptation", "mean_loss")
        return {name: self._noise.pool(self._keys, name) for name in names}

    @property
    def _tests(self) -> int:
        """Under a cap: one for each candidate."""
        return max(len(self._keys), 1)

    @cached_property
    def _forgets_more(self) -> tuple[np.ndarray, np.ndarray]:
        """By how much the row forgets more than the column: both ends."""
        _, low, high = self._pools["forgetting"].differences(self._tests / 2)
        return low, high

    @cached_property
    def _adapts_more(self) -> np.ndarray:
        """Whether the row adapts more than the column for sure."""
        more: np.ndarray = self._pools["adaptation"].differences(self._tests / 2)[1] > 0
        return more

    def _largest(self, cap: float, limit: str, possible: np.ndarray, sure: np.ndarray) -> Choice:
        """Of those that may lie under the cap, all that no sure one adapts more than for sure."""
        measured = self._forgetting <= cap
        best = self._first(np.where(measured, -self._adaptation, np.inf))
        beaten = np.any(self._adapts_more & sure[:, None], axis=0)
        kept = possible & ~beaten if self._told else measured
        return self._choice(best, kept, -self._adaptation, cap, limit, self._tests)

    def _choice(
        self,
        best: str,
        kept: np.ndarray,
        order: np.ndarray,
        cap: float,
        limit: str,
        tests: int,
    ) -> Choice:
        ranked = [self._keys[at] for at in np.argsort(order, kind="stable") if kept[at]]
        rivals = [best, *(key for key in ranked if key != best)] if best else ranked
        return Choice(best, tuple(rivals), cap, limit, tests, self._told)

    @property
    def _told(self) -> bool:
        return bool((self._pools["adaptation"].freedom >= 1).any()) if self._keys else False

    def _first(self, values: np.ndarray) -> str:
        """The candidate with the smallest value, the cheaper of equals; empty where none has one.

        The order of the trials breaks what is left of ties.
        """
        if not np.isfinite(values).any():
            return ""
        tokens = self.candidates["path_tokens"].to_numpy(float)
        return str(self._keys[int(np.lexsort((tokens, values))[0])])
