"""How a training under Ray hears that it must leave: its machine goes, or the run does.

Ray marks a node that is drained, as a spot machine with notice; the driver leaves a word in the
cluster's key-value store for all trainings of a run. A thread in each training process asks for
both once a second and passes them on to its `cpt.leaving.Leave`. Nothing is asked in the training
loop: `ray.train.get_preemption_info` would be a collective there, and says nothing where a state is
trained in the trial's own process.
"""

import functools
import threading
import time

import ray
from ray.exceptions import RaySystemError, RpcError
from ray.experimental import internal_kv

from cpt.leaving import Leave

ASK_SECONDS = 1.0
"""What a notice may be late; the shortest that clouds give is 30 seconds."""
_NAMESPACE = "rewarm"


def tell_to_leave(ear: str, reason: str) -> None:
    """Asks all trainings that listen to save and leave.

    Args:
        ear: What they listen by: the name of a run in this cluster, or of an attempt.
        reason: In a few words.
    """
    internal_kv._internal_kv_put(ear, reason, namespace=_NAMESPACE)


def note_begun(attempt: str) -> None:
    """Notes that the workers of a group live, so that what an attempt is told reaches somebody."""
    internal_kv._internal_kv_put(_begun(attempt), "", namespace=_NAMESPACE)


def has_begun(attempt: str) -> bool:
    """Whether that was noted."""
    return bool(internal_kv._internal_kv_exists(_begun(attempt), namespace=_NAMESPACE))


def _begun(attempt: str) -> str:
    return f"{attempt}/begun"


@functools.cache
def heard(ears: tuple[str, ...], nodes: tuple[str, ...]) -> Leave:
    """What this process hears, from the first call with these arguments on.

    Args:
        ears: By what it can be told, see `tell_to_leave`.
        nodes: Ids of the nodes whose loss it would not survive, beside its own.
    """
    leave = Leave()
    own = ray.get_runtime_context().get_node_id()
    threading.Thread(target=_listen, args=(ears, {own, *nodes}, leave), daemon=True).start()
    return leave


def _listen(ears: tuple[str, ...], nodes: set[str], leave: Leave) -> None:
    while not leave.is_asked:
        try:
            words = [internal_kv._internal_kv_get(ear, namespace=_NAMESPACE) for ear in ears]
            draining = leaving_nodes()
        except (RaySystemError, RpcError):  # the head is away for a moment
            words, draining = [], {}
        for word in filter(None, words):
            leave.ask(word.decode())
        for node in nodes & draining.keys():
            leave.ask(_notice(draining[node]))
        time.sleep(ASK_SECONDS)


def leaving_nodes() -> dict[str, int]:
    """Nodes that are being drained, and until when: milliseconds since 1970, 0 where not said."""
    # Not public yet; Ray Train's own preemption watcher asks the same.
    found: dict[str, int] = ray._private.state.state.get_draining_nodes()
    return found


def _notice(deadline: int) -> str:
    if not deadline:
        return "its machine is taken away"
    return f"its machine is taken away in {max(0, round(deadline / 1000 - time.time()))} s"
