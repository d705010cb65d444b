"""What a state's recorded rows say at the rungs of its stage.

A state that goes on from another, or from its own checkpoint, has passed rungs already: there it
is compared by the rows that exist, so that equal tokens are compared with equal tokens.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from cpt.config import RunConfig
from cpt.files import read_json
from cpt.parsing import parse
from cpt.records import ResultTree
from cpt.rows import current_rows, read_rows

Losses = dict[str, float]
"""Nats per token on the whole of each held-out corpus, by the corpus's id."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a state is compared by, and when.

    Attributes:
        metric: What the compared loss is called.
        corpora: Held-out corpora whose mean loss is compared; by id, since another sweep may have
            called them by other names.
        looks: Pairs of a rung, in tokens, and the step whose evaluation stands for it, ascending.
    """

    metric: str
    corpora: tuple[str, ...]
    looks: tuple[tuple[int, int], ...]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote."""
        content = json.loads(text)
        looks = tuple((rung, step) for rung, step in content["looks"])
        return cls(metric=content["metric"], corpora=tuple(content["corpora"]), looks=looks)

    def to_json(self) -> str:
        """As text, for the configuration of a Tune trial."""
        return json.dumps(asdict(self))

    def rungs_at(self, step: int) -> tuple[int, ...]:
        """The rungs that an evaluation stands for."""
        return tuple(rung for rung, look in self.looks if look == step)

    def value(self, losses: Losses) -> float:
        """The mean of the compared losses."""
        return sum(losses[corpus] for corpus in self.corpora) / len(self.corpora)


def losses(rows: Iterable[Mapping[str, Any]], config: RunConfig) -> Losses:
    """The losses of one evaluation.

    Args:
        rows: With the columns of an EvalRow.
        config: Of the state's `config.json`, whose names the rows use.
    """
    corpora = {held_out.name: held_out.corpus for held_out in config.evaluation.datasets}
    return {
        corpora[row["dataset"]]: row["loss"]
        for row in rows
        if row["domain"] is None and row["dataset"] in corpora
    }


def passed(config: RunConfig, tree: ResultTree, comparison: Comparison) -> dict[int, float]:
    """The value at each rung that a state, its bases included, has a row for."""
    curve = _curve(config, tree)
    return {rung: comparison.value(curve[step]) for rung, step in comparison.looks if step in curve}


def recorded_config(config: RunConfig, tree: ResultTree) -> RunConfig:
    """The configuration of the attempt that wrote a state's rows; the given one before any did."""
    path = tree.state(config.state_id).config
    return parse(RunConfig, read_json(path)) if path.exists() else config


def _curve(config: RunConfig, tree: ResultTree) -> dict[int, Losses]:
    """Losses by step since the start of the stage, those of the bases first."""
    place = tree.state(config.state_id)
    recorded = recorded_config(config, tree)
    # Without a checkpoint of its own a state begins again, from the base that is now wanted.
    base = recorded.base if place.whole_steps() else config.base
    curve: dict[int, Losses] = {}
    first = -1
    if base is not None:
        before = parse(RunConfig, read_json(tree.state(base).config))
        curve, first = _curve(before, tree), before.end_step
    rows: dict[int, list[Mapping[str, Any]]] = {}
    for row in current_rows(
        read_rows(place.eval_rows), key=lambda row: (row["step"], row["dataset"], row["domain"])
    ):
        if row["step"] > first:
            rows.setdefault(row["step"], []).append(row)
    return curve | {step: losses(found, recorded) for step, found in rows.items()}
