"""`rewarm doctor`: looks at this machine, or at every node of a cluster, before it costs money.

    doctor          this machine, as `rewarm run` would use it
    doctor_nodes    every node of the Ray cluster that this machine belongs to
    doctor_job      a cluster from afar: the same as a job on its head, and this machine beside it

What `machine` and `reach` gather, `checks` and `checks_room` judge. Nothing is started, packed or
left behind.
"""

import math
from collections.abc import Iterator, Mapping

from cpt.files import read_json
from cpt.hub_config import locate, read_model
from cpt.records import ResultTree
from cpt.token_store import StoreError
from sweeps.cluster.checks import Findings, Row, Verdict, machine_rows
from sweeps.cluster.checks_room import cache_rows, resource_row, storage_row
from sweeps.cluster.machine import disk, folder_bytes, look
from sweeps.cluster.machine_facts import Machine
from sweeps.cluster.probe import Place, answer, ask, forget, places, take_answer
from sweeps.console import extra
from sweeps.declared import ample_plan
from sweeps.facts import TakenModel
from sweeps.plan import Plan
from sweeps.scaling import Room, held, worker_resources
from sweeps.spec import CHECKPOINT_FIELD, SweepSpec
from sweeps.store import check_plan, tree_of

HERE = "this machine"


def examine_here(spec: SweepSpec | None) -> Findings:
    """Looks at this machine as `rewarm run` would use it.

    Args:
        spec: What shall be trained here; None: the machine alone is looked at.

    Raises:
        ConfigError: The sweep cannot be planned.
    """
    machine = look()
    rows = [*machine_rows({HERE: machine}, in_cluster=False)]
    if spec is not None:
        plan, tree, resources = sweep_plan(spec), tree_of(spec), spec.resources
        rows += (_reached_here(place) for place in places(tree))
        workers = held(machine.resources, worker_resources(resources))
        room = Room(workers, workers, resources.states_at_once or math.inf)
        if "ray" in machine.versions:  # else nothing is known of what it would use
            rows.append(resource_row(HERE, room, [machine.resources], None, resources))
            rows += disk_rows(plan, tree, room.at_most(resources), {HERE: machine})
    return Findings(rows=tuple(rows), machines={HERE: machine})


def sweep_plan(spec: SweepSpec) -> Plan:
    """The plan of a sweep as far as sizes go: no data are read, and ids are provisional.

    Raises:
        ConfigError: It cannot be planned, or its tokenizer or model cannot be found.
    """
    with extra("train"):
        from cpt.tokenizer import load_tokenizer
    taken = None
    if spec.checkpoint is not None:
        model = read_model(locate(spec.checkpoint, CHECKPOINT_FIELD), CHECKPOINT_FIELD)
        taken = TakenModel(weights="unread", model=model)
    trained = None if isinstance(spec.tokenizer, str | None) else spec.tokenizer.vocab_size
    return ample_plan(spec, trained or load_tokenizer(spec.tokenizer_name).vocab_size, taken)


def disk_rows(
    plan: Plan, tree: ResultTree, at_once: int, workers: Mapping[str, Machine]
) -> Iterator[Row]:
    """Whether disks have room for a plan: that of the storage, or copies of an object store.

    Args:
        plan: What shall be trained.
        tree: Where it is kept.
        at_once: States that are trained at the same time, once the cluster has grown.
        workers: Machines that can hold a worker.
    """
    if tree.remote is None:
        yield storage_row(plan, at_once, _there(plan, tree), disk(tree.storage))
        return
    needed = worker_resources(plan.spec.resources)
    states = {where: held(one.resources, needed) for where, one in workers.items()}
    yield from cache_rows(plan, states, {where: one.cache for where, one in workers.items()})


def _there(plan: Plan, tree: ResultTree) -> int:
    """Bytes of checkpoints that an earlier run of the sweep left."""
    sweep = tree.sweep(plan.spec.name)
    if not sweep.plan.is_file():
        return 0
    check_plan(sweep)
    states = (tree.state(state["state"]) for state in read_json(sweep.plan)["states"])
    return sum(folder_bytes(state.checkpoints) for state in states)


def _reached_here(place: Place) -> Row:
    verdict, told = Verdict.OK, f"{place.field} {place.shown}: written and read"
    try:
        question = ask(place)
        try:
            answer(place, question.number, HERE)
            take_answer(place, question.number, HERE)
        finally:
            forget(place, question)
    except StoreError as error:
        verdict = Verdict.FAULT
        told = f"{place.field}: got {place.shown}, which cannot be used: {error}"
    return Row(check="storage", where=HERE, verdict=verdict, told=told)
