"""`rewarm run` with the whole result tree on object storage: what a directory would hold."""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from cpt.files import read_json
from cpt.mirror import Mirror
from cpt.object_store import ObjectStore
from cpt.records import ResultTree, StatusWord
from cpt.train import read_config, train
from sweeps.prepare import prepare, write_plan
from sweeps.sweep_file import load
from sweeps.targets import fetch_sweep
from tests.cpt.test_train import read_of, rows_of, same_bits, weights_of
from tests.sweeps.test_run import LONG, Started

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(400),
]

DONE, INTERRUPTED = 0, 75


@pytest.fixture(autouse=True)
def own_ray(s3: object, environment: dict[str, str]) -> Iterator[None]:
    """Ray's files of this test alone; `s3` first, for it tells the environment who may write."""
    path = tempfile.mkdtemp(prefix="rw-", dir="/tmp")
    environment["RAY_TMPDIR"] = path
    environment.pop("RAY_ADDRESS", None)
    yield
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def uri(s3) -> str:
    return str(s3.uri("bucket", "some/results"))


@pytest.fixture
def there(uri, tmp_path) -> ResultTree:
    """What lies there, as a machine sees it that never trained."""
    return ResultTree(tmp_path / "reader", remote=uri)


@pytest.fixture
def other_machine(environment, tmp_path) -> Callable[[], None]:
    """Whoever calls it lets the next run begin on a machine that has nothing."""

    def change() -> None:
        environment["REWARM_CACHE"] = str(tmp_path / f"cache-{len(list(tmp_path.iterdir()))}")

    return change


@pytest.fixture
def start(folder: Path, environment: dict[str, str]) -> Iterator[Callable[[str], Started]]:
    started: list[Started] = []

    def run(file: str) -> Started:
        started.append(Started(folder, environment, file))
        return started[-1]

    yield run
    for one in started:
        one.kill_everything()
        one.process.communicate()


def planned(tree: ResultTree) -> list[dict[str, Any]]:
    return list(read_json(tree.sweep("tiny").plan)["states"])


def check_equal(near: ResultTree, there: ResultTree) -> None:
    """All states: status, rows but for what a clock wrote, and every bit of the weights."""
    fetch_sweep(there, there.sweep("tiny"))
    assert [one["state"] for one in planned(near)] == [one["state"] for one in planned(there)]
    for one in planned(near):
        here, far = near.state(one["state"]), there.state(one["state"])
        assert Mirror.of(there).fetch_state(far, checkpoint=True) == ()
        assert here.read_status() == far.read_status()
        assert rows_of(here) == rows_of(far)
        assert read_of(here) == read_of(far)
        status = here.read_status()
        if status is not None and status.status is StatusWord.COMPLETE:
            config = read_config(here)
            assert same_bits(weights_of(here, config), weights_of(far, config))


SWEEP = {
    **LONG,
    "upstream": {
        "dataset": "old",
        "token_budget": 12_800,
        "schedule": {"type": "cosine", "max_lr": 0.01},
    },
    "downstream": {"dataset": "new", "token_budget": 19_200},
    "axes": {"max_lr": [0.01, 0.02]},
    "checkpoint_interval_steps": 50,
}


def test_a_run_leaves_there_what_a_directory_would_hold(
    s3, uri, there, near_after, rewarm, sweep
) -> None:
    sweep(storage=uri)
    ran = rewarm("run", "sweep.yaml")
    assert (ran.returncode, ran.stderr) == (DONE, ""), ran.stdout
    check_equal(near_after(), there)
    names = ObjectStore(uri).files("sweeps/tiny")
    assert {"sweep.yaml", "plan.json", "trials.csv", "report.html"} <= names.keys()


@pytest.fixture
def near_after(folder, monkeypatch) -> Callable[[], ResultTree]:
    """The states of the sweep in a directory, trained one after another without Ray."""

    def trained() -> ResultTree:
        monkeypatch.chdir(folder)
        spec, submitted = load(Path("sweep.yaml"), ["storage=near"])
        tree = ResultTree(folder / "near")
        plan = prepare(spec, tree, lambda text: None)
        write_plan(plan, submitted, tree)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as the workers' are
        for state in plan.states.values():
            train(state.config, tree)
        torch.set_num_threads(threads)
        return tree

    return trained


@pytest.mark.long
def test_groups_of_two_workers_train_a_state_and_end_another(
    s3, uri, there, near_after, rewarm, sweep, content
) -> None:
    content["center"]["warmup_fraction"] = 0.1
    content["downstream"]["token_budget"] = 64 * 40
    sweep(
        storage=uri,
        axes={"max_lr": [1e-9]},
        stopping={
            "type": "asha", "metric": "d1_loss", "grace_tokens": 64 * 8, "reduction_factor": 2
        },
        datasets={name: one | {"repeat": True} for name, one in content["datasets"].items()},
        resources={"workers": 2, "cpus_per_worker": 1},
    )  # fmt: skip
    ran = rewarm("run", "sweep.yaml")
    assert (ran.returncode, ran.stderr) == (DONE, ""), ran.stdout
    fetch_sweep(there, there.sweep("tiny"))
    pretrained, complete, stopped = (there.state(one["state"]) for one in planned(there))
    near = near_after()
    for far in (pretrained, complete):
        for one, other in zip(rows_of(near.state(far.path.name))[0], rows_of(far)[0], strict=True):
            assert one["loss"] == pytest.approx(other["loss"], abs=1e-4)
    assert complete.read_marker(40).world_size == 2
    status = stopped.read_status()
    assert status is not None
    assert (status.step, status.reason[-4:]) == (8, "of 2")
    # All that it was compared by is there, and nothing past it.
    rows, evaluations = rows_of(stopped)
    assert [row["step"] for row in rows] == [*range(1, 9)]
    assert evaluations[-1]["step"] == 8


@pytest.mark.long
def test_a_run_that_lost_its_machine_goes_on_on_another(
    s3, uri, there, near_after, rewarm, sweep, start, other_machine
) -> None:
    sweep(**SWEEP, storage=uri)
    store = ObjectStore(uri)
    run = start("sweep.yaml")
    until(lambda: any("complete.json" in one for one in store.files("states")), run)
    run.kill_everything()
    other_machine()
    again = start("sweep.yaml")
    until(lambda: len([one for one in store.files("states") if "complete.json" in one]) > 3, again)
    again.process.send_signal(signal.SIGTERM)
    status, out, err = again.finish()
    assert status == INTERRUPTED, (out, err)
    other_machine()
    ran = rewarm("run", "sweep.yaml")
    assert (ran.returncode, ran.stderr) == (DONE, ""), ran.stdout
    check_equal(near_after(), there)
    nothing = rewarm("run", "sweep.yaml")
    assert nothing.returncode == DONE
    assert "nothing to train: 3 complete of 3 states" in nothing.stdout


def until(condition: Callable[[], bool], run: Started) -> None:
    while not condition():
        assert run.process.poll() is None, run.process.communicate()
        time.sleep(0.3)
