"""The paper's findings, each with the effect that decides it and the range it has to lie in.

Effects and verdicts are the report's (`analysis.deciding.verdicts`): an interval wholly inside the
range supports, one wholly outside it contradicts. Where the paper says that something is larger,
the range begins at 0, so that a finding that holds has an interval which excludes no effect; where
it says that something does not matter, the range is the report's margin, 5% of the largest
adaptation, on either side of 0. The intervals of one finding hold at once, at 95%.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from analysis.deciding.contrasts import Weights, combined
from analysis.deciding.noise import Estimate
from analysis.deciding.verdicts import Effect
from analysis.dips import student
from benchmarks.reproduction.study import EARLY, Study

SHIFTS = ("weak", "strong")
Studies = Mapping[str, Study]


@dataclass(frozen=True)
class Finding:
    """One of the paper's findings as it came out here.

    Attributes:
        sentence: What the paper found.
        paper: Its numbers, as far as it gives them.
        effects: What decides it here.
    """

    sentence: str
    paper: str
    effects: Sequence[Effect]


def findings(studies: Studies) -> dict[int, Finding]:
    """Those that these studies can tell of, by their number in the document."""
    return {
        number: test(studies)
        for number, (test, needed) in enumerate(FINDINGS.items(), 1)
        if set(needed) <= studies.keys()
    }


def rewarming(studies: Studies) -> Finding:
    """The centre against the rate where pre-training ended."""
    return Finding(
        "Re-warming and re-decaying adapts more than staying at the lowest rate.",
        "adaptation +0.05 (weak), +0.10 (strong)",
        [
            _contrast(study, "adaptation", study.center, study.baseline("no_rewarm"), 2)
            for study in _shifts(studies)
        ],
    )


def redecaying(studies: Studies) -> Finding:
    """The centre against the same peak, held."""
    return Finding(
        "Re-decaying is part of it: the same peak, held, adapts less.",
        "figure 4, no numbers",
        [
            _contrast(study, "adaptation", study.center, study.at("schedule", "constant"), 2)
            for study in _shifts(studies)
        ],
    )


def warmup_in_the_end(studies: Studies) -> Finding:
    """Every warm-up against 1%, both losses, within the margin."""
    effects = []
    for study in _shifts(studies):
        for share in (0, 0.005, 0.02):
            one, other = study.at("warmup_fraction", share), study.at("warmup_fraction", 0.01)
            for measure in ("d0_loss", "d1_loss"):
                effects.append(_contrast(study, measure, one, other, 12, margin=True))
    return Finding(
        "The length of the warm-up does not matter in the end.",
        "figure 3, no numbers",
        effects,
    )


def warmup_at_first(studies: Studies) -> Finding:
    """No warm-up against 2% in the first steps: D0 loss is higher, D1 loss lower."""
    effects = []
    for study in _shifts(studies):
        short, long = study.at("warmup_fraction", 0), study.at("warmup_fraction", 0.02)
        effects += at_first(study, {"0%": short, "2%": long})
    return Finding(
        "At first a shorter warm-up forgets and adapts faster.", "figure 3, no numbers", effects
    )


def peak(studies: Studies) -> Finding:
    """Slopes of adaptation and forgetting over the logarithm of the peak, as in the report."""
    effects = []
    for study in _shifts(studies):
        rates = study.evidence.planned("max_lr")
        away = np.log2(rates) - np.log2(rates).mean()
        factors = away / (away @ away)
        slope = combined(
            *(
                (float(factor), study.at("max_lr", rate))
                for factor, rate in zip(factors, rates, strict=True)
            )
        )
        for measure in ("adaptation", "forgetting"):
            found = study.evidence.contrasts.contrast(slope, measure, 4)
            effects.append(effect_of(f"{study.name}: {measure} a doubling of the peak", found))
    return Finding(
        "A higher peak adapts more and forgets more.",
        "0.5 to 2 x: adaptation +0.01, +0.02, forgetting +0.05, +0.16",
        effects,
    )


def replay_pays(studies: Studies) -> Finding:
    """The paper's choice for each shift: most of the forgetting, little of the adaptation."""
    weak, strong = _shifts(studies)
    return Finding(
        "Replay removes most of the forgetting for little of the adaptation.",
        "5% removes 78% (weak), 25% removes 88% (strong); it costs 0.01, 0.05 nats",
        [*shares_of_replay(weak, 0.05), *shares_of_replay(strong, 0.25)],
    )


