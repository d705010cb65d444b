"""The further runs: what they ask of a finding that came out otherwise or open, and what answers.

Each holds one finding against one more study, with the finding's own effects and ranges.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.deciding.verdicts import Effect
from analysis.dips import student
from benchmarks.reproduction.findings import (
    effect_of,
    half_less_union,
    more_than_anew,
    removed_by_replay,
    shares_of_replay,
)
from benchmarks.reproduction.study import EARLY, Study


@dataclass(frozen=True)
class Further:
    """A finding, asked once more.

    Attributes:
        finding: Its number in the document.
        question: Why it may have come out as it did.
        study: The sweep that was made for it, without `paper-mini-`.
        effects: What the sweep says.
    """

    finding: int
    question: str
    study: str
    effects: Callable[[Study], Sequence[Effect]]


def without_the_spike(study: Study) -> list[Effect]:
    """No warm-up against 20 steps where nothing is re-warmed, as finding 4 has it with it."""
    low = study.evidence.planned("max_lr")[0]
    short, long = (study.setting(max_lr=low, warmup_fraction=share) for share in (0, 0.2))
    effects = []
    for role, sign in (("d0", 1), ("d1", -1)):
        each = sign * (study.course(short, role, EARLY) - study.course(long, role, EARLY))
        order = "no warm-up less 20 steps" if sign > 0 else "20 steps less no warm-up"
        text = f"{study.name}: {role.upper()} loss in steps {EARLY[0]} to {EARLY[1]}, {order}"
        effects.append(effect_of(text, student(each, 4)))
    return effects


FURTHER: Sequence[Further] = (
    Further(
        4, "does the spike of re-warming hide it? No re-warming", "weak-warmup", without_the_spike
    ),
    Further(
        6,
        "was the replay too short? 2.5 times the tokens",
        "weak-long",
        lambda study: shares_of_replay(study, 0.05),
    ),
    Further(
        7,
        "the same",
        "weak-long",
        lambda study: [removed_by_replay(study, 0.005)],
    ),
    Further(
        7,
        "were three seeds too few? Six",
        "weak-seeds",
        lambda study: [removed_by_replay(study, 0.005)],
    ),
    Further(8, "the same", "weak-seeds", lambda study: [half_less_union(study)]),
    Further(8, "the same", "strong-seeds", lambda study: [half_less_union(study)]),
    Further(10, "the same", "strong-seeds", lambda study: [more_than_anew(study)]),
)
