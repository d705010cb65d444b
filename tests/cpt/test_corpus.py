import gzip
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpt import corpus
from cpt.corpus import TokenStore, build, corpus_id
from cpt.dataset_config import DatasetConfig
from cpt.parsing import ConfigError
from cpt.records import ResultTree
from cpt.tokenizer import ByteTokenizer, load_tokenizer

BYTES = ByteTokenizer()
FIELD = "datasets.letters"
ROWS = [{"text": "ab", "domain": "x"}, {"text": "é", "domain": "y"}, {"text": "c", "domain": "x"}]


def write_json_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text, encoding="utf-8")
    return path


def letters(file: Path | str, **changed: Any) -> DatasetConfig:
    return DatasetConfig(
        **{"path": "json", "train": (str(file),), "validation": (str(file),)} | changed
    )


def built(dataset: DatasetConfig, tree: ResultTree) -> TokenStore:
    return build(dataset, "train", BYTES, tree, FIELD)


def refusal(dataset: DatasetConfig, tree: ResultTree) -> str:
    with pytest.raises(ConfigError) as caught:
        built(dataset, tree)
    (sentence,) = caught.value.faults
    assert sentence.endswith(".") or "did you mean" in sentence
    return sentence


@pytest.fixture
def tree(tmp_path: Path) -> ResultTree:
    return ResultTree(tmp_path / "results")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_json_lines(tmp_path / "letters.jsonl", ROWS)


# --- what a store holds ---


def test_documents_are_joined_and_each_is_ended(file: Path, tree: ResultTree) -> None:
    store = built(letters(file, domain="domain"), tree)
    assert store.tokens.tolist() == [97, 98, 256, 0xC3, 0xA9, 256, 99, 256]
    assert store.starts.tolist() == [0, 3, 6, 8]
    assert store.domains.tolist() == [0, 1, 0]
    assert (store.tokens.dtype, store.starts.dtype, store.domains.dtype) == (
        np.uint16,
        np.int64,
        np.int16,
    )
    meta = store.meta
    assert (meta.documents, meta.tokens, meta.bytes) == (3, 8, 5)
    assert [domain.model_dump() for domain in meta.domains] == [
        {"name": "x", "documents": 2, "tokens": 5, "bytes": 3},
        {"name": "y", "documents": 1, "tokens": 3, "bytes": 2},
    ]
    assert meta.sha256 == hashlib.sha256((store.path / "tokens.bin").read_bytes()).hexdigest()
    assert (meta.tokenizer, meta.vocab_size, meta.end_of_text) == ("bytes", 257, 256)
    assert store.path == tree.tokens(meta.corpus_id)


def test_without_a_domain_column_there_are_no_domains(file: Path, tree: ResultTree) -> None:
    store = built(letters(file), tree)
    assert store.meta.domains == ()
    assert store.domains.tolist() == [0, 0, 0]


def test_sequences_overlap_by_one_token(file: Path, tree: ResultTree) -> None:
    store = built(letters(file), tree)
    assert store.num_sequences(3) == 2
    assert store.num_sequences(7) == 1
    assert store.num_sequences(8) == 0
    assert store.sequence(np.array([1, 0]), 3).tolist() == [
        [0xC3, 0xA9, 256, 99],
        [97, 98, 256, 0xC3],
    ]
    assert store.sequence(1, 3).tolist() == [[0xC3, 0xA9, 256, 99]]
    assert store.sequence(0, 3).dtype == np.int64
    for outside in (-1, 2):
        with pytest.raises(IndexError, match="of 2"):
            store.sequence(outside, 3)


def test_empty_texts_are_left_out(tmp_path: Path, tree: ResultTree) -> None:
    file = write_json_lines(tmp_path / "gaps.json", [{"text": ""}, {"text": "a"}])
    assert built(letters(file), tree).tokens.tolist() == [97, 256]


