"""A damaged file is found, said and set aside, and the finished state is the undisturbed one."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cpt import checkpoint, recovery
from cpt.checkpoint import DamagedCheckpointError
from cpt.checkpoint_marker import ROW_FILES
from cpt.config import RunConfig
from cpt.files import read_json
from cpt.model import GPT
from cpt.parallel import Workers
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import current_rows, read_rows
from cpt.train import train
from tests.cpt.damage import OF_A_FILE, OF_ROWS, Damage, digit, flip

pytestmark = pytest.mark.usefixtures("one_thread")

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))
CLOCK = ("tokens_per_second", "mfu", "elapsed_seconds")
KEYS = {
    "train.jsonl": ("step",),
    "eval.jsonl": ("step", "dataset", "domain"),
    "data.jsonl": ("step", "source", "domain"),
}
ROUNDS = [
    pytest.param(number, marks=[pytest.mark.long] if number > 1 else []) for number in range(5)
]
"""Two of each kind by default, ten by hand: each round damages two checkpoints' worth of files."""


def numbers(state: StateDir) -> dict[str, list[Any]]:
    """All rows that count, without what a clock wrote."""
    return {name: _counting(state.path / name, key) for name, key in KEYS.items()}


def _counting(path: Path, key: tuple[str, ...]) -> list[Any]:
    rows = current_rows(read_rows(path), lambda row: tuple(row[column] for column in key))
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


def weights(state: StateDir, config: RunConfig) -> dict[str, torch.Tensor]:
    model = GPT(config.model)
    checkpoint.load_weights(state, model, ALONE)
    return model.state_dict()


