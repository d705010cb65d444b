"""The sweep file: what it may say, what an override changes, and every refusal in one sentence."""

import subprocess
import sys
from fractions import Fraction as F
from pathlib import Path

import pytest
import yaml

from cpt.model_config import PRESETS
from cpt.parsing import ConfigError
from sweeps.factors import ScheduleShape
from sweeps.spec import SweepSpec
from sweeps.sweep_file import load

CONTRACT = """
name: english-to-german
storage: results
model: gpt-1m
tokenizer: bytes
sequence_length: 128
global_batch_size: 32
datasets:
  wiki:   {path: json, train: en.jsonl, validation: en_v.jsonl, text: text, domain: domain}
  german: {path: json, train: [de1.jsonl, de2.jsonl], validation: [de_v.jsonl]}
upstream:
  dataset: wiki
  token_budget: 4_000_000
  schedule: {type: cosine, max_lr: 3e-3, warmup_fraction: 0.01}
downstream:
  dataset: german
  token_budget: 2_000_000
  min_lr_fraction: 0.1
axes:
  max_lr: [1.5e-3, 3e-3, 6e-3]
  warmup_fraction: [0, 0.005, 0.01, 0.02]
  replay_fraction: [0, 0.01, 0.05, 0.25, 0.5]
  schedule: [cosine, constant, infinite_cosine, infinite_inverse_sqrt, wsd]
  seed: [0, 1, 2]
design: one_at_a_time
center: {max_lr: 3e-3, warmup_fraction: 0.01, replay_fraction: 0.05, schedule: cosine}
baselines: [no_rewarm, no_redecay, downstream_only, union]
stopping: {type: none}
resources: {workers: 1, cpus_per_worker: 1, gpus_per_worker: 0}
"""
SCHEDULES = "constant, cosine, infinite_cosine, infinite_inverse_sqrt, wsd"
SHAPE_FIELDS = "constant_fraction, cooldown_fraction, decay_fraction, timescale, type"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.yaml"
    path.write_text(CONTRACT, encoding="utf-8")
    return path


def spec(file: Path, *overrides: str) -> SweepSpec:
    return load(file, overrides)[0]


def refusals(file: Path, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(file, overrides)
    return caught.value.faults


# What a file says.


def test_the_sweep_file_of_the_contract_parses(file):
    read = spec(file)
    assert read.model == PRESETS["gpt-1m"]
    assert read.datasets["german"].train == ("de1.jsonl", "de2.jsonl")
    assert read.upstream.schedule.max_lr == 0.003
    assert read.axes.max_lr == (0.0015, 0.003, 0.006)
    assert read.axes.replay_fraction == (0, F(1, 100), F(1, 20), F(1, 4), F(1, 2))
    assert read.center.schedule == ScheduleShape(type="cosine")
    assert read.seeds == (0, 1, 2)


def test_budgets_are_rounded_down_to_whole_steps(file):
    read = spec(file)
    assert read.tokens_per_step == 4096
    assert read.steps(read.upstream.token_budget) == 976
    assert [read.steps(stage.token_budget) for stage in read.stages] == [488]


def test_without_a_seed_axis_there_is_seed_0(file):
    assert spec(file, "axes={max_lr: [1e-3]}").seeds == (0,)


def test_numbers_that_yaml_reads_as_text_are_numbers(file):
    """PyYAML reads `3e-4` as a string, for want of a dot."""
    assert yaml.safe_load("3e-4") == "3e-4"
    assert spec(file, "axes.max_lr=[3e-4]").axes.max_lr == (0.0003,)


def test_a_replay_fraction_is_exact_however_it_is_written(file):
    assert spec(file, "axes.replay_fraction=[1/3, 5e-2]").axes.replay_fraction == (
        F(1, 3),
        F(1, 20),
    )


def test_a_model_may_be_a_mapping(file):
    read = spec(file, "model={num_layers: 1, hidden_size: 16, num_heads: 2}")
    assert (read.model.num_layers, read.model.vocab_size) == (1, None)


def test_a_schedule_may_be_a_mapping(file):
    read = spec(file, "axes.schedule=[wsd, {type: wsd, decay_fraction: 0.1}]")
    assert [shape.label for shape in read.axes.schedule or ()] == ["wsd", "wsd(decay_fraction=0.1)"]


def test_a_file_uri_is_its_path(file):
    assert spec(file, "storage=file:///data/results").storage == "/data/results"


# Overrides.


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("downstream.token_budget=1_000_000", "downstream.token_budget", 1_000_000),
        ("downstream.token_budget=1e6", "downstream.token_budget", 1_000_000),
        ("axes.seed=[7, 8]", "axes.seed", (7, 8)),
        ("upstream.schedule.max_lr=1e-2", "upstream.schedule.max_lr", 0.01),
        ("evaluation.interval_steps=5", "evaluation.interval_steps", 5),
        ("resources={workers: 2}", "resources.workers", 2),
        ("name=other", "name", "other"),
    ],
)
def test_an_override_sets_any_field(file, override, path, value):
    found = spec(file, override)
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value


