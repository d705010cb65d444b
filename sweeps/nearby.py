"""Finished states that a wanted one misses by a single field: what an unnoticed edit costs.

A changed evaluation interval names every state anew, and a plan that only says "18 states to train"
hides why. So a missing state is held against the finished ones of the tree; where all but one field
is the same, that field is told.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cpt.config import RunConfig
from cpt.files import read_json
from cpt.parsing import ConfigError, parse
from cpt.records import ResultTree, StatusWord
from sweeps.plan import Plan

LOOKED_AT = 200
"""Missing states that are compared; where more are missing for one reason, these show it."""


@dataclass(frozen=True, order=True)
class NearMiss:
    """One field that keeps states from being the finished ones.

    Attributes:
        field: Its dotted name in a state's configuration.
        wanted: Its value in this plan, as JSON.
        finished: Its value in the finished states, as JSON.
        states: How many states of the plan miss by it.
    """

    field: str
    wanted: str
    finished: str
    states: int


def near_misses(plan: Plan, missing: Iterable[str], tree: ResultTree) -> list[NearMiss]:
    """The fields that missing states miss finished ones by, most states first.

    Args:
        plan: What is wanted; its own states are what it varies, and are not compared with.
        missing: Ids of its states that do not exist yet.
        tree: Where finished states lie.
    """
    finished: dict[tuple[str, str], str] = {}
    for fields in _finished(plan, tree):
        for name, rest in _all_but_one(fields):
            finished.setdefault((name, rest), fields.get(name, ""))
    wanted = {name: state.config for name, state in plan.states.items()}
    counted: dict[tuple[str, str, str], int] = {}
    for name in list(missing)[:LOOKED_AT]:
        fields = _fields(wanted[name], wanted)
        for field, rest in _all_but_one(fields):
            if (field, rest) in finished and finished[field, rest] != fields.get(field, ""):
                key = field, fields.get(field, ""), finished[field, rest]
                counted[key] = counted.get(key, 0) + 1
    found = [NearMiss(*key, states=count) for key, count in counted.items()]
    return sorted(found, key=lambda miss: (-miss.states, miss))


def _finished(plan: Plan, tree: ResultTree) -> Iterable[dict[str, str]]:
    """The fields of every finished state of the tree that is not in the plan."""
    configs: dict[str, RunConfig] = {}
    for path in sorted((tree.storage / "states").glob("*/config.json")):
        try:
            config = parse(RunConfig, read_json(path))
            status = tree.state(path.parent.name).read_status()
        except (ConfigError, ValueError):
            continue  # damaged; `sweeps.store` tells of it where it is wanted
        if status is not None and status.status is StatusWord.COMPLETE:
            configs[path.parent.name] = config
    return [_fields(config, configs) for name, config in configs.items() if name not in plan.states]


def _fields(config: RunConfig, known: Mapping[str, RunConfig]) -> dict[str, str]:
    """Dotted field to JSON, a parent told by its own fields where it is known.

    A field that a state has in common with its parent stands once: changing it is one change.
    """
    content = config.identity()
    parent = content.pop("parent", None)
    fields = dict(_flat("", content))
    if parent in known:
        for name, value in _fields(known[parent], known).items():
            if fields.get(name) != value:
                fields[f"upstream {name}"] = value
    elif parent is not None:
        fields["parent"] = parent
    return fields


def _flat(prefix: str, content: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", json.dumps(value)


def _all_but_one(fields: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Each field, and all others as one text; also those left out since they have their default."""
    for name in {*fields, *_MAY_BE_LEFT_OUT} - _SWEPT:
        rest = sorted((other, value) for other, value in fields.items() if other != name)
        yield name, json.dumps(rest)


_SWEPT = {"schedule", "stream", "seed"}
"""What sweeps are there to vary: to miss a finished state by one of these is no surprise."""
_MAY_BE_LEFT_OUT = (
    "precision", "document_end", "evaluation.tokens_per_dataset", "optimizer.betas",
    "optimizer.eps", "optimizer.weight_decay", "optimizer.max_grad_norm",
)  # fmt: skip
"""Fields that an identity leaves out at their default, so that one side may lack them."""
