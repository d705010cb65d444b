"""What a person is told while states are trained: read from rows that may be cut off."""

import io
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from cpt.checkpoint_marker import Marker
from cpt.config import RunConfig
from cpt.parsing import parse
from cpt.records import ResultTree, Status, StatusWord
from cpt.rows import TrainRow, append_rows
from sweeps import pace, progress
from sweeps.agenda import Agenda, Task
from sweeps.progress import NOTHING_RUNS, TAIL_BYTES, duration, last_row, look, shown
from sweeps.tree import State

RUNNING, COMPLETE, FAILED = StatusWord.RUNNING, StatusWord.COMPLETE, StatusWord.FAILED


def task(label: str, seed: int = 0) -> Task:
    """Ten steps of twenty tokens."""
    config = {
        "label": label,
        "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2, "vocab_size": 320},
        "sequence_length": 10,
        "global_batch_size": 2,
        "total_steps": 10,
        "schedule": {"type": "constant", "max_lr": 1},
        "stream": [{"name": "a", "corpus": "a", "weight": 1}],
        "evaluation": {
            "datasets": [],
            "interval_steps": 1,
            "final_window_steps": 1,
            "final_window_interval_steps": 1,
        },
        "seed": seed,
    }
    run = parse(RunConfig, config)
    wanted = State(id=run.state_id, stage="upstream", role="d0", config=run)
    tokens = run.token_budget
    return Task(state=wanted, run=run, after=None, tokens=tokens, remaining=tokens)


FIRST, SECOND = task("first"), task("second", seed=1)


def train_row(step: int, loss: float = 2.5) -> TrainRow:
    return TrainRow(
        step=step, tokens=20 * step, lr=1, loss=loss, grad_norm=1, tokens_per_second=1234.0,
        mfu=None, elapsed_seconds=step,
    )  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> ResultTree:
    return ResultTree(tmp_path)


def write(tree: ResultTree, of: Task, word: StatusWord, step: int = 0, reason: str = "") -> None:
    tree.state(of.state.id).write_status(Status(status=word, step=step, reason=reason))


class Following:
    """Plain output of a run that trains `states`."""

    def __init__(self, tree: ResultTree, *tasks: Task) -> None:
        self._file = io.StringIO()
        agenda = Agenda(todo=tasks, blocked=(), failed=(), complete=0, stopped=0, passed_over=0)
        self._shown = shown(agenda, tree, Console(file=self._file, width=300))

    def __enter__(self) -> "Following":
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__(None, None, None)

    @property
    def said(self) -> str:
        """All of it."""
        return self._file.getvalue()

    @property
    def events(self) -> list[str]:
        """`1/2 states · complete first in 0 s`, without the clock and the estimate."""
        lines = self._file.getvalue().splitlines()
        return [line.split("] ", 1)[1].rsplit(" · ", 1)[0] for line in lines]


# Rows.


def test_the_last_row_is_the_last_line(tmp_path):
    path = tmp_path / "train.jsonl"
    append_rows(path, [train_row(1), train_row(2)])
    assert last_row(path)["step"] == 2


@pytest.mark.parametrize("cut", ['{"step": 3, "lo', '{"step": 3}', "", "7\n", "[3]\n"])
def test_a_line_that_is_not_whole_is_no_row(tmp_path, cut):
    path = tmp_path / "train.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n' + cut)
    assert last_row(path) == {"step": 2}


@pytest.mark.parametrize("content", ["", '{"step": 1', '{"step": 1}'])
def test_a_file_without_a_whole_line_has_no_row(tmp_path, content):
    path = tmp_path / "train.jsonl"
    path.write_text(content)
    assert last_row(path) is None


def test_a_missing_file_has_no_row(tmp_path):
    assert last_row(tmp_path / "train.jsonl") is None


