"""Folders that a hand or a disk has damaged cost their own trial, never the report."""

import json

import pytest

from analysis.load import load_sweep
from analysis.measures import trial_table
from analysis.report import write_report
from cpt.checkpoint_marker import ROW_FILES, Marker
from cpt.records import ResultTree
from cpt.seals import GrowingDigest

DAMAGES = {
    "config.json cut off": ("config.json", lambda text: text[: len(text) // 2]),
    "config.json a list": ("config.json", lambda text: "[1, 2]"),
    "config.json of another shape": ("config.json", lambda text: '{"evaluation": [1]}'),
    "config.json without sets": ("config.json", lambda text: '{"evaluation": {}}'),
    "config.json with a number for a base": (
        "config.json",
        lambda text: json.dumps({**json.loads(text), "base": 7}),
    ),
    "status.json cut off": ("status.json", lambda text: text[:10]),
    "status.json empty": ("status.json", lambda text: ""),
    "status.json with another word": (
        "status.json",
        lambda text: text.replace("complete", "finished"),
    ),
    "status.json without a step": ("status.json", lambda text: '{"status": "complete"}'),
}


@pytest.fixture
def pair(two_sets):
    """Two complete trials that go on from one model."""
    losses = {"wiki": [(0, 2.0), (100, 2.3)], "code": [(0, 3.0), (100, 2.0)]}
    two_sets.state("up", 0, {"wiki": [(0, 6.0), (100, 2.0)]})
    for name, peak in (("good", 1e-3), ("bad", 2e-3)):
        two_sets.state(name, 1, losses, parent="up")
        two_sets.trial(name, ["up", name], max_lr=peak, center=name == "good")
    return two_sets


def write(tree):
    return tree.write({"max_lr": [1e-3, 2e-3]}, {"max_lr": 1e-3})


def damage(tree, state, file, change):
    path = ResultTree(tree.storage).state(state).path / file
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize("name", DAMAGES)
def test_the_state_is_pending_and_the_file_is_named(pair, name):
    file, change = DAMAGES[name]
    damage(pair, "bad", file, change)
    sweep_dir = write(pair)
    trials = trial_table(load_sweep(sweep_dir)).set_index("trial")
    assert trials.loc["bad", "status"] == "pending"
    assert trials.loc["bad", "reason"].startswith(f"damaged: states/bad/{file} is not")
    assert trials["forgetting"].isna().to_dict() == {"good": False, "bad": True}
    page = write_report(sweep_dir).read_text(encoding="utf-8")
    assert f"damaged: states/bad/{file}" in page
    assert "1 of 2 trials complete; 1 pending." in page


@pytest.mark.parametrize("file", ["config.json", "eval.jsonl"])
def test_bytes_that_are_no_text_are_damage(pair, file):
    (ResultTree(pair.storage).state("bad").path / file).write_bytes(b"\xff\xfe\x00{}")
    trials = trial_table(load_sweep(write(pair))).set_index("trial")
    assert trials.loc["bad", "reason"].startswith(f"damaged: states/bad/{file} is not")


def test_a_row_that_lacks_a_column_is_left_out(pair):
    with ResultTree(pair.storage).state("bad").eval_rows.open("a") as file:
        file.write('{"step": 100}\n{"loss": 1.0}\n')
    assert trial_table(load_sweep(write(pair)))["forgetting"].tolist() == pytest.approx([0.3, 0.3])


def test_a_trial_that_waits_for_a_damaged_state_names_it(tree):
    tree.state("up", 0)
    tree.state("one", 1, parent="up")
    tree.state("two", 2, parent="one", status=None)
    tree.trial("a", ["up", "one", "two"])
    damage(tree, "one", "status.json", lambda text: "")
    (trial,) = load_sweep(tree.write({})).trials.to_dict("records")
    assert (trial["status"], trial["reason"]) == (
        "pending",
        "waits for one, damaged: states/one/status.json is not a complete JSON object",
    )


def test_a_damaged_first_stage_costs_the_measures_that_need_it(three_stages):
    (three_stages.parent.parent / "states" / "code-center" / "config.json").write_text("{")
    trials = trial_table(load_sweep(three_stages)).set_index("trial")
    assert trials.loc["center", "status"] == "complete"
    assert trials.loc["center", ["forgetting", "adaptation"]].isna().all()
    assert trials["forgetting"].notna().sum() == len(trials) - 1
    write_report(three_stages)


def marked(tree, state):
    """The marker that a training leaves, over the rows as they stand."""
    folder = ResultTree(tree.storage).state(state)
    status = folder.read_status()
    folder.checkpoint(status.step).mkdir(parents=True)
    folder.mark_checkpoint(
        Marker(
            state=state,
            step=status.step,
            elapsed_seconds=1.0,
            torch="2",
            world_size=1,
            files={},
            rows={name: GrowingDigest(folder.path / name).now() for name in ROW_FILES},
        )
    )
    return folder


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text.replace("2.3", "2.8"), "eval.jsonl has other bytes than were written"),
        (lambda text: text[:-5], "bytes, not the"),
        (lambda text: text.replace('{"step"', '{step"', 1), "bytes, not the"),
        (lambda text: text + text, "bytes, not the"),
    ],
    ids=["a digit", "the end", "a line that is no row", "rows that nobody wrote"],
)
def test_rows_of_a_complete_state_are_those_that_were_written(pair, change, told):
    marked(pair, "bad")
    marked(pair, "good")
    damage(pair, "bad", "eval.jsonl", change)
    sweep_dir = write(pair)
    trials = trial_table(load_sweep(sweep_dir)).set_index("trial")
    assert trials["status"].to_dict() == {"good": "complete", "bad": "pending"}
    assert trials.loc["bad", "reason"].startswith("damaged: states/bad/eval.jsonl has ")
    assert told in trials.loc["bad", "reason"]
    assert "damaged: states/bad/eval.jsonl has " in write_report(sweep_dir).read_text("utf-8")
