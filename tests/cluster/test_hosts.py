"""The hosts of the cluster test are machines: apart from each other, lost and replaced at will."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.cluster.hosts import Network
from tests.cluster.launched import wait_until
from tests.cluster.namespaces import obstacle

REASON = obstacle()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no hosts of our own: {REASON}")
OPTIONS = (
    "StrictHostKeyChecking=no",
    "UserKnownHostsFile=/dev/null",
    "LogLevel=ERROR",
    "ConnectTimeout=1",
)
SSH = ("ssh", *(word for option in OPTIONS for word in ("-o", option)))


def sleeping(seconds: int) -> str:
    """A script that is over once a process it leaves behind sleeps, and is no fork of a shell."""
    sleep = f"sleep {seconds}"
    return f"{sleep} > /dev/null 2>&1 & until pgrep -fx '{sleep}' > /dev/null; do sleep 0.05; done"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    shared = tmp_path_factory.mktemp("shared")
    with Network({"results": (shared, "rw"), "data": (shared, "ro")}) as network:
        network.host("one", has_key=True)
        network.host("two")
        yield network


def test_a_host_is_entered_by_key_from_another_and_not_without(network: Network):
    one, two = network.hosts
    assert one.run(*SSH, two.address, "hostname") == "two\n"
    with pytest.raises(AssertionError, match="Permission denied"):
        two.run(*SSH, one.address, "hostname")


def test_hosts_share_neither_processes_nor_files_but_what_is_shared(network: Network):
    one, two = network.hosts
    one.shell(sleeping(77))
    one.shell("touch /tmp/mine ~/mine /dev/shm/mine /srv/results/ours")
    assert "sleep 77" in one.run("ps", "-e", "-o", "args")
    assert "sleep 77" not in two.run("ps", "-e", "-o", "args")
    assert two.shell("ls /tmp ~ /dev/shm /srv/results").split() == [
        "/dev/shm:", "/srv/home:", "/srv/results:", "ours", "/tmp:",
    ]  # fmt: skip
    for place in ("/srv/data", "/etc", sys.prefix):
        with pytest.raises(AssertionError, match="Read-only file system"):
            one.run("touch", f"{place}/mine")


def test_a_lost_host_is_silent_and_another_takes_its_address(network: Network):
    one, two = network.hosts
    two.end()
    with pytest.raises(AssertionError, match=r"timed out|No route to host"):
        one.run(*SSH, two.address, "hostname")
    three = network.host("three", number=2)
    assert three.address == two.address
    assert one.run(*SSH, three.address, "hostname") == "three\n"


def test_nothing_is_left_of_a_network_whose_process_is_killed(tmp_path: Path):
    script = (
        "import time; from tests.cluster.hosts import Network\n"
        "with Network() as network:\n"
        f"    network.host('one').shell({sleeping(4321)!r})\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    interfaces = set(Path("/sys/class/net").iterdir())
    repository = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=repository, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": repository, "TMPDIR": str(tmp_path)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        ours = psutil.Process(process.pid).children(recursive=True)
        assert any("4321" in one.cmdline() for one in ours)
        assert set(Path("/sys/class/net").iterdir()) == interfaces
        process.send_signal(signal.SIGKILL)
    wait_until("all of it is gone", lambda: not any(one.is_running() for one in ours), seconds=10)
