"""Asked to leave: what is done is saved at the step it came to, by one worker or several."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cpt.leaving import EXIT_INTERRUPTED, Leave, LeavingError
from cpt.records import StateDir, StatusWord
from cpt.rows import EvalRow, read_rows
from cpt.train import train
from tests.cpt.test_train import (
    ENVIRONMENT,
    ROOT,
    read_of,
    rows_of,
    same_bits,
    torchrun,
    weights_of,
    write_config,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def words(state: StateDir) -> tuple[StatusWord, int]:
    status = state.read_status()
    assert status is not None
    return status.status, status.step


def test_a_state_that_leaves_has_saved_the_step_it_came_to(tiny) -> None:
    """Asked by an evaluation at step 4, so it does one more update and saves at 5."""
    config = tiny.config()
    straight = tiny.beside("straight")
    train(config, straight)
    leave = Leave()

    def ask(rows: list[EvalRow]) -> None:
        if rows[0].step == 4:
            leave.ask("the machine goes")

    with pytest.raises(LeavingError, match="saved at step 5 and left: the machine goes"):
        train(config, tiny.tree, ask, leave)
    state = tiny.tree.state(config.state_id)
    assert state.marked_steps() == [3, 5]
    assert words(state) == (StatusWord.RUNNING, 5)
    train(config, tiny.tree)
    assert [row["step"] for row in read_rows(state.train_rows)] == list(range(1, 13))
    assert rows_of(state) == rows_of(straight.state(config.state_id))
    assert read_of(state) == read_of(straight.state(config.state_id))
    assert same_bits(weights_of(state, config), weights_of(straight.state(config.state_id), config))


def test_left_after_every_update_equals_undisturbed(tiny) -> None:
    """One update an attempt: no step is done twice, and evaluations stand once."""
    config = tiny.config()
    straight = tiny.beside("straight")
    train(config, straight)
    for _ in range(11):
        leave = Leave()
        leave.ask("again")
        with pytest.raises(LeavingError):
            train(config, tiny.tree, leave=leave)
    train(config, tiny.tree)
    state = tiny.tree.state(config.state_id)
    assert [row["step"] for row in read_rows(state.train_rows)] == list(range(1, 13))
    assert rows_of(state) == rows_of(straight.state(config.state_id))
    assert read_of(state) == read_of(straight.state(config.state_id))


def test_what_a_kill_left_of_a_status_is_removed(tiny) -> None:
    config = tiny.config()
    state = write_config(tiny.tree, config)
    (state.path / ".status.json.4567").write_text('{"status": "runn')
    train(config, tiny.tree)
    assert [path.name for path in state.path.glob(".*")] == []


def test_a_state_asked_in_its_last_update_is_complete(tiny) -> None:
    config = tiny.config(total_steps=1)
    leave = Leave()
    leave.ask("too late")
    train(config, tiny.tree, leave=leave)
    assert words(tiny.tree.state(config.state_id)) == (StatusWord.COMPLETE, 1)


def until_row(state: StateDir, step: int, process: subprocess.Popen[str]) -> None:
    while len(read_rows(state.train_rows)) < step:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def command(state: StateDir) -> list[str]:
    return [sys.executable, "-m", "cpt", str(state.path)]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(arguments, env=ENVIRONMENT, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_sigterm_saves_and_the_same_command_goes_on(tiny) -> None:
    config = tiny.config(total_steps=400, checkpoint_interval_steps=1000)
    state = write_config(tiny.tree, config)
    process = start(command(state))
    until_row(state, 10, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED == 75
    (saved,) = state.marked_steps()
    assert f"saved at step {saved} and left: SIGTERM; the same command goes on" in said
    subprocess.run(command(state), env=ENVIRONMENT, cwd=ROOT, check=True)
    assert [row["step"] for row in read_rows(state.train_rows)] == list(range(1, 401))


def test_a_second_sigterm_leaves_at_once() -> None:
    lines = (
        "import os, signal",
        "from cpt.leaving import Leave",
        "leave = Leave()",
        "leave.on_sigterm()",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "print(leave.is_asked, leave.reason, flush=True)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "print('still here')",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (EXIT_INTERRUPTED, "True SIGTERM\n")


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


@pytest.mark.slow
def test_one_worker_that_is_asked_takes_the_others_along(tiny) -> None:
    """SIGTERM to one rank of two: both save the same step, and one worker ends it."""
    config = tiny.config(total_steps=400, checkpoint_interval_steps=1000)
    state = write_config(tiny.tree, config)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    process = start([*launcher, "--nproc-per-node", "2", "-m", "cpt", str(state.path)])
    until_row(state, 10, process)
    ranks = children(process.pid)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    (saved,) = state.marked_steps()
    assert f"saved at step {saved} and left: SIGTERM" in said
    assert f"saved at step {saved} and left: another worker was asked to" in said
    rows = read_rows(state.train_rows)
    assert [row["step"] for row in rows] == list(range(1, saved + 1)), "not one update was lost"


@pytest.mark.long
@pytest.mark.slow
def test_three_workers_share_a_batch_of_four(tiny) -> None:
    """As one worker, within 1e-5 nats; no sequence is read twice or not at all."""
    config = tiny.config()
    train(config, tiny.tree)
    uneven = tiny.beside("uneven")
    state = write_config(uneven, tiny.config(micro_batch_size=1))
    torchrun(3, state)
    expected, evaluated = rows_of(tiny.tree.state(config.state_id))
    found, found_evaluated = rows_of(state)
    for one, two in zip(expected, found, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
    for one, two in zip(evaluated, found_evaluated, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
    assert read_of(state) == read_of(tiny.tree.state(config.state_id))
