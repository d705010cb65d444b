"""`rewarm report`: several sweeps, options that cannot be met, and a watch that ends by itself."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.asked import Asked
from cpt.files import read_json, write_json
from cpt.records import ResultTree, Status, StatusWord
from sweeps.console import Exit
from sweeps.ownership import owned
from sweeps.prepare import prepare, write_plan
from sweeps.reporting import report
from sweeps.store import tree_of
from sweeps.sweep_file import load
from sweeps.targets import SweepTarget, sweep_at


@pytest.fixture
def start(sweep, folder, monkeypatch) -> Callable[..., str]:
    """Puts a sweep's plan and configurations on disk; returns its folder."""
    monkeypatch.chdir(folder)

    def started(**changes: object) -> str:
        spec, submitted = load(folder / sweep(**changes))
        tree = tree_of(spec)
        planned = prepare(spec, tree, lambda _: None)
        write_plan(planned, submitted, tree)
        for name, state in planned.states.items():
            write_json(tree.state(name).config, state.config.model_dump(mode="json"))
        return f"results/sweeps/{spec.name}"

    return started


def states_of(target: SweepTarget) -> list[str]:
    return [path.name for path in sorted((target.tree.storage / "states").iterdir())]


def test_several_sweeps_become_one_page_beside_the_first(rewarm, start, folder):
    first, second = start(), start(name="shorter", sequence_length=8)
    written = rewarm("report", first, "sweep.yaml")
    page = folder / first / "comparison.html"
    assert (written.returncode, written.stderr) == (Exit.DONE, "")
    assert written.stdout == f"report: {page}\n"
    text = page.read_text(encoding="utf-8")
    assert "2 sweeps compared" in text
    assert "sequence length" in text
    assert not (folder / second / "report.html").exists()


def test_options_that_cannot_be_met_are_refused_before_the_sweep_is_looked_at(rewarm, folder):
    refused = rewarm("report", "nowhere", "--unit", "nats", "--every", "3", "--out", "a.txt")
    assert (refused.returncode, refused.stdout) == (Exit.REFUSED, "")
    assert refused.stderr.splitlines() == [
        "refused: --out 'a.txt': must be a file whose name ends in .html.",
        "refused: --unit nats: is of a comparison; the report of one sweep counts in nats per "
        "token; leave it out, or name a second sweep.",
        "refused: --every 3: is of --watch; add --watch or leave it out.",
    ]


def test_text_is_the_same_whatever_packed_it(start, folder):
    plans = []
    for name, tokenizer in (("bytes", "bytes"), ("words", {"train_on": "old", "vocab_size": 260})):
        found = sweep_at(start(name=name, tokenizer=tokenizer))
        plans.append(read_json(found.sweep.plan))
    ours, theirs = (plan["datasets"]["old"] for plan in plans)
    assert ours["validation"] != theirs["validation"]
    assert ours["validation_text"] == theirs["validation_text"] != ""


def test_a_watch_ends_once_all_is_settled_and_nobody_runs_it(start, folder, capsys):
    target = sweep_at(start())
    tree = ResultTree(folder / "results")
    asked = Asked(every=0.05)
    watching = threading.Thread(target=report, args=([target], asked))
    with owned(target.sweep, lambda _: None, lambda _: None):
        watching.start()
        for state in states_of(target):
            tree.state(state).write_status(Status(status=StatusWord.FAILED, step=0, reason="x"))
        time.sleep(1)
        assert watching.is_alive()
    watching.join(timeout=20)
    assert not watching.is_alive()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 1
    assert all(line.endswith(f" report: {target.sweep.report}") for line in lines)
    assert "RELOAD_SECONDS = 0.0;" in Path(target.sweep.report).read_text(encoding="utf-8")
