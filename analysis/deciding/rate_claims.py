"""What the paper found of learning rates, tested: re-warming, re-decay, warm-up, peak, schedule."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis import labels
from analysis.deciding.contrasts import combined
from analysis.deciding.evidence import NATS, Evidence
from analysis.deciding.lacking import (
    NO_MARGIN,
    UNFINISHED,
    judged,
    untestable,
    without_baseline,
    without_values,
)
from analysis.deciding.verdicts import Claim, Effect, Verdict, of_all
from analysis.measures import loss_names

PER_DOUBLING = "nats per token and doubling of the peak"
WARMUPS = (0, 0.005, 0.01, 0.02)
"""The paper's, as shares of a stage's steps."""


def rewarming(evidence: Evidence) -> Claim:
    """The centre adapts by more than the margin beyond the baseline that does not re-warm."""
    sentence = "Re-warming the learning rate is needed to adapt."
    return _needed(evidence, "re-warming", sentence, "no_rewarm", evidence.baseline("no_rewarm"))


def redecaying(evidence: Evidence) -> Claim:
    """The centre adapts by more than the margin beyond the same rate held at its peak.

    That is the baseline no_redecay, or a constant schedule at the centre, which are one.
    """
    held = evidence.baseline("no_redecay")
    for axis in [] if held else evidence.axes_of("schedule"):
        for value in evidence.planned(axis):
            found = evidence.levels(axis, [value]) if _kind(value) == "constant" else {}
            held = held or next(iter(found.get(value, {})), None)
    sentence = "Re-decaying it is needed to adapt."
    return _needed(evidence, "re-decaying", sentence, "no_redecay", held)


def warmup_length(evidence: Evidence) -> Claim:
    """Final losses of other warm-up lengths lie within the margin of the centre's."""
    name, sentence = "warm-up", "The length of the warm-up does not matter in the end."
    axes = [axis for axis in evidence.axes_of("warmup_fraction") if len(evidence.planned(axis)) > 1]
    if not axes:
        why = "The sweep compares no two warm-up lengths with all else equal."
        return without_values(evidence, name, sentence, why, "warmup_fraction", WARMUPS)
    pairs = [
        (axis, value, _reference(evidence, axis))
        for axis in axes
        for value in evidence.planned(axis)
    ]
    return _equal(evidence, name, sentence, pairs)


def infinite_schedules(evidence: Evidence) -> Claim:
    """Final losses of each infinite schedule lie within the margin of the cosine's."""
    name, sentence = "infinite schedules", "Infinite schedules match the cosine."
    pairs = []
    for axis in evidence.axes_of("schedule"):
        values = evidence.planned(axis)
        cosines = [value for value in values if _kind(value) == "cosine"]
        if cosines:
            middle = evidence.center[axis]
            cosine = middle if middle in cosines else cosines[0]
            pairs += [
                (axis, value, cosine) for value in values if _kind(value).startswith("infinite")
            ]
    if not pairs:
        why = "The sweep compares no infinite schedule with a cosine, all else equal."
        named = ("cosine", "infinite_cosine", "infinite_inverse_sqrt")
        return without_values(evidence, name, sentence, why, "schedule", named)
    return _equal(evidence, name, sentence, pairs)


def higher_peaks(evidence: Evidence) -> Claim:
    """Adaptation and forgetting both rise with the logarithm of the peak (least squares)."""
    name, sentence = "peak", "Higher peaks adapt more and forget more."
    axes = [axis for axis in evidence.axes_of("max_lr") if len(evidence.planned(axis)) > 1]
    if not axes:
        why = "The sweep compares no two peaks with all else equal."
        middle = evidence.center.get("max_lr")
        peaks = [factor * middle for factor in (0.5, 1, 2)] if middle else ["1.5e-4", "3e-4"]
        return without_values(evidence, name, sentence, why, "max_lr", peaks)
    slopes = [(axis, slope) for axis in axes if (slope := _slope(evidence, axis))]
    if not slopes:
        return untestable(name, sentence, UNFINISHED)
    effects = [
        evidence.effect(
            f"{measure} for each doubling of {labels.axis_label(axis)}",
            slope,
            measure,
            2 * len(slopes),
            unit=PER_DOUBLING,
            at_least=0.0,
        )
        for axis, slope in slopes
        for measure in ("adaptation", "forgetting")
    ]
    return judged(name, sentence, of_all(effects)[0], _told(slopes, effects), effects, effects)


