"""What is gathered of this machine: real files, processes and ports that Ray could have left."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from ray.core.generated.gcs_service_pb2 import CheckAliveReply
from ray.core.generated.gcs_service_pb2_grpc import (
    NodeInfoGcsServiceServicer,
    add_NodeInfoGcsServiceServicer_to_server,
)

from sweeps.cluster.leftovers import leftovers
from sweeps.cluster.machine import disk, look


@pytest.fixture
def dead() -> str:
    """An address at which nothing answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def served() -> Iterator[Callable[[NodeInfoGcsServiceServicer | None], str]]:
    """Starts a server, of Ray's service or of none; returns its address."""
    started = []

    def serve(service: NodeInfoGcsServiceServicer | None) -> str:
        server = grpc.server(ThreadPoolExecutor(1))
        if service is not None:
            add_NodeInfoGcsServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        started.append(server)
        return f"127.0.0.1:{port}"

    yield serve
    for server in started:
        server.stop(None)


class Lives(NodeInfoGcsServiceServicer):
    def CheckAlive(self, request, context):  # as Ray calls it
        return CheckAliveReply()


class AsksForAToken(NodeInfoGcsServiceServicer):
    def CheckAlive(self, request, context):
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")


def of_cluster(address: str, session: str = "session_2026-01-01_00-00-00_1_2", *before: str):
    """A process that looks like Ray's own, as its command line has it."""
    sleep = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [
            *before,
            sys.executable,
            "-c",
            sleep,
            f"--gcs-address={address}",
            f"--session={session}/logs",
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_file_that_names_a_dead_cluster_is_found(tmp_path, dead):
    file = tmp_path / "ray_current_cluster"
    file.write_text(f"{dead}\n")
    found = leftovers(tmp_path)
    assert (found.address_file, found.address) == (str(file), dead)


@pytest.mark.parametrize("service", [Lives(), AsksForAToken()])
def test_a_file_that_names_a_living_cluster_is_left_alone(tmp_path, served, service):
    (tmp_path / "ray_current_cluster").write_text(served(service))
    assert leftovers(tmp_path).address_file is None


def test_a_port_that_another_program_has_by_now_is_no_cluster(tmp_path, served):
    (tmp_path / "ray_current_cluster").write_text(served(None))
    assert leftovers(tmp_path).address_file is not None


def test_processes_of_a_dead_cluster_are_found_and_those_of_a_living_one_left_alone(
    tmp_path, dead, served
):
    with of_cluster(dead) as orphan, of_cluster(served(Lives())) as working:
        try:
            found = leftovers(tmp_path).processes
        finally:
            orphan.kill()
            working.kill()
    assert orphan.pid in found
    assert working.pid not in found


def may_unshare() -> bool:
    """Whether a network namespace can be had here."""
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "--net", "true"]).returncode == 0


@pytest.mark.skipif(not may_unshare(), reason="this machine forbids network namespaces")
def test_processes_of_containers_are_left_alone(tmp_path, dead):
    with of_cluster(dead, "session_2026-01-01_00-00-00_1_2", "unshare", "--net") as inside:
        try:
            assert inside.pid not in leftovers(tmp_path).processes
        finally:
            inside.kill()


def test_sessions_that_no_process_uses_are_found_with_their_size(tmp_path, dead):
    used, over = "session_2026-01-02_00-00-00_1_2", "session_2026-01-03_00-00-00_1_2"
    for name in (used, over):
        (tmp_path / name / "logs").mkdir(parents=True)
        (tmp_path / name / "logs" / "raylet.out").write_bytes(b"x" * 100_000)
    (tmp_path / "session_latest").symlink_to(over)
    with of_cluster(dead, f"{tmp_path}/{used}") as process:
        try:
            found = leftovers(tmp_path)
        finally:
            process.kill()
    assert found.sessions == (str(tmp_path / over),)
    assert 100_000 <= found.session_bytes < 200_000


def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_of_the_one_above(tmp_path):
    found = disk(tmp_path / "not" / "yet")
    assert found.path == str(tmp_path / "not" / "yet")
    assert 0 < found.free <= found.total == disk(Path(tmp_path)).total


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="this machine has GPUs")
def test_gpus_that_ray_promises_and_torch_does_not_see_are_found_with_the_reason():
    found = look({"CPU": 1.0, "GPU": 1.0})
    assert found.gpus == 0
    assert found.gpu_fault is not None
    assert re.search("CUDA|NVIDIA", found.gpu_fault)
    assert found.resources == {"CPU": 1.0, "GPU": 1.0}
