"""`rewarm run` on a real local Ray: what is missing is trained, whatever happened before."""

import csv
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cpt.files import read_json, write_json
from cpt.leaving import OTHER_ASKED, LeavingError
from cpt.records import ResultTree, StatusWord
from cpt.rows import current_rows, read_rows
from cpt.token_store import StoreError
from cpt.train import train
from sweeps.prepare import prepare
from sweeps.sweep_file import load

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(240)]

DONE, FAILED, INTERRUPTED = 0, 1, 75
GO_ON = "interrupted; the same command goes on where it stopped\n"
LONG = {
    "datasets": {
        name: {
            "path": "json",
            "train": f"{name}.jsonl",
            "validation": f"{name}_v.jsonl",
            "repeat": True,
        }
        for name in ("old", "new")
    },
    "checkpoint_interval_steps": 100,
    "evaluation": {
        "interval_steps": 100,
        "final_window_steps": 2,
        "final_window_interval_steps": 1,
        "tokens_per_dataset": 64,
    },
}
"""With a budget of 64 tokens a step, long enough to be interrupted."""


@pytest.fixture(autouse=True)
def own_ray(environment: dict[str, str]) -> Iterator[None]:
    """Ray's files of this test alone: no cluster of another test is joined or mourned."""
    # Short, for the paths of sockets are.
    path = tempfile.mkdtemp(prefix="rw-", dir="/tmp")
    environment["RAY_TMPDIR"] = path
    environment.pop("RAY_ADDRESS", None)
    yield
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def tree(folder: Path) -> ResultTree:
    return ResultTree(folder / "results")


def words(tree: ResultTree) -> dict[str, str]:
    """The status of each planned state, by its label."""
    plan = json.loads((tree.sweep("tiny").plan).read_text())
    statuses = {
        state["label"]: tree.state(state["state"]).read_status() for state in plan["states"]
    }
    return {label: str(status.status) if status else "-" for label, status in statuses.items()}


def trials(tree: ResultTree) -> dict[str, dict[str, Any]]:
    with tree.sweep("tiny").trials.open() as file:
        return {row["trial"]: row for row in csv.DictReader(file)}


def steps(tree: ResultTree, label: str) -> list[int]:
    """Steps of the training rows that count."""
    plan = json.loads((tree.sweep("tiny").plan).read_text())
    (name,) = (state["state"] for state in plan["states"] if state["label"] == label)
    rows = read_rows(tree.state(name).train_rows)
    return [row["step"] for row in current_rows(rows, key=lambda row: row["step"])]


