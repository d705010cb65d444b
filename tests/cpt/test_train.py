"""The loop: interrupted equals uninterrupted, sharded equals whole."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cpt import checkpoint, saver
from cpt.config import RunConfig
from cpt.evaluate import Evaluator
from cpt.files import read_json, write_json
from cpt.hub_export import export
from cpt.model import GPT, initial_weights
from cpt.model_config import ModelConfig
from cpt.parallel import Workers
from cpt.parsing import parse
from cpt.placement import fill, is_compiled
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import current_rows, read_rows
from cpt.train import DivergedError, train

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))
CLOCK = ("tokens_per_second", "mfu", "elapsed_seconds")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


pytestmark = pytest.mark.usefixtures("one_thread")


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


def read_of(state: StateDir) -> list[Any]:
    """What was read, by the rows that count."""
    rows = read_rows(state.data_rows)
    return current_rows(rows, lambda row: (row["step"], row["source"], row["domain"]))


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
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long)])
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
    assert read_of(state) == read_of(straight.state(config.state_id))
    assert same_bits(weights_of(state, config), weights_of(straight.state(config.state_id), config))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "replicas", "micro_batch_size"),
    [
        pytest.param(2, 1, None, marks=pytest.mark.long),
        pytest.param(4, 1, None, marks=pytest.mark.long),
        (4, 2, None),
        (2, 1, 1),
    ],
    ids=["2", "4", "4 in 2 replicas", "2, a sequence at a time"],
)
def test_fsdp_workers_equal_one(tiny, workers, replicas, micro_batch_size) -> None:
    """fp32, 12 steps of AdamW: losses within 1e-5 nats, held-out losses too.

    The two differ only in the order of sums, which Adam's division by small second moments
    amplifies: weights within 1e-4. The bias of the keys is left out, since softmax cancels it: its
    exact gradient is 0, so Adam turns the noise of rounding into steps of full size.
    """
    config = tiny.config()
    train(config, tiny.tree)
    sharded = tiny.beside("sharded")
    state = write_config(sharded, tiny.config(replicas=replicas, micro_batch_size=micro_batch_size))
    torchrun(workers, state)
    one_rows, one_evaluated = rows_of(tiny.tree.state(config.state_id))
    two_rows, two_evaluated = rows_of(state)
    for one, two in zip(one_rows, two_rows, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
        assert (two["step"], two["lr"], two["tokens"]) == (one["step"], one["lr"], one["tokens"])
    for one, two in zip(one_evaluated, two_evaluated, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two["num_tokens"] == one["num_tokens"]
    assert read_of(state) == read_of(tiny.tree.state(config.state_id))
    weights = weights_of(state, config)
    for name, tensor in weights_of(tiny.tree.state(config.state_id), config).items():
        one, two = tensor, weights[name]
        if name.endswith("query_key_value.bias"):
            one, two = (torch.cat((bias[:16], bias[32:])) for bias in (one, two))
        torch.testing.assert_close(two, one, atol=1e-4, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.long)])
def test_fsdp_workers_equal_one_inside_documents(tiny, precision) -> None:
    """Every worker masks its own sequences: losses as near as those without a mask."""
    config = tiny.config(document_end=256, precision=precision)
    train(config, tiny.tree)
    sharded = tiny.beside("sharded")
    torchrun(2, write_config(sharded, config))
    tolerance = {"fp32": 1e-5, "bf16": 5e-3}[precision]
    alone, together = (rows_of(tree.state(config.state_id)) for tree in (tiny.tree, sharded))
    for one_rows, two_rows in zip(alone, together, strict=True):
        for one, two in zip(one_rows, two_rows, strict=True):
            assert two["loss"] == pytest.approx(one["loss"], abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["neox", pytest.param("llama", marks=pytest.mark.long)])
def test_fsdp_workers_equal_one_in_bf16(tiny, family) -> None:
    """The same weights are cast to the same precision: what differs is rounding, 2^-8 an operation.

    Two families: tied weights lie in the group of the root.
    """
    model = {"num_layers": 2, "hidden_size": 16, "num_heads": 2, "vocab_size": 320}
    if family == "llama":
        model |= {"family": "llama", "intermediate_size": 40, "num_kv_heads": 1, "tied": True}
    config = tiny.config(precision="bf16", model=model)
    train(config, tiny.tree)
    sharded = tiny.beside("sharded")
    state = write_config(sharded, config)
    torchrun(2, state)
    one_rows, _ = rows_of(tiny.tree.state(config.state_id))
    two_rows, _ = rows_of(state)
    for one, two in zip(one_rows, two_rows, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=5e-3)


@pytest.mark.slow
def test_gradients_are_summed_over_the_workers_once_an_update(tiny, tmp_path) -> None:
    """Two micro-batches and 12 updates of one group of parameters: 12 exchanges."""
    script = tmp_path / "counted.py"
    script.write_text(
        "import os, pathlib, sys\n"
        "import torch.distributed as dist\n"
        "exchange, calls = dist.all_to_all_single, []\n"
        "def counted(*arguments, **named):\n"
        "    calls.append(1)\n"
        "    return exchange(*arguments, **named)\n"
        "dist.all_to_all_single = counted\n"
        "from cpt.__main__ import main\n"
        "status = main()\n"
        "told = pathlib.Path(__file__).with_suffix('.' + os.environ['RANK'])\n"
        "told.write_text(str(len(calls)))\n"
        "sys.exit(status)\n"
    )
    state = write_config(tiny.tree, tiny.config(micro_batch_size=1))
    torchrun(2, state, str(script))
    assert [script.with_suffix(f".{rank}").read_text() for rank in (0, 1)] == ["12", "12"]


def test_a_run_is_trained_and_evaluated_inside_documents(tiny) -> None:
    """Held-out losses are those of its final weights with the mask, and no others."""
    config = tiny.config(document_end=256)
    train(config, tiny.tree)
    trained, evaluated = rows_of(tiny.tree.state(config.state_id))
    assert trained[-1]["loss"] < trained[0]["loss"] - 1
    model = GPT(config.model)
    checkpoint.load_weights(tiny.tree.state(config.state_id), model, ALONE)
    read_through = Evaluator(config, tiny.tree, ALONE).rows(model, 12)
    model.document_end = 256
    masked = Evaluator(config, tiny.tree, ALONE).rows(model, 12)
    final = [row["loss"] for row in evaluated if row["step"] == 12]
    assert final == pytest.approx([row.loss for row in masked], rel=1e-6)
    assert final != pytest.approx([row.loss for row in read_through], rel=1e-4)


def test_a_run_inside_documents_is_trained_on_other_losses(tiny) -> None:
    masked, read_through = tiny.config(document_end=256), tiny.config()
    losses = []
    for config in (masked, read_through):
        train(config, tiny.tree)
        trained, _ = rows_of(tiny.tree.state(config.state_id))
        losses.append([row["loss"] for row in trained])
    assert losses[0] != pytest.approx(losses[1], abs=1e-4)


def test_a_stage_starts_from_the_weights_it_names(tiny) -> None:
    shape = parse(ModelConfig, tiny.config().model.model_dump() | {"max_sequence_length": 16})
    model = GPT(shape)
    fill(model, initial_weights(model, 7))
    export(shape, model.named_parameters(), tiny.tree.weights("theirs"))
    config = tiny.config(weights="theirs")
    train(config, tiny.tree)
    _, evaluated = rows_of(tiny.tree.state(config.state_id))
    (before,) = [r["loss"] for r in evaluated if r["step"] == 0 and r["domain"] is None]
    expected = Evaluator(config, tiny.tree, ALONE).rows(model, 0)[0].loss
    assert before == pytest.approx(expected, rel=1e-6)
    assert config.seed != 7, "random weights of this seed would be the same"


GOLDEN = [
    5.8887, 5.8383, 5.3102, 4.8674, 4.5742, 4.2288, 4.3171, 4.0454, 3.7155, 3.6222,
    3.3648, 3.2112, 3.1366, 3.0758, 2.8514, 2.898, 2.9526, 2.7746, 2.8929, 2.822,
]  # fmt: skip
"""Training losses of `tiny.config(total_steps=20)`. Where a change moves them, the numbers of every
sweep move with them: say so in docs/log.md, and why."""


def test_the_losses_are_those_that_were_always_reached(tiny) -> None:
    config = tiny.config(total_steps=20)
    train(config, tiny.tree)
    trained, _ = rows_of(tiny.tree.state(config.state_id))
    assert [row["loss"] for row in trained] == pytest.approx(GOLDEN, abs=2e-4)


def test_compiling_without_a_compiler_is_refused(tiny, monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"compile: got 'always'; needs a C\+\+ compiler"):
        train(tiny.config(compile="always"), tiny.tree)


@pytest.mark.parametrize(
    ("steps", "expected"), [(12, False), (21 * 10**6, True)], ids=["short", "long"]
)
def test_a_stage_is_compiled_where_it_is_long_enough(tiny, steps, expected) -> None:
    """By the 6 N + 12 L D T FLOPs of its tokens: 76,000 x 64 a step, so 1e14 in 2.05e7 steps."""
    config = tiny.config(total_steps=steps)
    assert is_compiled(config, ALONE) is (expected and shutil.which("g++") is not None)
    assert is_compiled(config.model_copy(update={"compile": "never"}), ALONE) is False


def test_training_goes_on_while_a_checkpoint_is_written(tiny, monkeypatch) -> None:
    """Writing waits until two more updates have changed the weights; the old ones are written."""
    config = tiny.config()
    straight = tiny.beside("straight")
    train(config, straight)
    state = tiny.tree.state(config.state_id)
    write, behind = saver.dcp.save, []

    def late(*arguments: Any, **named: Any) -> Any:
        step = int(Path(named["checkpoint_id"]).name.removeprefix("step_"))
        deadline = time.monotonic() + 30
        while len(read_rows(state.train_rows)) < min(step + 2, 12):
            assert time.monotonic() < deadline, "the next updates wait for the checkpoint"
            time.sleep(0.002)
        behind.append((step, len(read_rows(state.train_rows))))
        return write(*arguments, **named)

    monkeypatch.setattr(saver.dcp, "save", late)
    train(config, tiny.tree)
    assert [step for step, _ in behind] == [3, 6, 9, 12]
    assert all(reached >= step + 2 for step, reached in behind[:-1])
    state.checkpoint_marker(12).unlink()
    state.write_status(Status(status=StatusWord.RUNNING, step=9))
    monkeypatch.setattr(saver.dcp, "save", write)
    train(config, tiny.tree)
    assert same_bits(weights_of(state, config), weights_of(straight.state(config.state_id), config))


def test_a_checkpoint_that_cannot_be_written_is_an_error(tiny) -> None:
    config = tiny.config()
    state = write_config(tiny.tree, config)
    state.checkpoints.write_text("in the way")
    with pytest.raises(OSError, match="checkpoints"):
        train(config, tiny.tree)
    assert state.read_status() == Status(status=StatusWord.RUNNING, step=0)


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


def torchrun(num_workers: int, state: StateDir, *program: str) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(num_workers), *(program or ("-m", "cpt")), str(state.path)),
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


def test_a_parent_of_another_shape_is_an_error(tiny) -> None:
    parent = tiny.config()
    train(parent, tiny.tree)
    wider = parent.model.model_dump() | {"intermediate_size": 48, "tied": True}
    child = tiny.config(parent=parent.state_id, model=wider)
    with pytest.raises(ValueError, match="is the checkpoint of another model") as refused:
        train(child, tiny.tree)
    told = str(refused.value)
    assert "embed_out.weight is (320, 16) there and not in the model" in told
    assert "layers.0.mlp.dense_4h_to_h.weight is (16, 64) there and (16, 48) in the model" in told
    assert told.endswith("; and 2 more")


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
    from cpt.train import _check_workers

    class Config:
        global_batch_size = 4

    team = Workers(rank=0, world_size=5, device=torch.device("cpu"))
    with pytest.raises(ValueError, match="global_batch_size: got 4; must be at least the 5"):
        _check_workers(Config(), team)  # type: ignore[arg-type]


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


def test_a_stager_that_serves_one_copy_alone_is_made_anew(tiny, monkeypatch) -> None:
    class OfTorch211(saver.DefaultStager):
        """That version's closes itself after each copy."""

        def _stage(self, state_dict: Any, **options: Any) -> Any:
            staged = super()._stage(state_dict, **options)
            self._state_dict_stager.close()
            return staged

    monkeypatch.setattr(saver, "DefaultStager", OfTorch211)
    monkeypatch.setattr(saver, "STAGERS_LAST", False)
    config = tiny.config(keep_checkpoints=2)
    train(config, tiny.tree)
    assert checkpoint.steps(tiny.tree.state(config.state_id)) == [9, 12]
