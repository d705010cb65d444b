"""A finished state that is missed by one field is told of, with both values."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cpt.files import write_json
from cpt.records import ResultTree, Status, StatusWord
from sweeps.nearby import NearMiss, near_misses
from sweeps.plan import Plan

PlanOf = Callable[..., Plan]


@pytest.fixture
def tree(tmp_path: Path) -> ResultTree:
    return ResultTree(tmp_path)


def finish(plan: Plan, tree: ResultTree) -> None:
    for name, state in plan.states.items():
        write_json(tree.state(name).config, state.config.model_dump(mode="json"))
        step = state.config.end_step
        tree.state(name).write_status(Status(status=StatusWord.COMPLETE, step=step))


def test_one_changed_field_is_one_reason_for_all_states(plan_of: PlanOf, tree: ResultTree) -> None:
    finish(plan_of(axes={"max_lr": [1e-3]}), tree)
    evaluation = {"final_window_steps": 20, "interval_steps": 50}
    changed = plan_of(axes={"max_lr": [1e-3]}, evaluation=evaluation)
    assert near_misses(changed, changed.states, tree) == [
        NearMiss(field="evaluation.interval_steps", wanted="50", finished="100", states=3)
    ]


def test_a_field_at_its_default_is_compared_too(plan_of: PlanOf, tree: ResultTree) -> None:
    finish(plan_of(), tree)
    changed = plan_of(precision="bf16")
    assert near_misses(changed, changed.states, tree) == [
        NearMiss(field="precision", wanted='"bf16"', finished="", states=2)
    ]


def test_a_mask_that_the_finished_states_lack_is_told_of(plan_of: PlanOf, tree: ResultTree) -> None:
    finish(plan_of(), tree)
    changed = plan_of(mask_documents=True)
    assert near_misses(changed, changed.states, tree) == [
        NearMiss(field="document_end", wanted="256", finished="", states=2)
    ]


def test_a_mask_that_the_finished_states_have_is_told_of(plan_of: PlanOf, tree: ResultTree) -> None:
    finish(plan_of(mask_documents=True), tree)
    changed = plan_of()
    assert near_misses(changed, changed.states, tree) == [
        NearMiss(field="document_end", wanted="", finished="256", states=2)
    ]


def test_what_pre_training_alone_changes_is_told_of_those_that_follow(
    plan_of: PlanOf, tree: ResultTree
) -> None:
    finish(plan_of(), tree)
    schedule = {"type": "cosine", "max_lr": 4e-3}
    changed = plan_of(upstream={"dataset": "wiki", "token_budget": 50_000, "schedule": schedule})
    (miss,) = near_misses(changed, changed.states, tree)
    assert (miss.field, miss.states) == ("upstream schedule", 1)


def test_another_value_on_an_axis_is_no_surprise(plan_of: PlanOf, tree: ResultTree) -> None:
    finish(plan_of(axes={"max_lr": [1e-3]}), tree)
    changed = plan_of(axes={"max_lr": [2e-3], "replay_fraction": [0]})
    assert near_misses(changed, changed.states, tree) == []


def test_states_of_the_plan_itself_are_no_near_misses(plan_of: PlanOf, tree: ResultTree) -> None:
    plan = plan_of(axes={"max_lr": [1e-3, 2e-3]})
    finish(plan_of(), tree)
    assert near_misses(plan, plan.states, tree) == []


def test_two_changed_fields_are_not_near(plan_of: PlanOf, tree: ResultTree) -> None:
    finish(plan_of(), tree)
    changed = plan_of(precision="bf16", sequence_length=2)
    assert near_misses(changed, changed.states, tree) == []


def test_a_damaged_folder_is_passed_over(plan_of: PlanOf, tree: ResultTree) -> None:
    plan = plan_of()
    finish(plan, tree)
    for name in plan.states:
        tree.state(name).config.write_text("{")
    changed = plan_of(precision="bf16")
    assert near_misses(changed, changed.states, tree) == []