@pytest.fixture(scope="module")
def straight(shared_world) -> Iterator[tuple[RunConfig, StateDir]]:
    """A state that was never disturbed, with all four of its checkpoints."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    tree = shared_world.beside("straight")
    config = shared_world.config(keep_checkpoints=9)
    train(config, tree)
    yield config, tree.state(config.state_id)
    torch.set_num_threads(before)


class Copy:
    """A copy of the undisturbed state, to be damaged and trained on."""

    def __init__(self, tree: ResultTree, straight: tuple[RunConfig, StateDir]) -> None:
        self.tree, (self.config, self.original) = tree, straight
        self.state = tree.state(self.config.state_id)
        shutil.copytree(self.original.path, self.state.path)
        self.said = ""

    def interrupt(self, step: int) -> None:
        """As a kill some updates after this checkpoint leaves it."""
        for later in self.state.marked_steps():
            if later > step:
                shutil.rmtree(self.state.checkpoint(later))
        self.state.write_status(Status(status=StatusWord.RUNNING, step=step))

    def go_on(self) -> None:
        """Trains on; keeps what the status says meanwhile."""

        def listen(rows: object) -> None:
            status = self.state.read_status()
            assert status is not None
            self.said = status.reason

        train(self.config, self.tree, listen)

    def is_as_it_was(self) -> bool:
        one, two = weights(self.state, self.config), weights(self.original, self.config)
        return numbers(self.state) == numbers(self.original) and all(
            torch.equal(one[name], two[name]) for name in two
        )

    @property
    def aside(self) -> list[str]:
        return sorted(path.name for path in self.state.path.rglob("*.damaged-*"))


@pytest.fixture
def copy(tiny, straight) -> Copy:
    return Copy(tiny.tree, straight)


def part(state: StateDir, step: int, kind: str) -> Path:
    names = {"shard": "__0_0.distcp", "metadata": ".metadata", "marker": "complete.json"}
    return state.checkpoint(step) / names[kind]


@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize("kind", ["shard", "metadata", "marker"])
def test_of_a_damaged_checkpoint_the_one_before_is_used(copy, kind, round_) -> None:
    chance = random.Random(f"{kind} {round_}")
    copy.interrupt(9)
    # A marker that is gone cannot be told from one that was never written.
    damage = flip if kind == "marker" and OF_A_FILE[round_].__name__ == "delete" else None
    (damage or OF_A_FILE[round_])(part(copy.state, 9, kind), chance)
    copy.go_on()
    assert "step_00000009 was damaged (" in copy.said
    assert copy.said.endswith("set aside as step_00000009.damaged-1; went on from step 6")
    assert copy.aside == ["step_00000009.damaged-1"]
    assert copy.is_as_it_was()
    status = copy.state.read_status()
    assert status == Status(status=StatusWord.COMPLETE, step=12)


@pytest.mark.parametrize("round_", ROUNDS)
@pytest.mark.parametrize("name", ROW_FILES)
def test_of_damaged_rows_the_newest_checkpoint_with_whole_ones_is_used(copy, name, round_) -> None:
    chance = random.Random(f"{name} {round_}")
    copy.interrupt(9)
    whole = copy.state.read_marker(9).rows[name].bytes
    path = copy.state.path / name
    path.write_bytes(path.read_bytes()[:whole])
    OF_ROWS[round_](path, chance)
    copy.go_on()
    assert name in copy.said
    assert f"step_00000009 was damaged ({path} " in copy.said
    assert copy.is_as_it_was()


def test_rows_behind_the_checkpoint_that_go_back_in_time_are_cut_off(copy) -> None:
    copy.interrupt(9)
    text = copy.state.train_rows.read_text()
    copy.state.train_rows.write_text(text.replace('"step": 11,', '"step": 1,'))
    copy.go_on()
    assert copy.said.startswith("train.jsonl was damaged: set aside as train.jsonl.damaged-1")
    assert copy.said.endswith("; went on from step 9")
    assert copy.is_as_it_was()


@pytest.mark.parametrize("round_", ROUNDS)
def test_a_damaged_status_costs_nothing_but_itself(copy, round_) -> None:
    OF_A_FILE[round_](copy.state.status, random.Random(round_))
    copy.go_on()
    if OF_A_FILE[round_].__name__ != "delete":
        assert copy.aside == ["status.json.damaged-1"]
    assert copy.is_as_it_was()
    assert copy.state.read_status() == Status(status=StatusWord.COMPLETE, step=12)


def test_any_flipped_bit_of_a_sealed_file_is_seen(copy) -> None:
    """Of the configuration, the status and a marker: 200 bits of each."""
    chance = random.Random(0)
    for path in (copy.state.config, copy.state.status, copy.state.checkpoint_marker(12)):
        content, whole = path.read_bytes(), read_json(path)
        for _ in range(200):
            flip(path, chance)
            try:
                found = read_json(path)
            except ValueError:
                continue
            finally:
                path.write_bytes(content)
            # The name of the seal itself: nothing that it is the seal of has changed.
            assert {name: found[name] for name in whole} == whole


def test_where_no_checkpoint_is_left_the_state_begins_again(copy) -> None:
    copy.interrupt(6)
    for step in (3, 6):
        flip(part(copy.state, step, "shard"), random.Random(step))
    copy.go_on()
    assert copy.said.endswith("set aside as step_00000003.damaged-1; began again")
    assert copy.aside == ["step_00000003.damaged-1", "step_00000006.damaged-1"]
    assert copy.is_as_it_was()


def test_a_second_damage_at_a_step_does_not_hide_the_first(copy) -> None:
    for number in (1, 2):
        copy.interrupt(9)
        flip(part(copy.state, 9, "shard"), random.Random(number))
        copy.go_on()
        assert f"step_00000009.damaged-{number}" in copy.aside
    assert copy.is_as_it_was()


def test_a_complete_state_without_its_last_checkpoint_is_trained_from_the_one_before(copy) -> None:
    copy.state.checkpoint_marker(12).unlink()
    assert not recovery.is_complete(copy.state, 12)
    written = len(read_rows(copy.state.train_rows))
    copy.go_on()
    assert len(read_rows(copy.state.train_rows)) == written + 3
    assert "complete.json is missing): set aside as step_00000012.damaged-1" in copy.said
    assert copy.is_as_it_was()


def test_a_complete_state_with_a_flipped_digit_in_its_rows_is_trained_again(copy) -> None:
    digit(copy.state.eval_rows, random.Random(3))
    assert not recovery.is_complete(copy.state, 12)
    copy.go_on()
    assert "eval.jsonl has other bytes than were written" in copy.said
    assert "eval.jsonl.damaged-1" in copy.aside
    assert copy.is_as_it_was()


@pytest.mark.parametrize("damage", [flip, *OF_A_FILE[1:2]], ids=["flipped", "cut short"])
def test_a_child_sets_its_parents_damaged_checkpoint_aside(tiny, copy, damage: Damage) -> None:
    damage(part(copy.state, 12, "shard"), random.Random(0))
    child = tiny.config(parent=copy.config.state_id, stream=[tiny.source("new")])
    with pytest.raises(DamagedCheckpointError, match="damaged-1") as raised:
        train(child, tiny.tree)
    assert (raised.value.state_id, raised.value.step) == (copy.config.state_id, 12)
    assert copy.aside == ["step_00000012.damaged-1"]
    copy.go_on()
    assert copy.is_as_it_was()
    train(child, tiny.tree)
    assert recovery.is_complete(tiny.tree.state(child.state_id), 12)


def test_a_state_sets_its_bases_damaged_checkpoint_aside(tiny) -> None:
    whole = tiny.config(schedule={"type": "constant", "max_lr": 0.01})
    cut = whole.model_copy(update={"stop_step": 6})
    train(cut, tiny.tree)
    base = tiny.tree.state(cut.state_id)
    flip(part(base, 6, "metadata"), random.Random(0))
    with pytest.raises(DamagedCheckpointError, match="metadata has other bytes"):
        train(whole.model_copy(update={"base": cut.state_id}), tiny.tree)
    assert base.marked_steps() == [3]


def test_the_error_survives_the_way_from_another_process() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(DamagedCheckpointError("steps1-seed0-ab", 7, "is broken")))
    assert (error.state_id, error.step, str(error)) == ("steps1-seed0-ab", 7, "is broken")


@pytest.mark.parametrize("kept", [1, 3])
def test_as_many_checkpoints_are_kept_as_were_asked_for(tiny, kept) -> None:
    config = tiny.config(keep_checkpoints=kept)
    assert config.state_id == tiny.config().state_id
    train(config, tiny.tree)
    assert checkpoint.steps(tiny.tree.state(config.state_id)) == [3, 6, 9, 12][-kept:]
