"""A sweep small enough to be run in a test, and `rewarm` as a person starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cpt.parsing import ConfigError, parse
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.faults import spec_faults
from sweeps.plan import Plan, make_plan
from sweeps.spec import SweepSpec

REPOSITORY = Path(__file__).parents[2]


def write_texts(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


@pytest.fixture
def content() -> dict[str, Any]:
    """A sweep of one trial, eight steps and six; fields may be changed before it is written."""
    return {
        "name": "tiny",
        "storage": "results",
        "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
        "sequence_length": 16,
        "global_batch_size": 4,
        "datasets": {
            "old": {"path": "json", "train": "old.jsonl", "validation": "old_v.jsonl"},
            "new": {"path": "json", "train": "new.jsonl", "validation": "new_v.jsonl"},
        },
        "upstream": {
            "dataset": "old",
            "token_budget": 512,
            "schedule": {"type": "cosine", "max_lr": 0.01},
        },
        "downstream": {"dataset": "new", "token_budget": 384},
        "evaluation": {
            "interval_steps": 4,
            "final_window_steps": 2,
            "final_window_interval_steps": 1,
            "tokens_per_dataset": 64,
        },
        "design": "one_at_a_time",
        "center": {
            "max_lr": 0.01,
            "warmup_fraction": 0.2,
            "replay_fraction": 0.25,
            "schedule": "cosine",
        },
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The working directory: the data of the sweep, 1,600 tokens each and 160 held out."""
    for name, word in (("old", "the mouse"), ("new", "def mouse")):
        write_texts(tmp_path / f"{name}.jsonl", [f"{word} {n:02d}:{'.' * 26}" for n in range(40)])
        write_texts(tmp_path / f"{name}_v.jsonl", [f"{word} {n}:{'.' * 27}" for n in range(4)])
    return tmp_path


@pytest.fixture
def environment() -> dict[str, str]:
    """What `rewarm` needs to run from this checkout in any folder."""
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}


Rewarm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def rewarm(folder: Path, environment: dict[str, str]) -> Rewarm:
    """Runs `python -m sweeps` in `folder` to its end."""

    def run(*arguments: str, python: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *python, "-m", "sweeps", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def sweep(folder: Path, content: dict[str, Any]) -> Callable[..., str]:
    """Writes the sweep with fields replaced; returns its file's name."""

    def write(**changes: Any) -> str:
        (folder / "sweep.yaml").write_text(yaml.safe_dump(content | changes))
        return "sweep.yaml"

    return write


@pytest.fixture
def facts() -> dict[str, DatasetFacts]:
    """Three data sets that are long enough for anything."""

    def split(corpus: str) -> SplitFacts:
        return SplitFacts(corpus=corpus, documents=10, tokens=10**9, bytes=10**9, domain_tokens={})

    return {
        name: DatasetFacts(sources={"": split(f"{name}-train")}, validation=split(f"{name}-valid"))
        for name in ("wiki", "german", "code")
    }


@pytest.fixture
def plan_of(facts: dict[str, DatasetFacts]) -> Callable[..., Plan]:
    """Plans a sweep of 500 + 1,000 steps of 100 tokens, with fields replaced."""
    content: dict[str, Any] = {
        "name": "planned",
        "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
        "sequence_length": 1,
        "global_batch_size": 100,
        "datasets": {name: {"path": "json", "train": name, "validation": "v"} for name in facts},
        "upstream": {
            "dataset": "wiki",
            "token_budget": 50_000,
            "schedule": {"type": "cosine", "max_lr": 2e-3},
        },
        "downstream": {"dataset": "german", "token_budget": 100_000},
        "evaluation": {"final_window_steps": 20},
        "design": "one_at_a_time",
        "center": {
            "max_lr": 3e-3,
            "warmup_fraction": 0.01,
            "replay_fraction": 0.25,
            "schedule": "cosine",
        },
    }

    def plan(**changes: Any) -> Plan:
        spec = parse(SweepSpec, content | changes)
        if faults := list(spec_faults(spec)):
            raise ConfigError(faults)
        return make_plan(spec, facts, 257, end_of_text=256)

    return plan
