"""What names a training state, what does not, and what a configuration refuses."""

import json
import os
import random
import subprocess
import sys
from fractions import Fraction as F

import pytest

from cpt.config import EvaluationConfig, RunConfig
from cpt.dataset_config import DatasetConfig
from cpt.model_config import PRESETS, ModelConfig, padded_vocab_size
from cpt.parsing import ConfigError, parse
from cpt.schedule_config import ScheduleConfig

CONTENT = {
    "label": "max_lr=3e-3",
    "model": {"num_layers": 3, "hidden_size": 64, "num_heads": 2, "vocab_size": 256},
    "sequence_length": 128,
    "global_batch_size": 32,
    "total_steps": 1000,
    "schedule": {"type": "cosine", "max_lr": 3e-3, "min_lr": 3e-4, "warmup_fraction": 0.01},
    "stream": [
        {"name": "wiki", "corpus": "wiki-1a", "weight": "1/20"},
        {"name": "german", "corpus": "german-2b", "weight": "19/20"},
    ],
    "evaluation": {
        "datasets": [
            {"name": "wiki", "corpus": "wiki-valid-3c"},
            {"name": "german", "corpus": "german-valid-4d"},
        ],
        "interval_steps": 100,
        "final_window_steps": 100,
        "final_window_interval_steps": 10,
    },
    "parent": "steps500-seed0-0123456789ab",
}
GOLDEN_ID = "steps1000-seed0-1f4a3370e5bc"


def content(**changes: object) -> dict:
    """The content above, with dotted fields changed: `model__tied=True`."""
    result = json.loads(json.dumps(CONTENT))
    for path, value in changes.items():
        *owners, field = path.split("__")
        place = result
        for owner in owners:
            place = place.setdefault(owner, {})
        place[field] = value
    return result


def run(**changes: object) -> RunConfig:
    return parse(RunConfig, content(**changes))


def state_id(**changes: object) -> str:
    return run(**changes).state_id


def shuffled_keys(value: object, rng: random.Random) -> object:
    if isinstance(value, dict):
        keys = rng.sample(sorted(value), len(value))
        return {key: shuffled_keys(value[key], rng) for key in keys}
    return [shuffled_keys(item, rng) for item in value] if isinstance(value, list) else value


# The state id.


def test_the_id_of_a_known_run_never_changes():
    assert state_id() == GOLDEN_ID


