"""The result tree: where everything lies, and what a status says."""

from pathlib import Path

import pytest

from cpt.files import read_json, write_json
from cpt.records import ResultTree, Status, StatusWord

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
