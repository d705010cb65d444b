"""Each fault in one sentence, and the traps of YAML."""

from fractions import Fraction as F
from typing import Annotated, Literal

import pytest
from pydantic import Field

from cpt.parsing import (
    ConfigError,
    Count,
    CountOrZero,
    Exact,
    ExactPositive,
    ExactShare,
    Frozen,
    NotNegative,
    Number,
    Positive,
    UnitShare,
    dotted,
    nearest,
    parse,
    shown,
)
from cpt.yaml_text import load_yaml


class Cosine(Frozen):
    type: Literal["cosine"] = "cosine"
    max_lr: Positive


class Wsd(Frozen):
    type: Literal["wsd"] = "wsd"
    decay_steps: Count


Schedule = Annotated[Cosine | Wsd, Field(discriminator="type")]


class Axes(Frozen):
    max_lr: tuple[Positive, ...] = ()
    replay_fraction: tuple[ExactShare, ...] = ()
    schedule: tuple[Schedule, ...] = ()
    betas: tuple[tuple[Number, Number], ...] = ()


class Spec(Frozen):
    name: str = "x"
    axes: Axes = Axes()
    schedule: Schedule | None = None
    model: str | Cosine = "gpt-1m"
    datasets: dict[str, Cosine] = Field(default_factory=dict)
    max_lr: Positive | tuple[Positive, ...] | None = None
    number: Number = 0.0
    not_negative: NotNegative = 0.0
    share: UnitShare = 0.0
    token_budget: Count = 1
    seed: CountOrZero = 0
    exact: Exact = F(0)
    weight: ExactPositive = F(1)
    tied: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"


AXES = "betas, max_lr, replay_fraction, schedule"


def read(text: str) -> Spec:
    return parse(Spec, load_yaml(text, "spec.yaml"))


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(text)
    return list(error.value.faults)


# What is read.


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("number: 3e-4", "number", 0.0003),  # text to PyYAML, as YAML 1.1 wants a dot
        ("number: 3.0e-4", "number", 0.0003),
        ("number: '3e-4'", "number", 0.0003),
        ("number: 1_000.5", "number", 1000.5),
        ("number: -2", "number", -2.0),
        ("token_budget: 4_000_000", "token_budget", 4_000_000),
        ("token_budget: '4_000_000'", "token_budget", 4_000_000),
        ("token_budget: 4e6", "token_budget", 4_000_000),
        ("token_budget: 4.0", "token_budget", 4),
        ("token_budget: '9007199254740993'", "token_budget", 2**53 + 1),
        ("token_budget: 9007199254740993", "token_budget", 2**53 + 1),
        ("exact: 0.05", "exact", F(1, 20)),
        ("exact: '0.05'", "exact", F(1, 20)),
        ("exact: 1/20", "exact", F(1, 20)),
        ("exact: 5e-2", "exact", F(1, 20)),
        ("exact: 1.0e-7", "exact", F(1, 10**7)),
        ("exact: 3", "exact", F(3)),
        ("share: 1", "share", 1.0),
        ("share: 0", "share", 0.0),
        ("max_lr: 3e-4", "max_lr", 0.0003),
        ("max_lr: [3e-4, 1]", "max_lr", (0.0003, 1.0)),
        ("model: gpt-1m", "model", "gpt-1m"),
        ("model: {max_lr: 3e-4}", "model", Cosine(max_lr=0.0003)),
        ("schedule: {type: wsd, decay_steps: 7}", "schedule", Wsd(decay_steps=7)),
        ("tied: yes", "tied", True),
        ("name: 'no'", "name", "no"),
        ("name: 2026-01-02", "name", "2026-01-02"),
        ("name: 0123456", "name", "0123456"),
        ("name: 12:30", "name", "12:30"),
        ("token_budget: 010", "token_budget", 10),  # eight to YAML 1.1
    ],
)
def test_a_value_is_read_by_the_type_of_its_field(text, field, value):
    found = getattr(read(text), field)
    assert (type(found), found) == (type(value), value)


def test_a_list_becomes_a_tuple_of_numbers():
    assert read("axes: {max_lr: [1.5e-3, 3e-3, 6e-3]}").axes.max_lr == (0.0015, 0.003, 0.006)


def test_lists_in_lists():
    assert read("axes: {betas: [[0.9, 0.95], [9e-1, 1]]}").axes.betas == ((0.9, 0.95), (0.9, 1.0))


def test_a_share_reads_back_from_its_json():
    spec = read("exact: 0.05")
    assert spec.model_dump(mode="json")["exact"] == "1/20"
    assert parse(Spec, spec.model_dump(mode="json")) == spec


