"""Looks at every node of the Ray cluster that this machine belongs to."""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import ray

from cpt.parsing import ConfigError
from sweeps.capacity import HEAD, growth, living, room
from sweeps.cluster.asking import ask_nodes
from sweeps.cluster.checks import Findings, Row, Verdict, machine_rows
from sweeps.cluster.checks_room import resource_row
from sweeps.cluster.doctor import disk_rows, sweep_plan
from sweeps.cluster.entering import REFUSALS, not_entered
from sweeps.cluster.machine import look
from sweeps.cluster.probe import places
from sweeps.cluster.reach import unreachable
from sweeps.scaling import held, worker_resources
from sweeps.spec import SweepSpec
from sweeps.store import tree_of

CLUSTER = "cluster"


def examine_nodes(address: str, spec: SweepSpec | None) -> Findings:
    """Looks at a cluster from one of its machines; the first one is this.

    Args:
        address: Of the cluster.
        spec: What shall be trained there; None: the machines alone are looked at.

    Raises:
        ConfigError: The cluster cannot be entered, or the sweep cannot be planned.
    """
    with _entered(address):
        own = ray.get_runtime_context().get_node_id()
        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        names = _names(nodes)
        others = {name: (node["Resources"],) for name, node in nodes.items() if name != own}
        answers = ask_nodes(look, dict(sorted(others.items(), key=lambda one: names[one[0]])))
        machines = {names[own]: look(nodes[own]["Resources"])}
        machines |= {names[node]: one for node, one in answers.given.items()}
        rows = [*machine_rows(machines, in_cluster=True)]
        for node, why in answers.missing.items():
            told = f"it gave no answer ({why}); install the same rewarm there and start Ray again."
            rows.append(Row(check="node", where=names[node], verdict=Verdict.FAULT, told=told))
        if spec is not None:
            plan, tree, resources = sweep_plan(spec), tree_of(spec), spec.resources
            rows += _reached(spec)
            found = room(resources)
            rows.append(resource_row(CLUSTER, found, living(), growth(), resources))
            needed = worker_resources(resources)
            workers = {where: one for where, one in machines.items() if held(one.resources, needed)}
            rows += disk_rows(plan, tree, found.at_most(resources), workers)
    return Findings(rows=tuple(rows), machines=machines)


def _reached(spec: SweepSpec) -> Iterator[Row]:
    tree = tree_of(spec)
    faults = unreachable(tree, spec.resources, waits=False)
    for told in faults:
        yield Row(check="storage", where=CLUSTER, verdict=Verdict.FAULT, told=told)
    for place in places(tree):
        if not any(told.startswith(f"{place.field}: ") for told in faults):
            told = f"{place.field} {place.shown}: the same on this machine and all that train"
            yield Row(check="storage", where=CLUSTER, verdict=Verdict.OK, told=told)


def _names(nodes: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What nodes are called: the head, others by their address, and what tells equal ones apart."""
    addresses = {
        node: "head" if HEAD in one["Resources"] else str(one["NodeManagerAddress"])
        for node, one in nodes.items()
    }
    times = Counter(addresses.values())
    return {
        node: address if times[address] == 1 else f"{address} {node[:6]}"
        for node, address in addresses.items()
    }


@contextlib.contextmanager
def _entered(address: str) -> Iterator[None]:
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except REFUSALS as error:
        raise ConfigError([not_entered(address, error)]) from error
    try:
        yield
    finally:
        ray.shutdown()
