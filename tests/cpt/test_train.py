"""The loop: interrupted equals uninterrupted, sharded equals whole."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cpt import checkpoint
from cpt.config import RunConfig
from cpt.model import GPT
from cpt.parallel import Workers
from cpt.records import (
    ResultTree,
    StateDir,
    Status,
    StatusWord,
    current_rows,
    read_json,
    read_rows,
    write_json,
)
from cpt.train import DivergedError, train

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))
CLOCK = ("tokens_per_second", "mfu", "elapsed_seconds")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def _one_thread():
    """Sums are the same bits only where they are cut alike."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows_of(state: StateDir) -> tuple[list[Any], list[Any]]:
    """The rows that count, without what a clock wrote."""
    trained = current_rows(read_rows(state.train_rows), lambda row: row["step"])
    evaluated = current_rows(
        read_rows(state.eval_rows), lambda row: (row["step"], row["dataset"], row["domain"])
    )
    without_clock = [
        {name: value for name, value in row.items() if name not in CLOCK} for row in trained
    ]
    return without_clock, evaluated


def weights_of(state: StateDir, config: RunConfig) -> dict[str, torch.Tensor]:
    model = GPT(config.model)
    checkpoint.load_weights(state, model, ALONE)
    return model.state_dict()


def write_config(tree: ResultTree, config: RunConfig) -> StateDir:
    state = tree.state(config.state_id)
    write_json(state.config, config.model_dump(mode="json"))
    return state


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_writes_its_rows_and_is_complete(tiny) -> None:
    config = tiny.config()
    train(config, tiny.tree)
    state = tiny.tree.state(config.state_id)
    trained, evaluated = rows_of(state)
    assert [row["step"] for row in trained] == list(range(1, 13))
    assert [row["lr"] for row in trained] == [config.lr(step) for step in range(12)]
    assert [row["tokens"] for row in trained] == [64 * step for step in range(1, 13)]
    steps = sorted({row["step"] for row in evaluated})
    assert tuple(steps) == config.evaluation.steps(12)
    assert {row["domain"] for row in evaluated} == {None, "cats", "dogs"}
    assert state.read_status() == Status(status=StatusWord.COMPLETE, step=12)
    assert checkpoint.steps(state) == [9, 12]
    assert evaluated[-1]["loss"] < evaluated[0]["loss"] - 1


def test_a_first_update_at_rate_zero_moves_no_weights(tiny) -> None:
    config = tiny.config()
    assert config.lr(0) == 0.0
    train(config, tiny.tree)
    _, evaluated = rows_of(tiny.tree.state(config.state_id))
    losses = {row["step"]: row["loss"] for row in evaluated if row["domain"] is None}
    assert losses[1] == losses[0]
    assert losses[2] != losses[0]


def test_a_complete_state_is_not_touched_again(tiny) -> None:
    config = tiny.config()
    train(config, tiny.tree)
    state = tiny.tree.state(config.state_id)
    before = {path: path.stat().st_mtime_ns for path in state.path.rglob("*")}
    train(config, tiny.tree)
    assert {path: path.stat().st_mtime_ns for path in state.path.rglob("*")} == before


def test_twice_gives_the_same_bits(tiny) -> None:
    config = tiny.config()
    other = tiny.beside("other")
    train(config, tiny.tree)
    train(config, other)
    one, two = tiny.tree.state(config.state_id), other.state(config.state_id)
    assert rows_of(one) == rows_of(two)
    assert same_bits(weights_of(one, config), weights_of(two, config))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_anywhere_and_run_again_equals_uninterrupted(tiny, seed) -> None:
    """SIGKILL three times at random moments; then the same command to the end."""
    config = tiny.config(total_steps=60, checkpoint_interval_steps=7, seed=seed)
    straight = tiny.beside("straight")
    train(config, straight)

    state = write_config(tiny.tree, config)
    command = [sys.executable, "-m", "cpt", str(state.path)]
    moments = random.Random(seed)
    reached = 0
    for _ in range(3):
        reached = min(reached + moments.randint(3, 18), 55)
        process = subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT)
        while process.poll() is None and len(read_rows(state.train_rows)) < reached:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, check=True)

    rows = read_rows(state.train_rows)
    assert len(rows) > 60, "no work was lost, so nothing was resumed"
    assert rows_of(state) == rows_of(straight.state(config.state_id))
    assert same_bits(weights_of(state, config), weights_of(straight.state(config.state_id), config))


@pytest.mark.slow
def test_two_fsdp_workers_equal_one(tiny) -> None:
    """fp32, 12 steps of AdamW: losses within 1e-5 nats, held-out losses too.

    The two differ only in the order of sums, which Adam's division by small second moments
    amplifies: weights within 1e-4. The bias of the keys is left out, since softmax cancels it: its
    exact gradient is 0, so Adam turns the noise of rounding into steps of full size.
    """
    config = tiny.config()
    train(config, tiny.tree)
    sharded = tiny.beside("sharded")
    state = write_config(sharded, config)
    torchrun(2, state)
    one_rows, one_evaluated = rows_of(tiny.tree.state(config.state_id))
    two_rows, two_evaluated = rows_of(state)
    for one, two in zip(one_rows, two_rows, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
        assert (two["step"], two["lr"], two["tokens"]) == (one["step"], one["lr"], one["tokens"])
    for one, two in zip(one_evaluated, two_evaluated, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two["num_tokens"] == one["num_tokens"]
    weights = weights_of(state, config)
    for name, tensor in weights_of(tiny.tree.state(config.state_id), config).items():
        one, two = tensor, weights[name]
        if name.endswith("query_key_value.bias"):
            one, two = (torch.cat((bias[:16], bias[32:])) for bias in (one, two))
        torch.testing.assert_close(two, one, atol=1e-4, rtol=0)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_workers(tiny) -> None:
    """Two workers to step 6, then one to the end, against one all the way."""
    config = tiny.config()
    train(config, tiny.tree)
    moved = tiny.beside("moved")
    state = write_config(moved, config)
    torchrun(2, state)
    for step in checkpoint.steps(state):
        if step > 9:
            state.checkpoint_marker(step).unlink()
    state.write_status(Status(status=StatusWord.RUNNING, step=9))
    train(config, moved)
    rows = read_rows(state.train_rows)
    assert [row["step"] for row in rows[12:]] == [10, 11, 12]
    expected, _ = rows_of(tiny.tree.state(config.state_id))
    found, _ = rows_of(state)
    for one, two in zip(expected, found, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)


def torchrun(num_workers: int, state: StateDir) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(num_workers), "-m", "cpt", str(state.path)),
        ],
        env=ENVIRONMENT,
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


