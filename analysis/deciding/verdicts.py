"""What it means that a claim holds: effects with intervals, and the range that the claim allows.

A claim says where numbers lie: above a least value, below a largest one, or between the two. An
effect's interval settles its part: wholly inside the range it supports, wholly outside it
contradicts, and an interval that reaches over an end leaves both open. Where a difference has to be
small, the range is -/+ the margin below which a difference does not matter, and an interval inside
it is what two one-sided tests call equivalence.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

COLUMNS = [
    "claim",
    "sentence",
    "verdict",
    "why",
    "effect",
    "measure",
    "unit",
    "value",
    "low",
    "high",
    "at_least",
    "at_most",
    "effect_verdict",
    "decisive",
    "settings",
    "seeds",
    "comparisons",
]


class Verdict(StrEnum):
    """What a sweep says of a claim."""

    SUPPORTED = "supported"
    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    NOT_TESTABLE = "not testable here"


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One number that a claim speaks of.

    Attributes:
        text: What was measured, in words.
        measure: The measure of `measures.measure_names` it is made of, or another's name.
        unit: Of the number, e.g. `nats per token`; `share` for a ratio.
        value: The number.
        low: Lower end of its interval, simultaneous over the claim's comparisons; NaN below two
            seeds, -inf where the data bound a share on no side.
        high: Upper end.
        at_least: The claim needs more than this; -inf: no such need.
        at_most: The claim needs less than this.
        settings: The settings that it was computed from (keys of `trials["setting"]`).
        seeds: Seeds that all of them have complete.
    """

    text: str
    measure: str
    unit: str
    value: float
    low: float
    high: float
    at_least: float = -math.inf
    at_most: float = math.inf
    settings: tuple[str, ...]
    seeds: int

    @property
    def verdict(self) -> Verdict:
        """What this effect alone says."""
        if self.low > self.at_least and self.high < self.at_most:
            return Verdict.SUPPORTED
        if self.high < self.at_least or self.low > self.at_most:
            return Verdict.CONTRADICTED
        return Verdict.UNDECIDED


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A finding of the paper, tested.

    Attributes:
        name: Short and unique, e.g. `warm-up`.
        sentence: The finding.
        verdict: See `Verdict`.
        why: One line.
        effects: All that were looked at, none where the claim is not testable here.
        decisive: Those of them that the verdict rests on.
        remedy: Lines of a sweep file that would test it; empty where nothing is lacking.
    """

    name: str
    sentence: str
    verdict: Verdict
    why: str
    effects: tuple[Effect, ...] = ()
    decisive: tuple[Effect, ...] = ()
    remedy: str = ""

    @property
    def comparisons(self) -> int:
        """Intervals that hold at once at 95%."""
        return len(self.effects)


def of_all(effects: Sequence[Effect]) -> tuple[Verdict, tuple[Effect, ...]]:
    """A claim that speaks of every effect: one against it contradicts, all for it support.

    Returns:
        The verdict and the effects that it rests on; the one closest to an end of its range where
        all support.
    """
    for verdict in (Verdict.CONTRADICTED, Verdict.UNDECIDED):
        found = tuple(effect for effect in effects if effect.verdict == verdict)
        if found:
            return verdict, found
    return Verdict.SUPPORTED, (min(effects, key=_room),)


def of_any(groups: Sequence[Sequence[Effect]]) -> tuple[Verdict, tuple[Effect, ...]]:
    """A claim that one way is enough: a group whose effects all support it.

    Args:
        groups: The effects of one way each, the preferred way first.

    Returns:
        The verdict and the effects that it rests on: the first group that supports, else the first
        that is open, else all that contradict.
    """
    judged = [(of_all(group)[0], tuple(group)) for group in groups]
    for verdict in (Verdict.SUPPORTED, Verdict.UNDECIDED):
        for reached, group in judged:
            if reached == verdict:
                return verdict, group
    against = [effect for _, group in judged for effect in group]
    return Verdict.CONTRADICTED, tuple(
        effect for effect in against if effect.verdict == Verdict.CONTRADICTED
    )


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """One row an effect; a claim that is not testable here has one row without numbers.

    Returns:
        `claim` (its name), `sentence`, `verdict`, `why`; `effect` (in words), `measure`, `unit`,
        `value` with `low` and `high` (simultaneous over the claim's effects at 95%), `at_least`
        and `at_most` (the range that the claim needs), `effect_verdict`, `decisive` (whether the
        verdict rests on it), `settings`, `seeds`, `comparisons` (of the claim).
    """
    rows: list[dict[str, object]] = []
    for claim in claims:
        told: dict[str, object] = {
            "claim": claim.name,
            "sentence": claim.sentence,
            "verdict": claim.verdict.value,
            "why": claim.why,
            "comparisons": claim.comparisons,
        }
        for effect in claim.effects:
            rows.append(
                {
                    **told,
                    "effect": effect.text,
                    "measure": effect.measure,
                    "unit": effect.unit,
                    "value": effect.value,
                    "low": effect.low,
                    "high": effect.high,
                    "at_least": effect.at_least,
                    "at_most": effect.at_most,
                    "effect_verdict": effect.verdict.value,
                    "decisive": effect in claim.decisive,
                    "settings": "; ".join(effect.settings),
                    "seeds": effect.seeds,
                }
            )
        if not claim.effects:
            rows.append(told)
    return pd.DataFrame(rows, columns=COLUMNS)


def _room(effect: Effect) -> float:
    """How far an interval stays from the ends of its range, in halves of its own width."""
    half = (effect.high - effect.low) / 2
    nearest = min(effect.low - effect.at_least, effect.at_most - effect.high)
    return nearest / half if half > 0 else math.inf