# What is refused.


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        # names
        ("axess: {}", "axess is not a known field; did you mean 'axes'?"),
        ("axes: {maxlr: [1]}", "axes.maxlr is not a known field; did you mean 'max_lr'?"),
        (
            "axes: {zzz: [1]}",
            "axes.zzz is not a known field; legal here: betas, max_lr, replay_fraction, schedule.",
        ),
        ("schedule: {type: cosine}", "schedule.max_lr is missing; it has no default."),
        (
            "schedule: {type: wsd, decay_steps: 1, decay_step: 2}",
            "schedule.decay_step is not a known field; did you mean 'decay_steps'?",
        ),
        (
            "datasets: {wiki: {max_lr: 1, max-lr: 2}}",
            "datasets.wiki.max-lr is not a known field; did you mean 'max_lr'?",
        ),
        # ranges
        ("axes: {max_lr: [3e-4, -1]}", "axes.max_lr[1]: got -1; must be above 0."),
        ("axes: {max_lr: [0]}", "axes.max_lr[0]: got 0; must be above 0."),
        ("axes: {replay_fraction: [1]}", "axes.replay_fraction[0]: got 1; must be in [0, 1)."),
        ("not_negative: -1e-9", "not_negative: got '-1e-9'; must be at least 0."),
        ("share: 1.01", "share: got 1.01; must be in [0, 1]."),
        ("share: -0.01", "share: got -0.01; must be in [0, 1]."),
        ("token_budget: 0", "token_budget: got 0; must be above 0."),
        ("seed: -1", "seed: got -1; must be at least 0."),
        ("weight: 0", "weight: got 0; must be above 0."),
        # numbers that are none
        ("number: no", "number: got False; must be a number, not true or false."),
        ("token_budget: on", "token_budget: got True; must be a whole number, not true or false."),
        ("exact: yes", "exact: got True; must be a number, not true or false."),
        ("number: abc", "number: got 'abc'; must be a number."),
        ("number: ''", "number: got ''; must be a number."),
        ("number: null", "number: got nothing; must be a number."),
        ("number: [1]", "number: got [1]; must be a number."),
        ("number: .nan", "number: got nan; must be a finite number."),
        ("number: nan", "number: got 'nan'; must be a finite number."),
        ("number: -.inf", "number: got -inf; must be a finite number."),
        ("number: 1e999", "number: got '1e999'; must be a finite number."),
        ("axes: {max_lr: [1, .inf]}", "axes.max_lr[1]: got inf; must be a finite number."),
        ("token_budget: 1.5", "token_budget: got 1.5; must be a whole number."),
        ("token_budget: .nan", "token_budget: got nan; must be a whole number."),
        ("token_budget: inf", "token_budget: got 'inf'; must be a whole number."),
        ("token_budget: 4M", "token_budget: got '4M'; must be a whole number."),
        ("token_budget: [1]", "token_budget: got [1]; must be a whole number."),
        ("exact: .nan", "exact: got nan; must be a number or a fraction such as 1/20."),
        ("exact: .inf", "exact: got inf; must be a number or a fraction such as 1/20."),
        ("exact: 1/0", "exact: got '1/0'; must be a number or a fraction such as 1/20."),
        ("exact: 5%", "exact: got '5%'; must be a number or a fraction such as 1/20."),
        ("exact: [1]", "exact: got [1]; must be a number or a fraction such as 1/20."),
        # other kinds
        ("name: no", "name: got False; must be text; put it in quotes."),
        ("name: 5", "name: got 5; must be text; put it in quotes."),
        ("tied: perhaps", "tied: got 'perhaps'; must be true or false."),
        ("tied: [yes]", "tied: got [True]; must be true or false."),
        ("axes: 3", f"axes: got 3; must be a mapping of its fields: {AXES}."),
        ("axes: [3]", f"axes: got [3]; must be a mapping of its fields: {AXES}."),
        ("axes:", f"axes: got nothing; must be a mapping of its fields: {AXES}."),
        ("datasets: [a]", "datasets: got ['a']; must be a mapping, 'name: value'."),
        ("axes: {max_lr: 3e-4}", "axes.max_lr: got '3e-4'; must be a list: [3e-4]."),
        ("axes: {max_lr: {a: 1}}", "axes.max_lr: got {'a': 1}; must be a list."),
        # lists in lists
        ("axes: {max_lr: [[1, 2]]}", "axes.max_lr[0]: got [1, 2]; must be a number."),
        ("axes: {betas: [[1, 2], [3, no]]}",
         "axes.betas[1][1]: got False; must be a number, not true or false."),
        ("axes: {betas: [[1]]}", "axes.betas[0][1] is missing; it has no default."),
        ("axes: {betas: [[1, 2, 3]]}",
         "axes.betas[0]: got [1, 2, 3]; must be a list of at most 2."),
        # words
        ("precision: bf61",
         "precision: got 'bf61'; must be one of fp32, bf16; did you mean 'bf16'?"),
        ("precision: int8", "precision: got 'int8'; must be one of fp32, bf16."),
        ("precision: 16", "precision: got 16; must be one of fp32, bf16."),
        # unions
        ("schedule: {type: cosin, max_lr: 1}",
         "schedule.type: got 'cosin'; must be one of cosine, wsd; did you mean 'cosine'?"),
        ("schedule: {max_lr: 1}",
         "schedule: got {'max_lr': 1}; must be a mapping with a 'type'."),
        ("schedule: cosine", "schedule: got 'cosine'; must be a mapping with a 'type'."),
        ("axes: {schedule: [{type: cosine, max_lr: no}]}",
         "axes.schedule[0].max_lr: got False; must be a number, not true or false."),
        ("model: {max_lr: -1}", "model.max_lr: got -1; must be above 0."),
        ("model: {max_lr: 1, maxlr: 2}",
         "model.maxlr is not a known field; did you mean 'max_lr'?"),
        ("max_lr: [1, -1]", "max_lr[1]: got -1; must be above 0."),
        ("datasets: {wiki: {max_lr: -1}}", "datasets.wiki.max_lr: got -1; must be above 0."),
    ],
)  # fmt: skip
def test_a_fault_is_one_sentence_with_field_value_and_rule(text, sentence):
    assert faults(text) == [sentence]


