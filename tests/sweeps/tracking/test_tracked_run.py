"""`rewarm run` with trackers: the run is what it is without them, and they hold what it wrote."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cpt.files import read_json
from cpt.records import ResultTree
from tests.sweeps.tracking.reading import in_mlflow, in_tensorboard, in_tree, in_wandb
from tests.sweeps.tracking.test_following import as_float32

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

DONE = 0


@pytest.fixture(autouse=True)
def own_ray(environment: dict[str, str], folder: Path) -> Iterator[None]:
    """Ray's files of this test alone, and no settings of whoever runs it."""
    path = tempfile.mkdtemp(prefix="rw-", dir="/tmp")
    environment |= {"RAY_TMPDIR": path, "HOME": str(folder / "home")}
    for name in [name for name in environment if name.startswith(("WANDB_", "MLFLOW_"))]:
        del environment[name]
    environment.pop("RAY_ADDRESS", None)
    # W&B would report on itself, whatever the mode of its runs.
    environment |= {"WANDB_ERROR_REPORTING": "false"}
    yield
    shutil.rmtree(path, ignore_errors=True)


def states_of(folder: Path) -> tuple[ResultTree, list[str]]:
    tree = ResultTree(folder / "results")
    return tree, [state["state"] for state in read_json(tree.sweep("tiny").plan)["states"]]


def runs_at(uri: str) -> dict[str, Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tiny")
    return {
        run.data.tags["rewarm.state"]: run for run in client.search_runs([experiment.experiment_id])
    }


@pytest.mark.long
def test_every_row_of_the_tree_is_in_all_three_trackers(rewarm, sweep, folder, mlflow_server):
    trackers = {
        "tensorboard": {},
        "mlflow": {"tracking_uri": mlflow_server.uri},
        "wandb": {"project": "some", "mode": "offline", "dir": "of-wandb"},
    }
    ran = rewarm("run", sweep(trackers=trackers))
    assert ran.returncode == DONE, ran.stdout + ran.stderr
    assert "mlflow: " not in ran.stdout
    tree, states = states_of(folder)
    assert len(states) == 2
    mlflow_server.wait()
    runs = runs_at(mlflow_server.uri)
    for name in states:
        truth = in_tree(tree.state(name))
        assert len(truth) > 50
        (events,) = (tree.sweep("tiny").trackers / "tensorboard").glob(f"*.{name}")
        assert in_tensorboard(events) == as_float32(truth)
        assert in_mlflow(mlflow_server.uri, runs[name].info.run_id) == truth
        assert runs[name].info.status == "FINISHED"
        (file,) = (folder / "of-wandb" / "wandb").glob(f"offline-run-*-{name}/*.wandb")
        # Ray's callback adds its own name of the step.
        points = [point for point in in_wandb(file) if point[0] != "training_iteration"]
        assert points == truth


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_server_that_dies_midway_fails_nothing_and_is_told_the_rest_by_the_next_run(
    sweep, folder, environment, dying_server
):
    server = dying_server
    file = sweep(
        trackers={"mlflow": {"tracking_uri": server.uri}},
        upstream={
            "dataset": "old",
            "token_budget": 64 * 25 * 8,
            "schedule": {"type": "cosine", "max_lr": 0.01},
        },
        datasets={
            name: {"path": "json", "train": f"{name}.jsonl", "validation": f"{name}_v.jsonl"}
            | {"repeat": True}
            for name in ("old", "new")
        },
    )
    command = [sys.executable, "-m", "sweeps", "run", file]
    started = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        cursor = folder / "results" / "sweeps" / "tiny" / "trackers" / "mlflow.json"
        while not cursor.exists():
            assert started.poll() is None, started.communicate()[0]
            time.sleep(0.02)
        server.kill()
        output = started.communicate(timeout=200)[0]
    finally:
        started.kill()
    assert started.returncode == DONE, output
    told = [line for line in output.splitlines() if line.startswith("mlflow")]
    assert len(told) == 2
    assert told[0].endswith("; training goes on, and it is told again later")
    assert told[1] == "mlflow was not told everything; the same command tells it the rest"
    server.start()
    server.wait()
    again = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert "telling trackers what they were not told\n" in again.stdout
    tree, states = states_of(folder)
    runs = runs_at(server.uri)
    for name in states:
        assert in_mlflow(server.uri, runs[name].info.run_id) == in_tree(tree.state(name)) != []
    server.kill()  # nobody is asked where there is nothing to tell
    last = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert "telling" not in last.stdout