def _needed(
    evidence: Evidence, name: str, sentence: str, baseline: str, other: str | None
) -> Claim:
    """The centre against what does without: needed where that costs more than the margin."""
    middle = evidence.middle()
    if middle is None or other is None:
        return without_baseline(evidence, name, sentence, baseline)
    if not evidence.margin > 0:
        return untestable(name, sentence, NO_MARGIN)
    named = labels.center_name(evidence.sweep)
    without_it = evidence.name(other)
    effect = evidence.effect(
        f"adaptation: {named} minus {without_it}",
        combined((1, {middle: 1.0}), (-1, {other: 1.0})),
        "adaptation",
        1,
        at_least=evidence.margin,
    )
    verdict, decisive = of_all([effect])
    matters = labels.loss(evidence.margin)
    why = {
        Verdict.SUPPORTED: f"Doing without costs more adaptation than the {matters} that matter.",
        Verdict.CONTRADICTED: f"Doing without costs less adaptation than the {matters} that "
        "matter, or none.",
        Verdict.UNDECIDED: f"The cost of doing without may lie on either side of the {matters} "
        "that matter.",
    }[verdict]
    return judged(name, sentence, verdict, why, [effect], decisive)


def _equal(
    evidence: Evidence, name: str, sentence: str, pairs: Sequence[tuple[str, Any, Any]]
) -> Claim:
    """Final losses along axes lie within the margin of a reference: (axis, value, reference)."""
    contrasts = []
    for axis, value, reference in pairs:
        levels = evidence.levels(axis, [value, reference]) if value != reference else {}
        if levels:
            words = [labels.value_label(axis, one) for one in (value, reference)]
            told = f"{labels.axis_label(axis)} {words[0]} minus {words[1]}"
            contrasts.append((told, combined((1, levels[value]), (-1, levels[reference]))))
    if not contrasts:
        return untestable(name, sentence, UNFINISHED)
    if not evidence.margin > 0:
        return untestable(name, sentence, NO_MARGIN)
    losses = loss_names(evidence.sweep.roles)
    effects = [
        evidence.effect(
            f"{measure.removesuffix('_loss').upper()} loss: {told}",
            weights,
            measure,
            len(contrasts) * len(losses),
            unit=NATS,
            at_least=-evidence.margin,
            at_most=evidence.margin,
        )
        for told, weights in contrasts
        for measure in losses
    ]
    verdict, decisive = of_all(effects)
    matters = f"{labels.MINUS}/+ {labels.loss(evidence.margin)}, the margin that matters"
    why = {
        Verdict.SUPPORTED: f"All {len(effects)} differences lie within {matters}; the nearest to "
        "its end is shown.",
        Verdict.CONTRADICTED: f"{len(decisive)} of {len(effects)} differences lie beyond "
        f"{matters}.",
        Verdict.UNDECIDED: f"{len(decisive)} of {len(effects)} intervals reach over {matters}.",
    }[verdict]
    return judged(name, sentence, verdict, why, effects, decisive)


def _slope(evidence: Evidence, axis: str) -> dict[str, float] | None:
    """Least squares over the logarithm of a peak as a contrast; None below two complete peaks."""
    wanted = [value for value in evidence.planned(axis) if evidence.levels(axis, [value])]
    levels = evidence.levels(axis, wanted) if len(wanted) > 1 else {}
    if not levels:
        return None
    doublings = np.log2(np.array(wanted, dtype=float))
    away = doublings - doublings.mean()
    factors = away / (away @ away)
    return combined(
        *((float(factor), levels[value]) for factor, value in zip(factors, wanted, strict=True))
    )


def _told(slopes: Sequence[tuple[str, Any]], effects: Sequence[Effect]) -> str:
    """What a higher peak does to adaptation and forgetting, axis by axis."""
    verbs = {"adaptation": "adapts", "forgetting": "forgets"}
    sentences = []
    for number, (axis, _) in enumerate(slopes):
        parts = [
            f"it is open whether it {verbs[effect.measure]} more"
            if effect.verdict == Verdict.UNDECIDED
            else f"{verbs[effect.measure]} "
            f"{'more' if effect.verdict == Verdict.SUPPORTED else 'less'}"
            for effect in effects[2 * number : 2 * number + 2]
        ]
        sentences.append(f"A higher {labels.axis_label(axis)} {' and '.join(parts)}.")
    return " ".join(sentences)


def _reference(evidence: Evidence, axis: str) -> Any:
    """The centre's value of an axis, or the first where the axis does not hold it."""
    values, middle = evidence.planned(axis), evidence.center[axis]
    return middle if middle in values else values[0]


def _kind(schedule: Any) -> str:
    """`wsd(decay_fraction=0.1)` is of the kind `wsd`."""
    return str(schedule).partition("(")[0]