def test_the_identity_is_plain_json_without_defaults():
    assert run(seed=5).identity() == {
        "version": 1,
        "model": {"num_layers": 3, "hidden_size": 64, "num_heads": 2, "vocab_size": 256},
        "sequence_length": 128,
        "global_batch_size": 32,
        "total_steps": 1000,
        "schedule": [
            ["linear", 0.0, 10.0, 0.0, 0.003, 0.0],
            ["cosine", 10.0, 1000.0, 0.003, 0.0003, 0.0],
        ],
        "stream": [["wiki-1a", "1/20"], ["german-2b", "19/20"]],
        "evaluation": {
            "datasets": ["german-valid-4d", "wiki-valid-3c"],
            "interval_steps": 100,
            "final_window_steps": 100,
            "final_window_interval_steps": 10,
        },
        "parent": "steps500-seed0-0123456789ab",
        "seed": 5,
    }


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_finds_the_same_id(hash_seed):
    program = (
        "import json, sys; from cpt.config import RunConfig; from cpt.parsing import parse;"
        "sys.stdout.write(parse(RunConfig, json.load(sys.stdin)).state_id)"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(CONTENT),
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout == GOLDEN_ID


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_keys_does_not_change_the_id(seed):
    reordered = shuffled_keys(CONTENT, random.Random(seed))
    assert parse(RunConfig, reordered).state_id == GOLDEN_ID


def test_what_is_written_to_config_json_reads_back_as_the_same_state():
    written = json.dumps(run().model_dump(mode="json"))
    again = parse(RunConfig, json.loads(written))
    assert (again, again.state_id) == (run(), GOLDEN_ID)


def renamed(items: list[dict]) -> list[dict]:
    return [{**item, "name": item["name"].upper()} for item in items]


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "another"},
        {"micro_batch_size": 4},
        {"checkpoint_interval_steps": 7},
        {"keep_checkpoints": 7},
        {"log_interval_steps": 10},
        {"evaluation__batch_sequences": 8},
        {"stream": renamed(CONTENT["stream"])},
        {"evaluation__datasets": renamed(CONTENT["evaluation"]["datasets"])},
        {"evaluation__datasets": CONTENT["evaluation"]["datasets"][::-1]},
    ],
    ids=str,
)
def test_what_changes_no_number_does_not_change_the_id(changes):
    assert state_id(**changes) == GOLDEN_ID


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 0},
        {"precision": "fp32"},
        {"optimizer": {}},
        {"optimizer": {"betas": [0.9, 0.95], "eps": 1e-8}},
        {"optimizer": {"weight_decay": 0.1, "max_grad_norm": 1}},
        {"model__rotary_fraction": 0.25},
        {"model__rotary_base": 10_000, "model__norm_eps": 1e-5},
        {"model__parallel_residual": True, "model__tied": False},
        {"model__intermediate_size": None},
        {"model__intermediate_size": 256},  # 4 x 64
        {"schedule__start_lr": 0},
        {"document_end": None},
        {"evaluation__tokens_per_dataset": 65_536},
    ],
    ids=str,
)
def test_a_default_spelled_out_is_the_same_state(changes):
    assert state_id(**changes) == GOLDEN_ID


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule__max_lr": "3e-3"},  # as PyYAML reads it
        {"total_steps": 1e3},
        {"total_steps": "1_000"},
        {"stream": [{**CONTENT["stream"][0], "weight": 1}, {**CONTENT["stream"][1], "weight": 19}]},
        {
            "stream": [
                {**CONTENT["stream"][0], "weight": 0.05},
                {**CONTENT["stream"][1], "weight": 0.95},
            ]
        },
        {"schedule__timescale": 3.0},  # a cosine has none
        {"schedule__cooldown_fraction": 0.5, "schedule__constant_lr": 1e-3},
        {"schedule__decay_fraction": 0.5},
    ],
    ids=str,
)
def test_two_spellings_of_one_run_are_one_state(changes):
    assert state_id(**changes) == GOLDEN_ID


