"""A cluster as people have it, on hosts of the tests' own: `ray up`, submit, losses, `ray down`.

`make cluster-test` shows how long each phase takes. What is compared was trained undisturbed on the
laptop, by `rewarm run`.
"""

import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cpt.records import ResultTree
from cpt.rows import read_rows
from tests.chaos.comparison import differences
from tests.chaos.processes import command, descendants
from tests.chaos.tiny_sweep import NAME, TOKENS_PER_STEP, TinySweep
from tests.cluster.hosts import Host, Network
from tests.cluster.launched import CLUSTER, Launched, wait_until
from tests.cluster.namespaces import obstacle

REASON = obstacle()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(REASON is not None, reason=f"no hosts of our own: {REASON}"),
    pytest.mark.timeout(900),
]
SHARED = "/srv/shared"
DONE, FAILED = 0, 1
PRETRAINING_SECONDS = 60.0
"""Time enough, on any machine, to find that a worker is lost and to set up another."""
CHECKPOINTS = 20
"""In that time."""
MOST_SECONDS_ADDED = 20.0
"""By submitting a sweep, to what it takes to run it on the laptop."""

Write = Callable[..., str]


def tell(line: str) -> None:
    """For who runs pytest with -s."""
    sys.stdout.write(f"\n  {line}")
    sys.stdout.flush()


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    tell(f"{name}: {time.monotonic() - began:.1f} s")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all hosts see as /srv/shared, as a file server's."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def cluster(shared: Path) -> Iterator[Launched]:
    """Up; at the end it is taken down, and looked at once more."""
    with Network({"shared": (shared, "rw")}) as network:
        launched = Launched(network, workers=2)
        with phase("ray up"):
            launched.up()
        with phase("two workers join"):
            wait_until("they join", lambda: all(map(launched.has_joined, launched.workers)), 240)
        yield launched
        with phase("ray down"):
            launched.down()
        assert not [line for line in _running(launched.head) if "/ray/" in line]
        with phase("the workers leave"):
            wait_until("they have left", lambda: not any(map(_is_node, launched.workers)), 180)


def _running(host: Host) -> list[str]:
    return [command(one) for one in descendants(host.init)]


def _is_node(host: Host) -> bool:
    return any("raylet/raylet" in line for line in _running(host))


@pytest.fixture(scope="module")
def write(cluster: Launched, shared: Path) -> Write:
    """Writes a sweep file on the laptop whose data all hosts see; gives its name."""

    def written(name: str, sweep: TinySweep, change: Callable[[dict[str, Any]], None]) -> str:
        file = sweep.write(shared / "data", f"{SHARED}/{name}")
        content = yaml.safe_load(file.read_text().replace(str(shared), SHARED))
        change(content)
        (cluster.laptop.home / f"{name}.yaml").write_text(yaml.safe_dump(content))
        return f"{name}.yaml"

    return written


@pytest.fixture(scope="module")
def short(cluster: Launched, shared: Path, write: Write) -> tuple[str, ResultTree]:
    """A sweep of 13 states of a few steps, trained on the laptop: its file and its results."""
    file = write("short", TinySweep(steps=20, seeds=1), lambda content: None)
    with phase("a short sweep, on the laptop"):
        cluster.typed(f"rewarm run {file}", shared / "short.log").ends(DONE, 300)
    return file, ResultTree(shared / "short")


def test_results_on_an_object_store_come_home_as_those_of_a_directory(
    cluster: Launched, short: tuple[str, ResultTree], tmp_path: Path
):
    """Each host has a cache of its own, and knows of the others' work by the store alone."""
    file, alone = short
    uri = cluster.object_store(tmp_path / "store.log")
    with phase("the same on the cluster, to an object store"):
        submit = f"rewarm submit {file} --cluster {CLUSTER} --set storage='{uri}' --to stored"
        cluster.typed(submit, tmp_path / "log").ends(DONE, 300)
    home = cluster.laptop.home / "stored"
    assert (home / "trials.csv").read_bytes() == alone.sweep(NAME).trials.read_bytes()
    assert (home / "report.html").stat().st_size > 100_000


