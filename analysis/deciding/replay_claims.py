"""What the paper found of replay, tested: how much forgetting it removes, and at what cost."""

from typing import Any

from analysis import labels
from analysis.deciding.contrasts import Weights, combined
from analysis.deciding.decision import KEPT
from analysis.deciding.evidence import Evidence
from analysis.deciding.lacking import (
    NO_MARGIN,
    UNFINISHED,
    judged,
    untestable,
    without_baseline,
    without_values,
)
from analysis.deciding.verdicts import Claim, of_all, of_any
from analysis.measures import loss_names
from analysis.settings import around

FACTOR = "replay_fraction"
PAPERS = (0, 0.01, 0.05, 0.25, 0.5)
"""Shares of replay that the paper tried."""
REMOVED = 0.5
"""Replay removes forgetting where it removes more than this share of it."""
SMALL = 0.05
"""The largest share of replay that counts as small."""
MOST = 0.5
"""A small replay does most of it with more than this share of the largest one's reduction."""
HALF = 0.5
"""Half of the union's tokens."""


def replay_removes_forgetting(evidence: Evidence) -> Claim:
    """Some replay removes most of the forgetting for a small share of the adaptation.

    Both are shares of what the same setting without replay forgets and adapts.
    """
    name, sentence = "replay", "Replay removes forgetting at little cost."
    levels = _replays(evidence)
    if not levels:
        return _without(evidence, name, sentence)
    none = levels[0]
    for measure, nothing in (("forgetting", "forgotten"), ("adaptation", "learnt")):
        if evidence.contrasts.contrast(none, measure).value <= 0:
            why = f"Without replay nothing is {nothing} here, so there is no share to take of it."
            return untestable(name, sentence, why)
    groups = []
    for value in [value for value in levels if value]:
        replay = labels.value_label(FACTOR, value)
        saved = combined((1, none), (-1, levels[value]))
        comparisons = 2 * (len(levels) - 1)
        groups.append(
            [
                evidence.share(
                    f"share of the forgetting that {replay} replay removes",
                    saved,
                    none,
                    "forgetting",
                    comparisons,
                    at_least=REMOVED,
                ),
                evidence.share(
                    f"share of the adaptation that {replay} replay costs",
                    saved,
                    none,
                    "adaptation",
                    comparisons,
                    at_most=1 - KEPT,
                ),
            ]
        )
    groups.sort(key=lambda group: (group[1].value >= group[1].at_most, -group[0].value))
    verdict, decisive = of_any(groups)
    rule = (
        f"more than {REMOVED:.0%} of the forgetting for less than {1 - KEPT:.0%} of the adaptation"
    )
    why = {
        "supported": f"This replay removes {rule}.",
        "contradicted": f"No replay here removes {rule}.",
        "undecided": f"Whether any replay removes {rule} is open.",
    }[verdict]
    effects = [effect for group in groups for effect in group]
    return judged(name, sentence, verdict, why, effects, decisive)


def small_replay_does_most(evidence: Evidence) -> Claim:
    """The smallest replay reaches most of the reduction of the largest."""
    name, sentence = "small replay", "A small share of replay does most of it."
    levels = _replays(evidence)
    if not levels:
        return _without(evidence, name, sentence)
    small, large = min(value for value in levels if value), max(levels)
    if small > SMALL or small == large:
        return _without(evidence, name, sentence)
    most = combined((1, levels[0]), (-1, levels[large]))
    if evidence.contrasts.contrast(most, "forgetting").value <= 0:
        why = "The largest share of replay removes no forgetting here, so there is no part to take."
        return untestable(name, sentence, why)
    few, many = (labels.value_label(FACTOR, value) for value in (small, large))
    effect = evidence.share(
        f"share of the reduction by {many} replay that {few} reaches",
        combined((1, levels[0]), (-1, levels[small])),
        most,
        "forgetting",
        1,
        at_least=MOST,
    )
    verdict, decisive = of_all([effect])
    why = {
        "supported": f"{few} replay does more than {MOST:.0%} of what {many} does.",
        "contradicted": f"{few} replay does less than {MOST:.0%} of what {many} does.",
        "undecided": f"It may be more or less than {MOST:.0%}.",
    }[verdict]
    return judged(name, sentence, verdict, why, [effect], decisive)


