"""The way to the head of a cluster, over a real sshd: where it ends, a sentence says why."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cpt.parsing import ConfigError
from sweeps.cluster.head import Head, find_head, jobs
from sweeps.cluster.launcher_file import read_cluster
from sweeps.cluster.tunnel import TunnelError, tunnel
from tests.sweeps.cluster.lone_head import LoneHead, lone_head

# Ray's launcher leaves it to the collector to close what it reads.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def machine() -> Iterator[LoneHead]:
    """Where ssh is, and no Ray."""
    with lone_head() as head:
        head.write_down(head.cluster_file())
        yield head


@pytest.fixture(autouse=True)
def launcher(machine: LoneHead, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(machine.folder))
    monkeypatch.setenv("HOME", str(machine.home))


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused, jobs(read_cluster(path)):
        pass
    (sentence,) = refused.value.faults
    assert "\n" not in sentence
    return sentence


def test_no_cluster_is_up(machine):
    path = machine.cluster_file("none.yaml", cluster_name="none")
    assert refusal(path) == (
        f"{path}: no cluster 'none' is up, as far as Ray's launcher knows here (Head node of "
        f"cluster (none) not found); start it: ray up {path}."
    )


def test_a_head_that_is_being_set_up_is_no_cluster_yet(machine):
    path = machine.cluster_file("early.yaml", cluster_name="early")
    machine.write_down(path, "setting-up")
    assert "(Head node (127.0.0.1) is in state setting-up); start it:" in refusal(path)


def test_a_cloud_without_credentials_is_not_asked(machine, monkeypatch):
    pytest.importorskip("boto3", reason="boto3, by which Ray asks AWS, is not installed")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    provider = {"type": "aws", "region": "us-east-1"}
    path = machine.cluster_file("aws.yaml", provider=provider, cluster_name="aws")
    assert refusal(path) == (
        f"{path}: Ray's launcher cannot ask aws for the cluster 'aws' (Unable to locate "
        "credentials); give this machine what `ray up` had."
    )


def test_a_key_that_is_not_let_in(machine):
    path = machine.cluster_file("key.yaml", ssh_private_key=str(machine.folder / "other"))
    assert refusal(path).endswith(
        "@127.0.0.1: Permission denied (publickey); auth.ssh_user and auth.ssh_private_key must be "
        "those it lets in."
    )


def test_a_host_that_does_not_answer(machine):
    path = machine.cluster_file("closed.yaml", ssh_proxy_command="false")
    assert refusal(path).endswith(
        "check that the cluster is up, and that this machine reaches it by ssh."
    )


def test_a_head_where_nothing_serves_jobs(machine):
    path = machine.folder / "cluster.yaml"
    port = read_cluster(path).dashboard_port
    assert refusal(path) == (
        f"{path}: the head 127.0.0.1: nothing answers on its port {port}, where Ray's dashboard "
        f"serves jobs; start Ray there: ray up {path}."
    )


def forwarding(port: int) -> bool:
    """Whether an ssh of this machine forwards a port."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return any(f"-L 127.0.0.1:{port}:" in line for line in listed.stdout.splitlines())


def test_ssh_ends_with_the_tunnel(machine):
    head = find_head(read_cluster(machine.folder / "cluster.yaml"))
    with tunnel(head.ssh, 9) as here:
        assert forwarding(here)
    assert not forwarding(here)


def test_ssh_ends_with_whoever_is_killed_while_using_the_tunnel(machine):
    program = (
        "import json, sys, time\n"
        "from sweeps.cluster.tunnel import tunnel\n"
        "with tunnel(json.loads(sys.argv[1]), 9) as port:\n"
        "    print(port, flush=True)\n"
        "    time.sleep(100)\n"
    )
    ssh = json.dumps(find_head(read_cluster(machine.folder / "cluster.yaml")).ssh)
    with subprocess.Popen(
        [sys.executable, "-c", program, ssh], env=machine.environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        here = int(process.stdout.readline())
        assert forwarding(here)
        process.kill()
    deadline = time.monotonic() + 30
    while forwarding(here):
        assert time.monotonic() < deadline, "ssh outlived it"
        time.sleep(0.1)


def test_a_file_is_read_as_it_is_and_a_missing_one_is_none(machine):
    head = find_head(read_cluster(machine.folder / "cluster.yaml"))
    file = machine.folder / "a 'file' $HOME"
    file.write_bytes(b"\x00\xff\r\n")
    assert head.read(file) == b"\x00\xff\r\n"
    assert head.read(machine.folder / "none") is None
    with pytest.raises(TunnelError, match="Is a directory"):
        head.read(machine.folder)


def test_where_ray_runs_in_a_container_its_files_are_read(machine):
    # In the place of docker: says what it was asked, and runs it here.
    program = machine.folder / "bin/docker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/bash\necho "$1 $2" > {machine.folder}/asked\nshift 2\nexec "$@"\n')
    program.chmod(0o755)
    docker = {"image": "ray", "container_name": "rewarm"}
    head = find_head(read_cluster(machine.cluster_file("docker.yaml", docker=docker)))
    assert head.container == ("docker", "rewarm")
    (machine.folder / "inside 'it'").write_text("there")
    assert head.read(machine.folder / "inside 'it'") == b"there"
    assert (machine.folder / "asked").read_text() == "exec rewarm\n"
    assert head.read(machine.folder / "none") is None


def test_the_way_may_lead_through_internal_addresses(machine):
    provider = {
        "type": "local",
        "head_ip": "127.0.0.1",
        "worker_ips": [],
        "external_head_ip": "127.0.0.2",
    }
    outside = machine.cluster_file("outside.yaml", provider=provider, cluster_name="outside")
    machine.write_down(outside)
    head = find_head(read_cluster(outside))
    assert isinstance(head, Head)
    assert head.address == "127.0.0.2"