CHANGES = [
    {"model__num_layers": 4},
    {"model__hidden_size": 128},
    {"model__num_heads": 4},
    {"model__vocab_size": 320},
    {"model__intermediate_size": 128},
    {"model__rotary_fraction": 1.0},
    {"model__rotary_base": 500_000},
    {"model__norm_eps": 1e-6},
    {"model__parallel_residual": False},
    {"model__tied": True},
    {"sequence_length": 64},
    {"global_batch_size": 16},
    {"total_steps": 999},
    {"stop_step": 500},
    {"schedule__type": "constant"},
    {"schedule__type": "wsd"},
    {"schedule__type": "infinite_cosine"},
    {"schedule__type": "infinite_inverse_sqrt"},
    {"schedule__type": "infinite_inverse_sqrt", "schedule__timescale": 9},
    {"schedule__max_lr": 6e-3},
    {"schedule__min_lr": 0},
    {"schedule__start_lr": 1e-4},
    {"schedule__warmup_fraction": 0.02},
    {"stream": CONTENT["stream"][::-1]},
    {"stream": CONTENT["stream"][:1]},
    {"stream": [{**CONTENT["stream"][0], "corpus": "wiki-5e"}, CONTENT["stream"][1]]},
    {"stream": [{**CONTENT["stream"][0], "weight": 0.1}, CONTENT["stream"][1]]},
    {"evaluation__datasets": CONTENT["evaluation"]["datasets"][:1]},
    {"evaluation__interval_steps": 50},
    {"evaluation__tokens_per_dataset": 4096},
    {"evaluation__final_window_steps": 50},
    {"evaluation__final_window_interval_steps": 5},
    {"parent": None},
    {"parent": None, "weights": "0123456789abcdef"},
    {"parent": "steps500-seed1-0123456789ab"},
    {"optimizer__betas": [0.9, 0.99]},
    {"optimizer__eps": 1e-6},
    {"optimizer__weight_decay": 0},
    {"optimizer__max_grad_norm": 0.5},
    {"seed": 1},
    {"precision": "bf16"},
    {"document_end": 0},
    {"document_end": 255},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_what_determines_the_numbers_changes_the_id(changes):
    assert state_id(**changes) != GOLDEN_ID


def test_no_two_of_those_changes_share_an_id():
    assert len({state_id(**changes) for changes in CHANGES}) == len(CHANGES)


def test_every_field_is_known_to_determine_the_numbers_or_not_to():
    """A new field belongs in one of the two lists above."""
    touched = {path.split("__")[0] for changes in CHANGES for path in changes}
    recorded_only = {
        "label", "base", "micro_batch_size", "checkpoint_interval_steps", "log_interval_steps",
        "compile", "activation_checkpointing", "replicas", "keep_checkpoints",
    }  # fmt: skip
    assert touched | recorded_only == set(RunConfig.model_fields)


def test_a_wsd_that_never_decays_is_a_constant():
    wsd = {"schedule__type": "wsd", "schedule__decay_fraction": 0}
    assert state_id(**wsd) == state_id(schedule__type="constant")


def test_the_floor_of_a_constant_schedule_is_ignored():
    one, other = (state_id(schedule__type="constant", schedule__min_lr=low) for low in (0, 1e-3))
    assert one == other


def test_start_lr_without_warmup_is_ignored():
    one, other = (
        state_id(schedule__warmup_fraction=0, schedule__start_lr=low) for low in (0, 1e-3)
    )
    assert one == other


def test_the_id_begins_with_what_people_look_for():
    assert state_id(total_steps=2000, seed=3).startswith("steps2000-seed3-")


def stream_id(*sources: dict[str, object]) -> str:
    return state_id(stream=list(sources))


def source(name: str, part: str | None = None, weight: object = 1, **options: object):
    corpus = f"corpus-{name}-{part}" if part else f"corpus-{name}"
    return {"name": name, "part": part, "corpus": corpus, "weight": weight} | options


def test_a_data_set_of_several_sources_is_not_several_data_sets():
    together = [source("slim", "c4", 3), source("slim", "books", 1)]
    apart = [one | {"name": f"slim{number}"} for number, one in enumerate(together)]
    assert run(stream=together).identity()["stream"] == [
        [["corpus-slim-c4", "3/4"], ["corpus-slim-books", "1/4"]]
    ]
    assert run(stream=apart).identity()["stream"] == [
        ["corpus-slim-c4", "3/4"],
        ["corpus-slim-books", "1/4"],
    ]


def test_neither_names_nor_parts_are_hashed():
    one = stream_id(source("old"), source("slim", "c4", 3), source("slim", "books", 1))
    renamed = [
        source("old") | {"name": "pile"},
        source("slim", "c4", 3) | {"name": "s", "part": "a"},
        source("slim", "books", 1) | {"name": "s", "part": "b"},
    ]
    assert stream_id(*renamed) == one


def test_how_replay_is_read_is_hashed_where_it_is_not_the_default():
    options = [{}, {"seen": 9}, {"seen": 9, "offset": 2}, {"seen": 9, "order": "reshuffled"}]
    ids = {stream_id(source("old", weight=1, **option), source("new")) for option in options}
    assert len(ids) == 4
    assert run(stream=[source("old", seen=9, offset=2)]).identity()["stream"] == [
        ["corpus-old", "1", {"offset": 2, "seen": 9}]
    ]


def test_a_source_is_called_by_its_data_set_and_its_part():
    config = run(stream=[source("wiki"), source("slim", "c4")])
    assert [one.label for one in config.stream] == ["wiki", "slim/c4"]


@pytest.mark.parametrize(
    ("sources", "sentence"),
    [
        ([source("old", offset=2)], "seen is missing; order and offset are of what was seen"),
        ([source("old", order="reshuffled")], "seen is missing; order and offset are of what was"),
        ([source("old", offset=9, seen=9)], "offset 9 must be below seen, 9"),
        ([source("old"), source("new"), source("old")], "must name each source once"),
    ],
)
def test_a_stream_that_cannot_be_read_is_refused(sources, sentence):
    with pytest.raises(ConfigError, match=sentence):
        run(stream=sources)


# Derived numbers.


def test_tokens_count_replay_too():
    assert (run().tokens_per_step, run().token_budget) == (4096, 4_096_000)


def test_the_samples_of_each_source():
    assert run().source_samples() == [1600, 30_400]


def test_weights_are_exact():
    assert run().shares == [[F(1, 20)], [F(19, 20)]]


def test_lr_is_that_of_the_schedule():
    assert [run().lr(step) for step in (0, 5, 10, 1000)] == [0.0, 0.0015, 0.003, 0.0003]


def schedule_config(**fields: object) -> ScheduleConfig:
    return parse(ScheduleConfig, {"max_lr": 1.0, "min_lr": 0.1, "warmup_fraction": 0.1, **fields})


@pytest.mark.parametrize(
    ("kind", "pieces"),
    [
        ("constant", [("warmup", 0, 10), ("constant", 10, 100)]),
        ("cosine", [("warmup", 0, 10), ("decay", 10, 100)]),
        (
            "infinite_cosine",
            [("warmup", 0, 10), ("cooldown", 10, 70), ("constant", 70, 95), ("anneal", 95, 100)],
        ),
        (
            "infinite_inverse_sqrt",
            [("warmup", 0, 10), ("cooldown", 10, 70), ("constant", 70, 95), ("anneal", 95, 100)],
        ),
        ("wsd", [("warmup", 0, 10), ("stable", 10, 80), ("decay", 80, 100)]),
    ],
)
def test_fractions_are_of_this_stages_steps(kind, pieces):
    built = schedule_config(type=kind).pieces(100)
    assert [(piece.phase, piece.start, piece.end) for piece in built] == pieces


@pytest.mark.parametrize("kind", ["constant", "cosine", "infinite_cosine", "wsd"])
def test_every_schedule_starts_at_its_start_lr(kind):
    assert schedule_config(type=kind, start_lr=0.3).pieces(100)[0].start_lr == 0.3


def test_a_constant_schedule_may_lie_below_the_floor_it_ignores():
    assert schedule_config(type="constant", max_lr=0.05, min_lr=0.1).pieces(100)[-1].end_lr == 0.05


def test_the_rate_held_is_halfway_between_peak_and_floor():
    pieces = schedule_config(type="infinite_cosine", max_lr=3e-4, min_lr=3e-5).pieces(100)
    assert pieces[2].start_lr == pytest.approx(1.65e-4, rel=1e-12)


def test_the_rate_held_may_be_given():
    pieces = schedule_config(type="infinite_cosine", constant_lr=0.2).pieces(100)
    assert pieces[2].start_lr == 0.2


def test_each_infinite_schedule_has_its_own_cooldown():
    kinds = ["infinite_cosine", "infinite_inverse_sqrt"]
    shapes = [schedule_config(type=kind).pieces(100)[1].shape for kind in kinds]
    assert shapes == ["cosine", "inverse_sqrt"]


def test_the_papers_warmup_is_not_rounded():
    pieces = schedule_config(type="cosine", warmup_fraction=0.01).pieces(132_366)
    assert pieces[0].end == pytest.approx(1323.66, rel=1e-12)


# When to evaluate.


def evaluation_steps(
    total_steps: int, *, interval: int, window: int, window_interval: int
) -> list[int]:
    config = EvaluationConfig(
        datasets=(),
        interval_steps=interval,
        final_window_steps=window,
        final_window_interval_steps=window_interval,
    )
    return list(config.steps(total_steps))


def test_evaluations_at_zero_log_spaced_regular_and_in_the_window():
    assert evaluation_steps(50, interval=10, window=6, window_interval=2) == [
        0, 1, 2, 4, 8, 10, 20, 30, 40, 46, 48, 50,
    ]  # fmt: skip


def test_the_window_of_the_paper_holds_ten_evaluations():
    steps = evaluation_steps(132_366, interval=1000, window=100, window_interval=10)
    assert [step for step in steps if step > 132_266] == [
        132_276, 132_286, 132_296, 132_306, 132_316, 132_326, 132_336, 132_346, 132_356, 132_366,
    ]  # fmt: skip


def test_regular_evaluations_do_not_crowd_the_window():
    steps = evaluation_steps(1005, interval=50, window=100, window_interval=10)
    assert [step for step in steps if step > 905] == [
        915, 925, 935, 945, 955, 965, 975, 985, 995, 1005,
    ]  # fmt: skip


def test_a_run_shorter_than_its_window_is_all_window():
    assert evaluation_steps(25, interval=10, window=100, window_interval=10) == [0, 5, 15, 25]


def test_an_interval_of_one_evaluates_every_step():
    assert evaluation_steps(4, interval=1, window=1, window_interval=1) == [0, 1, 2, 3, 4]


def test_log_spaced_evaluations_stop_below_the_interval():
    assert evaluation_steps(20, interval=8, window=1, window_interval=1) == [0, 1, 2, 4, 8, 16, 20]


def test_an_interval_beyond_the_end_leaves_only_log_spaced_ones():
    assert evaluation_steps(10, interval=100, window=1, window_interval=1) == [0, 1, 2, 4, 8, 10]


# Models.


def test_the_parameters_of_a_tiny_model_counted_by_hand():
    # width 2: attention 4*4 + 4*2, MLP 2*2*8 + 8 + 2, two norms 2*4, final norm 4, embeddings 2*6
    model = ModelConfig(num_layers=1, hidden_size=2, num_heads=1, vocab_size=3)
    assert model.num_parameters == 24 + 42 + 8 + 4 + 12


def test_a_tied_model_has_one_embedding():
    model = ModelConfig(num_layers=1, hidden_size=2, num_heads=1, vocab_size=3, tied=True)
    assert model.num_parameters == 24 + 42 + 8 + 4 + 6


def test_a_narrower_mlp_has_fewer_parameters():
    model = ModelConfig(num_layers=1, hidden_size=2, num_heads=1, vocab_size=3, intermediate_size=5)
    assert model.num_parameters == 24 + (2 * 2 * 5 + 5 + 2) + 8 + 4 + 12


def test_flops_leave_out_the_look_up_and_count_attention():
    # 6 * (90 parameters - 6 of the input embedding) + 12 * 1 layer * width 2 * 10 tokens
    model = ModelConfig(num_layers=1, hidden_size=2, num_heads=1, vocab_size=3)
    assert model.flops_per_token(10) == 504 + 240


def test_parameters_are_not_known_before_the_vocabulary_is():
    with pytest.raises(ValueError, match="vocab_size is not resolved yet"):
        _ = PRESETS["gpt-1m"].num_parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pythia-70m", 70_426_624),
        ("pythia-160m", 162_322_944),
        ("pythia-410m", 405_334_016),  # the paper's 405M
    ],
)
def test_the_pythia_presets_have_the_published_sizes(name, parameters):
    model = PRESETS[name]
    assert model.mlp_size == 4 * model.hidden_size
    assert not model.tied
    assert model.num_parameters == parameters