def test_every_fault_is_told_at_once():
    assert faults("{axes: {max_lr: [0, 1, -2]}, seeed: 1, token_budget: no}") == [
        "axes.max_lr[0]: got 0; must be above 0.",
        "axes.max_lr[2]: got -2; must be above 0.",
        "token_budget: got False; must be a whole number, not true or false.",
        "seeed is not a known field; did you mean 'seed'?",
    ]


def test_the_message_holds_a_line_for_each_fault():
    with pytest.raises(ConfigError, match=r"^share: got 2; .*\.\nseed: got -1; .*\.$"):
        parse(Spec, {"seed": -1, "share": 2})


def test_what_is_no_mapping_at_all_is_refused():
    with pytest.raises(ConfigError, match="got 3; must be a mapping"):
        parse(Spec, 3)


# YAML.


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a: 1\nb: 2\na: 3",
            "spec.yaml is not valid YAML: the key 'a' stands twice (line 3, column 1).",
        ),
        (
            "axes: {max_lr: [1], max_lr: [2]}",
            "spec.yaml is not valid YAML: the key 'max_lr' stands twice (line 1, column 21).",
        ),
        (
            "a: 1\n'a': 2",
            "spec.yaml is not valid YAML: the key 'a' stands twice (line 2, column 1).",
        ),
        (
            "1: x\n1: y",
            "spec.yaml is not valid YAML: the key '1' is no text; put it in quotes (line 1, "
            "column 1).",
        ),
        (
            "no: x\nno: y",
            "spec.yaml is not valid YAML: the key 'no' is no text; put it in quotes (line 1, "
            "column 1).",
        ),
        (
            "a: [1",
            "spec.yaml is not valid YAML: expected ',' or ']', but got '<stream end>' "
            "(line 1, column 6); close the bracket before it.",
        ),
        (
            "a: !!python/object:os.system {}",
            "spec.yaml is not valid YAML: 'tag:yaml.org,2002:python/object:os.system' is a tag, "
            "and tags are not read; write the value alone (line 1, column 4).",
        ),
        ("", "spec.yaml must hold a mapping of fields, one 'field: value' a line, but is empty."),
        (
            "- 1",
            "spec.yaml must hold a mapping of fields, one 'field: value' a line, but holds [1].",
        ),
        (
            "cosine",
            "spec.yaml must hold a mapping of fields, one 'field: value' a line, but holds "
            "'cosine'.",
        ),
    ],
)
def test_yaml_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(ConfigError) as error:
        load_yaml(text, "spec.yaml")
    assert error.value.faults == (sentence,)


def test_one_key_may_stand_in_two_mappings():
    assert load_yaml("a: {x: 1}\nb: {x: 2}", "spec.yaml") == {"a": {"x": 1}, "b": {"x": 2}}


def test_a_merged_key_may_be_overridden():
    text = "base: &base {x: 1, y: 2}\nmore: &more {<<: *base, y: 3}\nlast: {<<: *more, y: 4}"
    assert load_yaml(text, "spec.yaml")["last"] == {"x": 1, "y": 4}


# Words.


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("wamup_step", "; did you mean 'warmup_steps'?"),
        ("war", "; did you mean 'warmup_steps'?"),  # a beginning
        ("zzz", "; legal here: decay, warmup_steps."),
    ],
)
def test_the_nearest_name_is_offered(name, hint):
    assert nearest(name, ["warmup_steps", "decay"]) == hint


def test_a_location_is_dotted():
    assert dotted(("axes", "max_lr", 1)) == "axes.max_lr[1]"
    assert dotted(("axes", "betas", 0, 1)) == "axes.betas[0][1]"
    assert dotted(()) == ""


def test_a_long_value_is_cut():
    assert shown("x" * 100) == "'" + "x" * 56 + "..."
    assert shown("x" * 58) == "'" + "x" * 58 + "'"


def test_a_fraction_is_shown_as_people_write_it():
    assert shown(F(1, 20)) == "'1/20'"