def little_replay(studies: Studies) -> Finding:
    """The smallest share that the paper tried against none."""
    return Finding(
        "Even the smallest replay removes forgetting.",
        "0.5% removes 0.17 (weak), 1% removes 0.73 (strong)",
        [
            removed_by_replay(study, share)
            for study, share in zip(_shifts(studies), (0.005, 0.01), strict=True)
        ],
    )


def union(studies: Studies) -> Finding:
    """The mean loss with half replayed is not above the union's by the margin."""
    return Finding(
        "With replay, continuing reaches training on everything anew, at less compute.",
        "50% less union: 0.00 (weak), \N{MINUS SIGN}0.02 (strong)",
        [half_less_union(study) for study in _shifts(studies)],
    )


def stronger_shift(studies: Studies) -> Finding:
    """Forgetting without replay under both shifts, from the same pre-trained models."""
    weak, strong = (study.by_seed(study.center, "forgetting") for study in _shifts(studies))
    return Finding(
        "A stronger shift forgets more.",
        "0.27 (weak), 1.39 (strong)",
        [effect_of("forgetting, strong less weak", student(strong - weak))],
    )


def head_start(studies: Studies) -> Finding:
    """D1 loss of continuing against D1 alone from random weights."""
    return Finding(
        "Starting from the pre-trained model learns D1 better than starting anew.",
        "D1 loss 0.03 lower (weak), 0.06 (strong)",
        [more_than_anew(study) for study in _shifts(studies)],
    )


def average_misleads(studies: Studies) -> Finding:
    """Under the strong shift not re-warming has the lower mean loss, though it adapts less."""
    study = studies["strong"]
    return Finding(
        "The average alone misleads: under the strong shift it prefers not to re-warm.",
        "mean loss 0.12 lower without re-warming",
        [_contrast(study, "mean_loss", study.center, study.baseline("no_rewarm"), 1)],
    )


def infinite(studies: Studies) -> Finding:
    """Three parts of one corpus: each infinite schedule against repeated cosine, every loss."""
    return Finding(
        "Without a shift infinite schedules end where repeated cosine does.",
        "figure 10, no numbers",
        infinite_less_cosine(studies["infinite"]),
    )


def unchanged(studies: Studies) -> Finding:
    """The rise of D0 loss on D0's own data, re-warmed against not."""
    study = studies["unchanged"]
    still = study.rises(study.baseline("no_rewarm"))
    effects = [
        effect_of(
            f"rise of D0 loss, {times} x less not re-warmed",
            student(study.rises(study.at("max_lr", rate)) - still, 2),
        )
        for times, rate in zip((1, 2), study.evidence.planned("max_lr"), strict=True)
    ]
    return Finding(
        "Re-warming alone raises the loss, on unchanged data too.", "0.1 (1 x), 0.2 (2 x)", effects
    )


def early_order(studies: Studies) -> Finding:
    """After a tenth of the steps, shares of replay stand in the order of their final losses."""
    effects = []
    for study in _shifts(studies):
        shares = study.evidence.planned("replay_fraction")
        each = [study.at("replay_fraction", share) for share in shares]
        found = student(_order(study, each), 2)
        text = f"{study.name}: Kendall's tau of D0 losses after a tenth of the steps and final"
        effects.append(effect_of(text, found, unit="tau"))
    return Finding(
        "Which share of replay is better shows early.", "section 8, rule 4, no numbers", effects
    )


FINDINGS: Mapping[Callable[[Studies], Finding], Sequence[str]] = {
    rewarming: SHIFTS,
    redecaying: SHIFTS,
    warmup_in_the_end: SHIFTS,
    warmup_at_first: SHIFTS,
    peak: SHIFTS,
    replay_pays: SHIFTS,
    little_replay: SHIFTS,
    union: SHIFTS,
    stronger_shift: SHIFTS,
    head_start: SHIFTS,
    average_misleads: ("strong",),
    infinite: ("infinite",),
    unchanged: ("unchanged",),
    early_order: SHIFTS,
}
"""What tests each finding, and the studies that it needs."""