@pytest.mark.parametrize(
    ("name", "parameters"), [("gpt-200k", 182_848), ("gpt-1m", 858_880), ("gpt-10m", 10_028_160)]
)
def test_the_small_presets_have_the_size_they_are_named_for(name, parameters):
    assert PRESETS[name].vocab_size is None
    assert PRESETS[name].model_copy(update={"vocab_size": 256}).num_parameters == parameters


@pytest.mark.parametrize(("name", "rotated"), [("pythia-70m", 16), ("pythia-410m", 16)])
def test_a_quarter_of_each_head_is_rotated(name, rotated):
    assert (PRESETS[name].head_size, PRESETS[name].rotary_size) == (64, rotated)


@pytest.mark.parametrize(("fraction", "rotated"), [(0, 0), (0.1, 2), (0.25, 8), (0.3, 8), (1, 32)])
def test_the_rotated_part_is_even(fraction, rotated):
    model = ModelConfig(num_layers=1, hidden_size=64, num_heads=2, rotary_fraction=fraction)
    assert model.rotary_size == rotated


@pytest.mark.parametrize(("size", "padded"), [(1, 64), (64, 64), (65, 128), (50_257, 50_304)])
def test_the_vocabulary_is_padded_to_a_multiple_of_64(size, padded):
    assert padded_vocab_size(size) == padded


