"""Trackers of Ray's callbacks hold what the result tree holds, whatever happened meanwhile."""

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cpt.files import read_json
from cpt.records import ResultTree, StatusWord, SweepDir
from sweeps.plan import Plan
from tests.sweeps.tracking.conftest import MlflowServer, Writer
from tests.sweeps.tracking.reading import Point, in_mlflow, in_tensorboard, in_tree

# Imported by callbacks of Ray's, and by MLflow, when they are made.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture
def tree(tmp_path: Path) -> ResultTree:
    return ResultTree(tmp_path / "results")


@pytest.fixture(autouse=True)
def briskly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.tracking.follower.LOOK_EVERY_SECONDS", 0.05)


def follow(plan: Plan, tree: ResultTree, said: list[str]) -> Any:
    from sweeps.tracking.following import tracked

    return tracked(plan, tree, said.append)


def as_float32(points: list[Point]) -> list[Point]:
    """As TensorBoard keeps numbers."""
    return sorted(
        (name, step, struct.unpack("f", struct.pack("f", value))[0]) for name, step, value in points
    )


def until(is_so: Callable[[], bool]) -> None:
    """Waits for what a thread does."""
    give_up = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.05)


# TensorBoard.


def folder_of(sweep: SweepDir, state: str) -> Path:
    (folder,) = (sweep.trackers / "tensorboard").glob(f"*.{state}")
    return folder


def test_tensorboard_holds_every_row_of_every_state(plan_of, tree):
    plan = plan_of(trackers={"tensorboard": {}})
    said: list[str] = []
    writers = [Writer(tree.state(name)) for name in plan.states]
    assert len(writers) == 2
    writers[0].train(0, 6)
    writers[0].end(6)
    with follow(plan, tree, said):  # the second is trained meanwhile
        writers[1].train(0, 4)
        until(lambda: bool(list(tree.sweep("planned").trackers.glob("tensorboard/*"))))
        writers[1].train(5, 8)
        writers[1].end(8)
    for writer in writers:
        folder = folder_of(tree.sweep("planned"), writer.state.path.name)
        assert in_tensorboard(folder) == as_float32(in_tree(writer.state)) != []
    assert said == []


def test_a_folder_of_tensorboard_is_called_by_the_label(plan_of, tree, tmp_path):
    plan = plan_of(trackers={"tensorboard": {"dir": str(tmp_path / "runs")}})
    for name in plan.states:
        writer = Writer(tree.state(name))
        writer.train(0, 2)
        writer.end(2)
    with follow(plan, tree, []):
        pass
    names = {path.name for path in (tmp_path / "runs").iterdir()}
    assert f"center.{plan.trials[0].states[-1]}" in names


def test_a_run_goes_on_where_the_one_before_it_was_interrupted(plan_of, tree):
    plan = plan_of(trackers={"tensorboard": {}})
    said: list[str] = []
    writer = Writer(tree.state(plan.trials[0].states[0]))
    writer.train(0, 6)
    with follow(plan, tree, said):
        pass
    cursor = tree.sweep("planned").trackers / "tensorboard.json"
    (states,) = read_json(cursor).values()
    assert states == {writer.state.path.name: {"train.jsonl": 5, "eval.jsonl": 4, "data.jsonl": 4}}
    writer.train(5, 9, attempt=2)  # it had saved step 4
    writer.end(9)
    with follow(plan, tree, said):
        pass
    points = in_tensorboard(folder_of(tree.sweep("planned"), writer.state.path.name))
    assert len(points) == len({(name, step) for name, step, _ in points})
    truth = as_float32(in_tree(writer.state))
    assert [point[:2] for point in points] == [point[:2] for point in truth]
    # Step 5 was told before it was superseded.
    assert set(points) - set(truth) == {
        ("loss", 5, 3.125 + 5 / 1024),
        ("tokens_per_second", 5, 100),
    }
    assert said == []


def test_a_damaged_cursor_is_told_and_everything_is_told_again(plan_of, tree):
    plan = plan_of(trackers={"tensorboard": {}})
    writer = Writer(tree.state(plan.trials[0].states[0]))
    writer.train(0, 2)
    writer.end(2)
    with follow(plan, tree, []):
        pass
    cursor = tree.sweep("planned").trackers / "tensorboard.json"
    cursor.write_text(cursor.read_text().replace("2", "3"))
    said: list[str] = []
    with follow(plan, tree, said):
        pass
    (sentence,) = said
    assert sentence == (
        f"damaged: {cursor} is not as it was written: its seal is broken; set aside, and "
        "tensorboard is told everything again"
    )
    assert (cursor.parent / "tensorboard.json.damaged-1").exists()
    assert next(iter(read_json(cursor).values())) != {}


def test_where_the_tree_lies_elsewhere_another_machine_tells_nothing_twice(plan_of, s3, tmp_path):
    plan = plan_of(trackers={"tensorboard": {"dir": str(tmp_path / "runs")}})
    uri = s3.uri("bucket", "results")
    for machine, (first, last) in (("one", (0, 5)), ("other", (0, 9))):
        tree = ResultTree(tmp_path / machine, remote=uri)
        writer = Writer(tree.state(plan.trials[0].states[0]))
        writer.train(first, last)  # as they were fetched there
        writer.end(last)
        with follow(plan, tree, []):
            pass
    (folder,) = (tmp_path / "runs").iterdir()
    assert len(list(folder.iterdir())) == 2
    assert in_tensorboard(folder) == as_float32(in_tree(writer.state))