def test_the_last_row_of_a_long_file_is_found_from_its_end(tmp_path):
    path = tmp_path / "train.jsonl"
    append_rows(path, [train_row(step) for step in range(1, 100)])
    assert path.stat().st_size > 2 * TAIL_BYTES
    assert last_row(path)["step"] == 99


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.6, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 00 min"),
        (18_180, "5 h 03 min"),
        (86_400, "1 d 0 h"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_reads_like_speech(seconds, text):
    assert duration(seconds) == text


# How far a state is.


def test_a_state_that_was_not_started_is_at_step_0(tree):
    (found,) = look((FIRST,), tree)
    assert (found.word, found.step, found.tokens, found.loss) == (None, 0, 0, None)


def test_between_checkpoints_the_rows_say_how_far_a_state_is(tree):
    write(tree, FIRST, RUNNING, step=4)
    append_rows(tree.state(FIRST.state.id).train_rows, [train_row(6)])
    (found,) = look((FIRST,), tree)
    assert (found.word, found.step, found.tokens) == (RUNNING, 6, 120)
    assert (found.loss, found.tokens_per_second) == (2.5, 1234.0)


# What plain output says.


def test_each_state_begins_and_completes_once_however_often_one_looks(tree):
    with Following(tree, FIRST, SECOND) as following:
        write(tree, FIRST, RUNNING)
        time.sleep(1.2)  # two looks
        write(tree, FIRST, COMPLETE, step=10)
        time.sleep(1.2)
    assert following.events == [
        "0/2 states · began first (10 steps)",
        following.events[1],
    ]
    assert following.events[1].startswith("1/2 states · complete first in ")


def test_states_that_finish_between_two_looks_are_told_in_order(tree):
    with Following(tree, FIRST, SECOND) as following:
        write(tree, FIRST, COMPLETE, step=10)
        write(tree, SECOND, COMPLETE, step=10)
    assert following.events == [
        "0/2 states · began first (10 steps)",
        "1/2 states · complete first in 0 s",
        "1/2 states · began second (10 steps)",
        "2/2 states · complete second in 0 s",
    ]


def test_a_failure_says_why(tree):
    with Following(tree, FIRST) as following:
        write(tree, FIRST, FAILED, step=3, reason="the loss is nan at step 3")
    assert following.events[1] == "1/1 states · failed first in 0 s: the loss is nan at step 3"


def test_what_an_earlier_run_left_is_no_event(tree):
    write(tree, FIRST, FAILED, step=3, reason="an old fault")
    write(tree, SECOND, RUNNING, step=4)
    with Following(tree, FIRST, SECOND) as following:
        pass
    assert following.events == []


def save(tree: ResultTree, of: Task, step: int) -> None:
    tree.state(of.state.id).checkpoint(step).mkdir(parents=True)
    marker = {"elapsed_seconds": 1, "torch": "", "world_size": 1, "files": {}, "rows": {}}
    tree.state(of.state.id).mark_checkpoint(Marker(state=of.state.id, step=step, **marker))


def test_a_state_that_was_interrupted_goes_on_from_its_checkpoint(tree):
    write(tree, FIRST, RUNNING, step=4)
    save(tree, FIRST, 2)
    save(tree, FIRST, 4)
    append_rows(tree.state(FIRST.state.id).train_rows, [train_row(6)])  # lost with the machine
    with Following(tree, FIRST) as following:
        write(tree, FIRST, RUNNING, step=4)
    assert following.events == ["0/1 states · began first (10 steps, going on from step 4)"]


@pytest.mark.parametrize("word", [FAILED, StatusWord.STOPPED])
def test_what_ended_early_goes_on_from_its_checkpoint_not_from_its_end(tree, word):
    write(tree, FIRST, word, step=7)
    write(tree, SECOND, word, step=7)
    save(tree, SECOND, 5)
    with Following(tree, FIRST, SECOND) as following:
        write(tree, FIRST, RUNNING)
        write(tree, SECOND, RUNNING, step=5)
    assert following.events == [
        "0/2 states · began first (10 steps)",
        "0/2 states · began second (10 steps, going on from step 5)",
    ]


def test_a_state_that_is_new_goes_on_from_nowhere(tree):
    with Following(tree, FIRST) as following:
        write(tree, FIRST, RUNNING)
        append_rows(tree.state(FIRST.state.id).train_rows, [train_row(7)])
    assert following.events == ["0/1 states · began first (10 steps)"]


def test_the_time_left_is_that_of_the_tokens_that_are_trained(tree, monkeypatch):
    monkeypatch.setattr(pace, "LEAST_SECONDS", 0.0)
    with Following(tree, FIRST, SECOND) as following:
        write(tree, FIRST, RUNNING)
        for step in (1, 5, 10):
            append_rows(tree.state(FIRST.state.id).train_rows, [train_row(step)])
            time.sleep(0.7)
        write(tree, FIRST, COMPLETE, step=10)
    assert following.said.splitlines()[0].endswith("estimating the time left")
    assert re.search(r"complete first .* about \d+ s left$", following.said, re.MULTILINE)


def test_labels_are_printed_as_they_are(tree):
    bracketed = task("schedule=wsd(decay_fraction=0.1) [red]")
    with Following(tree, bracketed) as following:
        write(tree, bracketed, RUNNING)
    assert "wsd(decay_fraction=0.1) [red] (10 steps)" in following.events[0]


def test_while_machines_start_it_says_that_nothing_is_trained(tree, monkeypatch):
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.1)
    with Following(tree, FIRST) as waiting:
        time.sleep(1.2)  # two looks
    assert f"    {NOTHING_RUNS}\n" in waiting.said
    write(tree, FIRST, RUNNING)
    with Following(tree, FIRST) as training:
        time.sleep(0.1)
        write(tree, FIRST, RUNNING, step=1)
        time.sleep(1.2)
    assert training.said.splitlines()[-1].startswith("    first: step 1/10")
