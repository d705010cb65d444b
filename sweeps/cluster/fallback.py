"""Which kind of machine Ray's autoscaler asks the cloud for, where some kinds are not to be had.

Ray's own autoscalers (2.60, both versions) ask again and again for the kind they like best, also
while the cloud answers that it has none: 57 times in a minute, and never for another. The older
one asks a function which kind it likes; `cluster.yaml` names this one. It runs inside the
autoscaler on the head, once for each kind of machine at each look at what waits.
"""

from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary
from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer
from ray.autoscaler._private.util import ResourceDict


def score(
    node_resources: ResourceDict,
    resources: list[ResourceDict],
    node_type: str,
    *,
    node_availability_summary: NodeAvailabilitySummary,
) -> tuple[bool, bool, int, float, float] | None:
    """How much a kind of machine is liked; the highest is asked for.

    A kind that the cloud refused in the last half hour comes after all others. Among the rest
    Ray's own liking counts: that what waits fills the machine. Equals go by name, the last one
    first: `spot_l4`, `spot_a10g`, `on_demand_l4`.

    Args:
        node_resources: What a machine of this kind has.
        resources: What waits, each an amount that must fit on one machine.
        node_type: The kind's name in the cluster file.
        node_availability_summary: What became of the last requests, for as long as Ray remembers
            them.

    Returns:
        What Python orders; None: nothing that waits fits on it.
    """
    liked = _default_utilization_scorer(
        node_resources, resources, node_type, node_availability_summary=node_availability_summary
    )
    if liked is None:
        return None
    last = node_availability_summary.node_availabilities.get(node_type)
    return (last is None or last.is_available, *liked)
