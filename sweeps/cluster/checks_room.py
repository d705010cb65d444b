"""Whether a sweep fits: its checkpoints on disks, its workers on machines. Facts in, verdicts out.

`B` is the size of a checkpoint, 12 bytes a parameter: the weight and AdamW's two moments in fp32.
"""

from collections.abc import Iterator, Mapping, Sequence

from sweeps.cluster.checks import Row, Verdict
from sweeps.cluster.machine_facts import Disk
from sweeps.cost import BYTES_PER_PARAMETER, checkpoints, checkpoints_made
from sweeps.plan import Plan
from sweeps.scaling import Limits, Room, too_small, worker_resources
from sweeps.spec import Resources
from sweeps.words import counted, stored


def peak_on_storage(plan: Plan, at_once: int) -> int:
    """Bytes of checkpoints that lie on storage at most.

        (sum of min(made, kept) over all states + min(at_once, states with made > kept)) x B

    A finished state keeps what it has, so the most lie there at the end, when the last `at_once`
    states each write a checkpoint before they remove one.

    Args:
        plan: Tells of each state how many checkpoints it makes and keeps.
        at_once: States that are trained at the same time.
    """
    left = sum(checkpoints(one.config, one.first_step) for one in plan.states.values())
    replacing = sum(
        checkpoints_made(one.config, one.first_step) > one.config.keep_checkpoints
        for one in plan.states.values()
    )
    return (left + min(at_once, replacing)) * _checkpoint_bytes(plan)


def peak_on_machine(plan: Plan, states_there: int) -> int:
    """Bytes of a machine's own copies at most, where the storage is an object store.

        (states that others start from + states_there x max over states of min(made, kept + 1)) x B
        + 4 bytes a parameter of a model that the sweep starts from

    A state fetches the checkpoint it starts from, which stays for others. Its own it keeps as on
    storage, and removes them all when it is done. Tokens are not counted.

    Args:
        plan: As above.
        states_there: States that are trained on it at the same time.
    """
    fetched = {one.before for one in plan.states.values()} - {None}
    own = max(
        min(checkpoints_made(one.config, one.first_step), one.config.keep_checkpoints + 1)
        for one in plan.states.values()
    )
    weights = 0 if plan.taken is None else 4 * plan.model.num_parameters
    return (len(fetched) + states_there * own) * _checkpoint_bytes(plan) + weights


def storage_row(plan: Plan, at_once: int, there: int, disk: Disk) -> Row:
    """Whether a directory has room for the checkpoints of a plan.

    Args:
        plan: What is to be trained.
        at_once: States that are trained at the same time.
        there: Bytes of the plan's checkpoints that lie there already.
        disk: Of the storage.
    """
    peak, states = peak_on_storage(plan, at_once), counted(len(plan.states), "state")
    told = f"checkpoints of {states} come to {stored(peak)} at most"
    if there:
        told += f", of which {stored(there)} are there"
    told += f"; {stored(disk.free)} are free in {disk.path}"
    remedy = "lower keep_checkpoints, make room, or name another disk"
    return _room(peak - there, disk, "storage", told, remedy)


def cache_rows(plan: Plan, nodes: Mapping[str, int], disks: Mapping[str, Disk]) -> Iterator[Row]:
    """Whether machines have room for their own copies of what lies on an object store.

    Args:
        plan: What is to be trained.
        nodes: How many states are trained on each machine at the same time.
        disks: Of the machines' copies.
    """
    for where, states in nodes.items():
        peak, disk = peak_on_machine(plan, states), disks[where]
        told = f"copies for {counted(states, 'state')} at once come to {stored(peak)} at most"
        if peak <= disk.free:  # no figure that differs: machines that say the same are one row
            told += f"; there is room in {disk.path}"
        else:
            told += f"; {stored(disk.free)} are free in {disk.path}"
        yield _room(peak, disk, where, told, "make room, or name another disk in REWARM_CACHE")


def _room(needed: int, disk: Disk, where: str, told: str, remedy: str) -> Row:
    is_enough = needed <= disk.free
    return Row(
        check="disk",
        where=where,
        verdict=Verdict.OK if is_enough else Verdict.FAULT,
        told=told if is_enough else f"{told}: {stored(needed - disk.free)} too few; {remedy}.",
    )


def resource_row(
    where: str,
    room: Room,
    nodes: Sequence[Mapping[str, float]],
    limits: Limits | None,
    resources: Resources,
) -> Row:
    """Whether one state fits, with the arithmetic.

    Args:
        where: What was asked: this machine, or the cluster.
        room: It has.
        nodes: The resources of each node that lives.
        limits: How far the cluster grows; None: not by itself, or not known.
        resources: Of one state.
    """
    now, most = room.now(resources), room.at_most(resources)
    if most < 1:
        told = too_small(list(nodes), limits, resources)
        return Row(check="resources", where=where, verdict=Verdict.FAULT, told=told)
    needed = ", ".join(f"{one:g} {name}" for name, one in worker_resources(resources).items())
    told = (
        f"one state needs {counted(resources.least_workers, 'worker')} with {needed} each; "
        f"{counted(now, 'state')} at once now"
    )
    if most > now:
        told += f", {counted(most, 'state')} at full scale-up"
    return Row(check="resources", where=where, verdict=Verdict.OK, told=told)


def _checkpoint_bytes(plan: Plan) -> int:
    return BYTES_PER_PARAMETER * plan.model.num_parameters