# Data sets.


def test_one_file_may_stand_without_brackets():
    dataset = parse(DatasetConfig, {"path": "json", "train": "a.jsonl", "validation": ["b", "c"]})
    assert (dataset.train, dataset.validation) == (("a.jsonl",), ("b", "c"))


def test_a_local_corpus_needs_no_files():
    assert parse(DatasetConfig, {"path": "local:python-prose"}).train == ()


# Refusals.


def test_a_configuration_cannot_be_edited():
    with pytest.raises(ValueError, match="frozen"):
        run().seed = 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"model__num_heads": 3},
            "hidden_size 64 must be a multiple of num_heads 3.",
        ),
        ({"model__num_layers": 0}, "model.num_layers: got 0; must be above 0."),
        ({"model__rotary_fraction": 1.5}, "model.rotary_fraction: got 1.5; must be in [0, 1]."),
        ({"model__vocab_size": None}, "model.vocab_size must be a number in a RunConfig."),
        ({"total_steps": 0.5}, "total_steps: got 0.5; must be a whole number."),
        ({"seed": -1}, "seed: got -1; must be at least 0."),
        ({"document_end": 256}, "document_end 256 must be below model.vocab_size, 256."),
        ({"document_end": -1}, "document_end: got -1; must be at least 0."),
        ({"stream": []}, "stream: got []; must be a list of at least 1."),
        (
            {"precision": "bf61"},
            "precision: got 'bf61'; must be one of fp32, bf16; did you mean 'bf16'?",
        ),
        (
            {"schedule__type": "cosin"},
            "schedule.type: got 'cosin'; must be one of constant, cosine, infinite_cosine, "
            "infinite_inverse_sqrt, wsd; did you mean 'cosine'?",
        ),
        ({"schedule__min_lr": 4e-3}, "min_lr 0.004 must not exceed max_lr 0.003."),
        ({"schedule__start_lr": 4e-3}, "start_lr 0.004 must not exceed max_lr 0.003."),
        (
            {"schedule__type": "infinite_cosine", "schedule__min_lr": 0},
            "min_lr must be above 0 for infinite_cosine, whose anneal is geometric.",
        ),
        (
            {"schedule__type": "infinite_cosine", "schedule__warmup_fraction": 0.2},
            "warmup_fraction, cooldown_fraction and constant_fraction must sum to at most 1, "
            "not 1.05.",
        ),
        (
            {"schedule__type": "infinite_cosine", "schedule__constant_lr": 1e-4},
            "constant_lr 0.0001 must lie between min_lr 0.0003 and max_lr 0.003.",
        ),
        (
            {"schedule__type": "wsd", "schedule__warmup_fraction": 0.9},
            "warmup_fraction and decay_fraction must sum to at most 1.",
        ),
        ({"optimizer__betas": [0.9]}, "optimizer.betas[1] is missing; it has no default."),
        (
            {"optimizer__betas": [0.9, 0.95, 0.99]},
            "optimizer.betas: got [0.9, 0.95, 0.99]; must be a list of at most 2.",
        ),
        ({"models": {}}, "models is not a known field; did you mean 'model'?"),
    ],
    ids=str,
)
def test_a_run_is_refused_in_a_sentence(changes, sentence):
    with pytest.raises(ConfigError) as error:
        run(**changes)
    assert len(error.value.faults) == 1
    assert error.value.faults[0].endswith(sentence)


