"""From a sweep to trials and states: what is shared, what stays put, what the data refuse."""

import json
import time
from fractions import Fraction as F
from typing import Any

import pytest

from cpt.parsing import ConfigError, parse
from sweeps.epochs import Epochs
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.plan import Plan, make_plan
from sweeps.spec import SweepSpec
from sweeps.tree import State

VOCABULARY, END_OF_TEXT = 257, 256
CENTER = {"max_lr": 3e-3, "warmup_fraction": 0.1, "replay_fraction": 0.25, "schedule": "cosine"}
CONTENT: dict[str, Any] = {
    "name": "tiny",
    "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
    # One token a sequence, 100 sequences a step: counts can be read off.
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
    "downstream": {"dataset": "german", "token_budget": 200},
    "evaluation": {"final_window_steps": 1},
    "design": "one_at_a_time",
    "center": CENTER,
}


def split(corpus: str, tokens: int = 10_000, **domain_tokens: int) -> SplitFacts:
    return SplitFacts(
        corpus=corpus, documents=10, tokens=tokens, bytes=9_990, domain_tokens=domain_tokens
    )


FACTS = {
    "wiki": DatasetFacts(
        sources={"": split("wiki-train")}, validation=split("wiki-valid", x=9, y=9)
    ),
    "german": DatasetFacts(sources={"": split("german-train")}, validation=split("german-valid")),
}


def plan(facts: dict[str, DatasetFacts] | None = None, **changes: Any) -> Plan:
    """The sweep above, with fields replaced: `axes={...}`."""
    spec = parse(SweepSpec, CONTENT | changes)
    return make_plan(spec, facts or FACTS, VOCABULARY, end_of_text=END_OF_TEXT)


def reading(
    source: str, samples: int, epochs: float, first: int | None = 0, seen: int | None = None
) -> dict[str, Any]:
    """What plan.json says that a state reads of a source, one token a sample."""
    return {
        "source": source,
        "samples": samples,
        "first_sample": first,
        "tokens": samples,
        "epochs": epochs,
        "order": "original",
        "offset": 0,
        "seen": seen,
    }


