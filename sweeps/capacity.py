"""How many workers a Ray cluster has room for, and how they are shared among states."""

import ray

from sweeps.leaving import leaving_nodes
from sweeps.spec import Resources


def worker_resources(resources: Resources) -> dict[str, float]:
    """What one worker needs, in Ray's names."""
    needed = {"CPU": float(resources.cpus_per_worker), "GPU": resources.gpus_per_worker}
    return {name: amount for name, amount in needed.items() if amount > 0}


def capacity(resources: Resources) -> int:
    """How many workers the living nodes can hold.

    A worker must fit in one node, a group of them may spread over several. A node that is being
    drained, as a spot machine with notice, counts no more.
    """
    needed = worker_resources(resources)
    leaving = leaving_nodes()
    return sum(
        min(int(node["Resources"].get(name, 0) // amount) for name, amount in needed.items())
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in leaving
    )


def share(free: int, ready: int, resources: Resources) -> int:
    """How many workers the next state gets; 0: it has to wait.

    As many states as there is room for train at once, each with its least number of workers; what
    is left over goes to them in equal shares, up to the most a state may have.

    Args:
        free: Workers that could start now; below 0 where nodes have gone.
        ready: States that could be trained now.
        resources: Of one state.
    """
    at_once = min(ready, max(0, free) // resources.least_workers)
    return min(free // at_once, resources.most_workers) if at_once else 0
