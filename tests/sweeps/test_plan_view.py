"""What `rewarm plan` shows: short enough to be read, and every state in it."""

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from rich.console import Console

from cpt.parsing import parse
from sweeps.cost import Tariff, costs
from sweeps.facts import DatasetFacts, SplitFacts
from sweeps.forest import Branch, folded, without_seed
from sweeps.plan import Plan, make_plan
from sweeps.plan_view import plan_page
from sweeps.spec import SweepSpec
from sweeps.tree_view import tree_table
from sweeps.words import counted, hours, listed, quantity, stored

CONTENT: dict[str, Any] = {
    "name": "tiny",
    "model": {"num_layers": 1, "hidden_size": 16, "num_heads": 2},
    "sequence_length": 1,
    "global_batch_size": 100,
    "datasets": {
        "wiki": {"path": "json", "train": "w", "validation": "wv"},
        "german": {"path": "json", "train": "g", "validation": "gv"},
        "code": {"path": "json", "train": "c", "validation": "cv"},
    },
    "upstream": {
        "dataset": "wiki",
        "token_budget": 400,
        "schedule": {"type": "cosine", "max_lr": 2e-3, "warmup_fraction": 0.5},
    },
    "downstream": {"dataset": "german", "token_budget": 1000},
    "evaluation": {"final_window_steps": 1},
    "shortest_shared_steps": 2,
    "design": "one_at_a_time",
    "center": {
        "max_lr": 3e-3,
        "warmup_fraction": 0.2,
        "replay_fraction": 0.25,
        "schedule": "cosine",
    },
}
GRID = {
    "design": "grid",
    "axes": {
        "max_lr": [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2],
        "replay_fraction": [0, 0.01, 0.05, 0.25, 0.5],
        "schedule": ["cosine", "constant", "infinite_cosine", "wsd"],
        "seed": [0, 1, 2],
    },
    "center": {"warmup_fraction": 0.1},
    "downstream": {"dataset": "german", "token_budget": 2000},
    "baselines": ["no_rewarm", "union"],
}


def plan(tokens: int = 9_999, documents: int = 9, **changes: Any) -> Plan:
    def split(corpus: str) -> SplitFacts:
        return SplitFacts(
            corpus=corpus, documents=documents, tokens=tokens, bytes=tokens, domain_tokens={}
        )

    facts = {
        name: DatasetFacts(sources={"": split(f"{name}-train")}, validation=split(f"{name}-valid"))
        for name in CONTENT["datasets"]
    }
    spec = parse(SweepSpec, CONTENT | changes)
    return make_plan(spec, facts, vocab_size=257, end_of_text=256)


def shown(renderable: Any, width: int = 100) -> list[str]:
    """Lines of a terminal so wide, without what pads them."""
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def tree(planned: Plan, width: int = 100, **options: Any) -> list[str]:
    """The rows below the heading, white space run together."""
    lines = shown(tree_table(planned, width, **options), width)[2:]
    return [" ".join(line.split()) for line in lines]


def page(planned: Plan, width: int = 100, whole: bool = False, **tariff: Any) -> list[str]:
    return shown(plan_page(planned, costs(planned, Tariff(**tariff)), width, whole=whole), width)


def states_in(branches: tuple[Branch, ...]) -> list[str]:
    return [
        name
        for branch in branches
        for name in [*(node.state.id for node in branch.nodes), *states_in(branch.branches)]
    ]


# The tree.


def test_the_tree_shows_joins_steps_and_tokens():
    assert tree(plan(axes={"schedule": ["cosine", "constant"]})) == [
        "pre-training on wiki 0..4 400 0 → 0.002 → 0.0002",
        "└─ shared beginning 0..2 200 0.0002 ⟶ 0 → 0.003",
        "├─ center 2..10 800 0.003 → 0.0003",
        "└─ schedule=constant 2..10 800 0.003",
    ]


