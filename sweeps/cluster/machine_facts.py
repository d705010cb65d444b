"""What the doctor knows of a machine: gathered there, judged by `sweeps.cluster.checks`."""

from cpt.parsing import Frozen


class Disk(Frozen):
    """A file system, by a folder in it.

    Attributes:
        path: The folder, which need not exist yet.
        free: Bytes that this user may write.
        total: Bytes.
    """

    path: str
    free: int
    total: int


class RayToken(Frozen):
    """What this machine shows to Ray, and asks of others.

    Attributes:
        mode: `RAY_AUTH_MODE`; None where it is not set.
        source: Where Ray reads it: a variable's name, or a file; None without a token.
        digest: The first digits of its SHA-256, by which two machines' are compared.
        is_open: Whether other users of the machine can read that file.
        fault: Why Ray cannot read it.
    """

    mode: str | None = None
    source: str | None = None
    digest: str | None = None
    is_open: bool = False
    fault: str | None = None


class Leftovers(Frozen):
    """What Ray left on a machine for clusters that are gone.

    Attributes:
        address_file: A file that names the cluster to join, and names one that does not answer.
        address: That cluster.
        processes: Ids of processes that belong to clusters that do not answer.
        sessions: Folders of sessions that no process uses.
        session_bytes: What these hold.
    """

    address_file: str | None = None
    address: str | None = None
    processes: tuple[int, ...] = ()
    sessions: tuple[str, ...] = ()
    session_bytes: int = 0


class Machine(Frozen):
    """One machine.

    Attributes:
        versions: As `sweeps.cluster.versions.installed` tells them.
        lacks: The module of `ray[default]` that is missing; None: it is whole, or Ray is missing.
        resources: What Ray promises of it, in Ray's names: CPU, GPU, object_store_memory.
        gpus: How many torch sees; None: Ray promises none.
        gpu_fault: Why torch sees none.
        token: Ray's.
        leftovers: Ray's; None without `ray[default]`, which finds them.
        shared_memory: Size of /dev/shm in bytes; None: the system has none.
        temporary: Where Ray keeps its sessions; None without Ray.
        cache: Where copies are kept of what lies on object storage.
    """

    versions: dict[str, str]
    lacks: str | None = None
    resources: dict[str, float]
    gpus: int | None = None
    gpu_fault: str | None = None
    token: RayToken = RayToken()
    leftovers: Leftovers | None = None
    shared_memory: int | None = None
    temporary: Disk | None = None
    cache: Disk
