"""A cluster that grows by itself: a sweep that begins with no machine to train on.

Ray's own autoscaler starts the machines, as more Ray nodes of this one. Each cluster has process,
mount and network namespaces of its own, so its ports, files and `ray stop` are nobody else's.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
OWN = ("unshare", "--mount", "--pid", "--net", "--fork", "--kill-child", "--mount-proc")
START = """
mkdir -p /tmp/ray && mount -t tmpfs none /tmp/ray && ip link set lo up || exit 99
python -m ray.scripts.scripts get-auth-token --generate > start.log 2>&1
python -m ray.scripts.scripts start --head --port=6379 --num-cpus=0 --resources '{"driver": 4}' \
    --dashboard-port=0 $AUTOSCALING >> start.log 2>&1 || { cat start.log; exit 98; }
"""
RUN = "exec python -m sweeps run sweep.yaml --address auto"

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]

OnCluster = Callable[..., "subprocess.Popen[str]"]


def config() -> dict[str, Any]:
    """What `ray up` leaves on the head: up to two machines of one CPU."""
    lists = (
        "cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands",
        "setup_commands", "head_setup_commands", "worker_setup_commands",
        "head_start_ray_commands", "worker_start_ray_commands",
    )  # fmt: skip
    return {
        "cluster_name": "grows",
        "max_workers": 2,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "fake_multinode",
            "disable_node_updaters": True,
            "worker_liveness_check": False,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "spot": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
    } | {name: [] for name in lists}


@pytest.fixture
def on_cluster(folder: Path, environment: dict[str, str]) -> OnCluster:
    """Runs `rewarm run` on the head of a cluster, which ends with it."""
    if os.geteuid() or subprocess.run([*OWN, "true"], capture_output=True, check=False).returncode:
        pytest.skip("namespaces of its own are not allowed here")
    home = folder / "home"
    home.mkdir()
    bootstrap = home / "ray_bootstrap_config.yaml"
    bootstrap.write_text(json.dumps(config()))

    def run(*, grows: bool = True) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*OWN, "bash", "-c", START + RUN],
            cwd=folder,
            env=environment
            | {
                "HOME": str(home),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "RAY_AUTH_MODE": "token",
                "RAY_FAKE_CLUSTER": "1",
                "AUTOSCALER_UPDATE_INTERVAL_S": "1",
                "AUTOSCALING": f"--autoscaling-config={bootstrap}" if grows else "",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return run


@pytest.mark.parametrize("workers", [1, 2])
def test_machines_are_started_for_a_sweep_that_finds_none(on_cluster, sweep, workers) -> None:
    sweep(resources={"workers": workers})
    running = on_cluster()
    said, _ = running.communicate()
    assert running.returncode == 0, said
    at_most = 2 // workers
    assert f"Ray is up: 0 states at a time, {at_most} once the cluster has grown\n" in said
    assert "2/2 states" in said


def test_what_will_never_fit_is_refused_before_a_machine_is_started(on_cluster, sweep) -> None:
    sweep(resources={"workers": 4})
    running = on_cluster()
    said, _ = running.communicate()
    assert running.returncode == 2, said
    assert said.splitlines()[-1] == (
        "refused: resources: one state needs 4 workers with 1 CPU each, but the cluster has room "
        "for 0 now (no node trains) and for 2 at full scale-up (2 worker nodes: 2 spot with 1 CPU: "
        "2); lower resources, or raise max_workers or name larger machines in the cluster file."
    )


def test_a_group_that_waits_for_machines_leaves_when_asked(on_cluster, sweep, folder) -> None:
    sweep(resources={"workers": 2})
    running = on_cluster(grows=False)
    for line in running.stdout:
        if line.startswith("Ray is up"):
            break
    time.sleep(20)  # until its driver waits for a placement group that will never come
    driver = subprocess.run(
        ["pgrep", "-P", str(running.pid)], capture_output=True, text=True, check=True
    )
    asked = time.monotonic()
    os.kill(int(driver.stdout), 15)
    said, _ = running.communicate()
    assert running.returncode == 75, said
    assert time.monotonic() - asked < 60