def test_states_that_differ_in_their_seed_are_one_line():
    found = tree(plan(axes={"max_lr": [6e-3], "seed": [0, 7, 9]}))
    assert found == [
        "pre-training on wiki x 3 seeds 3 0..4 400 0 → 0.002 → 0.0002",
        "├─ center 3 0..10 1,000 0.0002 ⟶ 0 → 0.003 → 0.0003",
        "└─ max_lr=0.006 3 0..10 1,000 0.0002 ⟶ 0 → 0.006 → 0.0006",
    ]


@pytest.mark.parametrize("width", [100, 160])
def test_a_grid_of_three_hundred_trials_is_read_at_a_glance(width: int):
    lines = page(plan(**GRID), width)
    assert len(lines) <= 60
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("whole", [True, False])
def test_nothing_is_cut_off(width: int, whole: bool):
    lines = page(plan(**GRID), width, whole=whole)
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]


def test_the_data_fit_eighty_columns():
    large = plan(98_765, 1_234_567, axes={"replay_fraction": [0.01, 0.5]})
    table = page(large, 80)[3:8]
    assert [" ".join(line.split()) for line in table] == [
        "data",
        "stage train bytes held",
        "name role steps tokens epochs documents /token out",
        "wiki D0 4 98,765 0.0042..0.0091 1,234,567 1.00 98,765",
        "german D1 10 98,765 0.0051..0.01 1,234,567 1.00 98,765",
    ]


def test_the_heading_says_where_attention_stays_inside_documents():
    told = "tokens a step, attention inside documents"
    assert page(plan(mask_documents=True))[1].endswith(told)
    assert page(plan())[1].endswith("tokens a step")


def test_a_folded_family_says_what_varies_and_how_many_there_are():
    found = tree(plan(**GRID), width=160)
    assert found == [
        "pre-training on wiki x 3 seeds 3 0..4 400 0 → 0.002 → 0.0002",
        "├─ shared beginnings: max_lr 0.001..0.016 (5 values) x replay 0, 0.01, 0.05, 0.25, 0.5 "
        "75 0..2 200 0.0002 ⟶ 0 → 0.001..0.016",
        "│ ├─ schedule cosine, infinite_cosine 150 2..20 1,800 0.001..0.016 → 0.0001..0.0016",
        "│ └─ shared beginnings 75 2..16 1,400 0.001..0.016",
        "│ └─ schedule constant, wsd 150 16..20 400 0.001..0.016 → 0.0001..0.016",
        "└─ no_rewarm 3 0..20 2,000 0.0002 ⟶ 0.0002",
        "union x 3 seeds 3 0..24 2,400 0 → 0.002 → 0.0002",
    ]


@pytest.mark.parametrize("most", [None, 48, 1])
def test_every_state_is_on_exactly_one_line(most: int | None):
    planned = plan(**GRID)
    assert sorted(states_in(folded(planned, most))) == sorted(planned.states)


def test_all_draws_every_state_but_for_its_seed():
    planned = plan(**GRID)
    assert len(tree(planned, width=160, whole=True)) == len(planned.states) / 3


def test_stages_name_their_data_set_and_only_their_own_factors():
    axes = {"max_lr": [1e-3, 2e-3]}
    stages = [
        {"dataset": "german", "token_budget": 1000, "axes": axes},
        {"dataset": "code", "token_budget": 500, "axes": axes},
    ]
    center = {"warmup_fraction": 0.2, "replay_fraction": 0, "schedule": "cosine"}
    found = tree(plan(design="grid", downstream=stages, center=center))
    assert [line.split(" 0..")[0] for line in found] == [
        "pre-training on wiki",
        "├─ german: max_lr 0.001",
        "│ ├─ code: max_lr 0.001",
        "│ └─ code: max_lr 0.002",
        "└─ german: max_lr 0.002",
        "├─ code: max_lr 0.001",
        "└─ code: max_lr 0.002",
    ]


def test_budgets_branch_off_a_trunk():
    stage = {"dataset": "german", "token_budget": 1000, "budgets": [1000, 2000]}
    center = CONTENT["center"] | {"schedule": "wsd"}
    found = tree(plan(downstream=stage, center=center))
    assert [line.split(" 0.0")[0] for line in found] == [
        "pre-training on wiki 0..4 400 0 →",
        "└─ trunk 0..8 800",
        "├─ center 8..10 200",
        "└─ trunk: token_budget 2,000 8..16 800",
        "└─ token_budget=2000 16..20 400",
    ]