def test_of_two_overrides_the_later_counts(file):
    assert spec(file, "name=first", "name=second").name == "second"


def test_what_was_submitted_holds_the_overrides_and_reads_back(file, tmp_path):
    read, submitted = load(file, ["axes.max_lr=[3e-4]", "name=other"])
    again = tmp_path / "again.yaml"
    again.write_text(submitted, encoding="utf-8")
    assert load(again)[0] == read


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("nonsense", "--set nonsense: must be dotted.field=value."),
        ("=3", "--set =3: must be dotted.field=value."),
        ("name.first=3", "--set name.first=3: name is not a mapping."),
        (
            "axes.seed=[0",
            "--set axes.seed=[0 is not valid YAML: expected ',' or ']', but got '<stream end>' "
            "(line 1, column 10); close the bracket before it.",
        ),
    ],
)
def test_an_override_that_names_no_place_is_refused(file, override, sentence):
    assert refusals(file, override) == (sentence,)


# Refusals.


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        # Unknown keys.
        (
            "sequence_lenght=1",
            "sequence_lenght is not a known field; did you mean 'sequence_length'?",
        ),
        (
            "downstream.token_budgets=1",
            "downstream.token_budgets is not a known field; did you mean 'token_budget'?",
        ),
        (
            "datasets.wiki.txt=body",
            "datasets.wiki.txt is not a known field; did you mean 'text'?",
        ),
        (
            "axes.schedule=[{type: wsd, decay_fractoin: 0.1}]",
            "axes.schedule[0].decay_fractoin is not a known field; did you mean 'decay_fraction'?",
        ),
        (
            "center.schedule={type: wsd, length: 1}",
            f"center.schedule.length is not a known field; legal here: {SHAPE_FIELDS}.",
        ),
        (
            "upstream.schedule.warmup=1",
            "upstream.schedule.warmup is not a known field; did you mean 'warmup_fraction'?",
        ),
        (
            "center.seed=1",
            "center.seed is not a known field; legal here: max_lr, replay_fraction, schedule, "
            "warmup_fraction.",
        ),
        # Wrong types.
        ("sequence_length=many", "sequence_length: got 'many'; must be a whole number."),
        ("sequence_length=1.5", "sequence_length: got 1.5; must be a whole number."),
        ("name=3", "name: got 3; must be text; put it in quotes."),
        (
            "axes=3",
            "axes: got 3; must be a mapping of its fields: max_lr, replay_fraction, schedule, "
            "seed, warmup_fraction.",
        ),
        ("axes.max_lr=3e-3", "axes.max_lr: got '3e-3'; must be a list: [3e-3]."),
        ("axes.max_lr=[null]", "axes.max_lr[0]: got nothing; must be a number."),
        ("baselines=union", "baselines: got 'union'; must be a list: [union]."),
        ("datasets={}", "datasets: got {}; must be a mapping of at least 1."),
        (
            "datasets.wiki=json",
            "datasets.wiki: got 'json'; must be a mapping of its fields: domain, "
            "max_shared_documents, name, part, path, repeat, revision, streaming, text, tokens, "
            "train, validation, validation_share.",
        ),
        # Booleans are numbers to Python.
        ("axes.seed=[true]", "axes.seed[0]: got True; must be a whole number, not true or false."),
        ("axes.max_lr=[no]", "axes.max_lr[0]: got False; must be a number, not true or false."),
        (
            "center.replay_fraction=false",
            "center.replay_fraction: got False; must be a number, not true or false.",
        ),
        ("datasets.wiki.repeat=3", "datasets.wiki.repeat: got 3; must be true or false."),
        # Outside the range.
        ("axes.replay_fraction=[0, 1]", "axes.replay_fraction[1]: got 1; must be in [0, 1)."),
        ("axes.replay_fraction=[-0.1]", "axes.replay_fraction[0]: got -0.1; must be in [0, 1)."),
        (
            "axes.replay_fraction=[1/0]",
            "axes.replay_fraction[0]: got '1/0'; must be a number or a fraction such as 1/20.",
        ),
        ("center.warmup_fraction=1.5", "center.warmup_fraction: got 1.5; must be in [0, 1]."),
        ("axes.max_lr=[0]", "axes.max_lr[0]: got 0; must be above 0."),
        ("axes.max_lr=[.nan]", "axes.max_lr[0]: got nan; must be a finite number."),
        ("axes.seed=[-1]", "axes.seed[0]: got -1; must be at least 0."),
        ("resources.workers=0", "resources.workers: got 0; must be above 0."),
        ("optimizer.betas=[0.9, 1]", "optimizer.betas[1]: got 1; must be in [0, 1)."),
        # Empty and equal trials.
        (
            "axes.max_lr=[]",
            "axes.max_lr: got []; must name at least one value, or be left out.",
        ),
        ("axes.seed=[]", "axes.seed: got []; must name at least one value, or be left out."),
        (
            "axes.max_lr=[3e-3, 0.003]",
            "axes.max_lr[1]: got 0.003 a second time; the two trials would be equal; leave one "
            "out.",
        ),
        (
            "axes.replay_fraction=[1/20, 0.05]",
            "axes.replay_fraction[1]: got 0.05 a second time; the two trials would be equal; "
            "leave one out.",
        ),
        (
            "axes.schedule=[wsd, {type: wsd, decay_fraction: 0.2}]",
            "axes.schedule[1]: got 'wsd' a second time; the two trials would be equal; leave one "
            "out.",
        ),
        (
            "axes.schedule=[{type: cosine, timescale: 5}]",
            "axes.schedule[0]: got {'type': 'cosine', 'timescale': 5}; timescale must be left "
            "out: cosine does not read it.",
        ),
        ("baselines=[union, union]", "baselines: got 'union' twice; name it once."),
        # Budgets.
        (
            "downstream.token_budget=4095",
            "downstream.token_budget: got 4095; must be at least one step, global_batch_size * "
            "sequence_length = 4096 tokens.",
        ),
        (
            "evaluation.final_window_steps=488",
            "evaluation.final_window_steps: got 488; must be below the 488 steps of "
            "downstream.token_budget; lower it or raise that.",
        ),
        (
            "resources.workers=3",
            "global_batch_size: got 32; must be a multiple of resources.workers, 3.",
        ),
        (
            "resources.workers=[4, 2]",
            "resources.workers: got [4, 2]; must be [least, most], the smaller number first.",
        ),
        ("resources.workers=[0, 2]", "resources.workers[0]: got 0; must be above 0."),
        (
            "resources.workers=[1, 33]",
            "global_batch_size: got 32; must be at least 33, the most that resources.workers "
            "allows: a worker trains on whole sequences.",
        ),
        (
            "resources={workers: [2, 4], replicas: 2}",
            "resources.replicas: got 2; must be 1 where resources.workers is a range, which it "
            "may not divide; name one number of workers.",
        ),
        ("resources.max_failures=-1", "resources.max_failures: got -1; must be at least 0."),
        # Names.
        (
            "downstream.dataset=germen",
            "downstream.dataset: got 'germen'; must be a name below datasets; did you mean "
            "'german'?",
        ),
        (
            "upstream.dataset=german",
            "downstream.dataset: got 'german', which is also upstream.dataset; must be other "
            "data, since stages do not return to earlier ones; to train on the same files again, "
            "list them under a second name.",
        ),
        (
            "model=gpt-2m",
            "model: got 'gpt-2m'; must be a preset or a mapping of its fields; did you mean "
            "'gpt-1m'?",
        ),
        (
            "baselines=[no_rewrm]",
            "baselines[0]: got 'no_rewrm'; must be one of no_rewarm, no_redecay, "
            "downstream_only, union; did you mean 'no_rewarm'?",
        ),
        (
            "axes.schedule=[cosin]",
            f"axes.schedule[0].type: got 'cosin'; must be one of {SCHEDULES}; did you mean "
            "'cosine'?",
        ),
        ("design=gird", "design: got 'gird'; must be one of one_at_a_time, grid, random, list; "
         "did you mean 'grid'?"),
        (
            "name=a/b",
            "name: got 'a/b'; must be letters, digits, '.', '_' and '-', since it names a folder.",
        ),
        (
            "name=..",
            "name: got '..'; must be letters, digits, '.', '_' and '-', since it names a folder.",
        ),
        (
            "storage=s3a://bucket/results",
            "storage: got 's3a://bucket/results'; must be a directory, or a URI of a scheme that "
            "pyarrow opens; did you mean 's3'?",
        ),
        (
            "token_storage=ftp://host/tokens",
            "token_storage: got 'ftp://host/tokens'; must be a directory, or a URI of a scheme "
            "that pyarrow opens; legal here: abfs, abfss, file, gcs, gs, hdfs, s3, viewfs.",
        ),
        (
            "token_storage=s3:///tokens",
            "token_storage: got 's3:///tokens'; must name a bucket: s3://BUCKET/FOLDER.",
        ),
        (
            "token_storage=s3://me:hush@bucket/tokens",
            "token_storage: got s3://bucket/tokens with a user, password or key, which would be "
            "written down with it; put that into the environment (e.g. AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY).",
        ),
        ("storage=''", "storage: got ''; must name a directory; '.' is the current one."),
        # Settings that lack something, or hold what nothing reads.
        (
            "center={max_lr: 3e-3, replay_fraction: 0, schedule: cosine}",
            "center.warmup_fraction is missing; one_at_a_time varies each axis around it.",
        ),
        (
            "upstream.schedule={type: cosine}",
            "upstream.schedule.max_lr is missing; it has no default.",
        ),
        (
            "datasets.german={path: json, train: de.jsonl}",
            "datasets.german: got {'path': 'json', 'train': 'de.jsonl'}; train and validation "
            "must name files or splits; validation_share in place of validation cuts one out of "
            "train.",
        ),
        (
            "datasets.german={path: json, name: x, train: d, validation: v}",
            "datasets.german: got {'path': 'json', 'name': 'x', 'train': 'd', 'validation':...; "
            "name 'x' must be left out: json has none, only a hub data set or a directory has.",
        ),
        (
            "datasets.german={path: 'local:python-code', revision: v1}",
            "datasets.german: got {'path': 'local:python-code', 'revision': 'v1'}; revision 'v1' "
            "must be left out: local:python-code has none, only a hub data set or a directory has.",
        ),
        (
            "datasets.german={path: 'local:python', train: d}",
            "datasets.german: got {'path': 'local:python', 'train': 'd'}; path 'local:python' "
            "must be one of local:python-prose, local:python-code; did you mean "
            "'local:python-code'?",
        ),
        (
            "datasets.german.validation=[de_v.jsonl, de1.jsonl]",
            "datasets.german.validation: got 'de1.jsonl', which train names too; must be held out "
            "of training; name other data.",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence_that_names_field_value_and_rule(file, override, sentence):
    assert refusals(file, override) == (sentence,)


def test_a_grid_needs_a_centre_only_for_what_no_axis_gives(file):
    only_rates = ("design=grid", "axes={max_lr: [1e-3]}")
    assert refusals(file, *only_rates, "center={schedule: cosine}") == (
        "center.warmup_fraction is missing; no axis gives it.",
        "center.replay_fraction is missing; no axis gives it.",
    )
    assert spec(file, *only_rates, "center={warmup_fraction: 0, replay_fraction: 0, schedule: wsd}")


def test_all_faults_of_form_are_reported_at_once(file):
    assert refusals(
        file, "name=a/b", "sequence_length=0", "axes.max_lr=[0]", "centre={}", "design=gird"
    ) == (
        "name: got 'a/b'; must be letters, digits, '.', '_' and '-', since it names a folder.",
        "sequence_length: got 0; must be above 0.",
        "axes.max_lr[0]: got 0; must be above 0.",
        "design: got 'gird'; must be one of one_at_a_time, grid, random, list; did you mean "
        "'grid'?",
        "centre is not a known field; did you mean 'center'?",
    )


def test_all_faults_between_fields_are_reported_at_once(file):
    faults = refusals(
        file,
        "upstream.dataset=wikis",
        "downstream.token_budget=1",
        "axes.max_lr=[]",
        "axes.seed=[1, 1]",
        "center={max_lr: 1, warmup_fraction: 0, replay_fraction: 0}",
    )
    assert [fault.split()[0] for fault in faults] == [
        "upstream.dataset:",
        "downstream.token_budget:",
        "axes.max_lr:",
        "axes.seed[1]:",
        "center.schedule",
    ]


def test_a_key_that_stands_twice_is_refused(file):
    file.write_text(CONTRACT + "name: again\n", encoding="utf-8")
    assert refusals(file) == (
        f"{file} is not valid YAML: the key 'name' stands twice (line 30, column 1).",
    )


def test_an_empty_file_is_refused(file):
    file.write_text("# nothing\n", encoding="utf-8")
    assert refusals(file) == (
        f"{file} must hold a mapping of fields, one 'field: value' a line, but is empty.",
    )


def test_a_missing_file_is_refused_with_the_way_to_get_one(tmp_path):
    missing = tmp_path / "sweep.yaml"
    assert refusals(missing) == (
        f"{missing} is not a file; name a sweep file, or write one: rewarm init.",
    )


def test_reading_a_sweep_file_imports_neither_ray_nor_torch_nor_pandas():
    program = (
        "import sys, sweeps.spec, sweeps.plan, sweeps.store;"
        "print(sorted({'ray', 'torch', 'pandas', 'datasets'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout == "[]\n"