def at_first(study: Study, warmups: Mapping[str, Weights]) -> list[Effect]:
    """What a shorter warm-up forgets more in the first steps, and what it adapts more.

    Args:
        study: It holds both.
        warmups: The shorter and the longer, by what to call them.
    """
    (short, one), (long, other) = warmups.items()
    effects = []
    for role, sign, order in (
        ("d0", 1, f"{short} less {long}"),
        ("d1", -1, f"{long} less {short}"),
    ):
        each = sign * (study.course(one, role, EARLY) - study.course(other, role, EARLY))
        text = f"{study.name}: {role.upper()} loss in steps {EARLY[0]} to {EARLY[1]}, {order}"
        effects.append(effect_of(text, student(each, 4)))
    return effects


def shares_of_replay(study: Study, share: float) -> list[Effect]:
    """What a share of replay removes of the forgetting without, and costs of the adaptation."""
    none, some = study.at("replay_fraction", 0), study.at("replay_fraction", share)
    saved, effects = combined((1, none), (-1, some)), []
    for measure, word, limits in (
        ("forgetting", "removes of the forgetting", {"at_least": 0.5}),
        ("adaptation", "costs of the adaptation", {"at_most": 0.05}),
    ):
        found = study.evidence.contrasts.ratio(saved, none, measure, 4)
        text = f"{study.name}: share that {share:.0%} replay {word}"
        effects.append(effect_of(text, found, unit="share", **limits))
    return effects


def removed_by_replay(study: Study, share: float) -> Effect:
    """Forgetting without replay less that with a share of it."""
    none, some = study.at("replay_fraction", 0), study.at("replay_fraction", share)
    return _contrast(study, "forgetting", none, some, 2)


def half_less_union(study: Study) -> Effect:
    """The mean loss with half replayed less the union's."""
    half, everything = study.at("replay_fraction", 0.5), study.baseline("union")
    found = study.difference(half, everything, "mean_loss", 2)
    text = f"{study.name}: mean loss, 50% replay less union"
    return effect_of(text, found, at_most=study.evidence.margin)


def more_than_anew(study: Study) -> Effect:
    """Adaptation of continuing less that of D1 alone from random weights."""
    return _contrast(study, "adaptation", study.center, study.baseline("downstream_only"), 2)


def infinite_less_cosine(study: Study) -> list[Effect]:
    """Every loss with either infinite schedule less that with repeated cosine."""
    cosine = study.at("schedule", "cosine")
    return [
        _contrast(study, f"{role}_loss", study.at("schedule", name), cosine, 6, margin=True)
        for name in ("infinite_cosine", "infinite_inverse_sqrt")
        for role in study.sweep.roles
    ]


def _order(study: Study, settings: Sequence[Weights]) -> pd.Series:
    """Kendall's rank correlation between settings, early and in the end, in each seed."""
    early = pd.DataFrame([study.course(one, "d0", (100, 100)) for one in settings])
    late = pd.DataFrame([study.by_seed(one, "d0_loss") for one in settings])
    return pd.Series({seed: kendalltau(early[seed], late[seed]).statistic for seed in late.columns})


def _shifts(studies: Studies) -> list[Study]:
    return [studies[name] for name in SHIFTS]


def _contrast(
    study: Study,
    measure: str,
    one: Weights,
    other: Weights,
    comparisons: int,
    *,
    margin: bool = False,
) -> Effect:
    """One less the other: above 0, or inside the margin."""
    found = study.difference(one, other, measure, comparisons)
    names = " less ".join(study.evidence.name(next(iter(each))) for each in (one, other))
    limits = (
        {"at_least": -study.evidence.margin, "at_most": study.evidence.margin} if margin else {}
    )
    return effect_of(f"{study.name}: {_named(measure)}, {names}", found, **limits)


def _named(measure: str) -> str:
    """`d0_loss` as `D0 loss`."""
    head, _, tail = measure.partition("_")
    return f"{head.upper() if head[1:].isdigit() else head} {tail}".strip()


def effect_of(text: str, found: Estimate, unit: str = "nats per token", **limits: Any) -> Effect:
    """Above 0 where no limits are given."""
    return Effect(
        text=text,
        measure="",
        unit=unit,
        value=found.value,
        low=found.low,
        high=found.high,
        settings=(),
        seeds=found.seeds,
        **(limits or {"at_least": 0.0}),
    )