def test_ids_stand_where_there_is_room():
    planned = plan()
    name = next(iter(planned.states))
    assert name in " ".join(shown(tree_table(planned, 160), 160))
    assert name not in " ".join(shown(tree_table(planned, 100), 100))


# Data, trials, costs.


def test_the_data_table_names_roles_and_epochs():
    lines = page(plan(axes={"replay_fraction": [0, 0.5]}))
    rows = [line.split() for line in lines if line.startswith(("wiki", "german"))]
    # 400 of 9,998 sequences, and up to 500 replayed; 500 to 1,000 new ones.
    assert rows == [
        ["wiki", "D0", "4", "9,999", "0.04..0.09", "9", "1.00", "9,999"],
        ["german", "D1", "10", "9,999", "0.05..0.1", "9", "1.00", "9,999"],
    ]


def mixed(**changes: Any) -> Plan:
    """The tiny sweep whose new data are two sources, with all there is to remark on."""

    def split(corpus: str, **facts: Any) -> SplitFacts:
        sizes = {"documents": 9, "tokens": 9_999, "bytes": 19_998, "domain_tokens": {}}
        return SplitFacts(corpus=corpus, **(sizes | facts))

    domains = {"blogs": 6_000, "news": 3_999}
    held_out = {"web/blogs": 5_000, "web/news": 4_000, "a-long-name-of-books": 999}
    facts = {
        "wiki": DatasetFacts(sources={"": split("w", empty=1)}, validation=split("wv")),
        "german": DatasetFacts(
            sources={
                "web": split("g1", domain_tokens=domains),
                "a-long-name-of-books": split("g2", empty=2, tokens=99),
            },
            weights={"web": Fraction(9, 10), "a-long-name-of-books": Fraction(1, 10)},
            validation=split("gv", empty=1, domain_tokens=held_out),
            shared={"german": 3, "wiki": 0},
        ),
    }
    source = {"path": "json", "train": "g", "validation": "gv"}
    german = {
        "repeat": True,
        "sources": {
            "web": source | {"weight": 9},
            "a-long-name-of-books": source | {"weight": 1},
        },
    }
    datasets = CONTENT["datasets"] | {"german": german}
    content = CONTENT | {"datasets": datasets} | changes
    return make_plan(parse(SweepSpec, content), facts, vocab_size=257)


def test_each_source_of_a_data_set_has_a_row_with_its_share():
    lines = [" ".join(line.split()) for line in page(mixed())]
    assert "german D1 10 10,098 0.0743 18 3.96 3 9,999" in lines
    assert "web 90.00% 9,999 0.0675 9 2.00 2" in lines
    # 750 new samples, of which 75 are books; there are 98.
    assert "a-long-name-of-books 10.00% 99 0.765 9 202.00" in lines


def test_sources_without_domains_leave_their_names_whole_in_eighty_columns():
    planned = mixed(axes={"replay_fraction": [0.01, 0.5]})
    german = planned.datasets["german"]
    sources = {
        name: replace(source, tokens=1_234_567, documents=1_234, domain_tokens={})
        for name, source in zip(("wikipedia", "book"), german.sources.values(), strict=True)
    }
    weights = dict(zip(sources, german.weights.values(), strict=True))
    datasets = planned.datasets | {"german": replace(german, sources=sources, weights=weights)}
    rows = [line.split()[0] for line in page(replace(planned, datasets=datasets), 80)[6:10]]
    assert rows == ["wiki", "german", "wikipedia", "book"]


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_with_sources_is_not_cut_off(width: int):
    lines = page(mixed(axes={"replay_fraction": [0.01, 0.5]}), width)
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]


def test_what_is_odd_about_the_data_is_said():
    lines = page(mixed())
    assert "wiki: 1 document without text left out." in lines
    assert "german: 3 documents without text left out." in lines
    assert "german: 3 of 9 held-out documents stand in the training data of german too." in lines
    assert not [line for line in page(plan()) if "left out" in line or "held-out" in line]


