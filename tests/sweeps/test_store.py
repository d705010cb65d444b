"""What lies in the result tree: shared beginnings once, damage named and never trusted."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cpt.config import RunConfig
from cpt.files import read_json, set_aside, write_json
from cpt.mirror import Mirror
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import current_rows, read_rows
from cpt.train import train
from sweeps.agenda import Agenda, agenda
from sweeps.plan import Plan
from sweeps.prepare import prepare
from sweeps.store import find, mend
from sweeps.sweep_file import load

CLOCK = ("tokens_per_second", "mfu", "elapsed_seconds")
WSD = {"max_lr": 0.01, "warmup_fraction": 0.2, "replay_fraction": 0.25, "schedule": "wsd"}
THREE = {"dataset": "new", "token_budget": 512, "budgets": [512, 768, 1024]}
"""Eight, twelve and sixteen steps."""


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums are the same bits only where they are cut alike."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def planned(folder: Path, sweep: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    """Plans a sweep in `folder`, with fields replaced."""
    monkeypatch.chdir(folder)

    def plan(**changes: Any) -> Plan:
        spec, _ = load(folder / sweep(**changes))
        return prepare(spec, ResultTree(folder / "results"), lambda _: None)

    return plan


@pytest.fixture
def tree(folder: Path) -> ResultTree:
    return ResultTree(folder / "results")


def run(plan: Plan, tree: ResultTree) -> Agenda:
    """Does what Ray would, one state after the other; returns what there was to do."""
    made = agenda(plan, find(plan, tree))
    for task in made.todo:
        train(task.run, tree)
    return made


def labels(made: Agenda) -> list[str]:
    return [task.state.config.label for task in made.todo]


def rows(tree: ResultTree, config: RunConfig) -> dict[str, list[Any]]:
    """The rows of a whole stage, without what a clock wrote."""
    state = tree.state(config.state_id)
    base = read_json(state.config)["base"]
    before = {"train": [], "eval": []} if base is None else rows(tree, recorded(tree, base))
    own = {
        "train": current_rows(read_rows(state.train_rows), lambda row: row["step"]),
        "eval": current_rows(
            read_rows(state.eval_rows), lambda row: (row["step"], row["dataset"], row["domain"])
        ),
    }
    return {
        kind: before[kind]
        + [{name: value for name, value in row.items() if name not in CLOCK} for row in own[kind]]
        for kind in own
    }


def recorded(tree: ResultTree, name: str) -> RunConfig:
    return RunConfig.model_validate(read_json(tree.state(name).config))


# Sharing.


def test_a_trial_through_shared_states_has_the_rows_of_the_trial_alone(
    planned: Callable[..., Plan], tree: ResultTree, folder: Path
) -> None:
    plan = planned(downstream=THREE, center=WSD, shortest_shared_steps=1)
    assert len(plan.states) == 1 + 3 + 3
    run(plan, tree)
    alone = ResultTree(folder / "alone")
    alone.storage.mkdir()
    (alone.storage / "tokens").symlink_to(tree.storage / "tokens")
    for trial in plan.trials:
        for name in trial.stage_ends:
            config = plan.states[name].config.model_copy(update={"base": None})
            train(config, alone)
            shared, whole = rows(tree, config), rows(alone, config)
            assert shared == whole
            assert [row["step"] for row in shared["train"]] == list(range(1, config.end_step + 1))
    trained = sum(len(read_rows(tree.state(name).train_rows)) for name in plan.states)
    assert trained == plan.tokens()["planned"] // 64


def test_what_is_finished_is_not_trained_again(
    planned: Callable[..., Plan], tree: ResultTree
) -> None:
    two = THREE | {"budgets": [512, 768]}
    run(planned(downstream=two, center=WSD), tree)
    longer = planned(downstream=THREE, center=WSD)
    assert labels(agenda(longer, find(longer, tree))) == [
        "token_budget=1024, to step 13", "token_budget=1024",
    ]  # fmt: skip
    made = run(longer, tree)
    assert [task.tokens for task in made.todo] == [64 * 3, 64 * 3]
    assert run(longer, tree).todo == ()


def test_a_cut_is_passed_over_where_one_trial_is_left_to_use_it(
    planned: Callable[..., Plan], tree: ResultTree
) -> None:
    run(planned(center=WSD), tree)
    plan = planned(center=WSD, axes={"schedule": ["constant"]}, shortest_shared_steps=1)
    assert [state.is_wanted for state in plan.states.values()] == [True, False, True, True]
    made = run(plan, tree)
    assert (labels(made), made.passed_over) == (["schedule=constant"], 1)
    assert made.todo[0].run.base is None
    assert agenda(plan, find(plan, tree)).todo == ()


def test_an_interrupted_trial_does_not_wait_for_a_cut(
    planned: Callable[..., Plan], tree: ResultTree
) -> None:
    alone = planned(center=WSD, checkpoint_interval_steps=2)
    run(alone, tree)
    last = tree.state(alone.trials[0].states[-1])
    last.checkpoint_marker(6).unlink()
    last.write_status(Status(status=StatusWord.RUNNING, step=4))
    axes = {"schedule": ["constant", {"type": "wsd", "decay_fraction": 0.3}]}
    plan = planned(center=WSD, axes=axes, shortest_shared_steps=1)
    made = agenda(plan, find(plan, tree))
    waits = {task.state.config.label: task.after is not None for task in made.todo}
    assert waits["center"] is False
    assert waits["schedule=constant"] is True


# Damage.


def cut_short(state: StateDir) -> None:
    state.config.write_text(state.config.read_text()[:-20])


def of_another(state: StateDir) -> None:
    write_json(state.config, read_json(state.config) | {"seed": 7})


def no_marker(state: StateDir) -> None:
    state.checkpoint_marker(6).unlink()


def marker_cut_short(state: StateDir) -> None:
    state.checkpoint_marker(6).write_text("{")


def no_config(state: StateDir) -> None:
    state.config.unlink()


def status_cut_short(state: StateDir) -> None:
    state.status.write_text('{"status": "comp')


def unknown_status(state: StateDir) -> None:
    state.status.write_text('{"status": "done", "step": 6, "reason": ""}')


def too_early(state: StateDir) -> None:
    state.write_status(Status(status=StatusWord.COMPLETE, step=5))


def no_rows(state: StateDir) -> None:
    state.eval_rows.unlink()


def shard_cut_short(state: StateDir) -> None:
    (shard,) = state.checkpoint(6).glob("*.distcp")
    shard.write_bytes(shard.read_bytes()[:100])


def checkpoint_of_another(state: StateDir) -> None:
    (other,) = (path for path in state.path.parent.iterdir() if path.name.startswith("steps8-"))
    shutil.rmtree(state.checkpoint(6))
    shutil.copytree(StateDir(other).checkpoint(8), state.checkpoint(6))


def label_changed(state: StateDir) -> None:
    state.config.write_text(state.config.read_text().replace("center", "centre"))


def rows_cut_short(state: StateDir) -> None:
    state.train_rows.write_bytes(state.train_rows.read_bytes()[:-9])


def digit_flipped(state: StateDir) -> None:
    text = state.train_rows.read_text()
    state.train_rows.write_text(text.replace('"step": 2', '"step": 1'))


DAMAGED_FOLDERS = {
    cut_short: "config.json is not complete JSON",
    of_another: "config.json is that of steps6-seed7-",
    label_changed: "config.json is not as it was written: its seal is broken",
    no_config: "config.json is missing",
}
FAULTS = {
    no_marker: "step_00000006/complete.json is missing",
    marker_cut_short: "complete.json is not complete JSON",
    status_cut_short: "status.json is not complete JSON",
    unknown_status: "status.json is no status ('done' is not a valid StatusWord)",
    too_early: "status.json says complete at step 5, not 6",
    no_rows: "eval.jsonl has 0 bytes, fewer than the",
    rows_cut_short: "train.jsonl has",
    digit_flipped: "train.jsonl has other bytes than were written",
    shard_cut_short: "has 100 bytes, not the",
    checkpoint_of_another: "step_00000006 is the checkpoint of steps8-seed0-",
}


@pytest.mark.parametrize("damage", DAMAGED_FOLDERS, ids=lambda damage: damage.__name__)
def test_a_damaged_folder_is_named_set_aside_and_trained_again(
    planned: Callable[..., Plan], tree: ResultTree, damage: Callable[[StateDir], None]
) -> None:
    plan = planned()
    run(plan, tree)
    name = plan.trials[0].states[-1]
    before = rows(tree, plan.states[name].config)
    damage(tree.state(name))
    found = find(plan, tree)
    assert DAMAGED_FOLDERS[damage] in (found[name].damage or "")
    assert [one.damage for other, one in found.items() if other != name] == [None]
    files = sorted(path.name for path in tree.state(name).path.rglob("*"))
    aside = set_aside(tree.state(name).path)
    assert aside.name == f"{name}.damaged-1"
    assert sorted(path.name for path in aside.rglob("*")) == files
    assert labels(run(plan, tree)) == ["center"]
    assert rows(tree, plan.states[name].config) == before


@pytest.mark.parametrize("damage", FAULTS, ids=lambda damage: damage.__name__)
def test_what_is_damaged_is_named_and_what_is_whole_is_trained_on(
    planned: Callable[..., Plan], tree: ResultTree, damage: Callable[[StateDir], None]
) -> None:
    plan = planned(checkpoint_interval_steps=2)
    run(plan, tree)
    name = plan.trials[0].states[-1]
    state, before = tree.state(name), rows(tree, plan.states[name].config)
    damage(state)
    found = find(plan, tree)
    (fault,) = found[name].faults
    assert FAULTS[damage] in fault
    assert [one.faults for other, one in found.items() if other != name] == [()]
    assert (found[name].damage, found[name].is_(StatusWord.COMPLETE)) == (None, False)
    mend(state, found[name], Mirror.of(tree))
    assert labels(run(plan, tree)) == ["center"]
    assert rows(tree, plan.states[name].config) == before
    assert find(plan, tree)[name].is_(StatusWord.COMPLETE)
    if damage not in (too_early, no_rows):
        assert list(state.path.rglob("*.damaged-1")), "what was damaged is kept"


def test_a_second_damaged_folder_does_not_hide_the_first(tree: ResultTree) -> None:
    for number in (1, 2):
        state = tree.state("steps1-seed0-abc")
        state.path.mkdir(parents=True)
        assert set_aside(state.path).name == f"steps1-seed0-abc.damaged-{number}"


def test_what_a_kill_leaves_behind_is_no_damage(
    planned: Callable[..., Plan], tree: ResultTree
) -> None:
    plan = planned(checkpoint_interval_steps=2)
    run(plan, tree)
    state = tree.state(plan.trials[0].states[-1])
    state.checkpoint_marker(6).unlink()
    state.write_status(Status(status=StatusWord.RUNNING, step=4))
    found = find(plan, tree)[state.path.name]
    assert (found.damage, found.has_checkpoint) == (None, True)
    shutil.rmtree(state.checkpoints)
    state.status.unlink()
    assert find(plan, tree)[state.path.name].damage is None
