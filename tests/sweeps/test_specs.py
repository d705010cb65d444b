"""The sweep files that come with the checkout: what they say of the paper, and what they save."""

from pathlib import Path

import pytest

from cpt.dataset_config import DatasetConfig, content_of
from sweeps.cost import Costs, costs, given_tariff
from sweeps.declared import declared_facts, declared_plan
from sweeps.plan import Plan, make_plan
from sweeps.sweep_file import load

SPECS = Path(__file__).parents[2] / "specs"
BYTES = 257


def plan(name: str, *overrides: str) -> Plan:
    """Planned from declared sizes; those that every machine has count as ten million tokens."""
    spec, _ = load(SPECS / f"{name}.yaml", overrides)
    datasets = {
        key: dataset.model_copy(update={"tokens": dataset.tokens or 10_000_000})
        if isinstance(dataset, DatasetConfig)
        else dataset
        for key, dataset in spec.datasets.items()
    }
    spec = spec.model_copy(update={"datasets": datasets})
    return make_plan(spec, declared_facts(spec), spec.model.vocab_size or BYTES)


def reckoned(planned: Plan) -> Costs:
    return costs(planned, given_tariff(planned.spec))


def planned_share(name: str) -> float:
    """Tokens as planned, as a share of pre-training once for each seed."""
    found = reckoned(plan(name))
    return found.planned.training_tokens / found.pretrained_once.training_tokens


def test_every_sweep_file_is_planned():
    names = {path.stem for path in SPECS.glob("*.yaml")}
    assert {"quickstart", "budgets", "three-stages", "three-datasets"} <= names
    assert {"paper-weak", "paper-strong"} <= names
    assert all(plan(name).spec.name == name for name in names)


def test_no_two_data_sets_of_a_sweep_file_are_one_corpus():
    """A report finds the rows of a data set by its corpus."""
    # Re-warming on unchanged data has but one, whose rows are those of both.
    unchanged = SPECS / "paper-mini-unchanged.yaml"
    for path in set(SPECS.glob("*.yaml")) - {unchanged}:
        datasets = [
            str([content_of(source) for source in dataset.sources.values()])
            for dataset in load(path)[0].datasets.values()
        ]
        assert len(set(datasets)) == len(datasets)


@pytest.mark.parametrize(
    ("name", "steps", "replay"),
    [
        ("paper-weak", 132_366, [0, 0.005, 0.01, 0.05, 0.1, 0.5]),
        ("paper-strong", 88_457, [0, 0.01, 0.05, 0.1, 0.25, 0.5]),
    ],
)
def test_the_papers_studies_have_its_scale(name: str, steps: int, replay: list[float]):
    spec, _ = load(SPECS / f"{name}.yaml")
    planned = declared_plan(spec)  # nothing has to be added: all sizes are declared
    assert planned.model.num_parameters == 405_334_016
    assert planned.spec.tokens_per_step == 2_260_992
    (center,) = [trial for trial in planned.trials if trial.label == "center,seed=0"]
    upstream, last = (planned.states[end].config for end in center.stage_ends)
    assert (upstream.end_step, last.end_step) == (132_366, steps)
    assert (upstream.lr(0), upstream.schedule.max_lr) == (0.0, 3e-4)
    assert upstream.schedule.warmup_steps(upstream.total_steps) == pytest.approx(1323.66)
    axes = planned.to_json()["axes"]
    assert axes["max_lr"] == [1.5e-4, 3e-4, 6e-4]
    assert axes["warmup_fraction"] == [0, 0.005, 0.01, 0.02]
    assert axes["replay_fraction"] == replay
    # Fourteen settings and four baselines, each with three seeds.
    assert len(planned.trials) == (1 + 2 + 3 + 5 + 3 + 4) * 3


