"""A tokenizer that a sweep trains for itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from cpt.cutting import is_held_out
from cpt.dataset_config import DatasetConfig, MixedDatasetConfig
from cpt.digests import Digests
from cpt.parsing import ConfigError
from cpt.records import ResultTree
from cpt.tokenizer import FileTokenizer
from cpt.tokenizer_config import TrainedTokenizerConfig
from cpt.tokenizer_training import trained_tokenizer

WORDS = ["mousetrap", "catalogue", "doghouse", "birdsong"]


@pytest.fixture
def datasets(tmp_path: Path) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, word in (("wiki", "mousetrap"), ("german", "Mausefalle")):
        file = tmp_path / f"{name}.jsonl"
        rows = [{"text": f"{word} {word} number {number}"} for number in range(50)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        made[name] = DatasetConfig(path="json", train=str(file), validation=str(file))
    return made


def train(
    datasets: dict[str, Any], tmp_path: Path, said: list[str] | None = None, **changed: Any
) -> FileTokenizer:
    config = TrainedTokenizerConfig.model_validate(
        {"train_on": "wiki", "vocab_size": 300} | changed
    )
    say = said.append if said is not None else lambda text: None
    tree = ResultTree(tmp_path / "results")
    return trained_tokenizer(config, datasets, tree, Digests(tmp_path / "d.json"), say)


def tokens(tokenizer: FileTokenizer, text: str) -> int:
    return len(tokenizer.encode_batch([text])[0])


def test_words_of_the_data_become_tokens(datasets: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = train(datasets, tmp_path)
    assert tokens(tokenizer, "mousetrap mousetrap") == 2
    assert tokens(tokenizer, "Mausefalle") > 5
    assert tokens(train(datasets, tmp_path, train_on=["wiki", "german"]), "Mausefalle") == 1


def test_any_text_can_be_encoded(datasets: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = train(datasets, tmp_path, vocab_size=257)
    assert tokenizer.vocab_size == 257
    assert tokens(tokenizer, "日本\x00 <|endoftext|>") == len("日本\x00 <|endoftext|>".encode())
    assert tokenizer.end_of_text == 0


def test_it_is_trained_once(datasets: dict[str, Any], tmp_path: Path) -> None:
    said: list[str] = []
    first = train(datasets, tmp_path, said)
    second = train(datasets, tmp_path, said)
    assert said == ["training a tokenizer: BPE of 300 trained on wiki"]
    assert first.fingerprint == second.fingerprint
    recipe = json.loads((Path(first.name).parent / "recipe.json").read_text())
    assert (recipe["vocab_size"], recipe["max_bytes"]) == (300, 200_000_000)


def test_the_same_recipe_gives_the_same_tokenizer_anywhere(
    datasets: dict[str, Any], tmp_path: Path
) -> None:
    here, there = train(datasets, tmp_path), train(datasets, tmp_path / "there")
    assert here.name != there.name
    assert here.fingerprint == there.fingerprint


def test_other_text_gives_another(datasets: dict[str, Any], tmp_path: Path) -> None:
    before = train(datasets, tmp_path)
    file = Path(datasets["wiki"].train[0])
    file.write_text(file.read_text().replace("mousetrap", "catalogue"), encoding="utf-8")
    after = train(datasets, tmp_path)
    assert before.name != after.name
    assert tokens(after, "catalogue") == 1


def test_what_is_held_out_is_not_read(tmp_path: Path) -> None:
    rows = [f"{word} {word}" for word in WORDS for _ in range(30)]
    file = tmp_path / "all.jsonl"
    file.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), encoding="utf-8")
    dataset = DatasetConfig(path="json", train=str(file), validation_share="1/2")
    tokenizer = train({"wiki": dataset}, tmp_path, vocab_size=400)
    # " word" is a token where the word was read; each text is one whole document.
    read = {word: tokens(tokenizer, f" {word}") == 1 for word in WORDS}
    held_out = {word: is_held_out(f"{word} {word}", dataset.validation_share) for word in WORDS}
    assert read == {word: not out for word, out in held_out.items()}
    assert set(held_out.values()) == {True, False}


def test_of_each_source_its_share_is_read(tmp_path: Path) -> None:
    sources = {}
    for name, word in (("cats", "catalogue"), ("dogs", "doghouse")):
        file = tmp_path / f"{name}.jsonl"
        rows = [f"{name} {number}" for number in range(1000, 1030)] + [f"{word} {word}"] * 30
        file.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), "utf-8")
        sources[name] = {"path": "json", "train": str(file), "validation": str(file)}
    sources["cats"]["weight"], sources["dogs"]["weight"] = "3/4", "1/4"
    dataset = MixedDatasetConfig.model_validate({"sources": sources})
    # 30 rows of 9 bytes come before the words, 270: three quarters of 900 reach them, a quarter
    # does not.
    tokenizer = train({"wiki": dataset}, tmp_path, max_bytes=900, vocab_size=400)
    assert tokens(tokenizer, " catalogue") == 1
    assert tokens(tokenizer, " doghouse") > 1


def test_a_vocabulary_without_all_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="vocab_size 256 must be at least 257"):
        TrainedTokenizerConfig(train_on=("wiki",), vocab_size=256)


def test_data_without_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "none.jsonl"
    file.write_text('{"text": ""}\n', encoding="utf-8")
    dataset = DatasetConfig(path="json", train=str(file), validation=str(file))
    with pytest.raises(ConfigError, match=r"^tokenizer\.train_on: the data sets hold no text"):
        train({"wiki": dataset}, tmp_path)
    assert not list((tmp_path / "results" / "tokenizers").glob("*/tokenizer.json"))


def test_real_text_is_packed_tighter_by_its_own_tokenizer(
    shared_data: Path, tmp_path: Path
) -> None:
    def dataset(name: str) -> DatasetConfig:
        return DatasetConfig(
            path="json",
            train=str(shared_data / f"{name}.valid.jsonl.gz"),
            validation=str(shared_data / f"{name}.train.jsonl.gz"),
        )

    datasets = {"wiki": dataset("en_wiki"), "german": dataset("de_wiki")}
    english = train(datasets, tmp_path, vocab_size=2000)
    both = train(datasets, tmp_path, vocab_size=2000, train_on=["wiki", "german"])
    text = "Die Geschichte der Stadt beginnt mit einer Siedlung, die zwischen den Flüssen lag."
    assert tokens(both, text) < tokens(english, text)