def refusals(facts: dict[str, DatasetFacts] | None = None, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        plan(facts, **changes)
    return caught.value.faults


def labels(planned: Plan) -> list[str]:
    return [trial.label for trial in planned.trials]


def state(planned: Plan, label: str) -> State:
    """The last state of the trial with this label."""
    (trial,) = (trial for trial in planned.trials if trial.label == label)
    return planned.states[trial.states[-1]]


# Trials.


def test_one_at_a_time_varies_each_axis_around_the_centre():
    planned = plan(
        axes={
            "max_lr": [1e-3, 3e-3, 6e-3],
            "warmup_fraction": [0, 0.1],
            "replay_fraction": [0, "1/4", 0.5],
            "schedule": ["cosine", "wsd"],
        }
    )
    assert labels(planned) == [
        "center",
        "max_lr=0.001",
        "max_lr=0.006",
        "warmup_fraction=0",
        "replay_fraction=0",
        "replay_fraction=0.5",
        "schedule=wsd",
    ]


def test_the_centre_stands_once_and_is_marked():
    planned = plan(axes={"max_lr": [1e-3, 3e-3], "replay_fraction": [0.25, 0.5]})
    assert [trial.label for trial in planned.trials if trial.is_center] == ["center"]


def test_a_grid_is_every_combination_in_the_order_of_the_axes():
    planned = plan(design="grid", axes={"replay_fraction": [0, 0.5], "max_lr": [1e-3, 2e-3]})
    assert labels(planned) == [
        "max_lr=0.001,replay_fraction=0",
        "max_lr=0.001,replay_fraction=0.5",
        "max_lr=0.002,replay_fraction=0",
        "max_lr=0.002,replay_fraction=0.5",
    ]


def test_in_a_grid_what_no_axis_sweeps_takes_the_centres_value():
    (trial,) = plan(design="grid", axes={"max_lr": [1e-3]}).trials
    assert trial.factors == {
        "max_lr": 0.001,
        "warmup_fraction": 0.1,
        "replay_fraction": 0.25,
        "schedule": "cosine",
        "seed": 0,
    }


def test_a_grid_marks_the_combination_that_is_its_centre():
    planned = plan(design="grid", axes={"max_lr": [1e-3, 3e-3]})
    assert [trial.label for trial in planned.trials if trial.is_center] == ["max_lr=0.003"]


def test_seeds_replicate_every_trial():
    planned = plan(axes={"max_lr": [1e-3], "seed": [0, 7]}, baselines=["union"])
    assert labels(planned) == [
        "center,seed=0",
        "center,seed=7",
        "max_lr=0.001,seed=0",
        "max_lr=0.001,seed=7",
        "union,seed=0",
        "union,seed=7",
    ]
    assert [trial.factors["seed"] for trial in planned.trials] == [0, 7, 0, 7, 0, 7]


def test_labels_tell_close_values_apart():
    close = [0.001, 0.0010000001]
    assert labels(plan(design="grid", axes={"max_lr": close})) == [
        "max_lr=0.001",
        "max_lr=0.0010000001",
    ]


def test_a_fraction_that_no_decimal_spells_is_shown_as_a_fraction():
    planned = plan(axes={"replay_fraction": ["1/3"]})
    assert labels(planned) == ["center", "replay_fraction=1/3"]


# States and what they share.


def test_pre_training_is_shared_by_all_trials_of_a_seed():
    planned = plan(axes={"max_lr": [1e-3, 6e-3], "seed": [0, 1]})
    first = {trial.states[0] for trial in planned.trials}
    assert len(planned.trials) == 6
    assert len(first) == 2
    assert len(planned.states) == 2 + 6
    assert [planned.states[name].stage for name in first] == ["upstream"] * 2


def test_no_redecay_is_the_state_of_the_constant_schedule_and_planned_once():
    planned = plan(axes={"schedule": ["cosine", "constant"]}, baselines=["no_redecay"])
    assert state(planned, "no_redecay") is state(planned, "schedule=constant")
    assert len(planned.trials) == 3
    assert len(planned.states) == 1 + 2


def test_every_state_is_named_by_its_content():
    planned = plan(axes={"max_lr": [1e-3]}, baselines=["union"])
    assert all(name == found.config.state_id for name, found in planned.states.items())


def test_parents_are_planned_before_their_children():
    planned = plan(axes={"seed": [0, 1]}, baselines=["union", "no_rewarm"])
    seen: set[str | None] = {None}
    for name, found in planned.states.items():
        assert found.config.parent in seen
        seen.add(name)


ALONE = {trial.label: trial.states for trial in plan(axes={"max_lr": [1e-3]}).trials}


@pytest.mark.parametrize(
    "changes",
    [
        {"axes": {"max_lr": [6e-3, 1e-3]}},
        {"axes": {"max_lr": [1e-3], "replay_fraction": [0]}},
        {"axes": {"max_lr": [1e-3]}, "baselines": ["union", "no_rewarm"]},
        {"axes": {"max_lr": [1e-3]}, "name": "another", "storage": "elsewhere"},
        {"axes": {"max_lr": [1e-3]}, "resources": {"workers": 2}, "micro_batch_size": 10},
    ],
    ids=str,
)
def test_a_trial_keeps_its_states_whatever_stands_beside_it(changes):
    found = {trial.label: trial.states for trial in plan(**changes).trials}
    assert {label: found[label] for label in ALONE} == ALONE


def test_adding_a_seed_keeps_the_states_of_the_others():
    found = {
        trial.label: trial.states for trial in plan(axes={"max_lr": [1e-3], "seed": [0, 1]}).trials
    }
    assert {label: found[f"{label},seed=0"] for label in ALONE} == ALONE


def test_a_grid_finds_the_states_of_one_at_a_time():
    grid = plan(design="grid", axes={"max_lr": [1e-3, 3e-3], "replay_fraction": [0, 0.25]})
    (trial,) = (
        trial for trial in grid.trials if trial.label == "max_lr=0.001,replay_fraction=0.25"
    )
    assert trial.states == ALONE["max_lr=0.001"]


# Configurations.


def test_continuing_starts_from_pre_training_and_measures_both_data_sets():
    planned = plan()
    upstream, center = planned.states.values()
    assert center.config.parent == upstream.id
    assert [held.name for held in center.config.evaluation.datasets] == ["wiki", "german"]
    assert [held.corpus for held in center.config.evaluation.datasets] == [
        "wiki-valid",
        "german-valid",
    ]


def test_pre_training_has_the_upstream_rates():
    config = next(iter(plan().states.values())).config
    assert config.total_steps == 4
    assert [config.lr(step) for step in (0, 1, 2, 4)] == pytest.approx([0, 1e-3, 2e-3, 2e-4])


def test_continuing_re_warms_to_the_peak_and_decays_to_a_tenth_of_it():
    config = state(plan(center=CENTER | {"warmup_fraction": 0.5}), "center").config
    assert [config.lr(step) for step in (0, 1, 2)] == pytest.approx([0, 3e-3, 3e-4])


@pytest.mark.parametrize(
    ("replay_fraction", "new_tokens", "replayed_tokens"),
    [
        # PAPER.md section 3, the strong shift, a billion tokens for each here.
        (0.01, 198, 2),
        (0.05, 190, 10),
        (0.1, 180, 20),
        (0.25, 150, 50),
        (0.5, 100, 100),
    ],
)
def test_replay_comes_out_of_the_budget(replay_fraction, new_tokens, replayed_tokens):
    config = state(plan(center=CENTER | {"replay_fraction": replay_fraction}), "center").config
    assert config.token_budget == 200
    assert [source.name for source in config.stream] == ["wiki", "german"]
    assert config.source_samples() == [replayed_tokens, new_tokens]


def test_without_replay_the_old_data_are_not_in_the_stream():
    config = state(plan(center=CENTER | {"replay_fraction": 0}), "center").config
    assert [(source.name, source.weight) for source in config.stream] == [("german", 1)]


def test_replay_changes_neither_the_length_nor_the_rates():
    planned = plan(axes={"replay_fraction": [0, 0.5]})
    none, half = state(planned, "replay_fraction=0"), state(planned, "replay_fraction=0.5")
    assert none.config.total_steps == half.config.total_steps
    assert none.config.schedule == half.config.schedule


# Baselines (PAPER.md, section 4).


def test_no_rewarm_stays_at_the_upstream_floor_from_the_first_update_on():
    config = state(plan(baselines=["no_rewarm"]), "no_rewarm").config
    assert config.schedule.warmup_fraction == 0
    assert [config.lr(step) for step in (0, 1, 2)] == pytest.approx([2e-4] * 3)


def test_no_redecay_re_warms_and_stays():
    planned = plan(center=CENTER | {"warmup_fraction": 0.5}, baselines=["no_redecay"])
    config = state(planned, "no_redecay").config
    assert [config.lr(step) for step in (0, 1, 2)] == pytest.approx([0, 3e-3, 3e-3])


def test_continued_baselines_replay_as_the_centre_does():
    planned = plan(baselines=["no_rewarm", "no_redecay"])
    for name in ("no_rewarm", "no_redecay"):
        assert state(planned, name).config.shares == [[F(1, 4)], [F(3, 4)]]
        assert state(planned, name).config.parent == state(planned, "center").config.parent


def test_downstream_only_starts_from_random_weights_and_sees_no_old_data():
    found = state(plan(baselines=["downstream_only"]), "downstream_only")
    assert (found.stage, found.config.parent) == ("from_scratch", None)
    assert [(source.name, source.weight) for source in found.config.stream] == [("german", 1)]
    assert found.config.token_budget == 200


def test_union_starts_from_random_weights_with_both_budgets_and_exact_shares():
    found = state(plan(baselines=["union"]), "union")
    assert (found.stage, found.config.parent) == ("from_scratch", None)
    assert found.config.token_budget == 600
    assert found.config.shares == [[F(2, 3)], [F(1, 3)]]
    assert found.config.source_samples() == [400, 200]


def test_baselines_from_random_weights_have_the_rates_of_pre_training():
    planned = plan(baselines=["downstream_only", "union"])
    upstream = next(iter(planned.states.values())).config
    for name in ("downstream_only", "union"):
        assert state(planned, name).config.schedule == upstream.schedule


def test_a_baselines_factors_are_what_it_does():
    planned = plan(baselines=["no_rewarm", "no_redecay", "downstream_only", "union"])
    found = {
        trial.baseline: list(trial.factors.values()) for trial in planned.trials if trial.baseline
    }
    assert found == {
        "no_rewarm": [pytest.approx(2e-4), 0, 0.25, "constant", 0],
        "no_redecay": [3e-3, 0.1, 0.25, "constant", 0],
        "downstream_only": [2e-3, 0.5, None, "cosine", 0],
        "union": [2e-3, 0.5, None, "cosine", 0],
    }


# Tokens and plan.json.


def test_tokens_are_counted_three_ways():
    planned = plan(
        axes={"max_lr": [1e-3], "schedule": ["constant"]}, baselines=["no_redecay", "union"]
    )
    assert planned.tokens() == {
        # center, max_lr, constant and no_redecay at 400 + 200 each; union at 600
        "alone": 4 * 600 + 600,
        # pre-training once, the four at 200, union
        "pretrained_once": 400 + 4 * 200 + 600,
        # no_redecay is the constant schedule's state
        "planned": 400 + 3 * 200 + 600,
    }


def test_plan_json_says_what_each_trial_is_and_needs():
    planned = plan(axes={"max_lr": [1e-3]}, baselines=["union"])
    upstream, center, lower, union = planned.states
    content = json.loads(json.dumps(planned.to_json(), allow_nan=False))
    factors = {
        "max_lr": 0.003,
        "warmup_fraction": 0.1,
        "replay_fraction": 0.25,
        "schedule": "cosine",
    }
    assert content["trials"] == [
        {
            "trial": "center",
            "factors": factors | {"seed": 0},
            "baseline": None,
            "center": True,
            "states": [upstream, center],
            "stage_ends": [upstream, center],
        },
        {
            "trial": "max_lr=0.001",
            "factors": factors | {"max_lr": 0.001, "seed": 0},
            "baseline": None,
            "center": False,
            "states": [upstream, lower],
            "stage_ends": [upstream, lower],
        },
        {
            "trial": "union",
            "factors": {
                "max_lr": 0.002,
                "warmup_fraction": 0.5,
                "replay_fraction": None,
                "schedule": "cosine",
                "seed": 0,
            },
            "baseline": "union",
            "center": False,
            "states": [union],
            "stage_ends": [union],
        },
    ]
    assert content["center"] == factors
    assert content["axes"] == {"max_lr": [0.001, 0.003]}
    assert content["tokens"] == {"alone": 1800, "pretrained_once": 1400, "planned": 1400}


@pytest.mark.parametrize(
    ("axes", "values"),
    [
        ({"replay_fraction": [0, 0.5]}, [0, 0.25, 0.5]),
        ({"replay_fraction": [0.5, 0.25, 0]}, [0.5, 0.25, 0]),
        ({"schedule": ["wsd"]}, ["cosine", "wsd"]),
        ({"seed": [3, 4]}, [3, 4]),
    ],
)
def test_plan_jsons_axes_hold_every_value_that_a_trial_takes(axes, values):
    assert list(plan(axes=axes).to_json()["axes"].values()) == [values]


def test_plan_jsons_axes_of_a_grid_are_those_given():
    assert plan(design="grid", axes={"max_lr": [1e-3]}).to_json()["axes"] == {"max_lr": [0.001]}


def test_plan_json_says_what_each_state_is():
    planned = plan()
    upstream, center = planned.states
    content = planned.to_json()
    # Output embedding 320 x 16; block 4 (16 x 16 + 16) + 2 (16 x 64) + 64 + 16 + 4 x 16, final
    # norm 2 x 16: 5,120 + 3,280 + 32 = 8,432, times 6, and 12 x 16 for attention over one token.
    flops_per_token = 50_784
    assert content["states"] == [
        {
            "state": upstream,
            "label": "pre-training on wiki",
            "parent": None,
            "base": None,
            "stage": "upstream",
            "role": "d0",
            "first_step": 0,
            "steps": 4,
            "horizon_steps": 4,
            "ends_stage": True,
            "annealed": True,
            "tokens": 400,
            "stage_tokens": 400,
            "flops": 400 * flops_per_token,
            "source_tokens": {"wiki": 400},
            "sources": [reading("wiki", 400, 0.04)],
        },
        {
            "state": center,
            "label": "center",
            "parent": upstream,
            "base": None,
            "stage": "downstream",
            "role": "d1",
            "first_step": 0,
            "steps": 2,
            "horizon_steps": 2,
            "ends_stage": True,
            "annealed": True,
            "tokens": 200,
            "stage_tokens": 200,
            "flops": 200 * flops_per_token,
            "source_tokens": {"wiki": 50, "german": 150},
            "sources": [reading("wiki", 50, 0.005, seen=400), reading("german", 150, 0.015)],
        },
    ]


def test_plan_json_says_what_the_data_are():
    assert plan().to_json()["datasets"] == {
        "wiki": {
            "role": "d0",
            "sources": [
                {
                    "name": "",
                    "corpus": "wiki-train",
                    "path": "json",
                    "weight": "1",
                    "documents": 10,
                    "tokens": 10_000,
                    "bytes": 9_990,
                    "empty": 0,
                    "domains": [],
                }
            ],
            "validation": "wiki-valid",
            "validation_text": "",
            "shared": {},
            "documents": 10,
            "tokens": 10_000,
            "bytes": 9_990,
            "validation_tokens": 10_000,
            "domains": ["x", "y"],
        },
        "german": {
            "role": "d1",
            "sources": [
                {
                    "name": "",
                    "corpus": "german-train",
                    "path": "json",
                    "weight": "1",
                    "documents": 10,
                    "tokens": 10_000,
                    "bytes": 9_990,
                    "empty": 0,
                    "domains": [],
                }
            ],
            "validation": "german-valid",
            "validation_text": "",
            "shared": {},
            "documents": 10,
            "tokens": 10_000,
            "bytes": 9_990,
            "validation_tokens": 10_000,
            "domains": [],
        },
    }


# Data sets of several sources.

MIXED = {
    "datasets": CONTENT["datasets"]
    | {
        "german": {
            "sources": {
                "web": {"path": "json", "train": "g", "validation": "gv", "weight": 3},
                "books": {"path": "json", "train": "h", "validation": "hv", "weight": "1.5"},
            }
        }
    }
}


def mixed_facts(web: int = 10_000, books: int = 10_000) -> dict[str, DatasetFacts]:
    german = DatasetFacts(
        sources={"web": split("web-train", web), "books": split("books-train", books)},
        weights={"web": F(2, 3), "books": F(1, 3)},
        validation=split("german-valid", web=500, books=500),
        shared={"wiki": 2},
    )
    return FACTS | {"german": german}


def test_a_data_set_of_several_sources_is_one_group_of_the_stream():
    config = state(plan(mixed_facts(), **MIXED), "center").config
    assert [(source.label, source.weight) for source in config.stream] == [
        ("wiki", F(1, 4)),
        ("german/web", F(1, 2)),
        ("german/books", F(1, 4)),
    ]
    assert config.shares == [[F(1, 4)], [F(1, 2), F(1, 4)]]
    # 50 of 200 samples are replay; of 150, one third is books.
    assert config.source_samples() == [50, 100, 50]


def test_a_source_too_short_is_called_by_its_own_name():
    assert refusals(mixed_facts(books=40), **MIXED) == (
        "datasets.german.sources.books: holds 39 training tokens, but 'center' reads 50 of it; "
        "lower the token_budget or its weight, or allow more than one epoch with "
        "datasets.german.repeat: true.",
    )


def test_epochs_are_told_for_each_source_and_for_all_of_them():
    planned = plan(mixed_facts(web=201, books=101), **MIXED)
    assert Epochs(planned).of(planned.trials[0]) == {
        "wiki": 0.045,  # 450 of 9,999
        "german": 0.5,
        "german/web": 0.5,
        "german/books": 0.5,
    }


def test_plan_json_names_every_source():
    german = plan(mixed_facts(), **MIXED).to_json()["datasets"]["german"]
    assert german["shared"] == {"wiki": 2}
    assert (german["documents"], german["tokens"]) == (20, 20_000)
    assert [
        (source["name"], source["corpus"], source["weight"]) for source in german["sources"]
    ] == [
        ("web", "web-train", "2/3"),
        ("books", "books-train", "1/3"),
    ]


def test_a_grid_whose_centre_is_not_given_whole_has_none():
    planned = plan(
        design="grid",
        axes={"max_lr": [1e-3]},
        center={name: value for name, value in CENTER.items() if name != "max_lr"},
    )
    assert planned.to_json()["center"] is None


# The vocabulary.


def test_a_model_without_a_vocabulary_takes_the_tokenizers_rounded_up():
    assert plan().model.vocab_size == 320


def test_a_vocabulary_smaller_than_the_tokenizers_is_refused():
    assert refusals(model=CONTENT["model"] | {"vocab_size": 256}) == (
        "model.vocab_size: got 256; must be at least the 257 tokens of tokenizer 'bytes'; raise "
        "it, or leave it out to fit the tokenizer.",
    )


# Documents.


def test_masked_documents_end_with_the_tokenizers_token_in_every_state():
    planned = plan(mask_documents=True, baselines=["union"])
    assert {one.config.document_end for one in planned.states.values()} == {256}
    assert planned.to_json()["mask_documents"] is True


def test_documents_are_read_through_by_default():
    planned = plan()
    assert {one.config.document_end for one in planned.states.values()} == {None}
    assert planned.to_json()["mask_documents"] is False


def test_a_masked_state_is_another_state():
    assert not plan().states.keys() & plan(mask_documents=True).states.keys()


def test_a_token_beyond_the_vocabulary_is_refused_once():
    small = CONTENT["model"] | {"vocab_size": 256}
    assert refusals(model=small, mask_documents=True) == refusals(model=small)


# What the data refuse.


def test_data_shorter_than_the_budget_are_refused():
    short = FACTS | {"german": DatasetFacts(sources={"": split("g", 150)}, validation=split("gv"))}
    assert refusals(short) == (
        "datasets.german: holds 149 training tokens, but 'center' reads 150 of it; lower the "
        "token_budget, or allow more than one epoch with datasets.german.repeat: true.",
    )


def test_data_as_long_as_the_budget_serve():
    enough = FACTS | {"german": DatasetFacts(sources={"": split("g", 151)}, validation=split("gv"))}
    assert plan(enough)


def test_the_longest_reader_of_each_data_set_is_named():
    short = {
        "wiki": DatasetFacts(sources={"": split("w", 301)}, validation=split("wv")),
        "german": DatasetFacts(sources={"": split("g", 101)}, validation=split("gv")),
    }
    assert [fault.split(";")[0] for fault in refusals(short, axes={"replay_fraction": [0]})] == [
        "datasets.wiki: holds 300 training tokens, but 'pre-training on wiki' reads 400 of it",
        "datasets.german: holds 100 training tokens, but 'replay_fraction=0' reads 200 of it",
    ]


def test_data_that_may_repeat_can_be_short():
    short = FACTS | {"german": DatasetFacts(sources={"": split("g", 3)}, validation=split("gv"))}
    repeated = CONTENT["datasets"]["german"] | {"repeat": True}
    assert plan(short, datasets=CONTENT["datasets"] | {"german": repeated})


def test_data_without_one_sequence_are_refused_even_where_they_may_repeat():
    short = FACTS | {"german": DatasetFacts(sources={"": split("g", 1)}, validation=split("gv"))}
    repeated = CONTENT["datasets"]["german"] | {"repeat": True}
    assert refusals(short, datasets=CONTENT["datasets"] | {"german": repeated}) == (
        "datasets.german.train: holds 1 tokens; must hold at least one sequence, 2.",
    )


def test_a_validation_domain_shorter_than_a_sequence_is_refused():
    short = FACTS | {
        "wiki": DatasetFacts(sources={"": split("w")}, validation=split("wv", x=9, y=1))
    }
    assert refusals(short) == (
        "datasets.wiki.validation: domain 'y' holds 1 tokens; must hold at least one sequence, 2; "
        "add documents or shorten sequence_length.",
    )


def test_a_validation_set_shorter_than_a_sequence_is_refused():
    short = FACTS | {"german": DatasetFacts(sources={"": split("g")}, validation=split("gv", 1))}
    assert refusals(short) == (
        "datasets.german.validation: the set holds 1 tokens; must hold at least one sequence, 2; "
        "add documents or shorten sequence_length.",
    )


def test_phases_that_do_not_fit_are_refused_once_for_all_seeds():
    axes = {"warmup_fraction": [0.3], "schedule": ["infinite_cosine"], "seed": [0, 1]}
    assert refusals(center=CENTER | {"schedule": "infinite_cosine"}, axes=axes) == (
        "trial 'warmup_fraction=0.3': warmup_fraction, cooldown_fraction and constant_fraction "
        "must sum to at most 1, not 1.15.",
    )


def test_all_faults_of_the_data_are_reported_at_once():
    short = {
        "wiki": DatasetFacts(sources={"": split("w", 100)}, validation=split("wv", x=1)),
        "german": DatasetFacts(sources={"": split("g", 100)}, validation=split("gv", 1)),
    }
    model = CONTENT["model"] | {"vocab_size": 64}
    assert [fault.split(":")[0] for fault in refusals(short, model=model)] == [
        "model.vocab_size",
        "datasets.wiki",
        "datasets.wiki.validation",
        "datasets.german",
        "datasets.german.validation",
    ]


# Size.


def test_planning_ten_thousand_trials_takes_under_twenty_times_what_writing_them_as_json_does():
    """As long as five seconds were on the machine of docs/performance.md."""
    axes = {
        "max_lr": [number * 1e-4 for number in range(1, 21)],
        "warmup_fraction": [number / 100 for number in range(10)],
        "replay_fraction": [f"{number}/100" for number in range(10)],
        "schedule": ["cosine", "constant", "infinite_cosine", "infinite_inverse_sqrt", "wsd"],
    }
    began = time.process_time()
    planned = plan(design="grid", axes=axes)
    planning = time.process_time() - began
    assert len(planned.trials) == 10_000
    began, rounds = time.process_time(), 5
    for _ in range(rounds):
        for state in planned.states.values():
            json.dumps(state.config.model_dump(mode="json"), sort_keys=True)
    assert planning < 20 * (time.process_time() - began) / rounds
