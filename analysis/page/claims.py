"""The paper's findings as the page shows them: verdict, effect with interval, and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis import labels
from analysis.deciding.claims import comparisons
from analysis.deciding.evidence import SHARE
from analysis.deciding.lacking import SEEDS
from analysis.deciding.verdicts import Claim, Effect, Verdict
from analysis.page.tables import Cell, Table, number

CLASSES = {
    Verdict.SUPPORTED: "supported",
    Verdict.CONTRADICTED: "contradicted",
    Verdict.UNDECIDED: "undecided",
    Verdict.NOT_TESTABLE: "untestable",
}
"""Of the style sheet; each verdict has a shape of its own too."""
SHOWN = 3
"""Effects beside a verdict; the others stand in the table of all."""


@dataclass(frozen=True)
class Line:
    """An effect beside a verdict: what, how much, and between what."""

    text: str
    value: str
    interval: str


@dataclass(frozen=True)
class Finding:
    """A claim as it is shown.

    Attributes:
        sentence: The paper's finding.
        verdict: In words.
        role: The style sheet's class of it.
        why: One line.
        lines: The effects that the verdict rests on, at most `SHOWN`.
        more: How many such effects there are beyond.
        remedy: Lines of a sweep file.
    """

    sentence: str
    verdict: str
    role: str
    why: str
    lines: list[Line]
    more: int
    remedy: str


@dataclass(frozen=True)
class Findings:
    """The section.

    Attributes:
        tested: Those with effects.
        untestable: Those without.
        counts: How many of each verdict, as a sentence.
        comparisons: Intervals looked at in all.
        seeds: Sweep-file lines that would give intervals where one seed has none; else empty.
        table: Every effect.
    """

    tested: list[Finding]
    untestable: list[Finding]
    counts: str
    comparisons: int
    seeds: str
    table: Table


def claims_section(claims: Sequence[Claim]) -> Findings:
    """The section from `deciding.claims.paper_claims`."""
    shown = [_finding(claim) for claim in claims]
    counts = [
        f"{count} {verdict}"
        for verdict in Verdict
        if (count := sum(claim.verdict == verdict for claim in claims))
    ]
    return Findings(
        tested=[finding for finding in shown if finding.role != "untestable"],
        untestable=[finding for finding in shown if finding.role == "untestable"],
        counts=labels.listing(counts),
        comparisons=comparisons(claims),
        seeds=SEEDS if any(claim.remedy == SEEDS for claim in claims) else "",
        table=_table(claims),
    )


def _finding(claim: Claim) -> Finding:
    # Without an interval a long list of numbers would only look like evidence.
    shown = claim.decisive[: 1 if claim.remedy == SEEDS else SHOWN]
    return Finding(
        sentence=claim.sentence,
        verdict=claim.verdict.value,
        role=CLASSES[claim.verdict],
        why=claim.why,
        lines=[
            Line(effect.text, _number(effect, effect.value), _interval(effect)) for effect in shown
        ],
        more=len(claim.decisive) - len(shown),
        remedy=claim.remedy,
    )


def _table(claims: Sequence[Claim]) -> Table:
    rows = []
    for claim in claims:
        for effect in claim.effects:
            cells = [
                Cell(claim.name, claim.name),
                Cell(effect.text, effect.text),
                number(_number(effect, effect.value), effect.value),
                Cell(_interval(effect), "" if math.isnan(effect.low) else effect.low),
                Cell(_needs(effect), _needs(effect)),
                Cell(effect.verdict.value, effect.verdict.value),
                number(str(effect.seeds), effect.seeds),
            ]
            rows.append(("", cells))
    headings = ["finding", "effect", "value", "interval", "the finding needs", "verdict", "seeds"]
    return Table(headings, [False, False, True, True, False, False, True], rows)


def _interval(effect: Effect) -> str:
    """Between what the effect lies, or why nobody can say."""
    if math.isnan(effect.low):
        return "no interval"
    if math.isinf(effect.low):
        return "not bounded: what it is a share of is not told apart from 0"
    return f"{_number(effect, effect.low)} to {_number(effect, effect.high)}"


def _needs(effect: Effect) -> str:
    """The range that the claim needs."""
    least, most = (_number(effect, end) for end in (effect.at_least, effect.at_most))
    if math.isinf(effect.at_least):
        return f"less than {most}"
    if math.isinf(effect.at_most):
        return f"more than {least}"
    return f"{least} to {most}"


def _number(effect: Effect, value: float) -> str:
    """A share in percent, else nats per token with a sign."""
    if effect.unit != SHARE:
        return labels.change(value)
    return labels.MISSING if math.isnan(value) else f"{100 * value:.1f}%".replace("-", labels.MINUS)
