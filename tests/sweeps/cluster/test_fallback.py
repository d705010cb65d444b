"""What the autoscaler asks for where a cloud has none of a kind, by Ray's own autoscaler."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("ray.autoscaler")

ROOT = Path(__file__).parents[3]
HEAD_ID = 51 * "f" + 5 * "0"
WORKER = {"CPU": 1.0, "GPU": 1.0}


def kinds() -> dict[str, dict[str, Any]]:
    """Those of cluster.yaml, with what Ray finds out about AWS's machines by itself."""
    from ray.autoscaler._private.util import prepare_config

    types = prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text()))
    types = types["available_node_types"]
    found = {"spot_l4": "L4", "spot_a10g": "A10G", "on_demand_l4": "L4", "spot_l40s_four": "L40S"}
    for name, gpu in found.items():
        memory = 288 << 30 if name == "spot_l40s_four" else 22 << 30
        types[name]["resources"] |= {"memory": memory, f"accelerator_type:{gpu}": 1}
    return types


def asked_for(
    waiting: list[dict[str, float]], refused: tuple[str, ...] = (), **changed: int
) -> dict[str, int]:
    """What is asked for, of which kind how many, after the cloud refused some.

    Args:
        waiting: What each waiting worker needs.
        refused: Kinds, in the order in which they were refused.
        changed: `max_workers` of kinds.
    """
    from ray.autoscaler._private.node_provider_availability_tracker import (
        NodeProviderAvailabilityTracker,
    )
    from ray.autoscaler._private.resource_demand_scheduler import get_nodes_for
    from ray.autoscaler.node_launch_exception import NodeLaunchException

    from sweeps.cluster.fallback import score

    types = kinds()
    for name, most in changed.items():
        types[name]["max_workers"] = most
    tracker = NodeProviderAvailabilityTracker()
    for name in refused:
        no = NodeLaunchException("InsufficientInstanceCapacity", "none of these", None)
        tracker.update_node_availability(name, int(time.time()), no)
    liking = partial(score, node_availability_summary=tracker.summary())
    nodes, left = get_nodes_for(types, {"head": 1}, "head", 16, waiting, liking)
    assert left == []
    return dict(nodes)


def test_spot_comes_before_on_demand() -> None:
    assert asked_for([WORKER]) == {"spot_l4": 1}


def test_workers_that_fit_on_one_machine_share_it() -> None:
    assert asked_for([{"CPU": 1.0, "GPU": 0.25}] * 4) == {"spot_l4": 1}


def test_another_kind_is_asked_for_where_one_is_refused_and_on_demand_last() -> None:
    assert asked_for([WORKER], ("spot_l4",)) == {"spot_a10g": 1}
    assert asked_for([WORKER], ("spot_l4", "spot_a10g")) == {"on_demand_l4": 1}


def test_what_was_refused_is_asked_for_again_where_the_rest_is_used_up() -> None:
    asked = asked_for([WORKER] * 4, ("spot_l4", "spot_a10g"))
    assert asked == {"on_demand_l4": 2, "spot_l4": 2}


def test_large_machines_start_only_where_they_are_allowed() -> None:
    four = [WORKER] * 4
    assert asked_for(four) == {"spot_l4": 4}
    assert asked_for(four, spot_l40s_four=4) == {"spot_l40s_four": 1}


def test_what_fits_nowhere_is_liked_nowhere() -> None:
    from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary

    from sweeps.cluster.fallback import score

    nothing_known = NodeAvailabilitySummary({})
    eight = {"GPU": 8.0}
    assert score(WORKER, [eight], "spot", node_availability_summary=nothing_known) is None


CLOUD = '''
"""A cloud that has machines on demand, and none on spot."""

from pathlib import Path

from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.node_launch_exception import NodeLaunchException
from ray.autoscaler.tags import TAG_RAY_USER_NODE_TYPE


class Cloud(FakeMultiNodeProvider):
    def create_node_with_resources_and_labels(self, node_config, tags, count, resources, labels):
        kind = tags[TAG_RAY_USER_NODE_TYPE]
        with (Path(__file__).parent / "asked").open("a") as asked:
            asked.write(kind + chr(10))
        if kind.startswith("spot"):
            raise NodeLaunchException("InsufficientInstanceCapacity", "none of these", None)
        super().create_node_with_resources_and_labels(node_config, tags, count, resources, labels)

    @staticmethod
    def bootstrap_config(config):
        return config
'''
DRIVER = """
import sys, ray
ray.init(sys.argv[1], log_to_driver=False)
print(ray.get(ray.remote(num_gpus=1)(lambda: "trained").remote(), timeout=150))
"""


def launcher_file(port: int) -> dict[str, Any]:
    """Of a cluster of that cloud."""

    def kind(most: int) -> dict[str, Any]:
        return {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "max_workers": most}

    return {
        "cluster_name": "fallback",
        "max_workers": 8,
        "provider": {
            "type": "external",
            "module": "cloud.Cloud",
            "gcs_address": f"127.0.0.1:{port}",
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
        },
        "available_node_types": {
            # The head of that provider has this name.
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "spot_b": kind(4),
            "spot_a": kind(4),
            "on_demand": kind(1),
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "cluster_synced_files": [],
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1.0,
        "initialization_commands": [],
        **{f"{when}_commands": [] for when in ("setup", "head_setup", "worker_setup")},
        **{f"{who}_start_ray_commands": [] for who in ("head", "worker")},
    }


@pytest.mark.ray
@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_sweep_gets_a_machine_on_demand_where_there_is_no_spot(tmp_path: Path) -> None:
    """With the start command of cluster.yaml; Ray's own two autoscalers never ask for another."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "cloud.py").write_text(CLOUD)
    (tmp_path / "driver.py").write_text(DRIVER)
    file = tmp_path / "cluster.json"
    file.write_text(json.dumps(launcher_file(port)))
    starts = yaml.safe_load((ROOT / "cluster.yaml").read_text())["head_start_ray_commands"]
    (exports,) = (command.partition("ulimit")[0] for command in starts if "ray start" in command)
    ray = Path(sys.executable).parent / "ray"
    # Ray's sockets want a short path.
    start = (
        f"export RAY_enable_autoscaler_v2=1; {exports} exec {ray} start --head --block"
        f" --node-ip-address=127.0.0.1 --port={port} --num-cpus=0 --include-dashboard=False"
        f" --temp-dir=/tmp/rw-{port} --autoscaling-config={file}"
    )
    env = os.environ | {
        "HOME": str(tmp_path),
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "RAY_FAKE_CLUSTER": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    head = subprocess.Popen(
        ["bash", "-c", start],
        env=env | {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(port)
        driver = [sys.executable, tmp_path / "driver.py", f"127.0.0.1:{port}"]
        done = subprocess.run(driver, env=env, capture_output=True, text=True, timeout=200)
        assert "trained" in done.stdout, done.stderr
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        time.sleep(2)
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()
    asked = Counter((tmp_path / "asked").read_text().split())
    assert asked == {"spot_b": 1, "spot_a": 1, "on_demand": 1}


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"no Ray head at port {port}")
