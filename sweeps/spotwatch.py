"""`python -m sweeps.spotwatch`: turns a spot machine's notice into a drain of its Ray nodes.

One runs on every worker machine of a `ray up` cluster (cluster.yaml starts it), for Ray asks no
cloud about notices there. It asks the metadata service every few seconds; while a notice stands,
each Ray node of this machine is drained once, with the time that is left as its deadline. What
trains on it then saves, and nothing new is placed there. It never ends by itself: a service or a
cluster that cannot be reached is said once, and asked again less and less often.

With `--at-once SECONDS` it asks no cloud: for who knows by other means that this machine goes, as
Kubernetes does that ends a pod (clusters/kuberay.yaml).
"""

import argparse
import logging
import time
from collections.abc import Callable
from typing import Any

from sweeps.metadata import LINK_LOCAL, Metadata, MetadataError, service
from sweeps.notices import Notice, OddAnswerError

INTERVAL_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 60.0
GCS_TIMEOUT_SECONDS = 5.0

log = logging.getLogger("spotwatch")


class ClusterUnreachableError(RuntimeError):
    """Ray's head did not answer, or did not take the drain."""


class Watch:
    """What is remembered between two looks at the metadata service.

    Args:
        find: Finds the metadata service of this machine.
        drain: Drains the nodes of this machine but those named; returns the ids of those drained.
        interval: Seconds between two looks.
    """

    def __init__(
        self,
        find: Callable[[], Metadata],
        drain: Callable[[Notice, frozenset[str]], frozenset[str]],
        interval: float,
    ) -> None:
        self._find, self._drain, self._interval = find, drain, interval
        self._metadata: Metadata | None = None
        self._drained: frozenset[str] = frozenset()
        self._wait = interval
        self._said: str | None = None

    def look(self) -> float:
        """Looks once, and acts; returns the seconds to wait before the next look."""
        try:
            self._metadata = self._metadata or self._find()
            notice = self._metadata.notice()
        except (MetadataError, OddAnswerError) as error:
            return self._trouble("no metadata", error)
        if notice is not None:
            try:
                self._act(notice)
            except ClusterUnreachableError as error:
                self._say_once("cannot drain, trying again", error)
                return self._interval
        self._wait, self._said = self._interval, None
        return self._interval

    def _act(self, notice: Notice) -> None:
        for node in sorted(self._drain(notice, self._drained)):
            log.info("%s; draining Ray node %s", notice.said, node)
            self._drained |= {node}

    def _trouble(self, what: str, error: Exception) -> float:
        self._say_once(what, error)
        self._wait = min(2 * self._wait, max(LONGEST_WAIT_SECONDS, self._interval))
        return self._wait

    def _say_once(self, what: str, error: Exception) -> None:
        """Until something goes well; the error's own words may differ from time to time."""
        if self._said != what:
            log.warning("%s: %s", what, error)
            self._said = what


def drain(
    address: str, node_ip: str | None, notice: Notice, already: frozenset[str]
) -> frozenset[str]:
    """Drains the Ray nodes of one machine.

    Args:
        address: Of the cluster's head, `host:port`.
        node_ip: The machine's address as Ray knows it; None: as seen from the head, as `ray start`
            finds it.
        notice: Why, and until when.
        already: Ids of nodes to leave alone.

    Returns:
        Ids of the nodes that are draining now.

    Raises:
        ClusterUnreachableError: The head does not answer, or knows no node of this machine.
    """
    # Imported here: a watcher is nearly always idle, and Ray takes 100 MB.
    from ray._common.network_utils import node_ip_address_from_perspective
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import RayError

    here = node_ip or node_ip_address_from_perspective(address)
    try:
        # A client of its own each time: one that lost its head for a minute ends the process.
        client = GcsClient(address=address)
        nodes = _nodes_at(client, here)
        if not nodes and not already:
            raise ClusterUnreachableError(f"{address} knows no living Ray node at {here}")
        for node in nodes - already:
            _drain_one(client, node, notice)
    except RayError as error:
        raise ClusterUnreachableError(f"{address}: {error}") from error
    return frozenset(nodes - already)


def _nodes_at(client: Any, ip: str) -> set[str]:
    """Ids of the living worker nodes at an address."""
    from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined]

    alive = client.get_all_node_info(
        timeout=GCS_TIMEOUT_SECONDS, state_filter=GcsNodeInfo.GcsNodeState.ALIVE
    )
    return {
        node.hex()
        for node, info in alive.items()
        if info.node_manager_address == ip and not info.is_head_node
    }


def _drain_one(client: Any, node: str, notice: Notice) -> None:
    """What `ray drain-node` does."""
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined]

    now = time.time()
    accepted, refusal = client.drain_node(
        node,
        DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
        notice.said,
        int((now + notice.seconds_left(now)) * 1000),
    )
    if not accepted:
        raise ClusterUnreachableError(f"Ray node {node} may not be drained: {refusal}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sweeps.spotwatch",
        description="Drains this machine's Ray nodes when its cloud gives notice.",
    )
    parser.add_argument("--address", required=True, help="the cluster's head, host:port")
    parser.add_argument("--cloud", choices=["auto", "aws", "gcp"], default="auto")
    parser.add_argument("--interval", type=float, default=INTERVAL_SECONDS, help="in seconds")
    parser.add_argument("--endpoint", default=LINK_LOCAL, help="of the metadata service")
    parser.add_argument(
        "--at-once",
        type=float,
        metavar="SECONDS",
        help="drain now, with so many seconds left, wait for them and end",
    )
    parser.add_argument("--node-ip", help="this machine's address, as `ray start` was told it")
    return parser.parse_args()


def leave(address: str, node_ip: str | None, seconds: float) -> None:
    """Drains the Ray nodes of this machine, and gives what trains on them the time to save.

    Args:
        address: Of the cluster's head, `host:port`.
        node_ip: As `drain` takes it.
        seconds: Until the machine goes.

    Raises:
        ClusterUnreachableError: The head does not answer, or knows no node of this machine.
    """
    notice = Notice(deadline=time.time() + seconds, said=f"told to leave in {seconds:g} s")
    for node in sorted(drain(address, node_ip, notice, frozenset())):
        log.info("%s; draining Ray node %s", notice.said, node)
    time.sleep(seconds)


def main() -> None:
    """Watches until it is killed."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s", level=logging.INFO)
    given = _arguments()
    if given.at_once is not None:
        return leave(given.address, given.node_ip, given.at_once)
    watch = Watch(
        lambda: service(given.cloud, given.endpoint.rstrip("/")),
        lambda notice, already: drain(given.address, given.node_ip, notice, already),
        given.interval,
    )
    log.info("watching %s for a notice", given.endpoint)
    while True:
        time.sleep(watch.look())


if __name__ == "__main__":
    main()
