"""Cut, hash, dedupe: what is shared, what is not, and that names depend on nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cpt.parsing import ConfigError, parse
from cpt.schedule import lr
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.plan import Plan, Trial, make_plan
from sweeps.spec import SweepSpec
from sweeps.tree import State

PlanOf = Callable[..., Plan]
WIKI, GERMAN, CODE = "wiki", "german", "code"
CENTER = {"max_lr": 3e-3, "warmup_fraction": 0.01, "replay_fraction": 0.25, "schedule": "cosine"}
INFINITE = CENTER | {"schedule": "infinite_cosine"}
FIVE = {"dataset": GERMAN, "token_budget": 100_000, "budgets": [100_000 * n for n in range(1, 6)]}
UPSTREAM = {
    "dataset": WIKI,
    "token_budget": 50_000,
    "schedule": {"type": "cosine", "max_lr": 2e-3},
}


def trial(plan: Plan, label: str) -> Trial:
    (found,) = (trial for trial in plan.trials if trial.label == label)
    return found


def states(plan: Plan, label: str) -> list[State]:
    return [plan.states[name] for name in trial(plan, label).states]


def spans(plan: Plan, label: str) -> list[tuple[int, int]]:
    """First and last step of each state on a trial's path."""
    return [(state.first_step, state.config.end_step) for state in states(plan, label)]


def upstream(kind: str) -> dict[str, Any]:
    return UPSTREAM | {"schedule": {"type": kind, "max_lr": 2e-3}}


# Cuts.


def test_schedules_that_hold_one_rate_share_it(plan_of: PlanOf) -> None:
    plan = plan_of(axes={"schedule": ["constant", "wsd"]}, baselines=["no_redecay"])
    assert spans(plan, "schedule=constant") == [(0, 500), (0, 800), (800, 1000)]
    assert spans(plan, "schedule=wsd") == [(0, 500), (0, 800), (800, 1000)]
    assert trial(plan, "no_redecay").states == trial(plan, "schedule=constant").states
    assert spans(plan, "center") == [(0, 500), (0, 1000)]
    assert plan.tokens() == {"alone": 600_000, "pretrained_once": 450_000, "planned": 270_000}


def test_what_is_shared_for_a_moment_is_not_cut_off(plan_of: PlanOf) -> None:
    plan = plan_of(axes={"schedule": ["infinite_cosine"], "warmup_fraction": [0]})
    assert [spans(plan, trial.label) for trial in plan.trials] == [[(0, 500), (0, 1000)]] * 3


def test_the_shortest_beginning_that_is_cut_off_can_be_chosen(plan_of: PlanOf) -> None:
    axes = {"schedule": ["infinite_cosine", "wsd"]}
    plan = plan_of(axes=axes, shortest_shared_steps=10)
    assert spans(plan, "center") == [(0, 500), (0, 10), (10, 1000)]
    assert len({trial.states[1] for trial in plan.trials}) == 1
    plan = plan_of(axes=axes, shortest_shared_steps=11)
    assert spans(plan, "center") == [(0, 500), (0, 1000)]


def test_nothing_is_cut_where_nothing_parts(plan_of: PlanOf) -> None:
    plan = plan_of(center=INFINITE, shortest_shared_steps=1)
    assert spans(plan, "center") == [(0, 500), (0, 1000)]


def test_decays_of_two_lengths_part_where_the_longer_begins(plan_of: PlanOf) -> None:
    short = {"type": "wsd", "decay_fraction": 0.1}
    plan = plan_of(axes={"schedule": ["constant", "wsd", short]})
    assert spans(plan, "schedule=wsd") == [(0, 500), (0, 800), (800, 1000)]
    assert spans(plan, "schedule=constant") == [(0, 500), (0, 800), (800, 900), (900, 1000)]
    assert (
        trial(plan, "schedule=wsd(decay_fraction=0.1)").states[:3]
        == trial(plan, "schedule=constant").states[:3]
    )


def test_final_windows_are_never_shared(plan_of: PlanOf) -> None:
    axes = {"schedule": ["constant", {"type": "wsd", "decay_fraction": 0.01}]}
    plan = plan_of(axes=axes, evaluation={"final_window_steps": 100})
    assert spans(plan, "schedule=constant") == [(0, 500), (0, 900), (900, 1000)]


