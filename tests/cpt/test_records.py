"""The result tree: files that are whole or absent, rows that survive a kill."""

import os
from pathlib import Path

import pytest

from cpt.records import (
    EvalRow,
    ResultTree,
    Status,
    StatusWord,
    TaskRow,
    TrainRow,
    append_rows,
    current_rows,
    read_json,
    read_rows,
    write_json,
    write_text,
)


def train_row(step: int, loss: float = 1.0) -> TrainRow:
    return TrainRow(
        step=step,
        tokens=step * 10,
        lr=0.1,
        loss=loss,
        grad_norm=1.0,
        tokens_per_second=5.0,
        mfu=None,
        elapsed_seconds=2.0,
    )


def steps(rows: list) -> list[int]:
    return [row["step"] for row in rows]


# Paths.


def test_where_everything_lies():
    tree = ResultTree(Path("/r"))
    state, sweep = tree.state("steps10-seed0-ab"), tree.sweep("german")
    found = [
        tree.tokens("wiki-1a"),
        state.config,
        state.status,
        state.train_rows,
        state.eval_rows,
        state.task_rows,
        state.checkpoint(4000),
        sweep.spec,
        sweep.plan,
        sweep.report,
        sweep.trials,
    ]
    assert [path.as_posix() for path in found] == [
        "/r/tokens/wiki-1a",
        "/r/states/steps10-seed0-ab/config.json",
        "/r/states/steps10-seed0-ab/status.json",
        "/r/states/steps10-seed0-ab/train.jsonl",
        "/r/states/steps10-seed0-ab/eval.jsonl",
        "/r/states/steps10-seed0-ab/tasks.jsonl",
        "/r/states/steps10-seed0-ab/checkpoints/step_00004000",
        "/r/sweeps/german/sweep.yaml",
        "/r/sweeps/german/plan.json",
        "/r/sweeps/german/report.html",
        "/r/sweeps/german/trials.csv",
    ]


def test_the_columns_of_the_rows_are_the_contract():
    assert list(TrainRow.__dataclass_fields__) == [
        "step", "tokens", "lr", "loss", "grad_norm", "tokens_per_second", "mfu", "elapsed_seconds",
    ]  # fmt: skip
    assert list(EvalRow.__dataclass_fields__) == [
        "step", "tokens", "dataset", "domain", "loss", "bits_per_byte", "num_tokens",
    ]  # fmt: skip
    assert list(TaskRow.__dataclass_fields__) == [
        "step", "task", "metric", "filter", "value", "stderr", "higher_is_better", "num_fewshot",
        "num_samples", "limit", "group", "task_version", "harness",
    ]  # fmt: skip


# Status.


def test_a_state_that_never_started_has_no_status(tmp_path):
    assert ResultTree(tmp_path).state("x").read_status() is None


@pytest.mark.parametrize("word", ["running", "complete", "stopped", "failed"])
def test_a_status_reads_back_as_it_was_written(tmp_path, word):
    state = ResultTree(tmp_path).state("x")
    status = Status(status=StatusWord(word), step=7, reason="said so")
    state.write_status(status)
    assert state.read_status() == status
    assert read_json(state.status) == {"status": word, "step": 7, "reason": "said so"}


def test_a_stopped_status_tells_the_rule_that_ended_it(tmp_path):
    state = ResultTree(tmp_path).state("x")
    state.write_status(Status(status=StatusWord.STOPPED, step=7, rule={"type": "asha", "n": 2.0}))
    status = state.read_status()
    assert status.is_ended_by({"type": "asha", "n": 2, "rungs": [1]})
    assert not status.is_ended_by({"type": "asha", "n": 3})
    assert not status.is_ended_by({"type": "none"})


def test_what_was_stopped_by_no_known_rule_or_not_stopped_was_ended_by_none(tmp_path):
    assert not Status(status=StatusWord.STOPPED, step=7).is_ended_by({"type": "asha"})
    complete = Status(status=StatusWord.COMPLETE, step=7, rule={"type": "asha"})
    assert not complete.is_ended_by({"type": "asha"})


def test_a_word_that_is_no_status_is_refused(tmp_path):
    state = ResultTree(tmp_path).state("x")
    write_json(state.status, {"status": "done", "step": 1, "reason": ""})
    with pytest.raises(ValueError, match="'done' is not a valid StatusWord"):
        state.read_status()


