"""The room that a Ray cluster has, as the connected driver sees it."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path

import ray
import yaml
from ray._private import worker as ray_worker

from sweeps.leaving import leaving_nodes
from sweeps.scaling import Limits, Room, held, limits_of, worker_resources, workers_at_full_scale
from sweeps.spec import Resources

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` puts the cluster file on the head; no interface of Ray's tells what it says."""
DRIVER = "driver"
"""The resource of a machine that is not taken away, on which the driver of a group is kept: one
for each. `cluster.yaml` gives it to the head."""
HEAD = "node:__internal_head__"
"""The resource by which Ray tells the head among nodes."""


def room(resources: Resources) -> Room:
    """What the cluster has room for.

    A worker must fit in one node, a group of them may spread over several. A node that is being
    drained, as a spot machine with notice, counts no more.

    Args:
        resources: Of one state.
    """
    needed = worker_resources(resources)
    leaving = leaving_nodes()
    living = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in leaving]
    workers = sum(held(node["Resources"], needed) for node in living)
    at_most = workers
    if (limits := growth()) is not None:
        head = sum(held(node["Resources"], needed) for node in living if HEAD in node["Resources"])
        at_most = max(at_most, head + workers_at_full_scale(limits, resources))
    states = math.inf if resources.states_at_once is None else float(resources.states_at_once)
    if limits is None and resources.states_at_once is not None:
        # How far it grows cannot be seen, and was said.
        at_most = max(at_most, resources.states_at_once * resources.least_workers)
    if resources.most_workers > 1 and has_drivers():
        states = min(states, ray.cluster_resources()[DRIVER])
    return Room(workers, at_most, states)


def has_drivers() -> bool:
    """Whether machines are set apart for the drivers of groups."""
    return ray.cluster_resources().get(DRIVER, 0) >= 1


def growth() -> Limits | None:
    """How far the cluster grows by itself; None: not at all, or it cannot be seen from here."""
    own = ray.get_runtime_context().get_node_id()
    is_on_head = any(node["NodeID"] == own and HEAD in node["Resources"] for node in ray.nodes())
    # A Ray of this process alone is no cluster's, even where a cluster has its head here.
    is_own = ray_worker._global_node is not None and ray_worker._global_node.is_head()
    file = BOOTSTRAP.expanduser()
    if is_own or not is_on_head or not file.is_file():
        return None
    return _limits(file, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _limits(file: Path, stamp: int) -> Limits:
    """Of the file as it stands: `ray up` may be typed again while a sweep runs."""
    return limits_of(yaml.safe_load(file.read_text(encoding="utf-8")))


def living() -> list[Mapping[str, float]]:
    """The resources of each node that lives."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