def _listen_to_sigint() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Started:
    """`rewarm run` in a session of its own, while it runs."""

    def __init__(self, folder: Path, environment: dict[str, str], file: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sweeps", "run", file],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that starts the tests with & has them ignore SIGINT, and they pass it on.
            preexec_fn=_listen_to_sigint,
        )

    def wait_for_a_checkpoint(self, tree: ResultTree) -> None:
        while not list(tree.storage.glob("states/*/checkpoints/*/complete.json")):
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)

    def finish(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=120)
        return self.process.returncode, out, err

    def members(self) -> dict[int, str]:
        """Living processes of the session, the driver's and Ray's, and their commands."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state, _, _, session = (folder / "stat").read_text().rsplit(")", 1)[1].split()[:4]
                command = (folder / "cmdline").read_text().replace("\0", " ")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(session) == self.process.pid and state != "Z":
                found[int(folder.name)] = command
        return found

    def kill_everything(self) -> None:
        """As a machine that loses power."""
        while members := self.members():
            for pid in members:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def left_behind(self) -> dict[int, str]:
        """What still runs five seconds after the end."""
        until = time.monotonic() + 5
        while (members := self.members()) and time.monotonic() < until:
            time.sleep(0.1)
        return members


@pytest.fixture
def start(folder: Path, environment: dict[str, str]) -> Iterator[Any]:
    started: list[Started] = []

    def run(file: str) -> Started:
        started.append(Started(folder, environment, file))
        return started[-1]

    yield run
    for one in started:
        one.kill_everything()
        one.process.communicate()


@pytest.mark.long
def test_a_longer_budget_goes_on_from_what_is_there_and_damage_is_trained_again(
    rewarm, sweep, tree, content
):
    center = content["center"] | {"schedule": "wsd"}
    two = {"dataset": "new", "token_budget": 512, "budgets": [512, 768]}
    assert rewarm("run", sweep(downstream=two, center=center)).returncode == DONE
    rows = {path: path.stat().st_mtime_ns for path in tree.storage.glob("states/*/train.jsonl")}
    assert len(rows) == 1 + 2 + 2
    (trial, *_) = json.loads(tree.sweep("tiny").plan.read_text())["trials"]
    damaged = tree.state(trial["states"][-1])
    damaged.config.write_text('{"label": "cen')
    content_before = damaged.train_rows.read_text()

    three = two | {"budgets": [512, 768, 1024]}
    extended = rewarm("run", sweep(downstream=three, center=center))
    assert extended.returncode == DONE
    aside = damaged.path.with_name(f"{damaged.path.name}.damaged-1")
    assert f"damaged: center: {damaged.config} is not complete JSON" in extended.stderr
    assert f"moved to {aside} and trained again" in extended.stderr
    assert (aside / "train.jsonl").read_text() == content_before
    assert "3 states to train, 4 complete already" in extended.stdout
    assert set(words(tree).values()) == {"complete"}
    assert steps(tree, "center") == [7, 8]
    assert steps(tree, "token_budget=1024") == [14, 15, 16]
    del rows[damaged.train_rows]
    assert rows == {path: path.stat().st_mtime_ns for path in rows}


@pytest.mark.long
def test_a_trial_that_diverges_fails_alone_and_is_tried_again_on_request(rewarm, sweep, tree):
    file = sweep(axes={"max_lr": [1e30]})
    first = rewarm("run", file)
    assert first.returncode == FAILED
    assert words(tree) == {
        "pre-training on old": "complete",
        "center": "complete",
        "max_lr=1e+30": "failed",
    }
    (failed,) = (
        status
        for status in (
            tree.state(path.name).read_status() for path in (tree.storage / "states").iterdir()
        )
        if status.status is StatusWord.FAILED
    )
    assert f"at step {failed.step}" in failed.reason
    assert first.stderr == f"failed: max_lr=1e+30: {failed.reason}\n"
    assert trials(tree)["max_lr=1e+30"]["status"] == "failed"

    second = rewarm("run", file)
    assert second.returncode == FAILED
    assert second.stderr == (
        f"failed before: max_lr=1e+30: {failed.reason}; --retry-failed tries again\n"
    )
    assert "Ray is up" not in second.stdout

    third = rewarm("run", file, "--retry-failed")
    assert third.returncode == FAILED
    assert "1 state to train, 2 complete already" in third.stdout
    assert third.stderr == first.stderr


@pytest.mark.long
def test_what_descends_from_a_failure_is_not_tried(rewarm, sweep, tree, content):
    content["upstream"]["schedule"]["max_lr"] = 1e30
    found = rewarm("run", sweep(baselines=["downstream_only"]))
    assert found.returncode == FAILED
    assert words(tree) == {
        "pre-training on old": "failed",
        "center": "-",
        "downstream_only": "failed",
    }
    assert "lost their machine" not in found.stderr


def test_a_state_that_raises_has_failed_with_its_reason(rewarm, sweep, tree):
    planned = json.loads(rewarm("plan", file := sweep(), "--json").stdout)
    (child,) = (state["state"] for state in planned["states"] if state["parent"])
    tree.state(child).path.mkdir(parents=True)
    tree.state(child).checkpoints.write_text("a file where a folder must be")
    found = rewarm("run", file)
    assert found.returncode == FAILED
    assert words(tree) == {"pre-training on old": "complete", "center": "failed"}
    assert "failed: center: NotADirectoryError: " in found.stderr
    assert "lost their machine" not in found.stderr


def training(running: Started) -> int:
    """The process that trains, of a sweep that trains one state at a time."""
    (found,) = (pid for pid, what in running.members().items() if "TrainsStates" in what)
    return found


def test_states_go_on_whose_process_dies_or_is_asked_to_leave(rewarm, sweep, start, tree, content):
    """SIGKILL to the process that trains, then SIGTERM to the next one, then to the driver."""
    content["upstream"]["token_budget"] = 64 * 1_000_000
    file = sweep(**LONG)
    running = start(file)
    running.wait_for_a_checkpoint(tree)
    first = training(running)
    os.kill(first, signal.SIGKILL)
    while first in running.members() or not any(
        "TrainsStates" in what for what in running.members().values()
    ):
        time.sleep(0.1)
    second = training(running)
    (state,) = tree.storage.glob("states/*")
    rows = ResultTree(tree.storage).state(state.name).train_rows
    lost = len(read_rows(rows))
    while len(read_rows(rows)) < lost + 150:
        time.sleep(0.05)
    os.kill(second, signal.SIGTERM)
    while second in running.members():
        time.sleep(0.1)
    asked = len(read_rows(rows))
    while len(read_rows(rows)) < asked + 150:
        time.sleep(0.05)
    # To its whole process group, as `timeout` and schedulers do.
    os.killpg(running.process.pid, signal.SIGTERM)
    status, out, said = running.finish()
    assert (status, said) == (INTERRUPTED, GO_ON)
    assert "A worker died" not in out
    assert "interrupted pre-training on old: its process died; goes on from step " in out
    assert re.search(r"saved at step \d+ and left: SIGTERM; goes on from step ", out)
    assert re.search(r"saved at step \d+ and left: the run was asked to leave by SIGTERM", out)
    assert words(tree) == {"pre-training on old": "running", "center": "-"}
    assert running.left_behind() == {}

    found = [row["step"] for row in read_rows(rows)]
    back = [(one, two) for one, two in itertools.pairwise(found) if two != one + 1]
    assert len(back) == 1, "only the SIGKILL lost updates"
    ((reached, again),) = back
    assert 0 <= reached - again < LONG["checkpoint_interval_steps"]
    saved = max(ResultTree(tree.storage).state(state.name).marked_steps())
    assert found[-1] == saved


@pytest.mark.long
def test_a_state_that_keeps_dying_is_given_up_and_named(rewarm, sweep, start, tree, content):
    content["upstream"]["token_budget"] = 64 * 1_000_000
    running = start(sweep(**LONG, resources={"max_failures": 0}))
    running.wait_for_a_checkpoint(tree)
    os.kill(training(running), signal.SIGKILL)
    status, _, said = running.finish()
    assert status == FAILED
    assert said == (
        "failed: pre-training on old: 1 attempt in a row without a new checkpoint: its process "
        "died\n"
    )
    assert words(tree) == {"pre-training on old": "failed", "center": "-"}


@pytest.mark.long
def test_a_second_request_leaves_at_once(sweep, start, tree, content):
    content["upstream"]["token_budget"] = 64 * 1_000_000
    running = start(sweep(**LONG))
    running.wait_for_a_checkpoint(tree)
    # The first cannot be answered.
    os.kill(training(running), signal.SIGSTOP)
    running.process.send_signal(signal.SIGINT)
    time.sleep(2)
    assert running.process.poll() is None
    running.process.send_signal(signal.SIGINT)
    status, out, said = running.finish()
    assert (status, said) == (INTERRUPTED, GO_ON)
    assert "once more leaves at once" in out
    assert running.left_behind() == {}


def test_one_dead_worker_is_a_lost_machine_whatever_the_others_raise():
    from ray.exceptions import ActorDiedError
    from ray.train import WorkerGroupError

    from sweeps.failures import Failure, Kind, failure

    others = RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer")
    found = failure(WorkerGroupError("", {0: others, 1: ActorDiedError()}))
    assert found == Failure(Kind.DIED, "its process died")
    found = failure(WorkerGroupError("", {0: others, 1: ValueError("mine")}))
    assert found == Failure(Kind.OWN, "ValueError: mine")
    assert failure(WorkerGroupError("", {0: others})).kind is Kind.PEER
    told = {0: others, 1: LeavingError(7, OTHER_ASKED), 2: LeavingError(7, "SIGTERM")}
    left = WorkerGroupError("", {**told, 3: ActorDiedError()})
    assert failure(left) == Failure(Kind.LEFT, "saved at step 7 and left: SIGTERM")


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (OSError(28, "No space left on device", "x"), "SURROUNDINGS", "No space left on device"),
        (OSError(20, "Not a directory", "x"), "OWN", "NotADirectoryError: "),
        (StoreError("s3://x cannot be reached"), "SURROUNDINGS", "s3://x cannot be reached"),
        (MemoryError("800 GiB"), "OWN", "out of memory (800 GiB); lower micro_batch_size"),
        (
            torch.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of "
                "139.80 GiB of which 1.78 GiB is free."
            ),
            "OWN",
            "out of memory (CUDA out of memory. Tried to allocate 2.50 GiB); lower",
        ),
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors"),
            "DIED",
            "its GPU failed: CUDA error: unspecified launch failure",
        ),
    ],
)
def test_what_a_disk_or_a_store_did_is_no_failure_of_the_state(error, kind, reason):
    from sweeps.failures import failure

    found = failure(error)
    assert found.kind.name == kind
    assert reason in found.reason


@pytest.mark.long
def test_a_damaged_beginning_is_trained_anew_and_what_starts_from_it_with_it(
    rewarm, sweep, tree, content
):
    """A flipped bit in the weights that another state starts from is seen when they are read."""
    file = sweep(checkpoint_interval_steps=3)
    assert rewarm("run", file).returncode == DONE
    planned = read_json(tree.sweep("tiny").plan)["states"]
    parent, child = (tree.state(state["state"]) for state in planned)
    expected = read_rows(parent.train_rows), read_rows(child.train_rows)
    shutil.rmtree(child.path)
    (shard,) = parent.checkpoint(8).glob("*.distcp")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)

    found = rewarm("run", file)
    assert found.returncode == DONE, found.stderr
    assert "damaged: center starts from: " in found.stderr
    assert "step_00000008.damaged-1; made anew" in found.stderr
    assert words(tree) == {"pre-training on old": "complete", "center": "complete"}
    again = read_rows(parent.train_rows)
    assert [row["step"] for row in again[8:]] == [7, 8], "from its checkpoint at step 6"
    for before, after in zip(expected, (again, read_rows(child.train_rows)), strict=True):
        losses = [
            [row["loss"] for row in current_rows(rows, key=lambda row: row["step"])]
            for rows in (before, after)
        ]
        assert losses[0] == losses[1]


def test_a_sweep_killed_with_all_its_processes_goes_on_is_reported_and_not_trained_again(
    rewarm, sweep, start, tree, content
):
    content["upstream"]["token_budget"] = 64 * 1500
    file = sweep(**LONG, axes={"max_lr": [0.02]})
    running = start(file)
    running.wait_for_a_checkpoint(tree)
    running.kill_everything()
    assert words(tree)["pre-training on old"] == "running"

    again = rewarm("run", file)
    assert (again.returncode, again.stderr) == (DONE, "")
    assert words(tree) == {
        "pre-training on old": "complete",
        "center": "complete",
        "max_lr=0.02": "complete",
    }
    assert steps(tree, "pre-training on old") == list(range(1, 1501))
    assert steps(tree, "center") == [1, 2, 3, 4, 5, 6]
    assert tree.sweep("tiny").report.is_file()
    assert {label: row["status"] for label, row in trials(tree).items()} == {
        "center": "complete",
        "max_lr=0.02": "complete",
    }
    assert not (tree.sweep("tiny").path / "ray").exists()
    for text in (
        "3 states to train, 0 complete already",
        "began pre-training on old (1,500 steps, going on from step ",
        "3/3 states · complete",
        "report: ",
    ):
        assert text in again.stdout

    third = rewarm("run", file, python=("-X", "importtime"))
    assert third.returncode == DONE
    assert "nothing to train" in third.stdout
    assert "| ray" not in third.stderr
    assert "| torch" not in third.stderr


@pytest.mark.long
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=lambda sent: sent.name)
def test_a_signal_ends_a_run_soon_and_leaves_no_process(sweep, start, tree, content, sent):
    content["upstream"]["token_budget"] = 64 * 1_000_000
    running = start(sweep(**LONG))
    running.wait_for_a_checkpoint(tree)
    running.process.send_signal(sent)
    began = time.monotonic()
    status, out, err = running.finish()
    assert (status, err) == (INTERRUPTED, GO_ON)
    assert time.monotonic() - began < 30
    assert running.left_behind() == {}
    assert words(tree) == {"pre-training on old": "running", "center": "-"}
    assert "report: " in out


def test_a_sweep_has_one_driver_and_one_that_lost_it_stops(rewarm, sweep, start, tree, content):
    content["upstream"]["token_budget"] = 64 * 1_000_000
    file = sweep(**LONG)
    running = start(file)
    running.wait_for_a_checkpoint(tree)
    ray = set(tree.sweep("tiny").ray.iterdir())
    second = rewarm("run", file)
    assert (second.returncode, second.stdout) == (2, "")
    assert f"(pid {running.process.pid}) has been running this sweep for " in second.stderr
    assert ray == set(tree.sweep("tiny").ray.iterdir())

    # As another machine would after this one was suspended for minutes.
    owner = tree.sweep("tiny").path / "owner.json"
    other = read_json(owner) | {"id": "other", "user": "anna", "host": "node-3", "pid": 7}
    (tree.sweep("tiny").ray / "of-the-other").mkdir()
    write_json(owner, other)
    status, _, said = running.finish()
    assert status == INTERRUPTED
    assert said.startswith("lost the sweep to anna on node-3 (pid 7): ")
    assert running.left_behind() == {}
    assert read_json(owner) == other
    assert [path.name for path in tree.sweep("tiny").ray.iterdir()] == ["of-the-other"]


@pytest.mark.long
def test_groups_of_two_workers_train_a_state_and_end_another(
    rewarm, sweep, tree, folder, content, monkeypatch
):
    content["center"]["warmup_fraction"] = 0.1
    content["downstream"]["token_budget"] = 64 * 40
    rule = {"type": "asha", "metric": "d1_loss", "grace_tokens": 64 * 8, "reduction_factor": 2}
    datasets = {name: one | {"repeat": True} for name, one in content["datasets"].items()}
    file = sweep(
        axes={"max_lr": [1e-9]},
        stopping=rule,
        datasets=datasets,
        resources={"workers": 2, "cpus_per_worker": 1},
    )
    # Pre-training without Ray: a group is five processes, each of which imports torch.
    monkeypatch.chdir(folder)
    spec, _ = load(Path(file))
    planned = prepare(spec, tree, lambda text: None)
    train(planned.states[planned.trials[0].states[0]].config, tree)

    found = rewarm("run", file)
    assert (found.returncode, found.stderr) == (DONE, "")
    assert words(tree) == {
        "pre-training on old": "complete",
        "center": "complete",
        "max_lr=1e-09": "stopped",
    }
    assert steps(tree, "center") == [*range(1, 41)]
    complete, stopped = (tree.state(trial.states[-1]) for trial in planned.trials)
    assert read_json(complete.checkpoint_marker(40))["world_size"] == 2
    status = stopped.read_status()
    assert (status.step, status.reason[-4:]) == (8, "of 2")
    # It waited for the decision at the rung, and never went on.
    assert steps(tree, "max_lr=1e-09") == [*range(1, 9)]


@pytest.mark.long
def test_more_than_the_machine_has_is_refused(rewarm, sweep):
    found = rewarm("run", sweep(resources={"cpus_per_worker": 1000}))
    assert found.returncode == 2
    assert found.stderr.startswith(
        "refused: resources: one state needs 1 worker with 1000 CPU each, but the cluster has room "
    )