def test_other_data_other_seeds_other_peaks_share_nothing_downstream(plan_of: PlanOf) -> None:
    plan = plan_of(
        axes={"max_lr": [1e-3, 2e-3], "replay_fraction": [0], "seed": [0, 1]},
        shortest_shared_steps=1,
    )
    assert len(plan.states) == 2 + 8


# Budgets.


@pytest.mark.parametrize(
    ("schedule", "held"), [("infinite_cosine", 0.86), ("infinite_inverse_sqrt", 0.86), ("wsd", 0.8)]
)
def test_budgets_anneal_from_one_trunk(plan_of: PlanOf, schedule: str, held: float) -> None:
    plan = plan_of(downstream=FIVE, center=CENTER | {"schedule": schedule})
    cuts = [round(1000 * n * held) for n in range(1, 6)]
    assert spans(plan, "token_budget=300000") == [
        (0, 500), (0, cuts[0]), (cuts[0], cuts[1]), (cuts[1], cuts[2]), (cuts[2], 3000),
    ]  # fmt: skip
    trained = cuts[-1] + sum(1000 * n - cut for n, cut in enumerate(cuts, 1))
    assert plan.tokens()["planned"] == 100 * (500 + trained)


def test_the_figure_of_five_budgets(plan_of: PlanOf) -> None:
    tokens = plan_of(downstream=FIVE, center=INFINITE).tokens()
    assert tokens == {"alone": 1_750_000, "pretrained_once": 1_550_000, "planned": 690_000}
    assert tokens["planned"] / tokens["pretrained_once"] < 0.45


def test_the_figure_of_two_stages_with_a_grid_of_settings_each(plan_of: PlanOf) -> None:
    axes = {"max_lr": [1e-3, 2e-3, 3e-3, 4e-3]}
    plan = plan_of(
        design="grid",
        downstream=[
            {"dataset": GERMAN, "token_budget": 50_000, "axes": axes},
            {"dataset": CODE, "token_budget": 50_000, "axes": axes},
        ],
    )
    assert len(plan.trials) == 16
    assert len(plan.states) == 1 + 4 + 16
    tokens = plan.tokens()
    assert tokens["planned"] / tokens["pretrained_once"] < 0.65


def test_a_longer_budget_later_reuses_every_state(plan_of: PlanOf) -> None:
    two = FIVE | {"budgets": [100_000, 200_000]}
    before = plan_of(downstream=two, center=INFINITE)
    after = plan_of(downstream=FIVE, center=INFINITE)
    assert set(before.states) < set(after.states)


def test_a_budget_in_between_reuses_every_state_too(plan_of: PlanOf) -> None:
    before = plan_of(downstream=FIVE | {"budgets": [100_000, 300_000]}, center=INFINITE)
    after = plan_of(downstream=FIVE, center=INFINITE)
    assert set(before.states) < set(after.states)


def test_one_budget_is_the_trial_without_budgets(plan_of: PlanOf) -> None:
    alone = plan_of(center=INFINITE)
    budget = plan_of(downstream=FIVE | {"budgets": [100_000]}, center=INFINITE)
    assert trial(alone, "center").states[-1] == trial(budget, "center").states[-1]


