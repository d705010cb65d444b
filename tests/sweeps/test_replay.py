"""What is read again: from where, in which order, and on whose account."""

from collections.abc import Callable
from fractions import Fraction as F
from typing import Any

import pytest

from cpt.parsing import ConfigError
from cpt.stream_config import Source
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.plan import Plan
from sweeps.replay import replayed, seen_elsewhere
from sweeps.spec import Replay

ADDITIVE = {"accounting": "additive"}
CENTER = {"max_lr": 3e-3, "warmup_fraction": 0.01, "schedule": "cosine"}


def center(share: object) -> dict[str, Any]:
    return CENTER | {"replay_fraction": share}


def old(plan: Plan) -> Source:
    """What the first trial replays of wiki: of 500 steps of 100 samples."""
    return plan.states[plan.trials[0].states[-1]].config.stream[0]


def steps(plan: Plan) -> list[int]:
    return [plan.states[trial.states[-1]].config.total_steps for trial in plan.trials]


# What was seen.


def test_replay_knows_what_pre_training_read(plan_of):
    source = old(plan_of())
    assert (source.order, source.offset, source.seen) == ("original", 0, 50_000)


def test_what_was_seen_enters_the_name_only_where_reading_starts_over(plan_of):
    """A thousand steps of 100 samples: a quarter is within the 50,000 seen, 0.9 is not."""

    def written(share: object) -> list[Any]:
        plan = plan_of(center=center(share))
        return plan.states[plan.trials[0].states[-1]].config.identity()["stream"][0]

    assert written(0.25) == ["wiki-train", "1/4"]
    assert written(0.5) == ["wiki-train", "1/2"]
    assert written(0.9) == ["wiki-train", "9/10", {"seen": 50_000}]


def test_an_offset_is_a_share_of_what_was_seen(plan_of):
    source = old(plan_of(replay={"offset": "1/3"}))
    assert (source.offset, source.seen) == (16_666, 50_000)


def test_an_order_of_its_own_is_recorded(plan_of):
    plan = plan_of(replay={"order": "reshuffled"})
    config = plan.states[plan.trials[0].states[-1]].config
    assert config.identity()["stream"][0] == [
        "wiki-train",
        "1/4",
        {"order": "reshuffled", "seen": 50_000},
    ]
    assert plan.to_json()["states"][-1]["sources"][0]["first_sample"] is None


def test_a_second_stage_knows_what_the_first_read_of_its_new_data(plan_of):
    plan = plan_of(
        downstream=[
            {"dataset": "german", "token_budget": 100_000},
            {"dataset": "code", "token_budget": 60_000},
        ],
        center=center(0.25),
    )
    stream = plan.states[plan.trials[0].states[-1]].config.stream
    # Of 100,000 samples on german a quarter was replay.
    assert [(source.label, source.seen) for source in stream] == [
        ("wiki", 50_000),
        ("german", 75_000),
        ("code", None),
    ]


def test_new_data_and_baselines_from_random_weights_have_no_bounds(plan_of):
    plan = plan_of(baselines=["union", "downstream_only"], replay={"order": "reshuffled"})
    for trial in plan.trials[1:]:
        assert all(source.seen is None for source in plan.states[trial.states[-1]].config.stream)


def facts(*tokens: int) -> DatasetFacts:
    splits = [
        SplitFacts(corpus=f"c{n}", documents=1, tokens=size, bytes=size, domain_tokens={})
        for n, size in enumerate(tokens)
    ]
    return DatasetFacts(
        sources={f"s{n}": split for n, split in enumerate(splits)},
        weights={f"s{n}": F(1, len(splits)) for n in range(len(splits))},
        validation=splits[0],
    )


def test_of_a_model_from_elsewhere_each_source_was_seen_once():
    assert seen_elsewhere(facts(101, 51), None, 10) == [10, 5]


def test_of_a_model_from_elsewhere_with_a_budget_so_much_was_seen():
    assert seen_elsewhere(facts(101, 51), 400, 10) == [20, 20]


def test_a_source_of_which_nothing_was_read_cannot_be_replayed():
    with pytest.raises(ConfigError, match="replay: 'wiki/s1' cannot be replayed, since the stage"):
        replayed("wiki", facts(101, 51), F(1, 4), Replay(), [9, 0])


# On whose account.