# Atomic replacement.


def test_writing_makes_the_folders_above(tmp_path):
    write_json(tmp_path / "a" / "b" / "c.json", {"x": 1})
    assert read_json(tmp_path / "a" / "b" / "c.json") == {"x": 1}


def test_writing_leaves_nothing_else_behind(tmp_path):
    write_text(tmp_path / "file", "one")
    write_text(tmp_path / "file", "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "two")]


def test_a_reader_during_the_write_sees_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_text(path, "old")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.read_text()))
    write_text(path, "new")
    assert (seen, path.read_text()) == (["old"], "new")


def test_the_content_is_on_disk_before_the_name_points_to_it(tmp_path, monkeypatch):
    events = []
    replace = Path.replace
    monkeypatch.setattr(os, "fsync", lambda _: events.append("sync"))
    monkeypatch.setattr(Path, "replace", lambda *args: (events.append("replace"), replace(*args)))
    write_text(tmp_path / "file", "text")
    assert events == ["sync", "replace"]


def test_all_of_the_text_is_in_the_file_that_is_synced(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_size))
    write_text(tmp_path / "file", "12345")
    assert synced == [5]


def test_a_write_that_dies_leaves_the_old_file(tmp_path, monkeypatch):
    def die(_: int) -> None:
        raise OSError("no space left")

    path = tmp_path / "file"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(OSError, match="no space left"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_an_open_reader_keeps_the_file_it_opened(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old content")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old content"


def test_nan_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match=r"file\.json cannot hold \{'loss': nan\}"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path) == {"loss": 1.0}


@pytest.mark.parametrize(
    ("text", "fault"),
    [('{"a": 1', "is not complete JSON"), ("", "is not complete JSON"), ("[1]", "a JSON list")],
)
def test_a_file_without_a_whole_object_is_named(tmp_path, text, fault):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"file\.json.*{fault}"):
        read_json(path)


# Rows.


def test_rows_read_back_as_they_were_appended(tmp_path):
    path = tmp_path / "train.jsonl"
    append_rows(path, [train_row(1)])
    append_rows(path, [train_row(2), train_row(3)])
    assert read_rows(path) == [
        {
            "step": step,
            "tokens": step * 10,
            "lr": 0.1,
            "loss": 1.0,
            "grad_norm": 1.0,
            "tokens_per_second": 5.0,
            "mfu": None,
            "elapsed_seconds": 2.0,
        }
        for step in (1, 2, 3)
    ]


def test_an_eval_row_is_one_line(tmp_path):
    path = tmp_path / "eval.jsonl"
    row = EvalRow(
        step=4, tokens=40, dataset="wïki\n", domain=None, loss=2.5, bits_per_byte=1.5, num_tokens=9
    )
    append_rows(path, [row])
    assert path.read_bytes() == (
        b'{"step": 4, "tokens": 40, "dataset": "w\\u00efki\\n", "domain": null, "loss": 2.5, '
        b'"bits_per_byte": 1.5, "num_tokens": 9}\n'
    )


def test_floats_keep_every_bit(tmp_path):
    path = tmp_path / "train.jsonl"
    append_rows(path, [train_row(1, loss=0.1 + 0.2)])
    assert read_rows(path)[0]["loss"] == 0.30000000000000004


def test_a_missing_file_has_no_rows(tmp_path):
    assert read_rows(tmp_path / "train.jsonl") == []


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "lo')
    assert steps(read_rows(path)) == [1, 2]


@pytest.mark.parametrize("cut", range(1, 30))
def test_rows_appended_after_a_cut_line_are_whole(tmp_path, cut):
    path = tmp_path / "train.jsonl"
    append_rows(path, [train_row(1), train_row(2)])
    path.write_bytes(path.read_bytes()[:-cut])
    append_rows(path, [train_row(2), train_row(3)])
    # With only the newline lost, the cut line is still a row.
    assert steps(read_rows(path)) == ([1, 2, 2, 3] if cut == 1 else [1, 2, 3])