def test_a_budget_that_ends_before_its_trunk_begins_is_refused(plan_of: PlanOf) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(downstream=FIVE | {"budgets": [100_000, 70_000]}, center=INFINITE)
    assert caught.value.faults == (
        "trial 'token_budget=70000': downstream.budgets: got 70000; must be at least 71100, so "
        "that its anneal begins after the trunk does, at step 610; raise it, or lower "
        "token_budget, of which the warm-up and cool-down of the trunk are shares.",
    )


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_schedule_that_cannot_branch_is_refused(plan_of: PlanOf, schedule: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(downstream=FIVE, axes={"schedule": [schedule]}, center=INFINITE)
    (fault,) = caught.value.faults
    assert fault == (
        f"axes.schedule: got '{schedule}', which downstream.budgets asks to branch; must be one "
        "of infinite_cosine, infinite_inverse_sqrt, wsd, which hold a rate that budgets can "
        f"share; leave '{schedule}' out, or give each budget a sweep of its own."
    )


# Stages.


def test_a_schedule_that_holds_goes_on_at_its_rate_and_anneals_at_the_end(plan_of: PlanOf) -> None:
    plan = plan_of(
        upstream=upstream("as_trial"),
        center=INFINITE,
        downstream=[
            {"dataset": GERMAN, "token_budget": 100_000},
            {"dataset": CODE, "token_budget": 100_000},
        ],
    )
    first, second, third = (state.config for state in states(plan, "center"))
    held = (2e-3 + 2e-4) / 2
    assert lr(first.pieces(), 499) == pytest.approx(held)
    assert [lr(second.pieces(), step) for step in (0, 500, 999)] == [pytest.approx(held)] * 3
    assert lr(third.pieces(), 859) == pytest.approx(held)
    assert lr(third.pieces(), 1000) == pytest.approx(2e-4)
    assert (first.schedule.anneal, second.schedule.anneal, third.schedule.anneal) == (
        False, False, True,
    )  # fmt: skip


def test_cosine_is_repeated(plan_of: PlanOf) -> None:
    plan = plan_of(
        downstream=[
            {"dataset": GERMAN, "token_budget": 100_000},
            {"dataset": CODE, "token_budget": 100_000},
        ],
    )
    for state in states(plan, "center")[1:]:
        rates = [lr(state.config.pieces(), step) for step in (0, 10, 1000)]
        assert rates == [0, pytest.approx(3e-3), pytest.approx(3e-4)]


def test_annealed_and_un_annealed_pre_training_share_their_beginning(plan_of: PlanOf) -> None:
    plan = plan_of(upstream=upstream("wsd"), axes={"schedule": ["wsd"]})
    assert spans(plan, "center") == [(0, 400), (400, 500), (0, 1000)]
    assert spans(plan, "schedule=wsd") == [(0, 400), (400, 500), (0, 1000)]
    annealed, held = states(plan, "center")[1], states(plan, "schedule=wsd")[1]
    assert annealed.config.lr(500) == pytest.approx(2e-4)
    assert held.config.lr(500) == pytest.approx(2e-3)


def test_every_boundary_is_evaluated_on_what_was_seen_and_what_is_to_come(plan_of: PlanOf) -> None:
    plan = plan_of(
        downstream=[
            {"dataset": GERMAN, "token_budget": 100_000},
            {"dataset": CODE, "token_budget": 100_000},
        ]
    )
    sets = [
        (
            [held.name for held in state.config.evaluation.datasets],
            [held.name for held in state.config.evaluation.to_come],
        )
        for state in states(plan, "center")
    ]
    assert sets == [([WIKI], []), ([WIKI, GERMAN], [CODE]), ([WIKI, GERMAN, CODE], [])]


def test_a_third_data_set_later_reuses_the_first_two_stages(plan_of: PlanOf) -> None:
    one = plan_of()
    two = plan_of(
        downstream=[
            {"dataset": GERMAN, "token_budget": 100_000},
            {"dataset": CODE, "token_budget": 100_000},
        ]
    )
    assert set(one.states) < set(two.states)


def test_replay_draws_on_earlier_data_by_their_budgets(plan_of: PlanOf) -> None:
    plan = plan_of(
        downstream=[
            {"dataset": GERMAN, "token_budget": 150_000},
            {"dataset": CODE, "token_budget": 100_000},
        ]
    )
    weights = {source.name: source.weight for source in states(plan, "center")[-1].config.stream}
    assert {name: float(weight) for name, weight in weights.items()} == {
        WIKI: 0.25 * 0.25, GERMAN: 0.25 * 0.75, CODE: 0.75,
    }  # fmt: skip


def test_a_stage_that_trials_pass_through_is_called_by_what_was_decided(plan_of: PlanOf) -> None:
    axes = {"max_lr": [1e-3, 2e-3]}
    plan = plan_of(
        design="grid",
        downstream=[
            {"dataset": GERMAN, "token_budget": 50_000, "axes": axes},
            {"dataset": CODE, "token_budget": 50_000, "axes": axes},
        ],
    )
    labels = [state.config.label for state in plan.states.values() if state.role == "d1"]
    assert labels == ["german.max_lr=0.001 on german", "german.max_lr=0.002 on german"]


def test_a_data_set_that_comes_back_is_refused(plan_of: PlanOf) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(
            downstream=[
                {"dataset": GERMAN, "token_budget": 50_000},
                {"dataset": WIKI, "token_budget": 50_000},
                {"dataset": "germna", "token_budget": 50_000},
            ]
        )
    assert caught.value.faults == (
        "downstream[1].dataset: got 'wiki', which is also upstream.dataset; must be other data, "
        "since stages do not return to earlier ones; to train on the same files again, list them "
        "under a second name.",
        "downstream[2].dataset: got 'germna'; must be a name below datasets; did you mean "
        "'german'?",
    )


def test_an_axis_that_no_trial_reads_is_refused(plan_of: PlanOf) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(upstream=upstream("wsd"), center=CENTER | {"schedule": "wsd"},
                axes={"max_lr": [1e-3, 2e-3]})  # fmt: skip
    (fault,) = caught.value.faults
    assert fault.startswith("axes.max_lr: got 2 values that no trial reads")


def test_a_factor_that_is_not_read_makes_no_second_trial(plan_of: PlanOf) -> None:
    plan = plan_of(
        design="grid",
        upstream=upstream("wsd"),
        axes={"max_lr": [1e-3, 3e-3], "schedule": ["cosine", "wsd"]},
    )
    assert [(trial.factors["max_lr"], trial.factors["schedule"]) for trial in plan.trials] == [
        (1e-3, "cosine"), (3e-3, "wsd"), (3e-3, "cosine"),
    ]  # fmt: skip


# What always holds.


def made(axes: dict[str, Any], **changes: Any) -> Plan:
    """A grid over the given axes, with data long enough."""

    def split(corpus: str) -> SplitFacts:
        return SplitFacts(corpus=corpus, documents=1, tokens=10**9, bytes=1, domain_tokens={})

    content = {
        "name": "any",
        "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
        "sequence_length": 1,
        "global_batch_size": 1,
        "datasets": {name: {"path": "json", "train": name, "validation": "v"} for name in "ab"},
        "upstream": {
            "dataset": "a",
            "token_budget": 97,
            "schedule": {"type": "wsd", "max_lr": 1e-3, "warmup_fraction": 0.013},
        },
        "downstream": {"dataset": "b", "token_budget": 101},
        "evaluation": {"final_window_steps": 7, "interval_steps": 9},
        "design": "grid",
        "center": CENTER,
        "axes": axes,
    }
    facts = {
        name: DatasetFacts(sources={"": split(name)}, validation=split(name + "v"))
        for name in ("a", "b")
    }
    return make_plan(parse(SweepSpec, content | changes), facts, 257)


KINDS = ["cosine", "constant", "infinite_cosine", "infinite_inverse_sqrt", "wsd"]
GRIDS = st.fixed_dictionaries(
    {
        "max_lr": st.lists(st.sampled_from([1e-3, 2e-3, 5e-3]), min_size=1, unique=True),
        "warmup_fraction": st.lists(st.sampled_from([0, 0.03, 0.137]), min_size=1, unique=True),
        "replay_fraction": st.lists(st.sampled_from([0, 0.5, 0.3]), min_size=1, unique=True),
        "schedule": st.lists(st.sampled_from(KINDS), min_size=1, unique=True),
    }
)


@settings(max_examples=60, deadline=None)
@given(GRIDS, st.sampled_from([1, 5, 30, 1000]))
def test_every_trial_is_trained_whole_by_states_named_as_if_it_stood_alone(
    axes: dict[str, Any], shortest: int
) -> None:
    assume(axes["schedule"] != ["wsd"])  # it reads neither peak nor warm-up: an idle axis
    plan = made(axes, shortest_shared_steps=shortest)
    alone = {
        name
        for trial in plan.trials
        for name in made(
            {name: [trial.factors[name]] for name in axes}, shortest_shared_steps=1
        ).trials[0].stage_ends
    }  # fmt: skip
    assert alone == {name for trial in plan.trials for name in trial.stage_ends}
    for trial_ in plan.trials:
        before = None
        for name in trial_.states:
            state = plan.states[name]
            assert state.config.base == (before.id if before and not before.ends_stage else None)
            assert state.first_step == (before.config.end_step if state.config.base else 0)
            # One name, one content: whoever planned it first.
            assert state.config.state_id == name
            before = state
        # Along the path the rates are those of the trial's own curve.
        own = plan.states[trial_.states[-1]].config
        for name in trial_.states:
            state = plan.states[name]
            if state.config.parent == own.parent:
                steps = range(state.first_step, state.config.end_step)
                assert [state.config.lr(s) for s in steps] == [own.lr(s) for s in steps]
    # No cut without two that go on from it, none shorter than asked for.
    for state in plan.states.values():
        if not state.is_wanted:
            users = [other for other in plan.states.values() if other.config.base == state.id]
            assert len(users) >= 2
            assert state.config.end_step - state.first_step >= shortest
    tokens = plan.tokens()
    assert tokens["planned"] <= tokens["pretrained_once"] <= tokens["alone"]


@settings(max_examples=30, deadline=None)
@given(GRIDS, GRIDS)
def test_a_larger_sweep_keeps_the_name_of_every_stage(
    some: dict[str, Any], others: dict[str, Any]
) -> None:
    assume(["wsd"] not in (some["schedule"], others["schedule"]))
    both = {name: list(dict.fromkeys([*some[name], *others[name]])) for name in some}
    small, large = made(some), made(both)
    ends = {name for trial in small.trials for name in trial.stage_ends}
    assert ends <= {name for trial in large.trials for name in trial.stage_ends}


# Stopping.


ASHA = {"type": "asha", "metric": "d1_loss", "grace_tokens": 12_000, "reduction_factor": 2}


def test_the_rungs_of_a_rule_are_in_the_plan(plan_of: PlanOf) -> None:
    plan = plan_of(stopping=ASHA, axes={"max_lr": [1e-3]}, baselines=["union"])
    assert plan.to_json()["stopping"] == ASHA | {"rungs": [12_000, 24_000, 48_000, 96_000]}
    assert plan_of().to_json()["stopping"] == {"type": "none"}


def test_a_rule_changes_no_name(plan_of: PlanOf) -> None:
    axes = {"max_lr": [1e-3]}
    assert plan_of(stopping=ASHA, axes=axes).states == plan_of(axes=axes).states


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        (
            {"grace_tokens": 10_999},
            "stopping.grace_tokens: got 10999; must be at least 11000, the end of the warm-up and "
            "of the dip after it (step 110 of 1000); raise it.",
        ),
        (
            {"grace_tokens": 98_000},
            "stopping.grace_tokens: got 98000; must be below 98000, the start of the final window "
            "(step 980 of 1000), past which nothing is saved; lower it.",
        ),
        (
            {"metric": "d2_loss"},
            "stopping.metric: got 'd2_loss'; must be one of d0_loss, d1_loss, mean_loss.",
        ),
    ],
)
def test_a_rule_that_would_judge_the_dip_or_nothing_is_refused(
    plan_of: PlanOf, rule: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(stopping=ASHA | rule)
    assert caught.value.faults == (fault,)


def test_the_longest_warm_up_decides_where_the_dip_ends(plan_of: PlanOf) -> None:
    with pytest.raises(ConfigError, match="must be at least 30000"):
        plan_of(stopping=ASHA, axes={"warmup_fraction": [0.2, 0]})


def test_of_several_budgets_the_strictest_decides_in_one_sentence(plan_of: PlanOf) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(downstream=FIVE, center=INFINITE, stopping=ASHA)
    (fault,) = caught.value.faults
    assert "must be at least 51000," in fault
    assert "(step 510 of 5000)" in fault


def test_a_rule_for_trials_that_are_all_refused_adds_no_fault(plan_of: PlanOf) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(downstream=FIVE | {"budgets": [60_000]}, center=INFINITE, stopping=ASHA)
    (fault,) = caught.value.faults
    assert "so that its anneal begins after the trunk does" in fault
