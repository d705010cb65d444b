"""`clusters/local.yaml` on hosts of the tests' own, and what a person does with it on a laptop."""

import copy
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cpt.records import ResultTree
from tests.chaos.processes import command, descendants, training
from tests.cluster.hosts import Host, Network
from tests.cluster.namespaces import listens

REPOSITORY = Path(__file__).parents[2]
FILE = REPOSITORY / "clusters" / "local.yaml"
CLUSTER = "cluster.yaml"
"""The file with the addresses filled in, in the home of the laptop's user."""
KEYS = "AWS_ACCESS_KEY_ID=some-key-id AWS_SECRET_ACCESS_KEY=some-secret AWS_REGION=us-east-1"
AUTH = "RAY_AUTH_MODE=token"
BUCKET, PORT = "bucket", 9000
"""Of the object store."""


def read() -> dict[str, Any]:
    """The file as it is for everybody."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return content


def filled(content: dict[str, Any], head: Host, workers: list[Host]) -> dict[str, Any]:
    """The same for hosts that reach no package index, and of which each is to have one CPU.

    Their environment is the one of these tests, which they see; the code in it is what Ray copied.
    """
    found = copy.deepcopy(content)
    found["provider"] |= {
        "head_ip": head.address,
        "worker_ips": [worker.address for worker in workers],
    }
    number = len(workers)
    found["max_workers"] = number
    found["available_node_types"]["local.cluster.node"] |= {
        "min_workers": number,
        "max_workers": number,
    }
    found["auth"] = {"ssh_user": "root", "ssh_private_key": "~/.ssh/id_ed25519"}
    found["head_setup_commands"] = found["worker_setup_commands"] = [
        f"ln -sfn {sys.prefix} ~/rewarm/.venv",
        *(line for line in content["head_setup_commands"] if "bashrc" in line),
        "echo 'export PYTHONPATH=~/rewarm' >> ~/.bashrc",
        # Where a machine has a role that opens the object store, these hosts have keys.
        f"echo 'export {KEYS}' >> ~/.bashrc",
    ]
    start = found["worker_start_ray_commands"]
    found["worker_start_ray_commands"] = [
        line.replace("ray start ", "ray start --num-cpus=1 ") for line in start
    ]
    assert found["worker_start_ray_commands"] != start
    # A machine that is silent for a quarter of a minute is lost here, for a minute elsewhere.
    hurried = f"export RAY_health_check_period_ms=1000 RAY_health_check_timeout_ms=2000 {AUTH}"
    found["head_start_ray_commands"] = [
        line.replace(f"export {AUTH}", hurried) for line in content["head_start_ray_commands"]
    ]
    assert found["head_start_ray_commands"] != content["head_start_ray_commands"]
    return found


class Launched:
    """A laptop, a head and workers, which `up` makes a Ray cluster of.

    Args:
        network: That they are on.
        workers: How many.
    """

    def __init__(self, network: Network, workers: int) -> None:
        self._network = network
        self.laptop = network.host("laptop", has_key=True)
        self.head = network.host("head")
        self.workers = [network.host(f"worker-{number + 1}") for number in range(workers)]
        content = yaml.safe_dump(filled(read(), self.head, self.workers))
        (self.laptop.home / CLUSTER).write_text(content)

    def up(self) -> None:
        """As the file's first lines say."""
        self.laptop.run("ray", "get-auth-token", "--generate")
        self.on_laptop(f"ray up -y ~/{CLUSTER}", seconds=300)

    def down(self) -> None:
        """Ends Ray on all machines."""
        self.on_laptop(f"ray down -y ~/{CLUSTER}", seconds=180)

    def on_laptop(self, line: str, seconds: float) -> str:
        """What a command prints that is typed in the project's folder."""
        return self.laptop.shell(f"cd {REPOSITORY} && {line}", seconds=seconds)

    def typed(self, line: str, log: Path) -> "Typed":
        """A command of rewarm, typed in the home of the laptop's user."""
        began = time.monotonic()
        line = f"export PYTHONPATH={REPOSITORY} {KEYS}; exec {line}"
        return Typed(self.laptop.start(line, log), log, began)

    def object_store(self, log: Path) -> str:
        """A machine that serves S3 to the others; the URI of its bucket."""
        store = self._network.host("store")
        store.start(f"exec moto_server --host 0.0.0.0 --port {PORT}", log)
        wait_until("the object store answers", lambda: listens(store.init, PORT), 60)
        bucket = f"http://{store.address}:{PORT}/{BUCKET}"
        put = f"import urllib.request as u; u.urlopen(u.Request('{bucket}', method='PUT'))"
        self.laptop.run("python", "-c", put)
        return f"s3://{BUCKET}/results?endpoint_override={store.address}:{PORT}&scheme=http"

    def has_joined(self, worker: Host) -> bool:
        """Whether Ray's own processes run there, and the head says it is set up."""
        (state,) = self.head.root.glob("tmp/ray/cluster-*.state")
        told = yaml.safe_load(state.read_text())[worker.address]
        return told["tags"].get("ray-node-status") == "up-to-date" and any(
            "raylet/raylet" in command(one) for one in descendants(worker.init)
        )

    def lose(self, worker: Host) -> None:
        """A machine is gone."""
        worker.end()
        self.workers.remove(worker)

    def replace(self, lost: Host, name: str) -> Host:
        """Another machine at the address of one that is gone; nobody tells Ray."""
        number = int(lost.address.rpartition(".")[2])
        self.workers.append(self._network.host(name, number))
        return self.workers[-1]

    def kill_driver(self) -> None:
        """SIGKILL to the job's `rewarm run`, on the head."""
        (driver,) = [one for one in descendants(self.head.init) if _drives(command(one))]
        driver.kill()

    def training_on(self) -> list[Host]:
        """The workers on which a state is trained at this moment."""
        return [worker for worker in self.workers if training(worker.init)]


@dataclass(frozen=True)
class Typed:
    """A command that runs on the laptop.

    Attributes:
        process: Its own.
        log: What it prints, as a file here.
        began: When, by the monotonic clock.
    """

    process: "subprocess.Popen[bytes]"
    log: Path
    began: float

    def said(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace")

    def begins(self, tree: ResultTree) -> float:
        """Waits until its first state is trained; the seconds since it was typed."""

        def is_training() -> bool:
            assert self.process.poll() is None, self.said()
            return any(tree.storage.glob("states/*/status.json"))

        wait_until("a state begins", is_training, 300)
        return time.monotonic() - self.began

    def ends(self, status: int, seconds: float) -> None:
        """Waits for its end, with this exit status."""
        try:
            ended = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"not over in {seconds:.0f} s:\n{self.said()}") from error
        assert ended == status, self.said()


def _drives(line: str) -> bool:
    return " sweeps.cluster.entry " in line and not line.startswith(("bash", "/bin/sh", "sh "))


def wait_until(what: str, is_so: Callable[[], object], seconds: float) -> None:
    """Raises: AssertionError: It was not so in time."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
