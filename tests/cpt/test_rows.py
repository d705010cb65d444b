"""Rows that survive a kill, and which of them count after a resume."""

import pytest

from cpt.rows import EvalRow, TaskRow, TrainRow, append_rows, current_rows, read_rows


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