def test_a_child_starts_from_its_parents_weights_and_a_fresh_optimizer(tiny) -> None:
    parent = tiny.config()
    train(parent, tiny.tree)
    child = tiny.config(parent=parent.state_id, stream=[tiny.source("new")])
    train(child, tiny.tree)
    _, before = rows_of(tiny.tree.state(parent.state_id))
    _, after = rows_of(tiny.tree.state(child.state_id))
    assert [row["loss"] for row in after if row["step"] == 0] == [
        row["loss"] for row in before if row["step"] == 12
    ]


def test_a_resumed_state_keeps_the_names_of_its_first_attempt(tiny) -> None:
    first = tiny.config(checkpoint_interval_steps=6)
    train(first, tiny.tree)
    state = tiny.tree.state(first.state_id)
    state.checkpoint_marker(12).unlink()
    state.write_status(Status(status=StatusWord.RUNNING, step=6))
    renamed = tiny.evaluation()
    renamed["datasets"] = [{"name": "other name", "corpus": tiny.corpora["held out"]}]
    second = tiny.config(evaluation=renamed, label="other label", micro_batch_size=2)
    train(second, tiny.tree)
    assert {row["dataset"] for row in read_rows(state.eval_rows)} == {"held out"}
    recorded = read_json(state.config)
    assert recorded["label"] == "tiny"
    assert recorded["micro_batch_size"] == 2


def test_an_unfinished_parent_is_an_error(tiny) -> None:
    parent = tiny.config()
    write_config(tiny.tree, parent)
    child = tiny.config(parent=parent.state_id, stream=[tiny.source("new")])
    with pytest.raises(FileNotFoundError, match="is not a complete state"):
        train(child, tiny.tree)


def test_micro_batches_change_nothing_but_rounding(tiny) -> None:
    whole = tiny.config()
    train(whole, tiny.tree)
    cut = tiny.beside("cut")
    small = tiny.config(micro_batch_size=3)  # 3 and 1 of a batch of 4: weighted by their size
    assert small.state_id == whole.state_id
    train(small, cut)
    one_rows, _ = rows_of(tiny.tree.state(whole.state_id))
    two_rows, _ = rows_of(cut.state(small.state_id))
    for one, two in zip(one_rows, two_rows, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)


def test_bf16_follows_fp32(tiny) -> None:
    exact, rounded = tiny.config(), tiny.config(precision="bf16")
    train(exact, tiny.tree)
    train(rounded, tiny.tree)
    one, _ = rows_of(tiny.tree.state(exact.state_id))
    two, _ = rows_of(tiny.tree.state(rounded.state_id))
    assert one[-1]["loss"] != two[-1]["loss"]
    assert two[-1]["loss"] == pytest.approx(one[-1]["loss"], abs=0.1)


def test_divergence_is_recorded_with_its_step(tiny) -> None:
    config = tiny.config(schedule={"type": "constant", "max_lr": 1e38})
    with pytest.raises(DivergedError):
        train(config, tiny.tree)
    status = tiny.tree.state(config.state_id).read_status()
    assert status is not None
    assert status.status is StatusWord.FAILED
    assert status.step >= 1
    assert f"at step {status.step}" in status.reason


def test_a_batch_that_workers_cannot_share_is_refused() -> None:
    from cpt.train import _check_divisible

    class Config:
        global_batch_size = 4

    team = Workers(rank=0, world_size=3, device=torch.device("cpu"))
    with pytest.raises(ValueError, match="global_batch_size: got 4; must be a multiple of the 3"):
        _check_divisible(Config(), team)  # type: ignore[arg-type]


def test_a_configuration_under_another_id_is_refused(tiny) -> None:
    state = tiny.tree.state("steps12-seed0-000000000000")
    write_json(state.config, tiny.config().model_dump(mode="json"))
    done = subprocess.run(
        [sys.executable, "-m", "cpt", str(state.path)],
        env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "steps12-seed0-000000000000 is not the id of the configuration in it" in done.stderr


def test_the_trainer_never_loads_ray() -> None:
    code = "import sys, cpt.train; print('ray' in sys.modules, 'datasets' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "False"]


def test_markers_carry_what_a_resume_needs(tiny) -> None:
    config = tiny.config()
    train(config, tiny.tree)
    marker = read_json(tiny.tree.state(config.state_id).checkpoint_marker(12))
    assert marker["step"] == 12
    assert marker["world_size"] == 1
    assert marker["elapsed_seconds"] > 0
