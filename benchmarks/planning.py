"""What planning saves, and how long it takes.

    python benchmarks/planning.py

Prints, as the tables of docs/performance.md: training tokens three ways for every sweep file of
`specs/`, and the seconds to plan a sweep of ten thousand trials, part by part. Reads no data: sizes
are those that the files declare, and ten million tokens for the corpora that every machine has.
Imports neither torch nor Ray.
"""

import io
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from cpt.dataset_config import DatasetConfig
from cpt.parsing import parse
from sweeps.cost import Costs, costs, given_tariff
from sweeps.declared import declared_facts
from sweeps.plan import Plan, make_plan
from sweeps.plan_json import plan_json
from sweeps.plan_view import plan_page
from sweeps.spec import SweepSpec
from sweeps.sweep_file import load
from sweeps.words import quantity

ROOT = Path(__file__).parents[1]
LOCAL_TOKENS = 10_000_000
BYTES = 257
"""Vocabulary of the byte tokenizer."""
RUNS = 5
LARGE: dict[str, Any] = {
    "name": "large",
    "model": "gpt-1m",
    "sequence_length": 128,
    "global_batch_size": 16,
    "datasets": {
        name: {"path": "json", "train": name, "validation": f"{name}-valid", "tokens": 10**9}
        for name in ("old", "new")
    },
    "upstream": {
        "dataset": "old",
        "token_budget": 10_240_000,
        "schedule": {"type": "cosine", "max_lr": 3e-3},
    },
    "downstream": {"dataset": "new", "token_budget": 5_120_000},
    "axes": {
        "max_lr": [float(f"{0.001 * 1.2**number:.3g}") for number in range(10)],
        "warmup_fraction": [0, 0.01, 0.02, 0.05],
        "replay_fraction": [f"{number}/100" for number in range(25)],
        "schedule": ["cosine", "constant", "infinite_cosine", "infinite_inverse_sqrt", "wsd"],
        "seed": [0, 1],
    },
    "design": "grid",
}


def planned(spec: SweepSpec) -> Plan:
    """A plan from declared sizes."""
    datasets = {
        name: dataset.model_copy(update={"tokens": dataset.tokens or LOCAL_TOKENS})
        if isinstance(dataset, DatasetConfig)
        else dataset
        for name, dataset in spec.datasets.items()
    }
    spec = spec.model_copy(update={"datasets": datasets})
    return make_plan(spec, declared_facts(spec), spec.model.vocab_size or BYTES)


def savings() -> Iterator[str]:
    """A row of tokens for each sweep file."""
    yield (
        "| sweep file | trials | states | every trial alone | pre-trained once per seed "
        "| as planned | of once per seed | after pre-training |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for path in sorted((ROOT / "specs").glob("*.yaml")):
        plan = planned(load(path)[0])
        found = costs(plan, given_tariff(plan.spec))
        tokens = [
            quantity(way.training_tokens)
            for way in (found.alone, found.pretrained_once, found.planned)
        ]
        yield (
            f"| `{path.name}` | {len(plan.trials)} | {len(plan.states)} | {' | '.join(tokens)} | "
            f"{_share(found, 'training_tokens')} | {_share(found, 'tokens_after_pretraining')} |"
        )


def _share(found: Costs, field: str) -> str:
    share = getattr(found.planned, field) / getattr(found.pretrained_once, field)
    return f"{share:.1%}"


def seconds() -> Iterator[str]:
    """A row for each part of planning many trials: the median and the range of some runs."""
    spec = parse(SweepSpec, LARGE)
    parts: dict[str, list[float]] = {}
    size = ""
    for _ in range(RUNS):
        plan = _timed(parts, "`make_plan`", planned, spec)
        found = _timed(parts, "costs", costs, plan, given_tariff(spec))
        _timed(parts, "the page", _drawn, plan, found)
        _timed(parts, "JSON, as `plan.json`", _written, plan, found)
        size = f"{len(plan.trials):,} trials, {len(plan.states):,} states"
    yield f"| {size} | median s | least | most |"
    yield "|---|---|---|---|"
    rows = parts | {"in all": [sum(run) for run in zip(*parts.values(), strict=True)]}
    for name, taken in rows.items():
        yield f"| {name} | {statistics.median(taken):.2f} | {min(taken):.2f} | {max(taken):.2f} |"


def _timed(
    parts: dict[str, list[float]], name: str, work: Callable[..., Any], *arguments: Any
) -> Any:
    began = time.perf_counter()
    result = work(*arguments)
    parts.setdefault(name, []).append(time.perf_counter() - began)
    return result


def _drawn(plan: Plan, found: Costs) -> None:
    Console(width=100, file=io.StringIO()).print(plan_page(plan, found, 100))


def _written(plan: Plan, found: Costs) -> str:
    return json.dumps(plan_json(plan, found))


def main() -> None:
    """Prints both tables."""
    for row in savings():
        print(row)
    print(flush=True)
    for row in seconds():
        print(row)
    heavy = sorted({"torch", "ray"} & set(sys.modules))
    print(f"\nimported of torch and ray: {', '.join(heavy) or 'neither'}")


if __name__ == "__main__":
    main()
