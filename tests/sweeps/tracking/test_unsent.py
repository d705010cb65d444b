"""Which rows a tracker is told, when, and under which names."""

import json
import math
from pathlib import Path

import pytest

from cpt.records import StateDir
from sweeps.tracking.rows import metrics, part
from sweeps.tracking.unsent import RowFile, UnsentRows
from tests.sweeps.tracking.conftest import Writer
from tests.sweeps.tracking.reading import in_tree

# names.


def test_a_training_column_keeps_its_name_and_what_is_no_number_is_left_out():
    row = {"step": 3, "loss": 2.5, "lr": 0.1, "mfu": None}
    assert metrics("train.jsonl", row) == {"loss": 2.5, "lr": 0.1}


def test_an_evaluation_is_named_by_data_set_and_domain():
    row = {"step": 3, "dataset": "wiki", "domain": "law", "loss": 2.5, "num_tokens": 9}
    named = {"eval/wiki/law/loss": 2.5, "eval/wiki/law/num_tokens": 9}
    assert metrics("eval.jsonl", row) == named
    assert metrics("eval.jsonl", row | {"domain": None}) == {
        "eval/wiki/loss": 2.5,
        "eval/wiki/num_tokens": 9,
    }


def test_what_was_read_is_named_by_source_and_domain():
    row = {"step": 3, "source": "wiki", "domain": None, "since": 0, "tokens": 7, "samples": None}
    assert metrics("data.jsonl", row) == {"data/wiki/since": 0, "data/wiki/tokens": 7}


def test_a_name_that_trackers_do_not_take_is_changed_and_stays_its_own():
    assert part("law_de-1.0") == "law_de-1.0"
    assert part("gesetze.ä") == "gesetze.ä"
    odd = [part(name) for name in ("c++", "c##", "a/b", "a b", ".", "..", "", "x" * 300)]
    assert odd[0].startswith("c__-")
    assert len(set(odd)) == len(odd)
    assert all(len(name) <= 85 and name.strip(".") for name in odd)


# reading on.


def test_a_file_is_read_on_from_where_it_was_read_last(tmp_path):
    path = tmp_path / "train.jsonl"
    file = RowFile(path)
    assert file.read() == []
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"st')
    assert file.read() == [{"step": 1}, {"step": 2}]
    assert file.read() == []
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n{"step": 3}\n')
    assert file.read() == [{"step": 3}]


def test_a_line_that_a_kill_cut_off_is_passed_over(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st\n{"step": 2}\n')
    assert RowFile(path).read() == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("length", [1, 50])
def test_a_file_that_is_another_now_is_read_from_its_beginning(tmp_path, length):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(f'{{"step": {step}}}\n' for step in range(20)))
    file = RowFile(path)
    file.read()
    path.write_text("".join(f'{{"step": {step}, "a": 1}}\n' for step in range(length)))
    assert [row["step"] for row in file.read()] == list(range(length))


# what is whole.


def told(rows: UnsentRows, *, now: float = 0.0, ended: bool = False) -> list[int]:
    rows.look(now)
    steps = rows.ready(seen_until=now, ended=ended)
    if steps:
        rows.told(steps[-1])
    return [one.step for one in steps]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(StateDir(tmp_path / "state"))


def test_a_step_is_told_once_a_later_update_was_seen(writer):
    rows = UnsentRows(writer.state.path, {})
    writer.train(0, 0)
    assert told(rows) == []
    writer.train(1, 3)
    assert told(rows) == [0, 1, 2]
    assert told(rows) == []
    writer.train(4, 5)
    assert told(rows) == [3, 4]
    assert not rows.is_empty
    assert told(rows, ended=True) == [5]
    assert rows.is_empty


def test_a_step_has_the_rows_of_all_files(writer):
    writer.train(0, 4)
    rows = UnsentRows(writer.state.path, {})
    rows.look(0.0)
    steps = rows.ready(seen_until=0.0, ended=True)
    points = sorted((name, one.step, value) for one in steps for name, value in one.metrics.items())
    assert points == in_tree(writer.state)
    assert len(points) == 4 * 6 + 2 * (2 * 4) + 2 * 5
    assert steps[-1].elapsed_seconds == 1.0


def test_where_files_arrive_one_by_one_a_step_waits_until_all_were_fetched_again(writer):
    rows = UnsentRows(writer.state.path, {})
    writer.train(1, 2)
    rows.look(now=10.0)
    assert rows.ready(seen_until=4.0, ended=False) == []
    writer.train(3, 3)
    rows.look(now=13.0)
    assert [one.step for one in rows.ready(seen_until=10.0, ended=False)] == [1]
    assert [one.step for one in rows.ready(seen_until=13.0, ended=False)] == [1, 2]


def test_what_was_told_is_not_told_again(writer):
    writer.train(0, 6)
    sent = {"train.jsonl": 4, "eval.jsonl": 0, "data.jsonl": 0}
    rows = UnsentRows(writer.state.path, sent)
    rows.look(0.0)
    steps = rows.ready(seen_until=0.0, ended=True)
    assert [one.step for one in steps] == [4, 5, 6]
    assert not steps[0].metrics.keys() & {"loss", "lr"}  # told, its evaluation was not
    assert steps[0].elapsed_seconds == 1.0
    rows.told(steps[-1])
    assert rows.sent == {"train.jsonl": 6, "eval.jsonl": 4, "data.jsonl": 4}


def test_rows_that_a_resume_superseded_are_not_told_where_they_waited(writer):
    rows = UnsentRows(writer.state.path, {})
    writer.train(1, 4)
    rows.look(0.0)
    writer.train(3, 5, attempt=2)  # resumed at step 2
    rows.look(0.0)
    steps = rows.ready(seen_until=0.0, ended=True)
    assert [(one.step, one.metrics["tokens_per_second"]) for one in steps] == [
        (1, 100.0), (2, 100.0), (3, 200.0), (4, 200.0), (5, 200.0),
    ]  # fmt: skip
    assert steps[3].metrics["eval/wiki/loss"] == 4.25 + 4 / 1024


def test_after_a_resume_no_step_is_told_twice(writer):
    rows = UnsentRows(writer.state.path, {})
    writer.train(0, 5)
    assert told(rows) == [0, 1, 2, 3, 4]
    writer.train(3, 7, attempt=2)
    assert told(rows) == [5, 6]
    assert told(rows, ended=True) == [7]


def test_a_step_back_is_no_sign_that_steps_before_it_are_whole(writer):
    rows = UnsentRows(writer.state.path, {})
    writer.train(1, 9)
    rows.look(0.0)
    writer.train(2, 3, attempt=2)
    rows.look(0.0)
    assert [one.step for one in rows.ready(seen_until=0.0, ended=False)] == [1, 2]


def test_numbers_that_are_none_are_left_out_and_all_others_are_not(tmp_path):
    row = {"step": 1, "loss": math.nan, "lr": 0.0, "flag": True}
    assert metrics("train.jsonl", json.loads(json.dumps(row))) == {"lr": 0.0}