def test_a_rule_about_two_fields_names_where_they_stand():
    with pytest.raises(ConfigError, match=r"^model: got \{'num_layers': 3, .*; hidden_size 64"):
        run(model__num_heads=3)


def test_three_fractions_that_sum_to_one_in_decimals_are_accepted():
    assert 0.197 + 0.687 + 0.116 > 1  # by one bit
    pieces = schedule_config(
        type="infinite_cosine",
        warmup_fraction=0.197,
        cooldown_fraction=0.687,
        constant_fraction=0.116,
    ).pieces(1000)
    assert [piece.phase for piece in pieces] == ["warmup", "cooldown", "constant"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"path": "local:python-pros"},
            "path 'local:python-pros' must be one of local:python-prose, local:python-code; "
            "did you mean 'local:python-prose'?",
        ),
        (
            {"path": "local:python-code", "train": "a"},
            "local:python-code splits itself; leave out train, validation and validation_share.",
        ),
        (
            {"path": "json", "train": "a"},
            "train and validation must name files or splits; validation_share in place of "
            "validation cuts one out of train.",
        ),
    ],
)
def test_a_dataset_is_refused_in_a_sentence(fields, sentence):
    with pytest.raises(ConfigError) as error:
        parse(DatasetConfig, fields)
    assert error.value.faults == (sentence,)
