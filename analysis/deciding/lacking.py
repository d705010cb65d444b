"""Claims that a sweep leaves open: what it lacks, and the sweep-file lines that would add it."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis import labels
from analysis.deciding.evidence import Evidence
from analysis.deciding.verdicts import Claim, Effect, Verdict
from analysis.settings import DESIGNS_WITHOUT_SLICES

SEEDS = "axes:\n  seed: [0, 1, 2]"
"""What turns a claim that one seed leaves open into one with an interval."""
NO_MARGIN = (
    "Nothing adapts in this sweep, so there is no margin below which a loss does not matter."
)
UNRECORDED = "A loss that it needs is not recorded in any seed that its settings share."
UNFINISHED = "The trials that would test it are planned, but not complete yet."


def untestable(name: str, sentence: str, why: str, remedy: str = "") -> Claim:
    """A claim without effects."""
    return Claim(name=name, sentence=sentence, verdict=Verdict.NOT_TESTABLE, why=why, remedy=remedy)


def judged(
    name: str,
    sentence: str,
    verdict: Verdict,
    why: str,
    effects: Sequence[Effect],
    decisive: Sequence[Effect],
) -> Claim:
    """A claim with effects; where one seed is all there is, that is why it is undecided.

    Where a loss is missing in every seed it is not testable here.
    """
    if any(effect.seeds == 0 for effect in effects):
        return untestable(name, sentence, UNRECORDED)
    remedy = ""
    if verdict == Verdict.UNDECIDED and any(effect.seeds < 2 for effect in decisive):
        why = "One seed, so no interval and no verdict."
        remedy = SEEDS
    return Claim(
        name=name,
        sentence=sentence,
        verdict=verdict,
        why=why,
        effects=tuple(effects),
        decisive=tuple(decisive),
        remedy=remedy,
    )


def without_baseline(evidence: Evidence, name: str, sentence: str, baseline: str) -> Claim:
    """A claim for want of a baseline, or of the centre that it is held against."""
    told = labels.baseline_label(evidence.sweep, baseline)
    if not (evidence.trials["baseline"] == baseline).any():
        why = f"The sweep has no baseline {baseline} ({told})."
        return untestable(name, sentence, why, f"baselines: [{baseline}]")
    if evidence.middle() and (evidence.complete["baseline"] == baseline).any():
        why = (
            f"The baseline {baseline} differs from the {labels.center_name(evidence.sweep)} in "
            "more than its learning rate, so their difference would be that of other factors too."
        )
        return untestable(name, sentence, why, _around_center(evidence))
    return untestable(name, sentence, UNFINISHED)


def without_values(
    evidence: Evidence, name: str, sentence: str, why: str, axis: str, values: Sequence[Any]
) -> Claim:
    """A claim for want of values on an axis."""
    written = ", ".join(_written(value) for value in values)
    lines = f"axes:\n  {axis}: [{written}]"
    if evidence.sweep.plan["design"] in DESIGNS_WITHOUT_SLICES:
        why = f"{why} Trials of a design {evidence.sweep.plan['design']} need not share values."
        lines = f"{_around_center(evidence)}\n{lines}"
    return untestable(name, sentence, why, lines)


def _around_center(evidence: Evidence) -> str:
    """A design around the setting that curves are drawn around."""
    return f"design: one_at_a_time\ncenter: {_mapping(evidence.center)}"


def _mapping(values: Mapping[str, Any]) -> str:
    told = [
        f"{name}: {_written(value)}"
        for name, value in values.items()
        if name != "token_budget" and "." not in name
    ]
    return f"{{{', '.join(told)}}}"


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
