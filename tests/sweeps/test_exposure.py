"""A run of one machine as an attacker beside it sees it: open ports, tokens, and what it wrote."""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]

REPOSITORY = Path(__file__).parents[2]
PROC = Path("/proc")
CANARIES = {
    "AWS_ACCESS_KEY_ID": "canary-of-the-id-31",
    "AWS_SECRET_ACCESS_KEY": "canary-of-aws-4fb1c0",
    "AWS_SESSION_TOKEN": "canary-of-session-77aa",
    "HF_TOKEN": "canary-of-hub-9d02ee",
    "WANDB_API_KEY": "canary-of-wandb-a1b2c3",
    "MLFLOW_TRACKING_PASSWORD": "canary-of-mlflow-5e5e",
}
LOOPBACK = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
"""127.0.0.1, the same in IPv6's clothes, and ::1, as Linux writes them."""


def family(root: int) -> list[int]:
    """A process and all that it started, directly or not."""
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def listening(root: int) -> set[tuple[str, int]]:
    """(address, port) of every socket on which a family of processes listens."""
    sockets = set()
    for process in family(root):
        try:
            sockets |= {str(file.readlink()) for file in (PROC / str(process) / "fd").iterdir()}
        except (FileNotFoundError, ProcessLookupError):
            continue
    lines = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in (PROC / "net" / table).read_text().splitlines()[1:]
    ]
    return {
        (line[1].partition(":")[0], int(line[1].partition(":")[2], 16))
        for line in lines
        if line[3] == "0A" and f"socket:[{line[9]}]" in sockets
    }


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder for Ray, whose sockets' paths may have a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="rw-", dir="/tmp") as path:
        yield Path(path)


@pytest.mark.skipif(not (PROC / "net" / "tcp").exists(), reason="needs Linux' /proc")
def test_a_run_listens_on_the_loopback_alone_and_writes_no_secret(sweep, folder, short):
    file = sweep(stopping={"type": "none"})
    environment = os.environ | CANARIES | {
        "PYTHONPATH": str(REPOSITORY),
        "COLUMNS": "200",
        "RAY_TMPDIR": str(short),
    }  # fmt: skip
    environment.pop("RAY_ADDRESS", None)
    with subprocess.Popen(
        [sys.executable, "-m", "sweeps", "run", file],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        seen: set[tuple[str, int]] = set()
        while run.poll() is None:
            seen |= listening(run.pid)
            time.sleep(0.5)
        output = run.communicate()[0]
    assert run.returncode == 0, output
    # Ray's own: its store, its scheduler, its workers.
    assert len(seen) >= 5
    assert {address for address, _ in seen} <= set(LOOPBACK), seen

    shown = subprocess.run(
        [sys.executable, "-m", "sweeps", "status", file],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    written = [path for root in (folder, short) for path in root.rglob("*") if path.is_file()]
    assert any(path.name == "report.html" for path in written)
    assert any(path.suffix in (".log", ".out") for path in written)
    telling = {
        (name, path.name)
        for path in written
        for name, canary in CANARIES.items()
        if canary.encode() in path.read_bytes()
    }
    assert telling == set()
    for canary in CANARIES.values():
        assert canary not in output + shown.stdout + shown.stderr


SERVER = """
import os, sys
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
import ray
from sweeps.launch import cluster
from sweeps.spec import Resources
with cluster(None, Resources(workers=2, cpus_per_worker=1), print):
    print(ray.get_runtime_context().gcs_address, ray._private.worker._global_node.webui_url, flush=True)
    sys.stdin.read()
"""  # noqa: E501
CLIENT = """
import os, sys
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or it takes 127.0.0.1 for another address
import ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.get(ray.remote(lambda: 6 * 7).remote()))
"""


def test_who_has_no_token_is_refused_by_ray_and_its_dashboard(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "HOME": str(tmp_path)}
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS"):
        environment.pop(name, None)
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        address, dashboard = server.stdout.readline().split()
        assert dashboard.startswith("127.0.0.1:")

        def told(seconds: float, **auth: str) -> str:
            """What a program that asks for work gets to hear."""
            client = [sys.executable, "-c", CLIENT, address]
            try:
                done = subprocess.run(
                    client, env=environment | auth, capture_output=True, text=True,
                    timeout=seconds, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired as expired:  # it asks again and again
                return (expired.stderr or b"").decode()
            return done.stdout + done.stderr

        assert "42" in told(60, RAY_AUTH_MODE="token")
        assert "InvalidAuthToken" in told(8, RAY_AUTH_MODE="disabled")
        assert "InvalidAuthToken" in told(8, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)

        for headers, answer in (({}, 401), ({"Authorization": f"Bearer {'0' * 64}"}, 403)):
            job = urllib.request.Request(
                f"http://{dashboard}/api/jobs/",
                data=b'{"entrypoint": "true"}',
                headers={"Content-Type": "application/json", **headers},
                method="POST",
            )
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(job, timeout=10)
            refused.value.close()
            assert refused.value.code == answer
        server.communicate("")
