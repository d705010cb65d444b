"""The findings of arXiv 2403.08763, each tested on a sweep.

Every claim has effects, each with an interval, and a verdict that follows from where those lie
(`deciding.verdicts`). The intervals of one claim hold at once, at 95%; those of several claims do
not, so the number of all comparisons is told beside them. No effect of a single seed has an
interval, and none of its claims a verdict but undecided.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.deciding.contrasts import Contrasts
from analysis.deciding.decision import margin
from analysis.deciding.dip_claims import dip_on_unchanged_data
from analysis.deciding.evidence import Evidence
from analysis.deciding.noise import Noise
from analysis.deciding.rate_claims import (
    higher_peaks,
    infinite_schedules,
    redecaying,
    rewarming,
    warmup_length,
)
from analysis.deciding.replay_claims import (
    replay_reaches_union,
    replay_removes_forgetting,
    small_replay_does_most,
)
from analysis.deciding.verdicts import Claim
from analysis.load import Sweep

FINDINGS = (
    rewarming,
    redecaying,
    warmup_length,
    higher_peaks,
    replay_removes_forgetting,
    small_replay_does_most,
    replay_reaches_union,
    infinite_schedules,
    dip_on_unchanged_data,
)
"""A function a finding, in the order in which they are told."""


def paper_claims(
    sweep: Sweep, trials: pd.DataFrame, settings: pd.DataFrame, center: Mapping[str, Any]
) -> list[Claim]:
    """Every finding with its effects, intervals and verdict.

    Args:
        sweep: For what was planned.
        trials: As `measures.trial_table` returns them.
        settings: As `settings.settings_table` returns them.
        center: As `settings.anchor` returns it.
    """
    continued = settings.index[~settings["from_scratch"]]
    contrasts = Contrasts(Noise(sweep, trials), list(continued))
    evidence = Evidence(sweep, trials, center, contrasts, margin(settings))
    return [test(evidence) for test in FINDINGS]


def comparisons(claims: Sequence[Claim]) -> int:
    """How many intervals were looked at, in all claims together."""
    return sum(claim.comparisons for claim in claims)
