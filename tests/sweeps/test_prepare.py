"""From a sweep file and text on disk to the facts of a plan."""

import json
from pathlib import Path
from typing import Any

import pytest

from cpt.parsing import ConfigError, parse
from cpt.records import ResultTree
from sweeps.faults import spec_faults
from sweeps.plan import Plan
from sweeps.prepare import prepare
from sweeps.spec import SweepSpec

LINES = [f"{word} number {number}" for number in range(40) for word in ("cat", "dog", "bird")]


def write(path: Path, texts: list[str]) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return str(path)


@pytest.fixture
def sweep(content: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The tiny sweep; its new data are two sources, of which one holds out a share."""
    old = write(tmp_path / "old.jsonl", ["", *[f"old {line}" for line in LINES]])
    old_v = write(tmp_path / "old_v.jsonl", [f"held out {line}" for line in LINES])
    cats = write(tmp_path / "cats.jsonl", [f"cats {line}" for line in LINES])
    cats_v = write(tmp_path / "cats_v.jsonl", [f"other cats {line}" for line in LINES])
    dogs = write(tmp_path / "dogs.jsonl", [f"dogs {line}" for line in LINES])
    content["datasets"] = {
        "old": {"path": "json", "train": old, "validation": old_v},
        "new": {
            "sources": {
                "cats": {"path": "json", "train": cats, "validation": cats_v, "weight": 3},
                "dogs": {"path": "json", "train": dogs, "validation_share": 0.2, "weight": 1},
            }
        },
    }
    return content


def plan(sweep: dict[str, Any], tmp_path: Path, said: list[str] | None = None) -> Plan:
    spec = parse(SweepSpec, sweep)
    assert list(spec_faults(spec)) == []
    say = said.append if said is not None else lambda text: None
    return prepare(spec, ResultTree(tmp_path / "results"), say)


def test_sources_become_facts_by_name(sweep: dict[str, Any], tmp_path: Path) -> None:
    planned = plan(sweep, tmp_path)
    new = planned.datasets["new"]
    assert {name: facts.documents for name, facts in new.sources.items()}["cats"] == 120
    assert list(map(str, new.weights.values())) == ["3/4", "1/4"]
    # 20% of the dogs' documents are held out of training, beside what the cats' file holds.
    held_out = 120 - new.sources["dogs"].documents
    assert 10 <= held_out <= 40
    assert new.validation.documents == 120 + held_out
    assert set(new.validation.domain_tokens) == {"cats", "dogs"}
    stream = planned.states[planned.trials[0].states[-1]].config.stream
    assert [(source.label, str(source.weight)) for source in stream] == [
        ("old", "1/4"),
        ("new/cats", "9/16"),
        ("new/dogs", "3/16"),
    ]


def test_empty_documents_are_counted_and_said(sweep: dict[str, Any], tmp_path: Path) -> None:
    said: list[str] = []
    planned = plan(sweep, tmp_path, said)
    assert planned.datasets["old"].sources[""].empty == 1
    assert planned.datasets["old"].sources[""].documents == 120
    (line,) = [line for line in said if line.startswith("old train:")]
    assert line.endswith("tokens, 1 empty document left out")


def test_documents_that_are_shared_are_counted_up_to_a_share(
    sweep: dict[str, Any], tmp_path: Path
) -> None:
    """One of the held-out documents of old stands in the cats' training data."""
    texts = [*[f"held out {line}" for line in LINES], "cats cat number 0"]
    write(tmp_path / "old_v.jsonl", texts)
    assert plan(sweep, tmp_path).datasets["old"].shared == {"new": 1}
    sweep["datasets"]["old"]["max_shared_documents"] = 0.008
    with pytest.raises(ConfigError) as caught:
        plan(sweep, tmp_path)
    (sentence,) = caught.value.faults
    assert sentence == (
        "datasets.old.validation: 1 of its 121 documents stand, word for word, in the training "
        "data of datasets.new; at most 0.8% may (datasets.old.max_shared_documents); leave them "
        "out of one of the two, or raise that."
    )


def test_a_tokenizer_is_trained_on_the_data_and_enters_every_id(
    sweep: dict[str, Any], tmp_path: Path
) -> None:
    by_bytes = plan(sweep, tmp_path)
    sweep["tokenizer"] = {"train_on": ["old", "new"], "vocab_size": 300}
    sweep["upstream"]["token_budget"] = sweep["downstream"]["token_budget"] = 256
    both = plan(sweep, tmp_path)
    sweep["tokenizer"]["train_on"] = "old"
    old_alone = plan(sweep, tmp_path)
    assert both.model.vocab_size == 320  # rounded up to 64s
    corpora = [one.datasets["old"].sources[""].corpus for one in (by_bytes, both, old_alone)]
    assert len(set(corpora)) == 3
    assert set(both.states).isdisjoint(old_alone.states)
    assert both.to_json()["tokenizer"] == "BPE of 300 trained on old + new"
    assert both.datasets["old"].tokens < by_bytes.datasets["old"].tokens


def test_a_tokenizer_is_trained_on_data_of_the_sweep_alone(sweep: dict[str, Any]) -> None:
    sweep["tokenizer"] = {"train_on": ["odl"], "vocab_size": 300}
    assert list(spec_faults(parse(SweepSpec, sweep))) == [
        "tokenizer.train_on: got 'odl'; must be names below datasets; did you mean 'old'?"
    ]
    sweep["tokenizer"]["train_on"] = ["old"]
    sweep["tokenizer"]["vocab_size"] = 100
    with pytest.raises(ConfigError, match="vocab_size 100 must be at least 257"):
        parse(SweepSpec, sweep)
    del sweep["model"]
    sweep["tokenizer"]["vocab_size"] = 300
    sweep["upstream"] = {"checkpoint": "x", "dataset": "old", "max_lr": 1e-3}
    (sentence,) = spec_faults(parse(SweepSpec, sweep))
    assert sentence.startswith("tokenizer: must not be trained for upstream.checkpoint")


def test_a_changed_file_is_packed_anew_and_said(sweep: dict[str, Any], tmp_path: Path) -> None:
    before = plan(sweep, tmp_path)
    write(tmp_path / "dogs.jsonl", [f"dogs {line}" for line in LINES[1:]])
    said: list[str] = []
    after = plan(sweep, tmp_path, said)
    assert [line for line in said if "has changed" in line] == [
        f"new{part}: what lies there has changed since it was packed; packed anew"
        for part in ("/dogs train", " validation")
    ]
    assert before.datasets["new"].sources["cats"] == after.datasets["new"].sources["cats"]
    assert before.datasets["new"].sources["dogs"] != after.datasets["new"].sources["dogs"]
