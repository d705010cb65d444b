"""How many states fit in a Ray cluster at once."""

import ray

from sweeps.spec import Resources


def worker_resources(resources: Resources) -> dict[str, float]:
    """What one worker needs, in Ray's names."""
    needed = {"CPU": float(resources.cpus_per_worker), "GPU": resources.gpus_per_worker}
    return {name: amount for name, amount in needed.items() if amount > 0}


def slots(resources: Resources) -> int:
    """How many states the living nodes can train at the same time.

    A worker must fit in one node, a group of them may spread over several. A node that is being
    drained, as a spot machine with notice, counts no more.
    """
    needed = worker_resources(resources)
    # Not public yet; Ray Train's own preemption watcher asks the same.
    leaving = ray._private.state.state.get_draining_nodes()
    workers = sum(
        min(int(node["Resources"].get(name, 0) // amount) for name, amount in needed.items())
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in leaving
    )
    return workers // resources.workers
