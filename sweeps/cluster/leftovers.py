"""What Ray leaves on a machine when a cluster ends otherwise than by `ray stop`."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc  # of ray[default]
import psutil  # of Ray itself
from ray._common.utils import get_ray_address_file
from ray._private.gcs_utils import create_gcs_channel
from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # type: ignore[attr-defined]
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

from sweeps.cluster.machine import folder_bytes
from sweeps.cluster.machine_facts import Leftovers

_GCS = re.compile(r"--gcs[-_]address=(\S+)")
"""How Ray's processes are told which cluster is theirs; its head itself listens on a port."""
_SESSION = re.compile(r"session_\d[\w-]+")
PATIENCE_SECONDS = 3.0
"""For a cluster to answer."""
NOBODY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED)
"""What is said where nothing listens, or something that is not Ray."""


def leftovers(temporary: Path) -> Leftovers:
    """Looks for what clusters that do not answer left here.

    Args:
        temporary: Ray's folder for sessions.
    """
    commands = dict(_commands())
    used = {found for command in commands.values() for found in _SESSION.findall(command)}
    clusters = {pid: found[1] for pid, one in commands.items() if (found := _GCS.search(one))}
    file = Path(get_ray_address_file(str(temporary)))
    named = file.read_text().strip() if file.is_file() else None
    addresses = list(filter(None, {*clusters.values(), named}))
    with ThreadPoolExecutor(max(1, len(addresses))) as pool:
        answers = list(pool.map(_answers, addresses))
    dead = {address for address, is_there in zip(addresses, answers, strict=True) if not is_there}
    sessions = [
        path
        for path in sorted(temporary.glob("session_*"))
        if path.is_dir() and not path.is_symlink() and path.name not in used
    ]
    return Leftovers(
        address_file=str(file) if named in dead else None,
        address=named if named in dead else None,
        processes=tuple(sorted(pid for pid, one in clusters.items() if one in dead)),
        sessions=tuple(map(str, sessions)),
        session_bytes=sum(map(folder_bytes, sessions)),
    )


def _commands() -> Iterator[tuple[int, str]]:
    """Ids and command lines of the processes that may be looked at.

    Those of containers are left out: what they connect to may answer them alone.
    """
    own = _network(psutil.Process().pid)
    for process in psutil.process_iter(["cmdline"]):
        if (command := process.info["cmdline"]) and _network(process.pid) == own:
            yield process.pid, " ".join(command)


def _network(process: int) -> str | None:
    """The network that a process sees, as Linux names it; None elsewhere, and of foreign ones."""
    try:
        return str(Path(f"/proc/{process}/ns/net").readlink())
    except OSError:
        return None


def _answers(address: str) -> bool:
    """Whether Ray answers there: another program may have the port by now."""
    channel = create_gcs_channel(address)
    try:
        NodeInfoGcsServiceStub(channel).CheckAlive(CheckAliveRequest(), timeout=PATIENCE_SECONDS)
    except grpc.RpcError as error:
        # Who asks for another token lives, and so may who is slow.
        return error.code() not in NOBODY
    finally:
        channel.close()
    return True
