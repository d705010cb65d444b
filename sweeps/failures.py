"""Why an attempt at a state ended before its end, and whether another one may help.

A training that raises would raise again: it has failed by itself. A process that died, a machine
that was taken away, a disk that was full, a store that did not answer say nothing of the state.
"""

import enum
import errno
from dataclasses import dataclass

import torch
import torch.distributed as dist
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, PreemptionError

from cpt.checkpoint import DamagedCheckpointError, IncompleteStateError
from cpt.leaving import OTHER_ASKED, LeavingError
from cpt.token_store import DamagedError, StoreError

SURROUNDINGS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.ESTALE,
    errno.ETIMEDOUT,
)
"""What a disk, or a network that is seen as one, may say of itself."""


class Kind(enum.Enum):
    """What to do about it."""

    OWN = "it raised, and would again"
    DIED = "a process of it died"
    PEER = "it lost another worker of its group"
    LEFT = "it saved and left, or its machine was taken away with notice"
    SURROUNDINGS = "the disk or the store did not do its part"
    DAMAGE = "what it starts from is damaged, and has to be made anew"


@dataclass(frozen=True)
class Failure:
    """Why an attempt ended.

    Attributes:
        kind: What to do about it.
        reason: In a sentence.
    """

    kind: Kind
    reason: str


def failure(error: BaseException) -> Failure:
    """Finds the cause in what Ray wrapped it in.

    In a worker group one that died, or left, is enough, whatever the others raised when they lost
    it.
    """
    if isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        return failure(error.cause)
    if isinstance(error, WorkerHealthCheckFailedError):
        return failure(error.health_check_failure)
    if isinstance(error, ControllerError):
        return failure(error.controller_failure)
    if isinstance(error, WorkerGroupError):
        found = [failure(one) for one in error.worker_failures.values()]
        # Of those that left the one that was asked to knows why.
        return min(
            found, key=lambda one: (_MOST_TELLING.index(one.kind), one.reason.endswith(OTHER_ASKED))
        )
    return Failure(_kind(error), _sentence(error))


_MOST_TELLING = (
    Kind.DAMAGE, Kind.LEFT, Kind.SURROUNDINGS, Kind.DIED, Kind.OWN, Kind.PEER
)  # fmt: skip


def _kind(error: BaseException) -> Kind:
    if isinstance(error, LeavingError | PreemptionError):
        return Kind.LEFT
    if isinstance(error, RayActorError) and error.preempted:
        return Kind.LEFT
    if isinstance(error, RayError) and not isinstance(error, RayTaskError):
        return Kind.DIED  # a process, its node, or what another process held for it
    if isinstance(error, torch.AcceleratorError):
        return Kind.DIED  # of its GPU, which this process can use no more
    if isinstance(error, dist.DistError) or "gloo" in str(error):
        return Kind.PEER
    if isinstance(error, DamagedError | DamagedCheckpointError | IncompleteStateError):
        return Kind.DAMAGE
    if isinstance(error, StoreError):
        return Kind.SURROUNDINGS
    if isinstance(error, OSError) and error.errno in SURROUNDINGS:
        return Kind.SURROUNDINGS
    return Kind.OWN


def _sentence(error: BaseException) -> str:
    if isinstance(error, RayError) and not isinstance(error, RayTaskError):
        return _death(str(error))
    lines = [line.strip() for line in str(error).strip().splitlines()] or [""]
    if _is_out_of_memory(error):
        # Torch goes on for GPUs, about every process there and an option of its allocator.
        told = ". ".join(lines[0].split(". ")[:2]).rstrip(".")
        return (
            f"out of memory ({told}); lower micro_batch_size, set activation_checkpointing, or "
            "use more workers"
        )
    if isinstance(error, torch.AcceleratorError):
        return f"its GPU failed: {lines[0]}"
    if isinstance(error, LeavingError) or _kind(error) in (Kind.SURROUNDINGS, Kind.DAMAGE):
        return lines[-1]
    return f"{type(error).__name__}: {lines[-1]}"


def _death(text: str) -> str:
    """In Ray's own words, which fill a page."""
    if "running low on memory" in text:
        return (
            "its machine ran out of memory and Ray ended its process; lower micro_batch_size, or "
            "give the worker a larger machine"
        )
    if "error raised in its creation task" in text:
        return f"its process could not start: {text.strip().splitlines()[-1].strip()}"
    if "node has died" in text or "node was terminated" in text:
        return "its machine was lost"
    return "its process died"


def _is_out_of_memory(error: BaseException) -> bool:
    """Torch has a class for GPUs, and only words for CPUs."""
    named = type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)
    return named or "DefaultCPUAllocator: can't allocate memory" in str(error)
