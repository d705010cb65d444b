"""Whether the machines that train reach what a sweep keeps: asked of them, before they train.

A task on every living node that can hold a worker, or where there is none yet on the first that
comes, answers a question that the driver left (`sweeps.cluster.probe`). On living nodes it takes no
CPU, so it also answers where others train.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import ray
from ray.exceptions import RayError

from cpt.records import ResultTree
from cpt.token_store import StoreError
from sweeps.cluster.asking import ask_nodes, reason
from sweeps.cluster.probe import Place, Question, answer, ask, forget, places, take_answer
from sweeps.leaving import leaving_nodes
from sweeps.scaling import held, worker_resources
from sweeps.spec import Resources
from sweeps.words import listed

MOST_NAMED = 5
"""Nodes that a sentence names; of more it says how many."""
HERE = "this machine"
_AT_ONCE = 16
"""Requests of the driver to an object store; one takes some 20 ms."""


class _Answer(NamedTuple):
    """Of a node: its id and address, and what it cannot use, with the reason."""

    node: str
    address: str
    faults: dict[Place, str]


def unreachable(tree: ResultTree, resources: Resources, *, waits: bool = True) -> list[str]:
    """Says what of the storage of a sweep this driver, or a node that could train, cannot use.

    Args:
        tree: As this driver planned in it.
        resources: Of one state.
        waits: Whether to wait for the first node that can hold a worker where none is there yet, as
            in a cluster that grows from zero.

    Returns:
        A sentence for each fault with field, value, nodes, reason and remedy; what several nodes
        say alike is one.
    """
    questions: dict[Place, Question] = {}
    faults: list[tuple[Place, str, str]] = []
    try:
        for place in places(tree):
            try:
                questions[place] = ask(place)
            except StoreError as error:
                faults.append((place, str(error), HERE))
        asked = {place: question.number for place, question in questions.items()}
        if asked:
            answers = _of_nodes(asked, _holders(resources))
            if waits and not answers:
                answers = [_of_a_worker(asked, resources)]
            faults += _faults(asked, answers)
    finally:
        for place, question in questions.items():
            forget(place, question)
    return list(_sentences(faults))


def _holders(resources: Resources) -> dict[str, str]:
    """Living nodes that have room for a worker when nothing runs there: their addresses by id."""
    needed, leaving = worker_resources(resources), leaving_nodes()
    return {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in leaving and held(node["Resources"], needed)
    }


def _of_nodes(asked: Mapping[Place, str], nodes: Mapping[str, str]) -> list[_Answer]:
    """What these nodes answer; one that dies meanwhile says nothing."""
    answers = ask_nodes(_answer, {node: (dict(asked),) for node in nodes})
    return [*answers.given.values()] + [
        _Answer(node, nodes[node], dict.fromkeys(asked, _silence(why)))
        for node, why in answers.missing.items()
    ]


def _of_a_worker(asked: Mapping[Place, str], resources: Resources) -> _Answer:
    """What the first node answers that comes with room for a worker."""
    # Retried where that machine goes again: it says nothing of the storage.
    task = ray.remote(_answer).options(
        num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker, max_retries=-1
    )
    try:
        found: _Answer = ray.get(task.remote(dict(asked)))
    except RayError as error:
        return _Answer("", "a worker", dict.fromkeys(asked, _silence(reason(error))))
    return found


def _answer(asked: Mapping[Place, str]) -> _Answer:
    """Runs on a node."""
    node = ray.get_runtime_context().get_node_id()
    faults = {}
    for place, number in asked.items():
        try:
            answer(place, number, node)
        except StoreError as error:
            faults[place] = str(error)
    return _Answer(node, ray.util.get_node_ip_address(), faults)


def _silence(why: str) -> str:
    return f"it gave no answer ({why}); look whether rewarm runs there: rewarm doctor."


def _faults(
    asked: Mapping[Place, str], answers: Iterable[_Answer]
) -> Iterator[tuple[Place, str, str]]:
    """What nodes cannot use, and whose answers do not arrive here: place, reason, address."""

    def found(place: Place, one: _Answer) -> tuple[Place, str, str] | None:
        if place in one.faults:
            return place, one.faults[place], one.address
        try:
            take_answer(place, asked[place], one.node)
        except StoreError as error:
            return place, str(error), one.address
        return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pairs = [(place, one) for place in asked for one in answers]
        yield from filter(None, pool.map(lambda pair: found(*pair), pairs))


def _sentences(faults: Iterable[tuple[Place, str, str]]) -> Iterator[str]:
    where: defaultdict[tuple[Place, str], set[str]] = defaultdict(set)
    for place, why, address in faults:
        where[place, why].add(address)
    for (place, why), addresses in where.items():
        yield f"{place.field}: got {place.shown}, which {_named(addresses)} cannot use: {why}"


def _named(addresses: Iterable[str]) -> str:
    names = sorted(addresses)
    more = len(names) - MOST_NAMED
    return listed(names if more <= 0 else [*names[:MOST_NAMED], f"{more} more nodes"])
