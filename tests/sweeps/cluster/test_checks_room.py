"""Room for a sweep: bytes reckoned by hand, and what is said of them."""

import math
from dataclasses import replace

import pytest

from sweeps.cluster.checks import Verdict
from sweeps.cluster.checks_room import (
    cache_rows,
    peak_on_machine,
    peak_on_storage,
    resource_row,
    storage_row,
)
from sweeps.cluster.machine_facts import Disk
from sweeps.facts import TakenModel
from sweeps.scaling import Limits, NodeType, Room
from sweeps.spec import Resources

# 320 x 16 for each of the two embeddings, 3,280 for the layer, 32 for the last norm; 12 bytes each.
CHECKPOINT = 12 * (2 * 320 * 16 + 3_280 + 32)


@pytest.fixture
def plan(plan_of):
    """Pre-training of 500 steps and one continuation of 1,000, a checkpoint every 100, 2 kept."""
    return plan_of(checkpoint_interval_steps=100)


def test_a_checkpoint_is_twelve_bytes_a_parameter(plan):
    assert 12 * plan.model.num_parameters == CHECKPOINT


def test_at_the_end_each_state_has_what_it_keeps_and_the_last_ones_write_another(plan):
    assert peak_on_storage(plan, 1) == (2 + 2 + 1) * CHECKPOINT


def test_no_more_states_write_another_than_there_are(plan):
    assert peak_on_storage(plan, 64) == (2 + 2 + 2) * CHECKPOINT


def test_a_state_with_one_checkpoint_never_has_two(plan_of):
    assert peak_on_storage(plan_of(checkpoint_interval_steps=1000), 64) == (1 + 1) * CHECKPOINT


def test_a_state_that_makes_as_many_as_it_keeps_removes_none(plan_of):
    # 500 steps: at 300 and 500. 1,000 steps: at 300, 600, 900 and 1,000.
    assert peak_on_storage(plan_of(checkpoint_interval_steps=300), 64) == (2 + 2 + 1) * CHECKPOINT


def test_a_machine_holds_what_others_start_from_and_of_each_state_what_is_kept_and_written(plan):
    assert peak_on_machine(plan, 1) == (1 + (2 + 1)) * CHECKPOINT
    assert peak_on_machine(plan, 4) == (1 + 4 * (2 + 1)) * CHECKPOINT


def test_a_machine_may_come_to_hold_every_state_that_others_start_from(plan_of):
    plan = plan_of(checkpoint_interval_steps=100, axes={"seed": [0, 1, 2]})
    assert peak_on_machine(plan, 1) == (3 + (2 + 1)) * CHECKPOINT


def test_a_machine_holds_no_more_checkpoints_than_are_made(plan_of):
    assert peak_on_machine(plan_of(checkpoint_interval_steps=1000), 1) == (1 + 1) * CHECKPOINT


def test_a_machine_holds_a_model_that_the_sweep_starts_from_at_four_bytes_a_parameter(plan):
    taken = TakenModel(weights="w", model=plan.model)
    more = peak_on_machine(replace(plan, taken=taken), 1) - peak_on_machine(plan, 1)
    assert more == CHECKPOINT / 3


def test_a_directory_with_room_to_the_byte_serves(plan):
    row = storage_row(plan, 1, 0, Disk(path="/results", free=5 * CHECKPOINT, total=10**9))
    assert (row.check, row.where, row.verdict) == ("disk", "storage", Verdict.OK)
    assert row.told == (
        "checkpoints of 2 states come to 813 kB at most; 813 kB are free in /results"
    )


def test_a_directory_that_lacks_a_byte_does_not(plan):
    row = storage_row(plan, 1, 0, Disk(path="/results", free=5 * CHECKPOINT - 1, total=10**9))
    assert row.verdict is Verdict.FAULT
    assert row.told.endswith(
        "free in /results: 1 B too few; lower keep_checkpoints, make room, or name another disk."
    )


def test_what_an_earlier_run_left_there_needs_no_room_again(plan):
    disk = Disk(path="/results", free=2 * CHECKPOINT, total=10**9)
    assert storage_row(plan, 1, 3 * CHECKPOINT, disk).verdict is Verdict.OK
    assert storage_row(plan, 1, 3 * CHECKPOINT - 1, disk).verdict is Verdict.FAULT
    assert ", of which 488 kB are there;" in storage_row(plan, 1, 3 * CHECKPOINT, disk).told


def test_each_machine_is_judged_by_the_states_it_trains(plan):
    small, large = (
        Disk(path="/cache", free=(1 + states * 3) * CHECKPOINT, total=10**9) for states in (1, 8)
    )
    nodes, disks = {"a": 1, "b": 8, "c": 8}, {"a": small, "b": small, "c": large}
    rows = list(cache_rows(plan, nodes, disks))
    assert [(row.where, row.verdict) for row in rows] == [
        ("a", Verdict.OK), ("b", Verdict.FAULT), ("c", Verdict.OK),
    ]  # fmt: skip
    assert rows[2].told == (
        "copies for 8 states at once come to 4.07 MB at most; there is room in /cache"
    )
    assert rows[1].told == (
        "copies for 8 states at once come to 4.07 MB at most; 650 kB are free in /cache: "
        "3.42 MB too few; make room, or name another disk in REWARM_CACHE."
    )


RESOURCES = Resources(workers=2, cpus_per_worker=2)
NODES = [{"CPU": 4.0}]


def test_what_fits_is_told_with_the_arithmetic():
    row = resource_row("cluster", Room(2, 8), NODES, None, RESOURCES)
    assert row.verdict is Verdict.OK
    assert row.told == (
        "one state needs 2 workers with 2 CPU each; 1 state at once now, 4 states at full scale-up"
    )


def test_a_cluster_without_workers_that_grows_is_no_fault():
    row = resource_row("cluster", Room(0, 8), [], None, RESOURCES)
    assert row.verdict is Verdict.OK
    assert row.told.endswith("0 states at once now, 4 states at full scale-up")


def test_what_never_fits_is_a_fault_with_the_arithmetic():
    limits = Limits((NodeType("small", {"CPU": 3.0}, 1),), 1)
    row = resource_row("cluster", Room(1, 1, math.inf), [{"CPU": 3.0}], limits, RESOURCES)
    assert row.verdict is Verdict.FAULT
    assert row.told.startswith("resources: one state needs 2 workers with 2 CPU each, but the")
    assert "at full scale-up" in row.told