def replay_reaches_union(evidence: Evidence) -> Claim:
    """Some replay ends within the margin of the union run, in the mean and on every set.

    Tokens are counted from the end of pre-training on; the union's are all of its own, since it
    starts from random weights. One-sided: a lower loss than the union's is no fault.
    """
    name = "union"
    sentence = "Replay at half the compute reaches training on all data together."
    union = evidence.baseline("union")
    if union is None:
        return without_baseline(evidence, name, sentence, "union")
    levels = _around_center(evidence)
    if not levels:
        return _without(evidence, name, sentence)
    spent = evidence.complete.groupby("setting")["path_tokens"].first()
    shares = {
        value: sum(weight * spent[setting] for setting, weight in weights.items()) / spent[union]
        for value, weights in levels.items()
    }
    levels = {value: levels[value] for value in levels if round(shares[value], 2) <= HALF}
    if not levels:
        why = (
            "A trial with replay takes more than half of the union's tokens, at least "
            f"{min(shares.values()):.0%} of them."
        )
        after = len(evidence.sweep.plan["stages"]) - 1
        old = evidence.sweep.plan["stages"][0]["tokens"]
        return untestable(name, sentence, why, f"downstream:\n  token_budget: {old // after:_}")
    if not evidence.margin > 0:
        return untestable(name, sentence, NO_MARGIN)
    measures = ["mean_loss", *loss_names(evidence.sweep.roles)]
    groups = [
        [
            evidence.effect(
                f"{_loss(measure)}: {labels.value_label(FACTOR, value)} replay minus the union",
                combined((1, weights), (-1, {union: 1.0})),
                measure,
                len(levels) * len(measures),
                at_most=evidence.margin,
            )
            for measure in measures
        ]
        for value, weights in levels.items()
    ]
    groups.sort(key=lambda group: max(effect.value for effect in group))
    verdict, decisive = of_any(groups)
    first = next(iter(levels))
    cost = f"with {shares[first]:.0%} of the union's tokens"
    matters = f"the {labels.loss(evidence.margin)} that matter"
    why = {
        "supported": f"No loss is above the union's by {matters}, {cost}.",
        "contradicted": f"With every share of replay a loss is above the union's by more than "
        f"{matters}, {cost}.",
        "undecided": f"Whether any replay stays within {matters} of every loss of the union is "
        f"open, {cost}.",
    }[verdict]
    effects = [effect for group in groups for effect in group]
    return judged(name, sentence, verdict, why, effects, decisive)


def _replays(evidence: Evidence) -> dict[Any, Weights]:
    """Settings with each share of replay and without; empty where the two cannot be compared."""
    for axis in evidence.axes_of(FACTOR):
        wanted = [value for value in evidence.planned(axis) if evidence.levels(axis, [value])]
        if 0 in wanted and max(wanted) > 0:
            return evidence.levels(axis, wanted)
    return {}


def _around_center(evidence: Evidence) -> dict[Any, Weights]:
    """The settings with replay that else are the centre, also where replay is on no axis."""
    middle = evidence.middle()
    if not evidence.axes_of(FACTOR):
        fixed = (evidence.sweep.plan["center"] or {}).get(FACTOR, 0)
        return {fixed: {middle: 1.0}} if middle and fixed else {}
    found: dict[Any, Weights] = {}
    for axis in evidence.axes_of(FACTOR):
        rows = around(evidence.complete, axis, evidence.center)
        for value in evidence.planned(axis):
            settings = rows.loc[rows[axis] == value, "setting"]
            if value and len(settings):
                found.setdefault(value, {str(settings.iloc[0]): 1.0})
    return found


def _without(evidence: Evidence, name: str, sentence: str) -> Claim:
    """A claim for want of replay to compare, in the plan or so far."""
    planned = [value for axis in evidence.axes_of(FACTOR) for value in evidence.planned(axis)]
    small = [value for value in planned if 0 < value <= SMALL]
    if 0 in planned and small and max(planned) > min(small):
        return untestable(name, sentence, UNFINISHED)
    why = (
        f"The sweep does not compare no replay, replay of at most {SMALL:.0%} and a larger share "
        "with all else equal."
    )
    return without_values(evidence, name, sentence, why, FACTOR, PAPERS)


def _loss(measure: str) -> str:
    """`d1_loss` as `D1 loss`."""
    head = measure.removesuffix("_loss")
    return f"{head if head == 'mean' else head.upper()} loss"
