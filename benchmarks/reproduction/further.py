"""The further runs: what each says of findings that came out otherwise, or open.

A finding is held against one more study with its own effects and ranges.
"""

from collections.abc import Callable, Mapping, Sequence

from analysis.deciding.verdicts import Effect
from benchmarks.reproduction.findings import (
    at_first,
    half_less_union,
    infinite_less_cosine,
    more_than_anew,
    removed_by_replay,
    shares_of_replay,
)
from benchmarks.reproduction.study import Study


def without_the_spike(study: Study) -> list[Effect]:
    """No warm-up against 20 steps where nothing is re-warmed, as finding 4 has it with it."""
    low = study.evidence.planned("max_lr")[0]
    short, long = (study.setting(max_lr=low, warmup_fraction=share) for share in (0, 0.2))
    return at_first(study, {"no warm-up": short, "20 steps": long})


FURTHER: Mapping[str, Mapping[int, Callable[[Study], Sequence[Effect]]]] = {
    "weak-warmup": {4: without_the_spike},
    "weak-domains": {
        6: lambda study: shares_of_replay(study, 0.05),
        7: lambda study: [removed_by_replay(study, 0.005)],
    },
    "weak-long": {
        6: lambda study: shares_of_replay(study, 0.05),
        7: lambda study: [removed_by_replay(study, 0.005)],
        8: lambda study: [half_less_union(study)],
    },
    "weak-seeds": {
        7: lambda study: [removed_by_replay(study, 0.005)],
        8: lambda study: [half_less_union(study)],
    },
    "weak-additive": {8: lambda study: [half_less_union(study)]},
    "strong-seeds": {
        8: lambda study: [half_less_union(study)],
        10: lambda study: [more_than_anew(study)],
    },
    "infinite-seeds": {12: infinite_less_cosine},
}
"""Study, without `paper-mini-`, to the findings that it was made for and what it says of each."""