def test_a_sweep_that_loses_a_machine_and_its_driver_ends_as_one_left_alone(
    cluster: Launched, shared: Path, short: tuple[str, ResultTree], write: Write, tmp_path: Path
):
    rows = [
        row for file in short[1].storage.glob("states/*/train.jsonl") for row in read_rows(file)
    ]
    speed = statistics.median(row["tokens_per_second"] for row in rows) / TOKENS_PER_STEP
    steps = CHECKPOINTS * max(1, round(speed * PRETRAINING_SECONDS / CHECKPOINTS))

    def pretrain_long(content: dict[str, Any]) -> None:
        content["upstream"]["token_budget"] = steps * TOKENS_PER_STEP
        content["checkpoint_interval_steps"] = steps // CHECKPOINTS
        content["evaluation"]["interval_steps"] = steps // CHECKPOINTS

    file = write("disturbed", TinySweep(steps=20, seeds=1), pretrain_long)
    alone, disturbed = ResultTree(shared / "alone"), ResultTree(shared / "disturbed")
    with phase(f"undisturbed, {steps} steps of pre-training and 12 states more, on the laptop"):
        running = cluster.typed(f"rewarm run {file} --set storage={SHARED}/alone", tmp_path / "log")
        locally = running.begins(alone)
        running.ends(DONE, 600)

    submit = f"rewarm submit {file} --cluster {CLUSTER}"
    submitted = cluster.typed(submit, tmp_path / "log-1")
    remotely = submitted.begins(disturbed)
    added = remotely - locally
    tell(f"first state after {remotely:.1f} s, on the laptop {locally:.1f} s: {added:.1f} s added")

    with phase("a worker is lost in the midst of pre-training, which goes on elsewhere"):
        markers = "states/*/checkpoints/*/complete.json"
        wait_until("it has a checkpoint", lambda: any(disturbed.storage.glob(markers)), 120)
        (lost,) = cluster.training_on()
        cluster.lose(lost)
        wait_until("it goes on elsewhere", cluster.training_on, 240)
    with phase("another machine takes its place, and trains"):
        another = cluster.replace(lost, "worker-3")
        wait_until("it trains", lambda: another in cluster.training_on(), 300)
    with phase("the driver is killed, and the command ends"):
        cluster.kill_driver()
        submitted.ends(FAILED, 60)
    assert "its machine was lost; goes on from step" in submitted.said()
    assert "the same command goes on where it stopped" in submitted.said()
    with phase("submitted again, to the end"):
        cluster.typed(submit, tmp_path / "log-2").ends(DONE, 400)

    assert differences(alone, disturbed, NAME) == []
    home = cluster.laptop.home / "reports" / NAME
    for one in (disturbed.sweep(NAME).report, disturbed.sweep(NAME).trials):
        assert (home / one.name).read_bytes() == one.read_bytes()
    assert added < MOST_SECONDS_ADDED


def test_a_state_of_two_workers_on_two_hosts_has_the_losses_of_one_host(
    cluster: Launched, shared: Path, write: Write, tmp_path: Path
):
    def of_one_trial(content: dict[str, Any]) -> None:
        del content["downstream"]["budgets"]
        content["axes"] = {"seed": [0]}

    file = write("pair", TinySweep(steps=40, seeds=1, workers_per_state=2), of_one_trial)
    one_host, two_hosts = ResultTree(shared / "one-host"), ResultTree(shared / "pair")
    with phase("states of two workers, on the laptop"):
        run = f"rewarm run {file} --set storage={SHARED}/one-host"
        cluster.typed(run, tmp_path / "log-1").ends(DONE, 300)
    with phase("states of two workers, one on each of two hosts"):
        running = cluster.typed(f"rewarm submit {file} --cluster {CLUSTER}", tmp_path / "log-2")
        running.begins(two_hosts)
        wait_until("both hosts train", lambda: len(cluster.training_on()) == 2, 60)
        running.ends(DONE, 300)
    states = [path.name for path in one_host.storage.glob("states/*")]
    furthest = 0.0
    for state in states:
        for rows in ("train.jsonl", "eval.jsonl"):
            one = read_rows(one_host.state(state).path / rows)
            two = read_rows(two_hosts.state(state).path / rows)
            assert [row["step"] for row in one] == [row["step"] for row in two]
            assert len(one) > 1
            pairs = zip(one, two, strict=True)
            furthest = max(furthest, *(abs(ours["loss"] - other["loss"]) for ours, other in pairs))
    tell(f"the losses of {len(states)} states differ by {furthest:.1e} nats at most")
    assert len(states) > 1
    assert furthest < 1e-5