def test_replay_that_is_not_the_papers_is_said():
    options = {"order": "reshuffled", "offset": 0.25, "accounting": "additive"}
    told = " ".join(" ".join(page(plan(replay=options))).split())
    assert (
        "replay: reshuffled; starts after 0.25 of what was seen; additive, so stages are longer by "
        "their replay and budgets count new tokens." in told
    )
    assert not [line for line in page(plan()) if line.startswith("replay:")]


def test_a_trial_shows_its_last_stage():
    lines = page(plan(axes={"max_lr": [6e-3]}))
    (row,) = [line.split() for line in lines if line.startswith("max_lr=0.006")]
    assert row == ["max_lr=0.006", "0", "→", "0.006", "→", "0.0006", "2", "0.25", "750", "10"]


def test_a_rate_that_never_changes_is_told_once():
    rows = [line.split() for line in page(plan(baselines=["no_rewarm"]))]
    (row,) = [cells for cells in rows if cells and cells[0] == "no_rewarm"]
    assert row == ["no_rewarm", "0.0002", "0", "0.25", "750", "10"]


def test_many_trials_are_told_by_their_axes():
    lines = [" ".join(line.split()) for line in page(plan(**GRID))]
    assert "306 trials, grid; --all lists each" in lines
    assert "max_lr 0.001, 0.002, 0.004, 0.008, 0.016" in lines
    assert "baselines no_rewarm, union" in lines


def test_all_lists_every_setting():
    planned = plan(**GRID)
    lines = page(planned, 160, whole=True)
    labels = {without_seed(trial.label, trial.factors["seed"]) for trial in planned.trials}
    assert len(labels) == 102
    assert all(any(line.startswith(f"{label} ") for line in lines) for label in labels)


def test_trials_that_differ_in_their_seed_are_one_line():
    seeds = {"max_lr": [6e-3], "seed": [0, 7, 9]}
    lines = [" ".join(line.split()) for line in page(plan(axes=seeds, baselines=["union"]))]
    start = lines.index("9 trials: 3 settings x 3 seeds")
    assert [line.split(" ")[0] for line in lines[start + 3 : start + 7]] == [
        "center",
        "max_lr=0.006",
        "union",
        "",
    ]
    assert "2 trials" in page(plan(axes={"max_lr": [6e-3]}))


def test_the_table_of_costs_says_what_to_give():
    lines = page(plan())
    assert "worker-hours ? ? ?" in [" ".join(line.split()) for line in lines]
    assert lines[-2:] == [
        "? hours: give cost.tokens_per_second, of one worker, or try --measure",
        "? money: give cost.price_per_worker_hour",
    ]


def test_the_table_of_costs_compares_with_pre_training_once():
    planned = plan(axes={"schedule": ["cosine", "constant"]})
    lines = [" ".join(line.split()) for line in page(planned, tokens_per_second=1.0)]
    assert "training tokens 2,800 2,400 2,200 91.7%" in lines
    assert "after pre-training 2,000 2,000 1,800 90.0%" in lines


# Words.


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9_999_999, "9,999,999"), (10_000_000, "10M"), (299_278_467_072, "299.3B"),
     (1.2e13, "12T"), (3e15, "3P")],
)  # fmt: skip
def test_quantities(number: float, text: str):
    assert quantity(number) == text


def test_words():
    assert (counted(1, "state"), counted(1200, "state")) == ("1 state", "1,200 states")
    assert (stored(900), stored(48_100_000), stored(5.54e11)) == ("900 B", "48.1 MB", "554 GB")
    assert (hours(0.001), hours(0.5), hours(2.25), hours(83_248.0)) == (
        "3.6 s", "30 min", "2.25 h", "83,248 h",
    )  # fmt: skip
    assert (listed(["a"]), listed(["a", "b", "c"])) == ("a", "a, b and c")
    assert Fraction(quantity(512_000).replace(",", "")) == 512_000