def test_whether_a_tracker_is_behind_is_told_from_states_that_ended(plan_of, tree):
    from sweeps.tracking.following import is_behind

    plan = plan_of(trackers={"tensorboard": {}})
    writer = Writer(tree.state(plan.trials[0].states[0]))
    assert not is_behind(plan, tree, print)
    writer.train(0, 6)
    writer.end(6, StatusWord.RUNNING)
    assert not is_behind(plan, tree, print)
    writer.end(6, StatusWord.STOPPED)
    assert is_behind(plan, tree, print)
    with follow(plan, tree, []):
        pass
    assert not is_behind(plan, tree, print)
    elsewhere = plan_of(trackers={"tensorboard": {"dir": "elsewhere"}})
    assert is_behind(elsewhere, tree, print)


def test_a_disk_that_cannot_be_written_ends_no_run_and_is_told_once(plan_of, tree, tmp_path):
    (tmp_path / "runs").write_text("a file stands where the folder should be")
    plan = plan_of(trackers={"tensorboard": {"dir": str(tmp_path / "runs")}})
    writer = Writer(tree.state(plan.trials[0].states[0]))
    writer.train(0, 2)
    writer.end(2)
    said: list[str] = []
    with follow(plan, tree, said):
        until(lambda: bool(said))
        time.sleep(0.3)
    first, last = said
    assert first.startswith("tensorboard: [Errno ")
    assert first.endswith("; training goes on, and it is told again later")
    assert last == "tensorboard was not told everything; the same command tells it the rest"


# MLflow.


@pytest.fixture
def known(mlflow_server: MlflowServer) -> Callable[[str], dict[str, Any]]:
    """The runs of an experiment, by the id of the state."""
    from mlflow.tracking import MlflowClient

    def runs(experiment: str) -> dict[str, Any]:
        client = MlflowClient(tracking_uri=mlflow_server.uri)
        there = client.get_experiment_by_name(experiment)
        found = client.search_runs([there.experiment_id])
        by_state = {run.data.tags["rewarm.state"]: run for run in found}
        assert len(by_state) == len(found)
        return by_state

    return runs


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow writes where it tracks into the environment."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    yield
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_server_of_mlflow_holds_every_row_once_over_two_runs(plan_of, tree, mlflow_server, known):
    mlflow_server.wait()
    plan = plan_of(trackers={"mlflow": {"tracking_uri": mlflow_server.uri}})
    said: list[str] = []
    first, second = (Writer(tree.state(name)) for name in plan.trials[0].states)
    first.train(0, 700)  # more than one request takes
    with follow(plan, tree, said):
        pass
    run = known("planned")[first.state.path.name]
    assert run.info.status == "RUNNING"
    assert len(in_mlflow(mlflow_server.uri, run.info.run_id)) > 1000
    first.end(700, StatusWord.FAILED)
    second.train(0, 5)
    second.end(5)
    with follow(plan, tree, said):
        pass
    assert said == []
    runs = known("planned")
    assert {run.data.tags["trial_name"] for run in runs.values()} == {
        plan.states[name].config.label for name in plan.states
    }
    for writer, word in ((first, "FAILED"), (second, "FINISHED")):
        run = runs[writer.state.path.name]
        assert run.info.status == word
        assert in_mlflow(mlflow_server.uri, run.info.run_id) == in_tree(writer.state) != []
    assert run.data.params.items() >= {"max_lr": "0.003", "stage": "downstream"}.items()


def test_what_mlflow_is_sent_again_after_a_kill_stands_there_once(
    plan_of, tree, mlflow_server, known
):
    mlflow_server.wait()
    plan = plan_of(trackers={"mlflow": {"tracking_uri": mlflow_server.uri, "experiment": "killed"}})
    writer = Writer(tree.state(plan.trials[0].states[0]))
    writer.train(0, 8)
    writer.end(8)
    for _ in range(2):
        with follow(plan, tree, []):
            pass
        # As if the driver had been killed after it sent them, before it noted that.
        (tree.sweep("planned").trackers / "mlflow.json").unlink()
    run = known("killed")[writer.state.path.name]
    assert in_mlflow(mlflow_server.uri, run.info.run_id) == in_tree(writer.state)


def test_a_server_that_is_not_there_ends_no_run_and_is_told_once(
    plan_of, tree, mlflow_server, known, monkeypatch
):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr("sweeps.tracking.follower.RETRY_SECONDS", 0.1)
    there = {"tracking_uri": mlflow_server.uri, "experiment": "late"}
    nobody = plan_of(trackers={"mlflow": there | {"tracking_uri": "http://127.0.0.1:9"}})
    writer = Writer(tree.state(nobody.trials[0].states[0]))
    writer.train(0, 3)
    writer.end(3)
    said: list[str] = []
    with follow(nobody, tree, said):
        until(lambda: bool(said))
        time.sleep(1)
    assert len(said) == 2
    assert said[0].startswith("mlflow: ")
    assert said[1] == "mlflow was not told everything; the same command tells it the rest"
    mlflow_server.wait()
    with follow(plan_of(trackers={"mlflow": there}), tree, said):
        pass
    assert len(said) == 2
    run = known("late")[writer.state.path.name]
    assert in_mlflow(mlflow_server.uri, run.info.run_id) == in_tree(writer.state)