@pytest.mark.parametrize(
    ("new", "share", "expected"),
    [
        (100, F(0), 100),
        (100, F(1, 2), 200),
        (100, F(1, 4), 134),  # 133.3
        (21, F(3, 10), 30),  # exactly: by floats it is above 30, so 31
        (2, F(1, 3), 3),
        (132_366, F(1, 20), 139_333),  # 139,332.6
    ],
)
def test_additive_replay_makes_a_stage_longer(new, share, expected):
    assert Replay(accounting="additive").steps(new, share) == expected
    assert Replay().steps(new, share) == new


def test_additive_replay_leaves_new_tokens_as_many(plan_of):
    shares = [0, 0.05, 0.25, 0.5]
    axes = {"replay_fraction": shares}
    plan = plan_of(design="grid", axes=axes, center=CENTER, replay=ADDITIVE)
    assert steps(plan) == [1000, 1053, 1334, 2000]
    for trial in plan.trials:
        *_, new = plan.states[trial.states[-1]].config.source_samples()
        assert 0 <= new - 100_000 < 100
    assert steps(plan_of(design="grid", axes=axes, center=CENTER)) == [1000] * 4


def test_additive_replay_lengthens_the_warm_up_with_the_stage(plan_of):
    plan = plan_of(replay=ADDITIVE, center=center(0.5))
    config = plan.states[plan.trials[0].states[-1]].config
    assert config.schedule.warmup_steps(config.total_steps) == 20


def test_additive_replay_applies_to_every_budget(plan_of):
    downstream = {"dataset": "german", "token_budget": 100_000, "budgets": [100_000, 200_000]}
    wsd = center(0.5) | {"schedule": "wsd"}
    plan = plan_of(downstream=downstream, center=wsd, replay=ADDITIVE)
    assert sorted(steps(plan)) == [2000, 4000]
    configs = [plan.states[trial.states[-1]].config for trial in plan.trials]
    # The warm-up stays a share of token_budget's own length, so that the trunk is one.
    assert {config.schedule.warmup_steps(config.total_steps) for config in configs} == {20}


def test_budgets_share_a_trunk_though_the_longer_starts_over(plan_of):
    """Of 50,000 seen, 40,000 are replayed in the short stage and 80,000 in the long one."""
    downstream = {"dataset": "german", "token_budget": 80_000, "budgets": [80_000, 160_000]}
    plan = plan_of(downstream=downstream, center=center(0.5) | {"schedule": "wsd"})
    short, long = (plan.states[trial.states[-1]].config for trial in plan.trials)
    assert len(short.identity()["stream"][0]) == 2
    assert len(long.identity()["stream"][0]) == 3
    assert len(plan.states) == len({*plan.trials[0].states, *plan.trials[1].states})
    assert set(plan.trials[0].states[:2]) <= set(plan.trials[1].states)


def test_a_budget_too_short_to_branch_is_refused_with_one_that_is_not(plan_of: Callable[..., Plan]):
    def planned(budget: int) -> Plan:
        downstream = {"dataset": "german", "token_budget": 100_000, "budgets": [budget, 100_000]}
        wsd = center(0.5) | {"schedule": "wsd", "warmup_fraction": 0.5}
        return plan_of(downstream=downstream, center=wsd, replay=ADDITIVE)

    with pytest.raises(ConfigError) as caught:
        planned(20_000)
    least = int(caught.value.faults[0].split("must be at least ")[1].split(",")[0])
    assert planned(least)
    with pytest.raises(ConfigError):
        planned(least - 100)


def test_baselines_without_replay_are_untouched(plan_of):
    plan = plan_of(baselines=["union", "downstream_only", "no_rewarm"], replay=ADDITIVE)
    assert steps(plan) == [1334, 1500, 1000, 1334]


def test_plan_json_says_what_replay_is(plan_of):
    plan = plan_of(replay={"offset": 0.25, "order": "reshuffled", "accounting": "additive"})
    assert plan.to_json()["replay"] == {
        "order": "reshuffled",
        "offset": "1/4",
        "accounting": "additive",
    }


def test_plan_json_says_which_samples_are_read_again(plan_of):
    plan = plan_of(replay={"offset": 0.9})
    (wiki, german) = plan.to_json()["states"][-1]["sources"]
    assert (wiki["source"], wiki["first_sample"], wiki["samples"]) == ("wiki", 45_000, 25_000)
    assert (wiki["seen"], wiki["tokens"]) == (50_000, 25_000)
    assert (german["first_sample"], german["samples"], german["seen"]) == (0, 75_000, None)
