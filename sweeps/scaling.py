"""What a cluster has room for, now and once it has grown: numbers in, numbers out.

Ray's autoscaler starts machines for what waits for them. A sweep that asked for no more than there
is would never be given more, so it has to know how far its cluster can grow.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sweeps.spec import Resources
from sweeps.words import counted

RAYS_MAX_WORKERS = 2
"""How many workers a cluster file that says nothing allows (`max_workers` in Ray's schema)."""


@dataclass(frozen=True)
class NodeType:
    """A kind of machine that a cluster starts by itself.

    Attributes:
        name: In the cluster file.
        resources: Of one machine, in Ray's names; empty: what it has is known once it is there.
        most: How many of them.
    """

    name: str
    resources: Mapping[str, float]
    most: int


@dataclass(frozen=True)
class Limits:
    """How far a cluster grows.

    Attributes:
        types: Of workers.
        most_nodes: Workers of all types together.
    """

    types: tuple[NodeType, ...]
    most_nodes: int

    @property
    def are_told(self) -> bool:
        """Whether the file says what its machines have; that of machines one owns does not."""
        return all(one.resources for one in self.types)


def limits_of(config: Mapping[str, Any]) -> Limits:
    """Reads them from the content of a cluster file, as `ray up` reads it."""
    most_nodes = config.get("max_workers", RAYS_MAX_WORKERS)
    types = config.get("available_node_types", {})
    return Limits(
        tuple(
            NodeType(name, one.get("resources", {}), one.get("max_workers", most_nodes))
            for name, one in types.items()
            # The machines one owns are all of one type, the head too.
            if name != config.get("head_node_type") or not one.get("resources")
        ),
        most_nodes,
    )


def worker_resources(resources: Resources) -> dict[str, float]:
    """What one worker needs, in Ray's names."""
    needed = {"CPU": float(resources.cpus_per_worker), "GPU": resources.gpus_per_worker}
    return {name: amount for name, amount in needed.items() if amount > 0}


def held(node: Mapping[str, float], needed: Mapping[str, float]) -> int:
    """How many workers a node holds; a worker must fit in one node.

    Args:
        node: Its resources.
        needed: Those of one worker.
    """
    return min(_times(node.get(name, 0), amount) for name, amount in needed.items())


def _times(there: float, amount: float) -> int:
    """How often an amount is found in what is there: a share of a GPU in each, in whole ones."""
    if amount < 1:
        # Of floats, 0.2 is found four times in 1.
        return int(there) * math.floor(1 / amount + 1e-6)
    return int(there // amount)


def workers_at_full_scale(limits: Limits, resources: Resources) -> int:
    """How many workers a cluster holds when it has started all it may, the roomiest types first."""
    needed = worker_resources(resources)
    left, workers = limits.most_nodes, 0
    for one in sorted(limits.types, key=lambda one: -held(one.resources, needed)):
        nodes = min(left, one.most)
        workers += nodes * held(one.resources, needed)
        left -= nodes
    return workers


@dataclass(frozen=True)
class Room:
    """What a cluster has room for.

    Attributes:
        workers: On the nodes that live now.
        workers_at_most: Once it has grown; never fewer.
        states: So many are trained at once at most, whatever room there is.
    """

    workers: int
    workers_at_most: int
    states: float = math.inf

    def now(self, resources: Resources) -> int:
        """How many states fit on the nodes that live now."""
        return int(min(self.workers // resources.least_workers, self.states))

    def at_most(self, resources: Resources) -> int:
        """How many states fit once the cluster has grown."""
        return int(min(self.workers_at_most // resources.least_workers, self.states))


def share(room: Room, used: int, running: int, ready: int, resources: Resources) -> int:
    """How many workers the next state gets; 0: it has to wait.

    As many states as there is room for train at once, each with its least number of workers; what
    is left over goes to them in equal shares, up to the most a state may have. Where only a cluster
    that has grown holds another state, that is asked for with its least number.

    Args:
        room: Of the cluster.
        used: Workers that train or were asked for; more than there is room for where nodes went.
        running: States that train or were asked for.
        ready: States that could be trained now.
        resources: Of one state.
    """
    least = resources.least_workers
    wanted = int(min(ready, room.states - running))
    if wanted < 1:
        return 0
    free = room.workers - used
    if free >= least:
        return min(free // min(wanted, free // least), resources.most_workers)
    return least if room.workers_at_most - used >= least else 0


def too_small(nodes: list[Mapping[str, float]], limits: Limits | None, resources: Resources) -> str:
    """Why not one state fits, with the arithmetic, in a sentence.

    Args:
        nodes: The resources of each node that lives.
        limits: How far the cluster grows; None: not by itself, or not known.
        resources: Of one state.
    """
    needed = worker_resources(resources)
    workers = counted(resources.least_workers, "worker")
    there = sum(held(node, needed) for node in nodes)
    of_nodes = [f"{_amounts(node)}: {held(node, needed)}" for node in nodes if _amounts(node)]
    now = f"for {there} now ({_told(of_nodes) or 'no node trains'})"
    asked = f"resources: one state needs {workers} with {_amounts(needed)} each, but"
    if limits is None:
        return (
            f"{asked} the cluster has room {now}; lower resources, start workers, or where the "
            "cluster grows by itself say how far in resources.states_at_once."
        )
    if not limits.are_told:
        return (
            f"{asked} the cluster has room {now}; lower resources, or add machines to the cluster "
            "file."
        )
    of_types = [
        f"{one.most} {one.name} with {_amounts(one.resources)}: "
        f"{one.most * held(one.resources, needed)}"
        for one in limits.types
    ]
    return (
        f"{asked} the cluster has room {now} and for {workers_at_full_scale(limits, resources)} at "
        f"full scale-up ({counted(limits.most_nodes, 'worker node')}: {_told(of_types)}); lower "
        "resources, or raise max_workers or name larger machines in the cluster file."
    )


def _told(parts: list[str]) -> str:
    return ", ".join(
        part if parts.count(part) == 1 else f"{parts.count(part)} x ({part})"
        for part in dict.fromkeys(parts)
    )


def _amounts(resources: Mapping[str, float]) -> str:
    named = {name: resources.get(name, 0) for name in ("CPU", "GPU")}
    return ", ".join(f"{amount:g} {name}" for name, amount in named.items() if amount)
