"""What a cluster has room for, now and once it has grown."""

import pytest

from sweeps.scaling import (
    Limits,
    NodeType,
    Room,
    held,
    limits_of,
    share,
    too_small,
    workers_at_full_scale,
)
from sweeps.spec import Resources

SMALL = NodeType("small", {"CPU": 8, "GPU": 1}, 6)
LARGE = NodeType("large", {"CPU": 48, "GPU": 4}, 2)


def test_a_worker_has_to_fit_in_one_node() -> None:
    assert held({"CPU": 8, "GPU": 1}, {"CPU": 2, "GPU": 1}) == 1
    assert held({"CPU": 8, "GPU": 1}, {"CPU": 2, "GPU": 0.5}) == 2
    assert held({"CPU": 8}, {"CPU": 2, "GPU": 1}) == 0


def test_a_share_of_a_gpu_is_found_in_each_of_them() -> None:
    for number, part in ((10, 0.1), (5, 0.2), (3, 0.3), (3, 1 / 3), (2, 0.5), (1, 0.9)):
        assert held({"CPU": 64, "GPU": 1}, {"CPU": 1, "GPU": part}) == number
    assert held({"CPU": 64, "GPU": 2}, {"CPU": 1, "GPU": 0.4}) == 4, "none on two halves"


@pytest.mark.parametrize(
    ("most_nodes", "expected"),
    [
        (8, 2 * 4 + 6),
        (3, 2 * 4 + 1),  # the roomiest first
        (1, 4),
        (0, 0),
    ],
)
def test_full_scale_is_bounded_by_each_type_and_by_all_together(most_nodes, expected) -> None:
    limits = Limits((SMALL, LARGE), most_nodes)
    assert workers_at_full_scale(limits, Resources(gpus_per_worker=1)) == expected


def test_limits_are_those_of_the_worker_types_of_a_cluster_file() -> None:
    types = {
        "head": {"resources": {"CPU": 0, "driver": 16}, "max_workers": 0},
        "spot": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 5},
        "fallback": {"resources": {"CPU": 8, "GPU": 1}},
    }
    config = {"max_workers": 7, "head_node_type": "head", "available_node_types": types}
    of_one = {"CPU": 8, "GPU": 1}
    assert limits_of(config) == Limits(
        (NodeType("spot", of_one, 5), NodeType("fallback", of_one, 7)), 7
    )
    assert limits_of(config).are_told
    del config["max_workers"]
    assert limits_of(config).most_nodes == 2, "Ray's default"


def test_machines_one_owns_do_not_say_what_they_have() -> None:
    types = {"local.cluster.node": {"resources": {}, "max_workers": 3}}
    config = {
        "max_workers": 3,
        "head_node_type": "local.cluster.node",
        "available_node_types": types,
    }
    limits = limits_of(config)
    assert not limits.are_told
    assert workers_at_full_scale(limits, Resources()) == 0


@pytest.mark.parametrize(
    ("free", "ready", "expected"),
    [
        (8, 1, 4),
        (8, 2, 4),
        (8, 3, 2),
        (5, 2, 2),
        (3, 5, 3),
        (2, 5, 2),
        (1, 5, 0),
        (8, 0, 0),
        (-1, 3, 0),
        (-1, 0, 0),
    ],
)
def test_workers_are_shared_among_the_states_that_are_ready(free, ready, expected) -> None:
    assert share(Room(9, 9), 9 - free, 0, ready, Resources(workers=(2, 4))) == expected


def test_a_cluster_that_grows_is_asked_for_the_least_that_a_state_needs() -> None:
    resources = Resources(workers=(2, 4))
    empty = Room(workers=0, workers_at_most=5)
    assert share(empty, 0, 0, 3, resources) == 2
    assert share(empty, 2, 1, 2, resources) == 2
    assert share(empty, 4, 2, 1, resources) == 0
    assert share(Room(workers=3, workers_at_most=9), 0, 0, 1, resources) == 3, "what is there"


def test_no_more_states_are_trained_at_once_than_were_allowed() -> None:
    capped = Room(workers=8, workers_at_most=8, states=2)
    assert share(capped, 0, 0, 5, Resources(workers=(1, 8))) == 4, "two share all there is"
    assert share(capped, 4, 1, 4, Resources(workers=(1, 8))) == 4
    assert share(capped, 4, 2, 3, Resources()) == 0
    assert (capped.now(Resources()), Room(1, 8, 2).at_most(Resources())) == (2, 2)


def test_what_never_fits_is_told_with_the_arithmetic() -> None:
    resources = Resources(workers=8, cpus_per_worker=2, gpus_per_worker=1)
    limits = Limits((SMALL, NodeType("cpu", {"CPU": 16}, 1)), 6)
    head, worker = {"CPU": 0, "driver": 16}, {"CPU": 8, "GPU": 1, "memory": 3e9}
    assert too_small([head, worker, worker], limits, resources) == (
        "resources: one state needs 8 workers with 2 CPU, 1 GPU each, but the cluster has room for "
        "2 now (2 x (8 CPU, 1 GPU: 1)) and for 6 at full scale-up (6 worker nodes: 6 small with "
        "8 CPU, 1 GPU: 6, 1 cpu with 16 CPU: 0); lower resources, or raise max_workers or name "
        "larger machines in the cluster file."
    )


def test_of_a_cluster_that_does_not_grow_only_what_is_there_is_told() -> None:
    assert too_small([{"CPU": 2}], None, Resources(cpus_per_worker=4)) == (
        "resources: one state needs 1 worker with 4 CPU each, but the cluster has room for 0 now "
        "(2 CPU: 0); lower resources, start workers, or where the cluster grows by itself say how "
        "far in resources.states_at_once."
    )
    own = Limits((NodeType("local.cluster.node", {}, 2),), 2)
    assert too_small([], own, Resources()) == (
        "resources: one state needs 1 worker with 1 CPU each, but the cluster has room for 0 now "
        "(no node trains); lower resources, or add machines to the cluster file."
    )