@pytest.mark.parametrize("size", ["mini", "small"])
@pytest.mark.parametrize("shift", ["weak", "strong"])
def test_the_miniatures_have_the_shape_of_the_papers_studies(size: str, shift: str):
    planned = plan(f"paper-{size}-{shift}")
    axes, peak = planned.to_json()["axes"], planned.to_json()["center"]["max_lr"]
    assert [rate / peak for rate in axes["max_lr"]] == [0.5, 1, 2]
    assert axes["warmup_fraction"] == [0, 0.005, 0.01, 0.02]
    assert axes["replay_fraction"] == [0, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5]
    assert axes["schedule"] == ["cosine", "constant", "infinite_cosine", "infinite_inverse_sqrt"]
    # Fifteen settings and four baselines; no_redecay trains what the constant schedule does.
    assert len(planned.trials) == (1 + 2 + 3 + 6 + 3 + 4) * 3
    assert len(planned.states) == (1 + 15 + 3) * 3
    (center,) = [trial for trial in planned.trials if trial.label == "center,seed=0"]
    assert [planned.states[end].config.end_step for end in center.stage_ends] == [1500, 1000]
    assert planned.states[center.stage_ends[0]].config.schedule.max_lr == peak


def test_the_miniatures_share_one_pre_training():
    def pretrained(name: str) -> set[str]:
        states = plan(f"paper-mini-{name}").states
        return {key for key, state in states.items() if state.stage == "upstream"}

    assert len(pretrained("weak")) == 3
    for name in ("strong", "unchanged", "code"):
        assert pretrained(name) == pretrained("weak")


def test_slimpajama_is_mixed_as_the_authors_mixed_it():
    planned = declared_plan(load(SPECS / "paper-weak.yaml")[0])
    (center,) = [trial for trial in planned.trials if trial.label == "center,seed=0"]
    last = planned.states[center.states[-1]].config
    read = dict(zip([one.label for one in last.stream], last.source_samples(), strict=True))
    replayed = read.pop("pile")
    new = sum(read.values())
    assert replayed == (132_366 * 1104) // 20
    # The percentages of the paper's data table.
    assert {name: round(100 * samples / new, 2) for name, samples in read.items()} == {
        "slimpajama/commoncrawl": 52.09,
        "slimpajama/c4": 26.69,
        "slimpajama/github": 5.22,
        "slimpajama/arxiv": 4.43,
        "slimpajama/books": 4.20,
        "slimpajama/wikipedia": 4.00,
        "slimpajama/stackexchange": 3.37,
    }
    assert planned.datasets["slimpajama"].tokens == 299_270_000_000


def test_both_shifts_share_one_pre_training():
    weak, strong = plan("paper-weak"), plan("paper-strong")
    ids = {name for name, state in weak.states.items() if state.stage == "upstream"}
    assert len(ids) == 3
    assert ids <= set(strong.states)


def test_five_budgets_cost_little_more_than_the_longest():
    planned = plan("budgets")
    budgets = [planned.states[trial.states[-1]].config.token_budget for trial in planned.trials]
    assert budgets == [512_000, 1_024_000, 1_536_000, 2_048_000, 2_560_000]
    assert planned_share("budgets") < 0.45
    # Pre-training left out: one trunk to 0.87 x 5 budgets, and 0.13 of each of the five.
    found = reckoned(planned)
    share = found.planned.tokens_after_pretraining / found.alone.tokens_after_pretraining
    assert share == pytest.approx((0.87 * 5 + 0.13 * 15) / 15, abs=0.001)


def test_four_by_four_stages_train_the_first_four_once():
    planned = plan("three-stages", "baselines=[]")
    assert len(planned.trials) == 16
    assert len(planned.states) == 1 + 4 + 16
    found = reckoned(planned)
    assert found.planned.training_tokens / found.pretrained_once.training_tokens < 0.65
    assert planned_share("three-stages") < 0.65


def test_infinite_schedules_pass_from_stage_to_stage_without_re_warming():
    planned = plan("three-datasets")
    (trial,) = [
        trial for trial in planned.trials if trial.label == "schedule=infinite_cosine,seed=0"
    ]
    first, second, third = (planned.states[end].config for end in trial.stage_ends)
    held = (3e-4 + 3e-5) / 2
    assert first.lr(first.end_step) == second.lr(0) == second.lr(second.end_step) == third.lr(0)
    assert third.lr(0) == pytest.approx(held)
    assert third.lr(third.end_step) == pytest.approx(3e-5)
