"""What is tried again after an attempt died, how often, and what is not."""

import time
from collections.abc import Callable

import pytest

from cpt.records import ResultTree, Status, StatusWord
from sweeps.attempts import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Attempts
from sweeps.failures import Failure, Kind
from sweeps.plan import Plan

DIED = Failure(Kind.DIED, "its process died")
FULL = Failure(Kind.SURROUNDINGS, "the disk is full")


class World:
    """The attempts of a sweep of two states; `state` is the first."""

    def __init__(self, plan: Plan, tree: ResultTree) -> None:
        self.said: list[str] = []
        self.tree, self.state = tree, next(iter(plan.states))
        self.attempts = Attempts(2, tree, plan, self.said.append)

    def die(self, why: Failure = DIED) -> float | None:
        self.attempts.ended(self.state, why)
        return self.attempts.decisions.pop(self.state)

    def save(self, step: int) -> None:
        marker = self.tree.state(self.state).checkpoint_marker(step)
        marker.parent.mkdir(parents=True)
        marker.write_text("{}")

    def status(self) -> Status | None:
        return self.tree.state(self.state).read_status()


@pytest.fixture
def world(plan_of: Callable[..., Plan], tmp_path) -> World:
    return World(plan_of(), ResultTree(tmp_path))


def test_deaths_in_a_row_use_up_the_budget(world) -> None:
    assert world.die() is not None
    assert world.die() is not None
    assert world.status() is None
    assert world.die() is None
    status = world.status()
    assert status is not None
    assert status.status is StatusWord.FAILED
    assert status.reason == "3 attempts in a row without a first checkpoint: its process died"
    assert world.said == 2 * [
        "interrupted pre-training on wiki: its process died; goes on from step 0"
    ]


def test_a_state_that_gets_on_may_die_without_end(world) -> None:
    for step in range(10, 200, 10):
        world.save(step)
        assert world.die() is not None
        assert world.die() is not None
    assert world.die() is None
    status = world.status()
    assert status is not None
    assert status.reason == "3 attempts in a row without a new checkpoint: its process died"


def test_notice_of_leaving_spends_nothing(world) -> None:
    for _ in range(9):
        assert world.die(Failure(Kind.LEFT, "saved at step 3 and left: SIGTERM")) is not None
    assert world.die() is not None


def test_what_raises_by_itself_is_not_tried_again(world) -> None:
    assert world.die(Failure(Kind.OWN, "ValueError: mine")) is None
    status = world.status()
    assert status is not None
    assert (status.status, status.reason) == (StatusWord.FAILED, "ValueError: mine")
    assert world.said == []


def test_a_full_disk_is_waited_for_and_has_failed_nothing(world) -> None:
    began = time.monotonic()
    pauses = [world.die(FULL) for _ in range(2)]
    assert [round(when - began) for when in pauses if when is not None] == [
        FIRST_PAUSE_SECONDS,
        2 * FIRST_PAUSE_SECONDS,
    ]
    assert world.die(FULL) is None
    assert world.attempts.surroundings == {world.state: "the disk is full"}
    assert world.status() is None, "the next run goes on"


def test_no_pause_is_longer_than_a_minute(world) -> None:
    world.attempts.most = 30
    for _ in range(20):
        when = world.die(FULL)
    assert when is not None
    assert when - time.monotonic() <= LONGEST_PAUSE_SECONDS


def test_what_starts_from_damage_waits_for_another_plan(world) -> None:
    assert world.die(Failure(Kind.DAMAGE, "a shard is damaged")) is None
    assert world.attempts.damaged == {world.state: "a shard is damaged"}
    assert world.status() is None