def test_appending_adds_no_empty_line_to_a_whole_file(tmp_path):
    path = tmp_path / "train.jsonl"
    append_rows(path, [train_row(1)])
    append_rows(path, [train_row(2)])
    assert path.read_bytes().count(b"\n") == 2
    assert b"\n\n" not in path.read_bytes()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_row_with_nan_is_named_and_none_of_the_rows_is_appended(tmp_path, bad):
    path = tmp_path / "train.jsonl"
    append_rows(path, [train_row(1)])
    with pytest.raises(
        ValueError, match=r"train\.jsonl cannot hold \{'step': 3, .*'loss': (nan|inf)"
    ):
        append_rows(path, [train_row(2), train_row(3, loss=bad)])
    assert steps(read_rows(path)) == [1]


# Superseded rows.


def by_step(row: dict) -> int:
    return row["step"]


def by_set(row: dict) -> tuple:
    return row["step"], row["dataset"]


def attempts(*rows: tuple[int, str]) -> list[dict]:
    return [{"step": step, "attempt": attempt} for step, attempt in rows]


def test_without_a_resume_every_row_counts():
    rows = attempts((1, "a"), (2, "a"), (3, "a"))
    assert current_rows(rows, by_step) == rows


def test_a_resume_supersedes_the_rows_from_its_first_step_on():
    rows = attempts((1, "a"), (2, "a"), (3, "a"), (4, "a"), (3, "b"), (4, "b"), (5, "b"))
    expected = attempts((1, "a"), (2, "a"), (3, "b"), (4, "b"), (5, "b"))
    assert current_rows(rows, by_step) == expected


def test_rows_that_the_resumed_attempt_did_not_reach_again_do_not_count():
    rows = attempts((1, "a"), (2, "a"), (3, "a"), (4, "a"), (2, "b"))
    assert current_rows(rows, by_step) == attempts((1, "a"), (2, "b"))


def test_a_resume_at_other_log_steps_still_supersedes():
    rows = attempts((2, "a"), (4, "a"), (6, "a"), (8, "a"), (5, "b"), (10, "b"))
    assert current_rows(rows, by_step) == attempts((2, "a"), (4, "a"), (5, "b"), (10, "b"))


def test_a_resume_that_repeats_only_the_last_step_replaces_it():
    rows = attempts((1, "a"), (2, "a"), (2, "b"), (3, "b"))
    assert current_rows(rows, by_step) == attempts((1, "a"), (2, "b"), (3, "b"))


def test_of_three_attempts_the_last_counts():
    rows = attempts((1, "a"), (2, "a"), (3, "a"), (2, "b"), (3, "b"), (1, "c"))
    assert current_rows(rows, by_step) == attempts((1, "c"))


def test_rows_of_several_sets_at_one_step_all_count():
    rows = [{"step": step, "dataset": name} for step in (0, 4) for name in ("d0", "d1")]
    assert current_rows(rows, by_set) == rows


def test_an_evaluation_cut_between_two_sets_is_superseded_as_a_whole():
    rows = [
        {"step": 0, "dataset": "d0", "loss": 1},
        {"step": 0, "dataset": "d1", "loss": 2},
        {"step": 8, "dataset": "d0", "loss": 3},
        {"step": 4, "dataset": "d0", "loss": 4},
        {"step": 4, "dataset": "d1", "loss": 5},
    ]
    assert [row["loss"] for row in current_rows(rows, by_set)] == [1, 2, 4, 5]


def test_a_resumed_evaluation_that_is_cut_keeps_nothing_of_the_lost_one():
    rows = [
        {"step": 8, "dataset": "d0", "loss": 1},
        {"step": 8, "dataset": "d1", "loss": 2},
        {"step": 9, "dataset": "d0", "loss": 3},
        {"step": 8, "dataset": "d0", "loss": 4},
    ]
    assert [row["loss"] for row in current_rows(rows, by_set)] == [4]


def test_rows_stay_in_the_order_of_the_file():
    rows = [
        {"step": 8, "dataset": "d0", "loss": 1},
        {"step": 8, "dataset": "d1", "loss": 2},
        {"step": 8, "dataset": "d0", "loss": 3},
    ]
    assert [row["loss"] for row in current_rows(rows, by_set)] == [2, 3]


def test_no_rows_stay_no_rows():
    assert current_rows([], by_step) == []
