"""Rungs, the dip they must avoid, and who is compared with whom."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpt.parsing import ConfigError, parse
from sweeps.stopping import (
    AshaStopping,
    Entrant,
    dip_end,
    faults,
    looks,
    metric_roles,
    places,
    reason,
    rungs,
)


def asha(**changes) -> AshaStopping:
    rule = {"type": "asha", "metric": "d1_loss", "grace_tokens": 1000, "reduction_factor": 3}
    return parse(AshaStopping, rule | changes)


def test_rungs_grow_by_the_reduction_factor_and_stay_below_the_budget():
    assert rungs(asha(), 9001) == (1000, 3000, 9000)
    assert rungs(asha(), 9000) == (1000, 3000)
    assert rungs(asha(reduction_factor=2.5), 7000) == (1000, 2500, 6250)
    assert rungs(asha(), 1000) == ()


def test_the_reduction_factor_is_3_unless_it_is_given():
    assert AshaStopping(type="asha", metric="mean_loss", grace_tokens=1).reduction_factor == 3


@settings(deadline=None)  # the first call imports Ray
@given(
    grace=st.integers(1, 10_000_000),
    factor=st.floats(1.5, 10),
    share=st.floats(1.01, 500),
)
def test_rungs_are_those_of_ray(grace, factor, share):
    from ray.tune.schedulers import ASHAScheduler

    budget = int(grace * share) + 1
    rays = ASHAScheduler(max_t=budget, grace_period=grace, reduction_factor=factor)
    below = [rung for rung, _ in reversed(rays._brackets[0]._rungs) if rung < budget]
    ours = rungs(asha(grace_tokens=grace, reduction_factor=factor), budget)
    assert len(ours) == len(below)
    assert all(rung <= whole < rung + 1 for whole, rung in zip(ours, below, strict=True))


def test_a_rung_is_looked_at_in_the_first_evaluation_at_or_past_it():
    steps = (0, 1, 2, 4, 8, 10, 20, 30, 32, 34)
    assert looks(asha(grace_tokens=80), 310, steps, 10) == {80: 8, 240: 30}
    assert looks(asha(grace_tokens=81), 310, steps, 10) == {81: 10, 243: 30}


def test_nothing_is_looked_at_in_the_final_window():
    assert looks(asha(grace_tokens=80), 300, (0, 10, 20, 30, 32), 10) == {80: 10}


def test_two_rungs_may_share_an_evaluation():
    assert looks(asha(grace_tokens=110, reduction_factor=1.5), 300, (0, 10, 20, 25), 10) == {
        110: 20,
        165: 20,
        248: 25,
    }


def test_the_dip_ends_a_tenth_of_the_stage_after_the_warm_up():
    assert dip_end(2.5, 250) == 28
    assert dip_end(0, 30) == 3
    assert dip_end(3, 3) == 4


def found(rule: AshaStopping, warmup=None, window=25, roles=("d0", "d1")) -> list[str]:
    return faults(
        rule,
        longest_warmup=warmup or {100: 3.0},
        final_window_steps=window,
        tokens_per_step=2048,
        roles=roles,
    )


def test_a_rung_after_the_dip_and_before_the_final_window_is_accepted():
    assert found(asha(grace_tokens=26_624)) == []
    assert found(asha(grace_tokens=75 * 2048 - 1)) == []


def test_a_rung_inside_the_dip_is_refused():
    assert found(asha()) == [
        "stopping.grace_tokens: got 1000; must be at least 26624, the end of the warm-up and of "
        "the dip after it (step 13 of 100); raise it."
    ]


def test_a_rung_in_the_final_window_is_refused():
    assert found(asha(grace_tokens=153_600)) == [
        "stopping.grace_tokens: got 153600; must be below 153600, the start of the final window "
        "(step 75 of 100), past which nothing is saved; lower it."
    ]


def test_a_stage_too_short_for_any_rung_is_named():
    assert found(asha(), warmup={20: 0.0}, window=18) == [
        "stopping.grace_tokens: got 1000; a stage of 20 steps has no room for a rung between the "
        "end of the warm-up and of the dip after it (step 2 of 20) and its final window (from "
        "step 2 on); leave stopping out or raise the budget."
    ]


def test_every_length_of_the_last_stage_is_checked():
    (fault,) = found(asha(grace_tokens=30 * 2048), warmup={100: 3.0, 1000: 30.0})
    assert "step 130 of 1000" in fault


def test_a_role_without_a_data_set_is_refused():
    (fault,) = found(asha(metric="d2_loss", grace_tokens=30_000))
    assert fault == ("stopping.metric: got 'd2_loss'; must be one of d0_loss, d1_loss, mean_loss.")


@pytest.mark.parametrize("metric", ["loss", "d_loss", "code_loss", "mean", "dx_loss"])
def test_what_is_no_metric_is_refused(metric):
    with pytest.raises(ConfigError, match="must be mean_loss, or the loss of a role"):
        asha(metric=metric)


def test_a_reduction_factor_of_one_is_refused():
    with pytest.raises(ConfigError, match=r"reduction_factor: got 1; must be at least 1\.1, or"):
        asha(reduction_factor=1)


def test_a_metric_is_the_loss_of_one_role_or_of_all():
    assert metric_roles("d1_loss", ["d0", "d1"]) == ("d1",)
    assert metric_roles("mean_loss", ["d0", "d1"]) == ("d0", "d1")
    assert metric_roles("d10_loss", ["d0", "d1"]) == ()


def entrant(state: str, **changes) -> Entrant:
    plain = {"seed": 0, "steps": 100, "is_baseline": False, "is_center": False, "is_shared": False}
    return Entrant(state=state, **(plain | changes))


def test_a_cohort_is_one_seed_and_one_length_of_the_last_stage():
    found = places([entrant("a"), entrant("b", seed=1), entrant("c", steps=200), entrant("d")])
    assert {state: place.cohort for state, place in found.items()} == {
        "a": (0, 100),
        "b": (1, 100),
        "c": (0, 200),
        "d": (0, 100),
    }


def test_the_centre_and_shared_states_are_compared_but_never_ended():
    found = places([entrant("a"), entrant("b", is_center=True), entrant("c", is_shared=True)])
    assert {state: place.may_stop for state, place in found.items()} == {
        "a": True,
        "b": False,
        "c": False,
    }


def test_baselines_take_no_part_even_as_another_trial_s_state():
    assert list(places([entrant("a", is_baseline=True), entrant("a"), entrant("b")])) == ["b"]


def test_a_state_of_two_trials_is_kept_if_either_is():
    assert not places([entrant("a", is_center=True), entrant("a")])["a"].may_stop


def test_the_reason_names_value_rung_and_rank():
    assert reason(asha(), 3.21, 26_624, 9) == (
        "asha: d1_loss 3.21 at 26,624 tokens is not among the best 1/3 of 9"
    )
