"""Random and listed designs; grids and one_at_a_time are in test_plan.py."""

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from cpt.parsing import ConfigError
from sweeps.plan import Plan

PlanOf = Callable[..., Plan]
RANGES: dict[str, Any] = {
    "max_lr": {"low": 1e-4, "high": 1e-2},
    "warmup_fraction": [0, 0.01],
    "replay_fraction": {"low": 0, "high": 0.5},
    "schedule": ["cosine", "wsd"],
}


def factors(plan: Plan, name: str) -> list[Any]:
    return [trial.factors[name] for trial in plan.trials]


def refusals(plan_of: PlanOf, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        plan_of(**changes)
    return caught.value.faults


def test_a_random_design_draws_rates_evenly_on_a_log_scale(plan_of: PlanOf) -> None:
    plan = plan_of(design="random", points=400, axes=RANGES)
    assert len(plan.trials) == 400
    drawn = np.log10(factors(plan, "max_lr"))
    assert drawn.min() >= -4
    assert drawn.max() <= -2
    counts, _ = np.histogram(drawn, bins=4, range=(-4, -2))
    assert counts.min() > 70
    counts, _ = np.histogram(factors(plan, "replay_fraction"), bins=4, range=(0, 0.5))
    assert counts.min() > 70
    for name in ("warmup_fraction", "schedule"):
        assert min(Counter(factors(plan, name)).values()) > 160


def test_more_points_leave_the_first_where_they_were(plan_of: PlanOf) -> None:
    few = plan_of(design="random", points=5, axes=RANGES)
    many = plan_of(design="random", points=9, axes=RANGES)
    other = plan_of(design="random", points=9, axes=RANGES, design_seed=1)
    assert set(few.states) < set(many.states)
    assert [trial.factors for trial in few.trials] == [t.factors for t in many.trials[:5]]
    assert factors(other, "max_lr") != factors(many, "max_lr")


def test_another_axis_leaves_the_draws_of_the_first(plan_of: PlanOf) -> None:
    one = plan_of(design="random", points=5, axes={"max_lr": RANGES["max_lr"]})
    two = plan_of(design="random", points=5, axes=RANGES)
    assert factors(one, "max_lr") == factors(two, "max_lr")


def test_a_drawn_value_can_be_typed_and_is_exact(plan_of: PlanOf) -> None:
    plan = plan_of(design="random", points=20, axes=RANGES)
    for trial in plan.trials:
        assert float(f"{trial.factors['max_lr']:.3g}") == trial.factors["max_lr"]
        stream = plan.states[trial.states[-1]].config.stream
        if len(stream) == 2:
            assert stream[0].weight == Fraction(str(trial.factors["replay_fraction"]))


def test_a_scale_can_be_chosen(plan_of: PlanOf) -> None:
    axes = {"max_lr": {"low": 1e-4, "high": 1e-2, "scale": "linear"}}
    plan = plan_of(design="random", points=200, axes=axes)
    assert np.mean(factors(plan, "max_lr")) == pytest.approx(5e-3, rel=0.15)


def test_a_list_is_the_trials_it_names(plan_of: PlanOf) -> None:
    plan = plan_of(
        design="list",
        trials=[
            {"max_lr": 1e-3, "replay_fraction": 0},
            {"name": "ours", "schedule": "wsd", "warmup_fraction": 0},
        ],
        axes={"seed": [0, 1]},
        baselines=["union"],
    )
    assert [trial.label for trial in plan.trials] == [
        "max_lr=0.001,replay_fraction=0,seed=0", "max_lr=0.001,replay_fraction=0,seed=1",
        "ours,seed=0", "ours,seed=1", "union,seed=0", "union,seed=1",
    ]  # fmt: skip
    assert plan.trials[2].factors == {
        "max_lr": 3e-3, "warmup_fraction": 0.0, "replay_fraction": 0.25, "schedule": "wsd",
        "seed": 0,
    }  # fmt: skip
    assert plan.to_json()["axes"] == {
        "max_lr": [1e-3, 3e-3], "warmup_fraction": [0, 0.01], "replay_fraction": [0, 0.25],
        "schedule": ["cosine", "wsd"], "seed": [0, 1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"design": "random", "axes": RANGES}, ["points is missing; design random needs it."]),
        ({"points": 3}, ["points: must be left out: design one_at_a_time does not read it."]),
        ({"design": "list"}, ["trials is missing; design list needs it."]),
        (
            {"axes": {"max_lr": RANGES["max_lr"]}},
            [
                "axes.max_lr: got a range; must be a list of values in design one_at_a_time; only "
                "design random draws from ranges."
            ],
        ),
        (
            {"design": "list", "trials": [{"max_lr": 1}], "axes": {"max_lr": [1]}},
            ["axes.max_lr: must be left out: design list takes its values from trials."],
        ),
        (
            {"design": "list", "trials": [{"max_lr": 1}, {"max_lr": 1}]},
            ["trials[1]: got the same values as an earlier trial; leave one out."],
        ),
        (
            {"design": "random", "points": 1, "axes": {"max_lr": {"low": 0, "high": 1}}},
            ["axes.max_lr.low: got 0; must be above 0."],
        ),
        (
            {"design": "random", "points": 1, "axes": {"max_lr": {"low": 2, "high": 1}}},
            ["axes.max_lr: got {'low': 2, 'high': 1}; low 2 must be below high 1."],
        ),
        (
            {"design": "random", "points": 1, "axes": {"replay_fraction": {"low": 0, "high": 1}}},
            ["axes.replay_fraction: got {'low': 0, 'high': 1}; high 1 must be below 1."],
        ),
        (
            {"design": "list", "trials": [{"max_lr": 1}], "center": {"max_lr": 1}},
            [
                f"center.{name} is missing; not every trial of the list gives it."
                for name in ("warmup_fraction", "replay_fraction", "schedule")
            ],
        ),
    ],
)
def test_what_a_design_cannot_do_is_refused(
    plan_of: PlanOf, changes: dict[str, Any], faults: list[str]
) -> None:
    assert refusals(plan_of, **changes) == tuple(faults)
