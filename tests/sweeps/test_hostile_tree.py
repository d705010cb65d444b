"""A result tree that someone else wrote: its plan cannot lead out of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cpt.files import write_json
from cpt.records import ResultTree, Status, StatusWord
from sweeps.prepare import prepare, write_plan
from sweeps.store import tree_of
from sweeps.sweep_file import load

REFUSED = 2
OUTSIDE = "../../outside"


@pytest.fixture
def started(sweep, folder, monkeypatch) -> Path:
    """The folder of a sweep whose plan is on disk; beside the tree lies what looks like a state."""
    monkeypatch.chdir(folder)
    spec, submitted = load(folder / sweep())
    tree = tree_of(spec)
    write_plan(prepare(spec, tree, lambda _: None), submitted, tree)
    outside = ResultTree(folder).state("outside")
    write_json(outside.config, {})
    outside.write_status(Status(status=StatusWord.COMPLETE, step=8))
    outside.path.rename(folder / "outside")
    return tree.sweep("tiny").path


def edited(sweep_dir: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Writes the plan anew, without its seal, as a person or another program would."""
    plan = json.loads((sweep_dir / "plan.json").read_text())
    plan.pop("seal", None)
    change(plan)
    (sweep_dir / "plan.json").write_text(json.dumps(plan))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def in_states(plan: dict[str, Any]) -> None:
    plan["states"][0]["state"] = OUTSIDE


def in_trials(plan: dict[str, Any]) -> None:
    plan["trials"][0]["states"][-1] = OUTSIDE


@pytest.mark.parametrize(
    ("command", "change"),
    [
        (("status",), in_states),
        (("status",), in_trials),
        (("report",), in_states),
        (("evaluate", "--tasks", "arc_easy"), in_trials),
    ],
)
def test_a_plan_that_names_a_state_outside_is_refused(rewarm, folder, started, command, change):
    edited(started, change)
    before = files(folder)
    refused = rewarm(command[0], str(started), *command[1:])
    assert (refused.returncode, refused.stdout) == (REFUSED, "")
    assert refused.stderr == (
        f"refused: {started}/plan.json is no plan: got '{OUTSIDE}'; must be the name of a folder, "
        "not a path to another place; rewarm run SPEC writes it anew.\n"
    )
    assert files(folder) == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/etc", "a\\b", "a\0b"])
def test_no_id_is_a_path(tmp_path, name):
    tree = ResultTree(tmp_path)
    for place in (tree.state, tree.sweep, tree.tokens, tree.tokenizer, tree.weights):
        with pytest.raises(ValueError, match="must be the name of a folder"):
            place(name)


@pytest.mark.parametrize("text", ["{", "[]", '{"states": [3]}'])
def test_a_plan_that_is_none_is_refused_in_a_sentence(rewarm, started, text):
    (started / "plan.json").write_text(text)
    refused = rewarm("status", str(started))
    assert refused.returncode == REFUSED
    assert refused.stderr.startswith(f"refused: {started}/plan.json")
    assert "Traceback" not in refused.stderr
