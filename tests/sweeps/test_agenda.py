"""What a run has to do, decided from the recorded statuses alone."""

import json
from typing import Any

import pytest

from cpt.parsing import parse
from cpt.records import Status, StatusWord
from sweeps.agenda import agenda
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.plan import Plan, make_plan
from sweeps.spec import SweepSpec
from sweeps.store import Found

RUNNING, COMPLETE = StatusWord.RUNNING, StatusWord.COMPLETE
FAILED, STOPPED = StatusWord.FAILED, StatusWord.STOPPED


def split(corpus: str) -> SplitFacts:
    return SplitFacts(corpus=corpus, documents=9, tokens=999, bytes=999, domain_tokens={})


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two seeds: pre-training (4 tokens), then center and max_lr=2 (2 tokens); union (6)."""
    spec: dict[str, Any] = {
        "name": "tiny",
        "model": "gpt-200k",
        "sequence_length": 1,
        "global_batch_size": 1,
        "datasets": {name: {"path": "json", "train": "t", "validation": "v"} for name in "ab"},
        "upstream": {
            "dataset": "a",
            "token_budget": 4,
            "schedule": {"type": "cosine", "max_lr": 1},
        },
        "downstream": {"dataset": "b", "token_budget": 2},
        "evaluation": {"final_window_steps": 1},
        "design": "one_at_a_time",
        "axes": {"max_lr": [2], "seed": [0, 1]},
        "center": {
            "max_lr": 1,
            "warmup_fraction": 0,
            "replay_fraction": 0,
            "schedule": "cosine",
        },
        "baselines": ["union"],
    }
    facts = {
        name: DatasetFacts(sources={"": split(name)}, validation=split(name + name))
        for name in "ab"
    }
    return make_plan(parse(SweepSpec, spec), facts, 257)


PRE_0, PRE_1 = "pre-training on a,seed=0", "pre-training on a,seed=1"
ALL = [
    PRE_0, "center,seed=0", PRE_1, "center,seed=1", "max_lr=2,seed=0", "max_lr=2,seed=1",
    "union,seed=0", "union,seed=1",
]  # fmt: skip


def decided(
    plan: Plan, words: dict[str, StatusWord], *, retry_failed: bool = False
) -> dict[str, list[str]]:
    """The agenda as labels, from words by label."""
    assert set(words) <= set(ALL)
    recorded = {label: Status(status=word, step=1) for label, word in words.items()}
    found = {
        name: Found(status=recorded.get(state.config.label)) for name, state in plan.states.items()
    }
    made = agenda(plan, found, retry_failed=retry_failed)
    return {
        "todo": [task.state.config.label for task in made.todo],
        "blocked": [state.config.label for state in made.blocked],
        "failed": [state.config.label for state in made.failed],
    }


def test_the_plan_of_these_tests_is_as_drawn(plan):
    assert [state.config.label for state in plan.states.values()] == ALL


def test_nothing_done_means_everything_to_do_longest_remaining_path_first(plan):
    found = decided(plan, {})
    assert found["todo"] == [
        PRE_0, PRE_1, "union,seed=0", "union,seed=1",  # 4 + 2 tokens, or 6
        "center,seed=0", "center,seed=1", "max_lr=2,seed=0", "max_lr=2,seed=1",  # 2
    ]  # fmt: skip
    assert found["blocked"] == found["failed"] == []


def test_complete_states_are_skipped(plan):
    found = decided(plan, {PRE_0: COMPLETE, "union,seed=1": COMPLETE})
    assert set(found["todo"]) == set(ALL) - {PRE_0, "union,seed=1"}


@pytest.mark.parametrize("word", [RUNNING, STOPPED])
def test_states_that_were_cut_off_are_trained_again(plan, word):
    assert set(decided(plan, dict.fromkeys(ALL, word))["todo"]) == set(ALL)


ASHA = {"type": "asha", "metric": "d1_loss", "grace_tokens": 20_000, "reduction_factor": 3}


def left(plan: Plan, stopped: str, rule: dict[str, Any], complete: set[str]) -> dict[str, str]:
    """What is trained after what, by label, where one state was stopped by a rule."""
    recorded = {label: Status(status=COMPLETE, step=1) for label in complete}
    recorded[stopped] = Status(status=STOPPED, step=200, rule=rule)
    labels = {name: state.config.label for name, state in plan.states.items()}
    found = {name: Found(status=recorded.get(label)) for name, label in labels.items()}
    todo = agenda(plan, found).todo
    return {labels[task.state.id]: labels.get(task.after or "", "-") for task in todo}


def test_a_state_that_this_rule_ended_is_settled(plan_of):
    plan = plan_of(stopping=ASHA, axes={"max_lr": [1e-3]})
    done = {"pre-training on wiki", "center"}
    # As JSON has it: the sweep file's 3 is 3.0 to the rule.
    assert left(plan, "max_lr=0.001", json.loads(json.dumps(ASHA)), done) == {}


@pytest.mark.parametrize("change", [{"metric": "d0_loss"}, {"grace_tokens": 30_000}])
def test_a_state_that_another_rule_ended_is_judged_by_this_one(plan_of, change):
    plan = plan_of(stopping=ASHA, axes={"max_lr": [1e-3]})
    done = {"pre-training on wiki", "center"}
    assert left(plan, "max_lr=0.001", ASHA | change, done) == {"max_lr=0.001": "-"}


def test_the_centre_and_what_others_go_on_from_are_wanted_whole(plan_of):
    plan = plan_of(stopping=ASHA, axes={"max_lr": [1e-3]})
    assert left(plan, "center", ASHA, {"pre-training on wiki", "max_lr=0.001"}) == {"center": "-"}
    longer = [{"dataset": name, "token_budget": 100_000} for name in ("german", "code")]
    plan = plan_of(stopping=ASHA, downstream=longer)
    assert left(plan, "center on german", ASHA, {"pre-training on wiki"}) == {
        "center on german": "-",
        "center": "center on german",
    }


def test_all_complete_means_nothing_to_do(plan):
    assert decided(plan, dict.fromkeys(ALL, COMPLETE)) == {
        "todo": [], "blocked": [], "failed": [],
    }  # fmt: skip


def test_a_failed_state_is_left_alone(plan):
    found = decided(plan, {"union,seed=0": FAILED})
    assert found["failed"] == ["union,seed=0"]
    assert set(found["todo"]) == set(ALL) - {"union,seed=0"}


def test_descendants_of_a_failed_state_are_blocked(plan):
    found = decided(plan, {PRE_0: FAILED})
    assert found["blocked"] == ["center,seed=0", "max_lr=2,seed=0"]
    assert set(found["todo"]) == {
        PRE_1, "center,seed=1", "max_lr=2,seed=1", "union,seed=0", "union,seed=1",
    }  # fmt: skip


def test_a_complete_state_is_not_blocked_by_a_parent_that_failed_later(plan):
    found = decided(plan, {PRE_0: FAILED, "center,seed=0": COMPLETE})
    assert found["blocked"] == ["max_lr=2,seed=0"]


def test_failed_states_and_their_descendants_are_tried_again_on_request(plan):
    found = decided(plan, {PRE_0: FAILED}, retry_failed=True)
    assert set(found["todo"]) == set(ALL)
    assert found["blocked"] == found["failed"] == []


def test_every_state_is_in_exactly_one_place(plan):
    done = {PRE_0: FAILED, "center,seed=1": RUNNING, "union,seed=0": COMPLETE}
    found = decided(plan, done)
    places = [*found["todo"], *found["blocked"], *found["failed"], "union,seed=0"]
    assert sorted(places) == sorted(ALL)


def test_parents_stand_before_their_children(plan):
    found = decided(plan, {"union,seed=0": RUNNING})["todo"]
    assert found.index(PRE_0) < found.index("center,seed=0")
    assert found.index(PRE_1) < found.index("max_lr=2,seed=1")


def test_the_remaining_path_counts_what_is_not_complete(plan):
    found = {
        name: Found(
            status=Status(status=COMPLETE, step=1)
            if state.config.label in (PRE_0, "center,seed=1")
            else None
        )
        for name, state in plan.states.items()
    }
    left = {task.state.config.label: task.remaining for task in agenda(plan, found).todo}
    assert left == {
        "center,seed=0": 2, "max_lr=2,seed=0": 2, PRE_1: 6, "max_lr=2,seed=1": 2,
        "union,seed=0": 6, "union,seed=1": 6,
    }  # fmt: skip
