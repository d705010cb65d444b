"""The report's proposals as a sweep file: what the report writes, the program accepts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from analysis.load import load_sweep
from analysis.predicting.next_sweep import next_sweep
from cpt.parsing import parse
from cpt.records import ResultTree
from cpt.yaml_text import load_yaml
from sweeps.facts import DatasetFacts
from sweeps.faults import spec_faults
from sweeps.plan import Plan, make_plan
from sweeps.prepare import write_plan
from sweeps.spec import SweepSpec

PROPOSALS = pd.DataFrame({"peak": [0.012, 3.5e-5], "replay": [0.096, 0.0]})
CENTER = {
    "max_lr": 3e-3,
    "warmup_fraction": 0.01,
    "replay_fraction": "1/4",
    "schedule": {"type": "wsd", "decay_fraction": 0.1},
}


@pytest.fixture
def asked(facts: dict[str, DatasetFacts], tmp_path: Path) -> Callable[..., tuple[Plan, str, str]]:
    """Plans a sweep, asks the report for the next one; the first's plan, the file, and why not."""

    def ask(**changes: Any) -> tuple[Plan, str, str]:
        content: dict[str, Any] = {
            "name": "first",
            "storage": str(tmp_path),
            "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
            "sequence_length": 1,
            "global_batch_size": 100,
            "datasets": {
                name: {"path": "json", "train": name, "validation": "v"} for name in facts
            },
            "upstream": {
                "dataset": "wiki",
                "token_budget": 50_000,
                "schedule": {"type": "cosine", "max_lr": "2e-3"},
            },
            "downstream": {"dataset": "german", "token_budget": 100_000},
            "evaluation": {"final_window_steps": 20},
            "axes": {"max_lr": [1e-3, 3e-3, 9e-3], "seed": [0, 1]},
            "design": "one_at_a_time",
            "center": CENTER,
            "baselines": ["union"],
        } | changes
        spec = parse(SweepSpec, content)
        assert not list(spec_faults(spec))
        plan = make_plan(spec, facts, 257, end_of_text=256)
        write_plan(plan, yaml.safe_dump(content), ResultTree(tmp_path))
        text, why = next_sweep(load_sweep(tmp_path / "sweeps" / "first"), PROPOSALS)
        return plan, text, why

    return ask


def planned(text: str, facts: dict[str, DatasetFacts]) -> Plan:
    """What `rewarm plan` makes of a file."""
    spec = parse(SweepSpec, load_yaml(text, "next.yaml"))
    assert not list(spec_faults(spec))
    return make_plan(spec, facts, 257, end_of_text=256)


def upstream(plan: Plan) -> set[str]:
    return {trial.states[0] for trial in plan.trials if trial.baseline is None}


DESIGNS: list[dict[str, Any]] = [
    {},
    {"design": "grid", "axes": {"max_lr": [1e-3], "replay_fraction": [0, "1/4"], "seed": [0, 1]}},
    {
        "design": "random",
        "points": 3,
        "design_seed": 4,
        "axes": {"max_lr": {"low": 1e-3, "high": 1e-2}, "schedule": ["cosine"], "seed": [0, 1]},
    },
    {"design": "list", "axes": {"seed": [0, 1]}, "trials": [{"max_lr": 1e-3}, {"name": "b"}]},
    {
        "axes": {"seed": [0, 1]},
        "downstream": [
            {
                "dataset": "german",
                "token_budget": 100_000,
                "axes": {"max_lr": [1e-3, 2e-3]},
                "center": {"max_lr": 2e-3},
            }
        ],
    },
    {"downstream": {"dataset": "german", "token_budget": 100_000, "budgets": [100_000, 200_000]}},
]


@pytest.mark.parametrize("changes", DESIGNS)
def test_the_file_trains_the_proposals_on_the_same_pretraining(
    asked: Callable[..., tuple[Plan, str, str]],
    facts: dict[str, DatasetFacts],
    changes: dict[str, Any],
) -> None:
    first, text, why = asked(**changes)
    following = planned(text, facts)
    factors = [trial.factors for trial in following.trials]

    assert why == ""
    assert following.spec.name == "first-next"
    assert [one["max_lr"] for one in factors] == [0.012, 0.012, 3.5e-5, 3.5e-5]
    assert [one["replay_fraction"] for one in factors] == [0.096, 0.096, 0, 0]
    assert [one["seed"] for one in factors] == [0, 1, 0, 1]
    assert upstream(following) == upstream(first)
    held = {trial.factors["schedule"] for trial in first.trials if trial.baseline is None}
    assert {one["schedule"] for one in factors} == held
    lengths = {following.states[trial.states[-1]].config.total_steps for trial in following.trials}
    assert lengths == {1000}


def test_a_name_that_is_taken_gets_a_number(
    asked: Callable[..., tuple[Plan, str, str]], tmp_path: Path
) -> None:
    (tmp_path / "sweeps" / "first-next").mkdir(parents=True)

    assert load_yaml(asked()[1], "next.yaml")["name"] == "first-next-2"


def test_without_the_submitted_file_there_is_none(
    asked: Callable[..., tuple[Plan, str, str]], tmp_path: Path
) -> None:
    asked()
    (tmp_path / "sweeps" / "first" / "sweep.yaml").unlink()
    text, why = next_sweep(load_sweep(tmp_path / "sweeps" / "first"), PROPOSALS)

    assert (text, why) == ("", "the sweep file as submitted (sweep.yaml) is missing")


def test_several_stages_have_no_proposals(asked: Callable[..., tuple[Plan, str, str]]) -> None:
    stages = [{"dataset": name, "token_budget": 100_000} for name in ("german", "code")]
    _, text, why = asked(downstream=stages)

    assert text == ""
    assert why == "the sweep has 2 stages, and proposals are for one"


def test_a_damaged_file_is_named(
    asked: Callable[..., tuple[Plan, str, str]], tmp_path: Path
) -> None:
    asked()
    (tmp_path / "sweeps" / "first" / "sweep.yaml").write_text("downstream: [")
    text, why = next_sweep(load_sweep(tmp_path / "sweeps" / "first"), PROPOSALS)

    assert text == ""
    assert why.startswith("the sweep file cannot be read: ")