def test_batches_do_not_show(file: Path, tree: ResultTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BATCH_CHARACTERS", 2)
    assert built(letters(file), tree).starts.tolist() == [0, 3, 6, 8]


# --- formats ---


@pytest.mark.parametrize("suffix", ["json", "json.gz", "parquet", "csv", "arrow"])
def test_formats_give_the_same_tokens(tmp_path: Path, tree: ResultTree, suffix: str) -> None:
    file = tmp_path / f"letters.{suffix}"
    table = pa.Table.from_pylist(ROWS)
    match suffix:
        case "parquet":
            pq.write_table(table, file)
        case "csv":
            file.write_text("text,domain\nab,x\né,y\nc,x\n", encoding="utf-8")
        case "arrow":
            with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
                out.write_table(table)
        case _:
            write_json_lines(file, ROWS)
    store = built(letters(file, path=suffix.removesuffix(".gz"), domain="domain"), tree)
    assert store.tokens.tolist() == [97, 98, 256, 0xC3, 0xA9, 256, 99, 256]
    assert [domain.name for domain in store.meta.domains] == ["x", "y"]


def test_a_text_file_is_one_document(tmp_path: Path, tree: ResultTree) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n\n{name}", encoding="utf-8")
    store = built(letters(tmp_path / "*.txt", path="text"), tree)
    assert store.tokens.tolist() == [97, 10, 10, 97, 256, 98, 10, 10, 98, 256]


def test_csv_text_that_spells_null_is_text(tmp_path: Path, tree: ResultTree) -> None:
    (tmp_path / "null.csv").write_text("text\nNA\n", encoding="utf-8")
    assert built(letters(tmp_path / "null.csv", path="csv"), tree).tokens.tolist() == [78, 65, 256]


def test_brackets_in_a_file_name_are_no_pattern(tmp_path: Path, tree: ResultTree) -> None:
    file = write_json_lines(tmp_path / "letters [1].json", ROWS)
    assert built(letters(file), tree).meta.documents == 3


def test_files_are_read_in_the_order_given(tmp_path: Path, tree: ResultTree) -> None:
    one, two = (str(write_json_lines(tmp_path / f"{name}.json", [{"text": name}])) for name in "ab")
    assert built(letters("", train=(two, one)), tree).tokens.tolist() == [98, 256, 97, 256]


def test_a_directory_is_read_by_split(tmp_path: Path, tree: ResultTree) -> None:
    stores = []
    for folder in ("data", "moved"):
        (tmp_path / folder).mkdir()
        write_json_lines(tmp_path / folder / "train.jsonl", [{"text": "a"}])
        write_json_lines(tmp_path / folder / "test.jsonl", [{"text": "b"}])
        (tmp_path / folder / ".downloaded").write_text(folder, encoding="utf-8")
        dataset = letters("", path=str(tmp_path / folder), train="train", validation="test")
        stores += [build(dataset, split, BYTES, tree, FIELD) for split in ("train", "validation")]
    assert [store.tokens.tolist() for store in stores] == [[97, 256], [98, 256]] * 2
    assert [store.meta.corpus_id for store in stores[:2]] == [
        store.meta.corpus_id for store in stores[2:]
    ]


# --- identity ---


def test_the_same_content_elsewhere_is_the_same_corpus(tmp_path: Path, file: Path) -> None:
    copy = tmp_path / "elsewhere.jsonl"
    copy.write_bytes(file.read_bytes())
    assert corpus_id(letters(file), "train", BYTES, FIELD) == corpus_id(
        letters(copy), "train", BYTES, "datasets.other"
    )


def test_whatever_changes_the_tokens_changes_the_id(tmp_path: Path, file: Path) -> None:
    class Other(ByteTokenizer):
        fingerprint = "other"

    changed = write_json_lines(tmp_path / "changed.jsonl", [{**ROWS[0], "text": "ac"}, *ROWS[1:]])
    dataset = letters(file)
    ids = [
        corpus_id(dataset, "train", BYTES, FIELD),
        corpus_id(dataset, "validation", BYTES, FIELD),
        corpus_id(dataset, "train", Other(), FIELD),
        corpus_id(letters(changed), "train", BYTES, FIELD),
        corpus_id(letters(file, text="domain"), "train", BYTES, FIELD),
        corpus_id(letters(file, domain="domain"), "train", BYTES, FIELD),
        corpus_id(letters(file, path="text"), "train", BYTES, FIELD),
    ]
    assert len(set(ids)) == len(ids)
    assert all(len(name) == 16 and set(name) <= set("0123456789abcdef") for name in ids)


# --- building ---


class Forbidden(ByteTokenizer):
    def encode_batch(self, texts: Any) -> list[np.ndarray]:
        raise AssertionError("tokenized again")


def test_a_second_build_does_not_tokenize(file: Path, tree: ResultTree) -> None:
    first = built(letters(file), tree)
    before = (first.path / "tokens.bin").stat().st_mtime_ns
    second = build(letters(file), "train", Forbidden(), tree, FIELD)
    assert (second.path / "tokens.bin").stat().st_mtime_ns == before


def test_an_interrupted_build_leaves_no_store(file: Path, tree: ResultTree) -> None:
    with pytest.raises(AssertionError, match="tokenized again"):
        build(letters(file), "train", Forbidden(), tree, FIELD)
    assert list((tree.storage / "tokens").iterdir()) == []


def test_what_a_killed_builder_left_is_ignored_and_later_removed(
    file: Path, tree: ResultTree
) -> None:
    name = corpus_id(letters(file), "train", BYTES, FIELD)
    fresh, stale = (tree.storage / "tokens" / f".{name}.{end}" for end in ("fresh", "stale"))
    for leftover in (fresh, stale):
        leftover.mkdir(parents=True)
        (leftover / "tokens.bin").write_bytes(b"half")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(stale / "tokens.bin", (two_days_ago, two_days_ago))
    os.utime(stale, (two_days_ago, two_days_ago))
    assert built(letters(file), tree).meta.tokens == 8
    assert (fresh.exists(), stale.exists()) == (True, False)


def test_the_slower_of_two_builders_uses_the_winner(file: Path, tree: ResultTree) -> None:
    class Overtaken(ByteTokenizer):
        def encode_batch(self, texts: Any) -> list[np.ndarray]:
            winners.append(built(letters(file), tree))
            return super().encode_batch(texts)

    winners: list[TokenStore] = []
    store = build(letters(file), "train", Overtaken(), tree, FIELD)
    assert store.path == winners[0].path
    assert [path.name for path in (tree.storage / "tokens").iterdir()] == [store.path.name]


# --- refusals ---


def test_refuses_files_that_are_missing_all_at_once(tree: ResultTree) -> None:
    with pytest.raises(ConfigError) as caught:
        built(letters("", train=("absent.json", "none-*.json")), tree)
    first, second = caught.value.faults
    assert first.startswith(f"{FIELD}.train: got 'absent.json'; there is no such file (")
    assert second.startswith(f"{FIELD}.train: got 'none-*.json'; matches no file (")


def test_refuses_an_unknown_column_with_the_nearest(file: Path, tree: ResultTree) -> None:
    sentence = refusal(letters(file, text="txt"), tree)
    assert sentence.startswith(f"{FIELD}.text: got 'txt'; must be a column of the data")
    assert "has text, domain; did you mean 'text'?" in sentence
    sentence = refusal(letters(file, domain="topic"), tree)
    assert sentence.startswith(f"{FIELD}.domain: got 'topic'; must be a column")


@pytest.mark.parametrize("value", [3, None, {"x": 1}])
def test_refuses_text_that_is_no_string(tmp_path: Path, tree: ResultTree, value: object) -> None:
    file = write_json_lines(tmp_path / "numbers.json", [{"text": value}])
    sentence = refusal(letters(file), tree)
    assert sentence.startswith(f"{FIELD}.text: got 'text'; must be a column of strings")
    assert sentence.endswith(f"row 1 of {file} holds {value!r}.")


@pytest.mark.parametrize("rows", [[], [{"text": ""}]])
def test_refuses_an_empty_set(tmp_path: Path, tree: ResultTree, rows: list[dict[str, Any]]) -> None:
    for name in ("none.json", "none.json.gz"):
        file = write_json_lines(tmp_path / name, rows)
        with pytest.raises(ConfigError, match=r"letters\.validation: .* validation set is empty"):
            build(letters(file), "validation", BYTES, tree, FIELD)


@pytest.mark.parametrize(
    ("path", "name", "content"),
    [
        ("json", "x.json", b'{"text": "a"}\n{"text": 3'),
        ("json", "x.json.gz", b"not gzip"),
        ("json", "x.json.gz", gzip.compress(os.urandom(5000))[:200]),
        ("parquet", "x.parquet", b"not parquet"),
        ("csv", "x.csv", b'text,b\n1,2\n"x'),
        ("text", "x.txt", "é".encode("latin-1")),
        ("arrow", "x.arrow", b"not arrow"),
    ],
)
def test_refuses_a_corrupt_file_by_name(
    tmp_path: Path, tree: ResultTree, path: str, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    sentence = refusal(letters(tmp_path / name, path=path), tree)
    assert sentence.startswith(
        f"{FIELD}.train: got '{tmp_path / name}'; cannot be read as {path} ("
    )


@pytest.mark.parametrize("path", ["jsn", "nobody/nothing"])
def test_refuses_a_path_that_nothing_opens(tree: ResultTree, path: str) -> None:
    sentence = refusal(letters("train", path=path), tree)
    assert sentence.startswith(f"{FIELD}.path: got '{path}' with train ['train']; must be one of")
    assert ("did you mean 'json'?" in sentence) == (path == "jsn")


def test_refuses_a_split_that_a_directory_lacks(tmp_path: Path, tree: ResultTree) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    sentence = refusal(letters("dev", path=str(tmp_path)), tree)
    assert "['dev']" in sentence
    assert "Unknown split" in sentence


def test_refuses_a_domain_column_that_names_no_domains(
    file: Path, tree: ResultTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "MAX_DOMAINS", 1)
    sentence = refusal(letters(file, domain="domain"), tree)
    assert sentence.startswith(f"{FIELD}.domain: got 'domain'; must be a column of at most 1 ")


# --- real text ---


def test_real_text_through_the_neox_tokenizer(shared_data: Path, tree: ResultTree) -> None:
    tokenizer = load_tokenizer(str(shared_data / "20B_tokenizer.json"))
    dataset = letters(shared_data / "en_wiki.valid.jsonl.gz", domain="domain")
    store = build(dataset, "validation", tokenizer, tree, FIELD)
    # Counts from the data's own README: 220 rows, 676,697 bytes, 152,989 tokens.
    assert store.meta.documents == 220
    assert store.meta.bytes == 676_697
    assert store.meta.tokens == 152_989 + 220
    assert (np.asarray(store.tokens)[store.starts[1:] - 1] == tokenizer.end_of_text).all()
