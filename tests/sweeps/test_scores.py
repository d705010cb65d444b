"""`rewarm evaluate`: which states of a sweep it scores, and what it says without the harness."""

import subprocess
import sys

from cpt.files import write_json
from cpt.records import ResultTree, Status, StatusWord
from sweeps.scores import states_to_score


def write_status(tree, name, word):
    tree.state(name).write_status(Status(status=word, step=5))


def test_the_pre_trained_states_and_each_trials_last_are_scored_once_complete(tmp_path):
    tree = ResultTree(tmp_path)
    states = [
        {"state": "up", "stage": "upstream", "ends_stage": True},
        {"state": "trunk", "stage": "downstream", "ends_stage": False},
        {"state": "a", "stage": "downstream", "ends_stage": True},
        {"state": "b", "stage": "downstream", "ends_stage": True},
        {"state": "c", "stage": "downstream", "ends_stage": True},
    ]
    trials = [{"states": ["up", "trunk", name]} for name in ("a", "a", "b", "c")]
    write_json(tree.sweep("s").plan, {"states": states, "trials": trials})
    for name in ("up", "trunk", "a"):
        write_status(tree, name, StatusWord.COMPLETE)
    write_status(tree, "b", StatusWord.STOPPED)
    tree.state("c").path.mkdir()
    tree.state("c").status.write_text("{")
    assert [state.path.name for state in states_to_score(tree.sweep("s"))] == ["up", "a"]


def test_without_the_harness_the_extra_is_named(tmp_path, environment):
    state = ResultTree(tmp_path).state("a")
    write_json(state.config, {})
    write_status(ResultTree(tmp_path), "a", StatusWord.COMPLETE)
    program = "import sys; sys.modules['lm_eval'] = None; from sweeps.__main__ import main; main()"
    refused = subprocess.run(
        [sys.executable, "-c", program, "evaluate", str(state.path), "--tasks", "arc_easy"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "lm_eval" in refused.stderr
    assert "pip install 'rewarm[eval]'" in refused.stderr
