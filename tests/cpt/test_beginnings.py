"""Shared beginnings: what a state's name leaves out, and that going on from one changes nothing."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from cpt.config import RunConfig
from cpt.model import GPT
from cpt.parallel import Workers
from cpt.parsing import ConfigError
from cpt.records import ResultTree, Status, StatusWord
from cpt.rows import current_rows, read_rows
from cpt.schedule import Piece, Pieces, constant, cosine, lr, restricted, shared_steps, wsd
from cpt.schedule_config import ScheduleConfig
from cpt.train import checkpoint, train

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))
CLOCK = ("tokens_per_second", "mfu", "elapsed_seconds")
WSD = {"type": "wsd", "max_lr": 0.01, "min_lr": 0.001, "warmup_fraction": 0.1}


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums are the same bits only where they are cut alike."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows_of(tree: ResultTree, config: RunConfig) -> tuple[list[Any], list[Any]]:
    """The rows of the whole stage, base included, without what a clock wrote."""
    trained, evaluated = ([], []) if config.base is None else rows_of(tree, bases[config.base])
    state = tree.state(config.state_id)
    own = current_rows(read_rows(state.train_rows), lambda row: row["step"])
    trained = trained + [
        {name: value for name, value in row.items() if name not in CLOCK} for row in own
    ]
    own = read_rows(state.eval_rows)
    return trained, evaluated + current_rows(own, lambda row: tuple(row.values())[:4])


bases: dict[str, RunConfig] = {}


def beginning(config: RunConfig, stop_step: int) -> RunConfig:
    cut = config.model_copy(update={"stop_step": stop_step})
    bases[cut.state_id] = cut
    return cut


def weights_of(tree: ResultTree, config: RunConfig) -> dict[str, torch.Tensor]:
    model = GPT(config.model)
    checkpoint.load_weights(tree.state(config.state_id), model, ALONE)
    return model.state_dict()


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def formulas(pieces: Pieces, steps: float) -> list[Piece]:
    """The pieces of the first steps, without what a phase is called."""
    return [replace(piece, phase="") for piece in restricted(pieces, int(steps))]


# The curve.


def test_a_held_rate_counts_up_to_the_steps_run() -> None:
    whole = constant(100, max_lr=0.1, warmup_steps=10)
    assert restricted(whole, 50) == constant(50, max_lr=0.1, warmup_steps=10)
    assert restricted(whole, 100) == whole
    assert restricted(whole, 10) == whole[:1]


def test_a_decay_keeps_the_end_that_shapes_it() -> None:
    whole = cosine(100, max_lr=0.1, min_lr=0.01, warmup_steps=10)
    assert restricted(whole, 50) == whole
    assert restricted(whole, 5) == whole[:1]


@pytest.mark.parametrize("end", [60, 60.5, 61])
def test_curves_part_where_the_first_of_them_stops_holding(end: float) -> None:
    long = constant(100, max_lr=0.1, warmup_steps=10)
    short = wsd(80, max_lr=0.1, min_lr=0.01, warmup_steps=10, decay_steps=80 - end)
    steps = shared_steps(long, short)
    assert steps == {60: 60, 60.5: 61, 61: 61}[end]
    assert formulas(long, steps) == formulas(short, steps)
    assert formulas(long, steps + 1) != formulas(short, steps + 1)
    assert [lr(long, step) for step in range(int(steps))] == [
        lr(short, step) for step in range(int(steps))
    ]


def test_curves_that_differ_from_the_start_share_nothing() -> None:
    one = cosine(100, max_lr=0.1, min_lr=0.01)
    assert shared_steps(one, cosine(100, max_lr=0.2, min_lr=0.01)) == 0
    assert shared_steps(one, cosine(101, max_lr=0.1, min_lr=0.01)) == 0


def test_curves_share_a_warm_up_to_its_last_whole_update() -> None:
    one = cosine(100, max_lr=0.1, min_lr=0.01, warmup_steps=2.5)
    other = constant(100, max_lr=0.1, warmup_steps=2.5)
    assert shared_steps(one, other) == 3
    assert restricted(one, 3) == restricted(other, 3)


# The name.


def test_a_beginning_is_named_by_the_steps_run(tiny) -> None:
    short = tiny.config(total_steps=12, schedule=WSD | {"reference_steps": 12}, stop_step=9)
    long = tiny.config(total_steps=24, schedule=WSD | {"reference_steps": 12}, stop_step=9)
    assert short.state_id == long.state_id
    assert short.state_id.startswith("steps9-")
    assert short.model_copy(update={"stop_step": 8}).state_id != short.state_id


def test_the_base_and_what_is_to_come_are_no_part_of_a_name(tiny) -> None:
    config = tiny.config()
    later = {"to_come": [{"name": "later", "corpus": "abc"}]}
    assert tiny.config(base="steps3-seed0-abc").state_id == config.state_id
    assert tiny.config(evaluation=tiny.evaluation() | later).state_id == config.state_id


def test_a_final_window_that_lies_ahead_is_no_part_of_a_name(tiny) -> None:
    changed = tiny.evaluation() | {"final_window_steps": 2}
    one = tiny.config(schedule=WSD, stop_step=6)
    other = tiny.config(schedule=WSD, stop_step=6, evaluation=changed)
    assert one.state_id == other.state_id
    assert tiny.config().state_id != tiny.config(evaluation=changed).state_id


def test_to_stop_inside_the_final_window_is_refused(tiny) -> None:
    with pytest.raises(ConfigError, match="at most 9, before the final window"):
        tiny.config(stop_step=10)


def test_a_state_without_an_anneal_holds_its_rate_to_the_end() -> None:
    for kind in ("infinite_cosine", "wsd"):
        schedule = ScheduleConfig(
            type=kind, max_lr=0.1, min_lr=0.01, warmup_fraction=0.01, anneal=False
        )
        last = schedule.pieces(100)[-1]
        assert (last.shape, last.end, last.end_lr) == ("constant", 100, schedule.held_lr)


def test_branches_agree_on_their_trunk() -> None:
    for kind in ("infinite_cosine", "infinite_inverse_sqrt", "wsd"):
        schedule = ScheduleConfig(
            type=kind, max_lr=0.1, min_lr=0.01, warmup_fraction=0.01, reference_steps=100
        )
        short, long = schedule.pieces(100), schedule.pieces(500)
        shared = shared_steps(short, long)
        assert shared == -(-schedule.anneal_start(100) // 1)
        assert restricted(short, int(shared)) == restricted(long, int(shared))
        assert long[-1].start == pytest.approx(500 * (1 - schedule.anneal_fraction))


def test_a_branch_that_ends_before_its_trunk_begins_is_refused() -> None:
    schedule = ScheduleConfig(
        type="infinite_cosine", max_lr=0.1, min_lr=0.01, warmup_fraction=0.01, reference_steps=500
    )
    with pytest.raises(ValueError, match="100 steps leave no room"):
        schedule.pieces(100)


# The training.


def test_going_on_from_a_beginning_is_training_alone(tiny) -> None:
    whole = tiny.config(schedule=WSD)
    train(whole, tiny.tree)
    shared = tiny.beside("shared")
    first, second = beginning(whole, 4), beginning(whole, 7)
    train(first, shared)
    train(second.model_copy(update={"base": first.state_id}), shared)
    bases[second.state_id] = second.model_copy(update={"base": first.state_id})
    last = whole.model_copy(update={"base": second.state_id})
    train(last, shared)
    assert last.state_id == whole.state_id
    assert rows_of(shared, last) == rows_of(tiny.tree, whole)
    assert same_bits(weights_of(shared, last), weights_of(tiny.tree, whole))


def test_two_schedules_go_on_from_one_beginning(tiny) -> None:
    constant_ = tiny.config(schedule={"type": "constant", "max_lr": 0.01, "warmup_fraction": 0.1})
    decaying = tiny.config(schedule=WSD)
    cut = beginning(decaying, 9)
    assert cut.state_id == beginning(constant_, 9).state_id
    shared = tiny.beside("shared")
    train(cut, shared)
    for whole in (constant_, decaying):
        train(whole, tiny.tree)
        train(whole.model_copy(update={"base": cut.state_id}), shared)
        branch = whole.model_copy(update={"base": cut.state_id})
        assert rows_of(shared, branch) == rows_of(tiny.tree, whole)
        assert same_bits(weights_of(shared, branch), weights_of(tiny.tree, whole))


def test_a_row_every_few_steps_is_the_same_row_with_a_beginning(tiny) -> None:
    whole = tiny.config(schedule=WSD, log_interval_steps=5)
    train(whole, tiny.tree)
    shared = tiny.beside("shared")
    cut = beginning(whole, 7)
    train(cut, shared)
    branch = whole.model_copy(update={"base": cut.state_id})
    train(branch, shared)
    assert rows_of(shared, branch) == rows_of(tiny.tree, whole)


def test_an_interrupted_branch_keeps_the_base_it_began_from(tiny) -> None:
    whole = tiny.config(schedule=WSD)
    cut = beginning(whole, 4)
    train(cut, tiny.tree)
    branch = whole.model_copy(update={"base": cut.state_id})
    train(branch, tiny.tree)
    state = tiny.tree.state(branch.state_id)
    state.checkpoint_marker(12).unlink()
    state.write_status(Status(status=StatusWord.RUNNING, step=9))
    train(whole, tiny.tree)  # planned without a base this time
    rows = current_rows(read_rows(state.train_rows), lambda row: row["step"])
    assert [row["step"] for row in rows] == list(range(5, 13))


def test_a_base_that_is_not_complete_is_refused(tiny) -> None:
    config = tiny.config(schedule=WSD, base=tiny.config(schedule=WSD, stop_step=4).state_id)
    with pytest.raises(FileNotFoundError, match="is not a complete state"):
        train(config, tiny.tree)


def test_what_is_to_come_is_evaluated_at_the_boundary_alone(tiny) -> None:
    later = {"to_come": [{"name": "later", "corpus": tiny.corpora["new"]}]}
    config = tiny.config(evaluation=tiny.evaluation() | later)
    train(config, tiny.tree)
    rows = read_rows(tiny.tree.state(config.state_id).eval_rows)
    assert {row["step"] for row in rows if row["dataset"] == "later"} == {0}


# Damage.


def trained(tiny) -> tuple[Any, Any]:
    config = tiny.config()
    train(config, tiny.tree)
    return config, tiny.tree.state(config.state_id)


def test_a_checkpoint_says_whose_it_is_and_how_large(tiny) -> None:
    config, state = trained(tiny)
    assert checkpoint.steps(state) == [9, 12]
    assert state.checkpoint_fault(12) is None
    other = tiny.config(seed=1)
    theirs = tiny.tree.state(other.state_id)
    theirs.checkpoints.mkdir(parents=True)
    state.checkpoint(12).rename(theirs.checkpoint(12))
    assert f"is the checkpoint of {config.state_id}" in (theirs.checkpoint_fault(12) or "")
    assert checkpoint.steps(theirs) == []


def test_a_shortened_checkpoint_is_not_loaded(tiny) -> None:
    config, state = trained(tiny)
    (shard,) = state.checkpoint(12).glob("*.distcp")
    shard.write_bytes(shard.read_bytes()[:-1])
    assert "bytes, not the" in (state.checkpoint_fault(12) or "")
    child = tiny.config(parent=config.state_id)
    with pytest.raises(checkpoint.DamagedCheckpointError, match="bytes, not the"):
        train(child, tiny.tree)
