"""What a stage reads again: which sources, how much of each was seen, and where reading starts."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from cpt.config import RunConfig
from cpt.mixture import counts
from cpt.parsing import ConfigError
from cpt.stream_config import Source
from sweeps.facts import DatasetFacts
from sweeps.spec import Replay

Seen = Mapping[str, Sequence[int]]
"""Samples that were read of each source of a data set, by the name of the data set."""


def sources(name: str, facts: DatasetFacts, weight: Fraction) -> list[Source]:
    """New data: every source of a data set, with its part of the share."""
    return [
        Source(name=name, part=part or None, corpus=split.corpus, weight=weight * share)
        for (part, split), share in zip(facts.sources.items(), _shares(facts), strict=True)
    ]


def replayed(
    name: str, facts: DatasetFacts, weight: Fraction, replay: Replay, seen: Sequence[int]
) -> list[Source]:
    """Data that an earlier stage read: the same, with what is read of them again.

    Raises:
        ConfigError: Nothing was read of a source.
    """
    found = []
    for source, samples in zip(sources(name, facts, weight), seen, strict=True):
        if not samples:
            raise ConfigError(
                [
                    f"replay: '{source.label}' cannot be replayed, since the stage on it read no "
                    "sample of it; raise its weight or the token_budget of that stage."
                ]
            )
        again = {
            "order": replay.order,
            "offset": math.floor(replay.offset * samples),
            "seen": samples,
        }
        found.append(source.model_copy(update=again))
    return found


def seen_by(run: RunConfig, name: str) -> list[int]:
    """What the stage in which a data set was new read of each of its sources, in samples."""
    return [
        samples
        for source, samples in zip(run.stream, run.source_samples(), strict=True)
        if source.name == name
    ]


def seen_elsewhere(
    facts: DatasetFacts, token_budget: int | None, sequence_length: int
) -> list[int]:
    """What a model that was trained elsewhere is taken to have read of D0's sources, in samples.

    Without a budget each source once, as a whole.
    """
    if token_budget is None:
        return [(split.tokens - 1) // sequence_length for split in facts.sources.values()]
    return counts(token_budget // sequence_length, [_shares(facts)])


def _shares(facts: DatasetFacts) -> list[Fraction]:
    return [facts.weights[part] for part in facts.sources]
