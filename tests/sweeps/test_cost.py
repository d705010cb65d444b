"""What a plan costs: counted by hand, and against what training leaves behind."""

from typing import Any

import pytest

from cpt.parsing import parse
from cpt.records import ResultTree
from sweeps.cost import Costs, Tariff, checkpoints, costs, given_tariff
from sweeps.epochs import Epochs
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.joins import lr_before, lr_first, lr_last, lr_peak
from sweeps.plan import Plan, make_plan
from sweeps.plan_json import plan_json
from sweeps.spec import SweepSpec

# One token a sequence, 100 sequences a step: 4 steps of pre-training, 10 after it.
CONTENT: dict[str, Any] = {
    "name": "tiny",
    "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
    "sequence_length": 1,
    "global_batch_size": 100,
    "datasets": {
        "wiki": {"path": "json", "train": "w", "validation": "wv"},
        "german": {"path": "json", "train": "g", "validation": "gv"},
    },
    "upstream": {
        "dataset": "wiki",
        "token_budget": 400,
        "schedule": {"type": "cosine", "max_lr": 2e-3, "warmup_fraction": 0.5},
    },
    "downstream": {"dataset": "german", "token_budget": 1000},
    "evaluation": {
        "interval_steps": 2,
        "final_window_steps": 1,
        "final_window_interval_steps": 1,
        "tokens_per_dataset": 50,
    },
    "checkpoint_interval_steps": 3,
    "shortest_shared_steps": 2,
    "design": "one_at_a_time",
    "center": {
        "max_lr": 3e-3,
        "warmup_fraction": 0.5,
        "replay_fraction": 0.25,
        "schedule": "cosine",
    },
}


def facts(train: int = 10_000, held_out: int = 1_000) -> DatasetFacts:
    def split(corpus: str, tokens: int) -> SplitFacts:
        return SplitFacts(corpus=corpus, documents=9, tokens=tokens, bytes=9, domain_tokens={})

    return DatasetFacts(sources={"": split(f"t{train}", train)}, validation=split("v", held_out))


def plan(german: DatasetFacts | None = None, **changes: Any) -> Plan:
    found = {"wiki": facts(1_001, 31), "german": german or facts()}
    return make_plan(parse(SweepSpec, CONTENT | changes), found, vocab_size=257)


def reckoned(planned: Plan, **tariff: Any) -> Costs:
    return costs(planned, Tariff(**tariff))


def ways(planned: Plan, field: str, **tariff: Any) -> tuple[Any, Any, Any]:
    found = reckoned(planned, **tariff)
    return tuple(getattr(way, field) for way in (found.alone, found.pretrained_once, found.planned))


# Work.


def test_tokens_three_ways():
    planned = plan(axes={"max_lr": [3e-3, 6e-3], "schedule": ["cosine", "constant"]})
    # The constant one shares five steps of warm-up with the centre.
    assert ways(planned, "training_tokens") == (3 * 1400, 400 + 3 * 1000, 400 + 2500)
    assert ways(planned, "tokens_after_pretraining") == (3000, 3000, 2500)


def test_tokens_are_those_of_the_plan():
    planned = plan(axes={"max_lr": [3e-3, 6e-3], "seed": [0, 1]}, baselines=["union"])
    alone, once, shared = ways(planned, "training_tokens")
    assert planned.tokens() == {"alone": alone, "pretrained_once": once, "planned": shared}


def test_flops_are_those_of_the_model():
    planned = plan()
    (tokens, *_), (flops, *_) = ways(planned, "training_tokens"), ways(planned, "training_flops")
    assert flops == tokens * planned.model.flops_per_token(1)


def test_evaluations_are_counted_set_by_set_and_a_small_set_whole():
    # Pre-training evaluates its 30 tokens at 0, 1, 2 and 4 (the window); the stage after it
    # 30 + 50 at 0, 1, 2, 4, 6, 8 and 10.
    assert ways(plan(), "evaluation_tokens")[2] == 4 * 30 + 7 * 80


def test_a_shared_beginning_is_evaluated_once():
    # Two trials share steps 0 to 5, and the evaluations at 0, 1, 2 and 4 of the seven.
    planned = plan(axes={"schedule": ["cosine", "constant"]})
    assert ways(planned, "evaluation_tokens")[1:] == (
        4 * 30 + 2 * 7 * 80,
        4 * 30 + (7 + 3) * 80,
    )


def test_held_out_sets_of_later_stages_are_evaluated_at_step_0_alone():
    stages = [{"dataset": "german", "token_budget": 400}, {"dataset": "code", "token_budget": 400}]
    datasets = CONTENT["datasets"] | {"code": CONTENT["datasets"]["german"]}
    spec = parse(SweepSpec, CONTENT | {"datasets": datasets, "downstream": stages})
    found = {"wiki": facts(1_001, 31), "german": facts(), "code": facts(8_000, 21)}
    planned = make_plan(spec, found, vocab_size=257)
    # Four evaluations a stage: 30; 30 + 50, and 20 at its step 0; 30 + 50 + 20.
    assert ways(planned, "evaluation_tokens")[2] == 4 * 30 + (4 * 80 + 20) + 4 * 100


@pytest.mark.parametrize(
    ("first_step", "end_step", "kept"),
    [
        (0, 2, 1),  # its last alone
        (0, 3, 1),  # the one due at 3 is its last
        (0, 4, 2),
        (0, 10, 2),  # 3 and 6 are gone
        (3, 5, 1),  # the one at 3 is its base's
        (3, 7, 2),
    ],
)
def test_a_state_keeps_its_two_newest_checkpoints(first_step: int, end_step: int, kept: int):
    config = next(iter(plan().states.values())).config
    assert checkpoints(config.model_copy(update={"stop_step": end_step}), first_step) == kept


