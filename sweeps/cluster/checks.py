"""What the doctor thinks of machines: facts in, verdicts out.

A machine is judged by itself, and by the first one, whose versions and token all others must have.
"""

import enum
import math
import shlex
from collections.abc import Iterator, Mapping

from cpt.parsing import Frozen
from sweeps.cluster.machine_facts import Machine, RayToken
from sweeps.cluster.versions import COMPARED, differences
from sweeps.words import counted, listed, stored

MANY_SESSION_BYTES = 10**9
"""What of old sessions is worth a word."""
FULL_SHARE = 0.05
"""Ray writes no objects to a disk on which less is free (`local_fs_capacity_threshold`)."""


class Verdict(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


class Row(Frozen):
    """One check in one place.

    Attributes:
        check: What was looked at.
        where: This machine, the head, or a node's address.
        verdict: How bad it is.
        told: A sentence; with what to do, unless all is well.
    """

    check: str
    where: str
    verdict: Verdict
    told: str


class Findings(Frozen):
    """What an examination found.

    Attributes:
        rows: Every check in every place.
        machines: The facts by which machines were judged.
    """

    rows: tuple[Row, ...]
    machines: dict[str, Machine]

    @property
    def has_fault(self) -> bool:
        """Whether training would fail, or its results be lost."""
        return any(row.verdict is Verdict.FAULT for row in self.rows)


def machine_rows(machines: Mapping[str, Machine], *, in_cluster: bool) -> Iterator[Row]:
    """Judges machines on which a sweep is to be trained.

    Args:
        machines: By what they are called; the first is what the others are compared with.
        in_cluster: Whether they are those of a running cluster.
    """
    home = next(iter(machines))
    for where, machine in machines.items():
        yield from version_rows(where, machine, trains=True)
        if where != home and {"ray", "torch"} <= machine.versions.keys():
            for told in differences(machines[home].versions, machine.versions, where, home):
                yield Row(check="versions", where=where, verdict=Verdict.FAULT, told=told)
        if "ray" not in machine.versions:
            continue
        yield from _state_api(where, machine)
        yield from _gpus(where, machine)
        yield from token_rows(where, machine.token, in_cluster=in_cluster)
        if where != home:
            yield from agreement_rows(home, machines[home].token, where, machine.token)
        yield from _leftovers(where, machine)
        yield from _shared_memory(where, machine)
        yield from _temporary(where, machine)


def version_rows(where: str, machine: Machine, *, trains: bool) -> Iterator[Row]:
    """What is installed, and what is missing.

    Args:
        where: What the machine is called.
        machine: It.
        trains: Whether it shall train, or only submit.
    """
    needed = ("ray", "torch") if trains else ("ray",)
    missing = [name for name in needed if name not in machine.versions]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        told = f"{listed(missing)} {verb} not installed: pip install 'rewarm[sweep]'."
        yield Row(check="versions", where=where, verdict=Verdict.FAULT, told=told)
    else:
        found = (f"{one} {machine.versions[one]}" for one in COMPARED if one in machine.versions)
        yield Row(check="versions", where=where, verdict=Verdict.OK, told=", ".join(found))


def _state_api(where: str, machine: Machine) -> Iterator[Row]:
    if machine.lacks is None:
        yield Row(check="ray[default]", where=where, verdict=Verdict.OK, told="installed")
        return
    version = machine.versions["ray"]
    told = (
        f"{machine.lacks} is missing, without which Ray has no State API and a sweep that ends "
        f"trials early hangs: pip install 'ray[default]=={version}'."
    )
    yield Row(check="ray[default]", where=where, verdict=Verdict.FAULT, told=told)


def _gpus(where: str, machine: Machine) -> Iterator[Row]:
    promised = int(machine.resources.get("GPU", 0))
    if machine.gpus is None or not promised:
        return
    if machine.gpus >= promised:
        told = f"torch sees the {counted(promised, 'GPU')} that Ray promises"
        yield Row(check="GPUs", where=where, verdict=Verdict.OK, told=told)
        return
    reason = f" ({machine.gpu_fault})" if machine.gpu_fault else ""
    told = (
        f"Ray promises {counted(promised, 'GPU')}, torch sees {machine.gpus}{reason}; install a "
        "torch that is built for the machine's driver, or give the container its GPUs."
    )
    yield Row(check="GPUs", where=where, verdict=Verdict.FAULT, told=told)


def token_rows(where: str, token: RayToken, *, in_cluster: bool) -> Iterator[Row]:
    """Whether Ray has a token, and keeps it.

    Args:
        where: What the machine is called.
        token: Its own.
        in_cluster: Whether it belongs to a running cluster.
    """
    mode = "RAY_AUTH_MODE is not set" if token.mode is None else f"RAY_AUTH_MODE={token.mode}"
    if token.fault is not None:
        told = f"Ray cannot read its token ({token.fault}); make one: ray get-auth-token --generate"
        yield Row(check="token", where=where, verdict=Verdict.FAULT, told=told)
    elif token.mode is not None and token.mode.lower() != "token":
        told = (
            f"{mode}: whoever reaches this Ray runs programs on it; unset it, or set "
            "RAY_AUTH_MODE=token."
        )
        yield Row(check="token", where=where, verdict=Verdict.WARNING, told=told)
    elif token.source is None and in_cluster:
        told = (
            f"there is none and {mode}: whoever reaches this Ray runs programs on it; give every "
            "node the token of `ray get-auth-token --generate` and start it again."
        )
        yield Row(check="token", where=where, verdict=Verdict.WARNING, told=told)
    elif token.source is None:
        told = "none yet; Ray makes one when it starts"
        yield Row(check="token", where=where, verdict=Verdict.OK, told=told)
    elif token.is_open:
        told = (
            f"other users of the machine can read {token.source} and run programs as you: "
            f"chmod 600 {shlex.quote(token.source)}"
        )
        yield Row(check="token", where=where, verdict=Verdict.WARNING, told=told)
    else:
        told = f"in {token.source}; {mode}"
        yield Row(check="token", where=where, verdict=Verdict.OK, told=told)


def agreement_rows(home: str, own: RayToken, where: str, other: RayToken) -> Iterator[Row]:
    """Whether two machines have one token; none where they do."""
    if own.digest == other.digest or own.fault or other.fault:
        return
    lacking, having = (where, home) if other.digest is None else (home, where)
    if None in (own.digest, other.digest):
        told = f"{having} has one and {lacking} has none; give {lacking} the same ~/.ray/auth_token"
    else:
        told = f"it is not that of {home}; give both the same ~/.ray/auth_token"
    asks = "token" in (own.mode, other.mode)
    verdict = Verdict.FAULT if asks else Verdict.WARNING
    yield Row(check="token", where=where, verdict=verdict, told=f"{told}.")


def _leftovers(where: str, machine: Machine) -> Iterator[Row]:
    left = machine.leftovers
    if left is None:
        return
    found = []
    if left.address_file is not None:
        told = (
            f"{left.address_file} names a cluster that does not answer, {left.address}, which Ray "
            f"asks all the same: rm {shlex.quote(left.address_file)}"
        )
        found.append((Verdict.FAULT, told))
    if left.processes:
        told = (
            "processes of Ray belong to clusters that do not answer: "
            f"kill {' '.join(map(str, left.processes))}"
        )
        found.append((Verdict.WARNING, told))
    if left.session_bytes >= MANY_SESSION_BYTES:
        told = (
            f"{stored(left.session_bytes)} in sessions that are over: "
            f"rm -r {shlex.join(left.sessions)}"
        )
        found.append((Verdict.WARNING, told))
    for verdict, told in found or [(Verdict.OK, "nothing of clusters that are gone")]:
        yield Row(check="leftovers", where=where, verdict=verdict, told=told)


def _shared_memory(where: str, machine: Machine) -> Iterator[Row]:
    store, size = machine.resources.get("object_store_memory", 0), machine.shared_memory
    if size is None:
        return
    verdict, told = Verdict.OK, f"/dev/shm holds Ray's object store of {stored(store)}"
    if size < store:
        verdict = Verdict.WARNING
        told = (
            f"/dev/shm has {stored(size)}, and Ray's object store takes {stored(store)}; it is put "
            f"on a disk, which is slow: start the container with --shm-size={_gigabytes(store)}g"
        )
    yield Row(check="shared memory", where=where, verdict=verdict, told=told)


def _gigabytes(number: float) -> int:
    return math.ceil(number / 1e9)


def _temporary(where: str, machine: Machine) -> Iterator[Row]:
    disk = machine.temporary
    if disk is None:
        return
    # No figure where all is well: machines that say the same are one row.
    verdict, told = Verdict.OK, f"more than {FULL_SHARE:.0%} are free at {disk.path}"
    if disk.free <= FULL_SHARE * disk.total:
        verdict = Verdict.WARNING
        told = (
            f"{stored(disk.free)} of {stored(disk.total)} are free at {disk.path}, where Ray "
            f"writes nothing any more below {FULL_SHARE:.0%}; make room there."
        )
    yield Row(check="disk", where=where, verdict=verdict, told=told)
