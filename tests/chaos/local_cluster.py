"""A Ray cluster of several nodes on this machine, whose nodes can be lost and replaced.

The head has no CPU, so nothing trains on it; every other node has one.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos.processes import descendants, kill_all, training


class LocalCluster:
    """A head and some nodes, with Ray's files in a folder of its own.

    Attributes:
        ray: As Ray calls it.

    Args:
        nodes: How many, beside the head.
        disks: A folder in which each machine has one of its own for its copies of an object store;
            it is lost with the machine.
        lost_after_seconds: Of silence, as long as which a node that is gone is not missed.
        drivers: How many drivers of groups are kept on the head; 0: they go where there is room.
    """

    def __init__(
        self, nodes: int, disks: Path, *, lost_after_seconds: int = 3, drivers: int = 0
    ) -> None:
        self._disks, self._added = disks, 0
        self._disk_of: dict[str, Path] = {}
        # Short, for the paths of sockets are; set before Ray is imported, here and in the driver.
        self._folder = Path(tempfile.mkdtemp(prefix="rw-", dir="/tmp"))
        os.environ["RAY_TMPDIR"] = str(self._folder)
        os.environ.pop("RAY_ADDRESS", None)
        os.environ["REWARM_CACHE"] = str(disks / "driver")
        from ray._common.network_utils import find_free_port
        from ray.cluster_utils import Cluster

        self.ray: Any = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "resources": {"driver": drivers} if drivers else {},
                "include_dashboard": True,
                # Ray's own may be another cluster's.
                "dashboard_port": find_free_port(),
                # A node that is gone is to be missed within seconds, not half a minute.
                "_system_config": {
                    "health_check_initial_delay_ms": 1000,
                    "health_check_period_ms": 1000,
                    "health_check_failure_threshold": lost_after_seconds,
                },
            },
        )
        for _ in range(nodes):
            self.add_node()

    @property
    def address(self) -> str:
        """For `--address`."""
        return str(self.ray.address)

    @property
    def nodes(self) -> list[Any]:
        """Ray's nodes beside the head, oldest first."""
        return sorted(self.ray.worker_nodes, key=lambda node: _raylet(node).pid)

    def nodes_that_train(self) -> list[Any]:
        """Those with a training process."""
        return [node for node in self.nodes if self.training_on(node)]

    def training_on(self, node: Any) -> list[psutil.Process]:
        """The training processes of a node."""
        return training(_raylet(node).pid)

    def add_node(self) -> None:
        """A fresh machine comes."""
        self._added += 1
        disk = self._disks / f"node-{self._added}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REWARM_CACHE", str(disk))
            node = self.ray.add_node(num_cpus=1)
        self._disk_of[node.node_id] = disk

    def kill(self, node: Any) -> None:
        """The machine is gone, with all its processes at once."""
        raylet = _raylet(node).pid
        doomed = descendants(raylet)
        if psutil.pid_exists(raylet):
            doomed.insert(0, psutil.Process(raylet))
        kill_all(doomed)
        self.ray.remove_node(node, allow_graceful=False)
        shutil.rmtree(self._disk_of[node.node_id], ignore_errors=True)

    def drain(self, node: Any, seconds: float) -> None:
        """Notice that the machine will be taken away, as `ray drain-node` gives it."""
        from ray._raylet import GcsClient
        from ray.core.generated.autoscaler_pb2 import DrainNodeReason

        accepted, refusal = GcsClient(address=self.address).drain_node(
            node.node_id,
            DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
            "chaos",
            int((time.time() + seconds) * 1000),
        )
        assert accepted, refusal

    def shut_down(self) -> None:
        """Ends every node, and removes Ray's files."""
        self.ray.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


def _raylet(node: Any) -> Any:
    return node.all_processes["raylet"][0].process