def test_checkpoint_bytes_are_twelve_for_each_parameter():
    planned = plan()
    # Pre-training leaves those at 3 and 4; the centre those at 9 and 10.
    expected = 4 * 12 * planned.model.num_parameters
    assert ways(planned, "checkpoint_bytes") == (expected, expected, expected)


@pytest.mark.slow
def test_checkpoint_bytes_are_those_that_training_leaves(tiny_sweep, tmp_path):
    from cpt.train import train

    planned, tree = tiny_sweep(model={"num_layers": 1, "hidden_size": 320, "num_heads": 2})
    for state in planned.states.values():
        train(state.config, tree)
    written = sum(file.stat().st_size for file in tmp_path.glob("results/states/*/checkpoints/*/*"))
    reckoned_bytes = costs(planned, Tariff()).planned.checkpoint_bytes
    assert written == pytest.approx(reckoned_bytes, rel=0.03)


@pytest.mark.slow
def test_evaluation_tokens_are_those_that_training_reads(tiny_sweep):
    from cpt.rows import read_rows
    from cpt.train import train

    planned, tree = tiny_sweep()
    for state in planned.states.values():
        train(state.config, tree)
    rows = [row for name in planned.states for row in read_rows(tree.state(name).eval_rows)]
    read = sum(row["num_tokens"] for row in rows if row["domain"] is None)
    assert costs(planned, Tariff()).planned.evaluation_tokens == read


@pytest.fixture
def tiny_sweep(sweep, content, folder, monkeypatch):
    """Plans the sweep of `conftest` with fields replaced; a warm-up shared by two schedules."""
    from sweeps.prepare import prepare
    from sweeps.store import tree_of
    from sweeps.sweep_file import load

    def planned(**changes: Any) -> tuple[Plan, ResultTree]:
        monkeypatch.chdir(folder)
        axes = {"schedule": ["cosine", "constant"]}
        file = sweep(axes=axes, shortest_shared_steps=1, checkpoint_interval_steps=2, **changes)
        spec, _ = load(folder / file)
        tree = tree_of(spec)
        return prepare(spec, tree, lambda _: None), tree

    return planned


# Hours and money.


def test_hours_count_an_evaluated_token_as_a_third():
    planned = plan()
    # 1400 tokens and 680 / 3 at one token a second.
    hours = (1400 + 680 / 3) / 3600
    assert ways(planned, "worker_hours", tokens_per_second=1.0) == pytest.approx((hours,) * 3)


def test_the_longest_path_shares_its_tokens_among_its_workers():
    resources = {"workers": 4, "cpus_per_worker": 1}
    planned = plan(axes={"max_lr": [3e-3, 6e-3]}, resources=resources)
    hours = (1400 + 680 / 3) / 3600 / 4
    found = ways(planned, "longest_path_hours", tokens_per_second=1.0)
    assert found == pytest.approx((hours,) * 3)


def test_money_is_worker_hours_times_the_price():
    found = reckoned(plan(), tokens_per_second=0.5, price_per_worker_hour=3.0, currency="EUR")
    assert found.planned.money == pytest.approx(found.planned.worker_hours * 3.0)
    assert found.to_json()["tariff"]["currency"] == "EUR"


def test_what_is_not_known_is_none():
    found = reckoned(plan(), price_per_worker_hour=3.0)
    assert (found.planned.worker_hours, found.planned.longest_path_hours) == (None, None)
    assert found.planned.money is None


def test_the_file_gives_the_tariff():
    spec = plan(cost={"tokens_per_second": 5, "price_per_worker_hour": 2}).spec
    assert given_tariff(spec) == Tariff(tokens_per_second=5.0, price_per_worker_hour=2.0)


# Epochs.


def test_epochs_count_all_stages_and_replay():
    planned = plan()
    # Pre-training reads 400 of 1000 sequences; a quarter of 1000 is replay, 750 of 9999 are new.
    (trial,) = planned.trials
    assert Epochs(planned).of(trial) == {"wiki": 0.65, "german": 0.075}


def test_epochs_range_over_all_trials():
    planned = plan(axes={"replay_fraction": [0, 0.25]}, baselines=["downstream_only"])
    assert Epochs(planned).ranges() == {"wiki": (0.0, 0.65), "german": (0.075, 0.1)}


# Rates at joins.


def test_rates_at_the_joins_of_a_tree():
    planned = plan(axes={"schedule": ["cosine", "constant"]})
    rates = [
        (lr_before(state, planned.states), lr_first(state), lr_peak(state), lr_last(state))
        for state in planned.states.values()
    ]
    assert rates == [
        (None, 0.0, 2e-3, pytest.approx(2e-4)),
        (pytest.approx(2e-4), 0.0, 3e-3, 3e-3),
        (3e-3, 3e-3, 3e-3, pytest.approx(3e-4)),
        (3e-3, 3e-3, 3e-3, 3e-3),
    ]


def test_the_json_holds_costs_epochs_and_rates():
    planned = plan()
    content = plan_json(planned, costs(planned, Tariff(tokens_per_second=1.0)))
    assert content["cost"]["planned"]["training_tokens"] == content["tokens"]["planned"]
    assert content["trials"][0]["epochs"] == {"wiki": 0.65, "german": 0.075}
    told = [(state["lr_before"], state["lr_first"], state["wanted"]) for state in content["states"]]
    assert told == [(None, 0.0, True), (pytest.approx(2e-4), 0.0, True)]
