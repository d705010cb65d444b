import bz2
import gzip
import hashlib
import json
import lzma
import os
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpt import packing, store_writer
from cpt.builder import Stores, build
from cpt.dataset_config import AnyDatasetConfig, DatasetConfig, MixedDatasetConfig
from cpt.digests import Digests
from cpt.parsing import ConfigError, shown
from cpt.records import ResultTree
from cpt.token_library import library
from cpt.token_store import StoreError, TokenStore, shared_documents
from cpt.tokenizer import ByteTokenizer, Tokenizer, load_tokenizer

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


def stores_of(
    dataset: AnyDatasetConfig,
    tree: ResultTree,
    tokenizer: Tokenizer = BYTES,
    said: list[str] | None = None,
) -> Stores:
    say = said.append if said is not None else lambda text: None
    with Digests(tree.storage / "digests.json") as digests:
        return build(dataset, tokenizer, library(tree), FIELD, digests, say)


def built(dataset: DatasetConfig, tree: ResultTree) -> TokenStore:
    return stores_of(dataset, tree).train[""]


def built_ids(dataset: DatasetConfig, tree: ResultTree, tokenizer: Tokenizer = BYTES) -> list[str]:
    stores = stores_of(dataset, tree, tokenizer)
    return [stores.train[""].meta.corpus_id, stores.validation.meta.corpus_id]


def refusal(dataset: AnyDatasetConfig, tree: ResultTree) -> str:
    with pytest.raises(ConfigError) as caught:
        stores_of(dataset, tree)
    (sentence,) = caught.value.faults
    assert sentence.endswith(".") or "did you mean" in sentence
    return sentence


def texts(store: TokenStore) -> list[str]:
    pieces = np.split(np.asarray(store.tokens), store.starts[1:-1])
    return [bytes(piece[:-1].tolist()).decode() for piece in pieces]


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
    for name in ("tokens.bin", "starts.bin", "domains.bin", "hashes.bin"):
        content = (store.path / name).read_bytes()
        assert meta.files[name].model_dump() == {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    assert (meta.tokenizer, meta.vocab_size, meta.end_of_text) == ("bytes", 257, 256)
    assert store.path == tree.tokens(meta.corpus_id)


def test_nobody_is_told_which_files_are_read(
    file: Path, tree: ResultTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("datasets.load.get_session", lambda: asked.append("Hugging Face"))
    built(letters(file), tree)
    assert asked == []


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
    store = built(letters(file), tree)
    assert store.tokens.tolist() == [97, 256]
    assert (store.meta.documents, store.meta.empty) == (1, 1)


def test_the_domains_of_empty_texts_are_left_out_with_them(
    tmp_path: Path, tree: ResultTree
) -> None:
    rows = [{"text": "", "domain": "x"}, {"text": "a", "domain": "y"}]
    file = write_json_lines(tmp_path / "gaps.json", rows)
    (domain,) = built(letters(file, domain="domain"), tree).meta.domains
    assert (domain.name, domain.documents) == ("y", 1)


def test_batches_do_not_show(file: Path, tree: ResultTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "BATCH_CHARACTERS", 2)
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
    assert built(letters(one, train=(two, one)), tree).tokens.tolist() == [98, 256, 97, 256]


def test_a_directory_is_read_by_split(tmp_path: Path, tree: ResultTree) -> None:
    stores = []
    for folder in ("data", "moved"):
        (tmp_path / folder).mkdir()
        write_json_lines(tmp_path / folder / "train.jsonl", [{"text": "a"}])
        write_json_lines(tmp_path / folder / "test.jsonl", [{"text": "b"}])
        (tmp_path / folder / ".downloaded").write_text(folder, encoding="utf-8")
        dataset = letters("", path=str(tmp_path / folder), train="train", validation="test")
        both = stores_of(dataset, tree)
        stores += [both.train[""], both.validation]
    assert [store.tokens.tolist() for store in stores] == [[97, 256], [98, 256]] * 2
    assert [store.meta.corpus_id for store in stores[:2]] == [
        store.meta.corpus_id for store in stores[2:]
    ]


@pytest.mark.parametrize("compression", ["bz2", "xz", "zip"])
def test_compressed_files_are_read(tmp_path: Path, tree: ResultTree, compression: str) -> None:
    content = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    file = tmp_path / f"letters.jsonl.{compression}"
    match compression:
        case "bz2":
            file.write_bytes(bz2.compress(content))
        case "xz":
            file.write_bytes(lzma.compress(content))
        case "zip":
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("letters.jsonl", content)
    assert texts(built(letters(file), tree)) == ["ab", "é", "c"]


def test_a_streamed_directory_is_the_corpus_that_a_copied_one_is(
    tmp_path: Path, tree: ResultTree
) -> None:
    (tmp_path / "data").mkdir()
    for split, rows in (("train", ROWS), ("test", ROWS[:1])):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / f"{split}.parquet")
    folder = str(tmp_path / "data")
    copied = letters("", path=folder, train="train", validation="test", max_shared_documents=1)
    streamed = copied.model_copy(update={"streaming": True})
    ids = built_ids(copied, tree)
    other = ResultTree(tmp_path / "other")
    assert built_ids(streamed, other) == ids
    assert texts(stores_of(streamed, other).train[""]) == ["ab", "é", "c"]


def test_a_dictionary_of_strings_is_a_column_of_strings(tmp_path: Path, tree: ResultTree) -> None:
    names = pa.array(["x", "y", "x"]).dictionary_encode()
    table = pa.table({"text": ["a", "b", "c"], "domain": names})
    pq.write_table(table, tmp_path / "t.parquet")
    store = built(letters(tmp_path / "t.parquet", path="parquet", domain="domain"), tree)
    assert [domain.name for domain in store.meta.domains] == ["x", "y"]


# --- identity ---


def test_the_same_content_elsewhere_is_the_same_corpus(
    tmp_path: Path, file: Path, tree: ResultTree
) -> None:
    copy = tmp_path / "elsewhere.jsonl"
    copy.write_bytes(file.read_bytes())
    assert built_ids(letters(file), tree) == built_ids(letters(copy), tree)


def test_whatever_changes_the_tokens_changes_the_id(
    tmp_path: Path, file: Path, tree: ResultTree
) -> None:
    class Other(ByteTokenizer):
        fingerprint = "other"

    changed = write_json_lines(tmp_path / "changed.jsonl", [{**ROWS[0], "text": "ac"}, *ROWS[1:]])
    ids = [
        *built_ids(letters(file), tree),
        *built_ids(letters(file), tree, Other()),
        *built_ids(letters(changed), tree),
        *built_ids(letters(file, text="domain"), tree),
        *built_ids(letters(file, domain="domain"), tree),
        *built_ids(letters(file, path="text"), tree),
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
    second = stores_of(letters(file), tree, Forbidden()).train[""]
    assert (second.path / "tokens.bin").stat().st_mtime_ns == before


def leftovers(tree: ResultTree) -> list[str]:
    folder = tree.storage / "tokens"
    return [path.name for path in folder.iterdir() if path.name not in (".locks", ".digests.json")]


def test_an_interrupted_build_leaves_no_store(file: Path, tree: ResultTree) -> None:
    with pytest.raises(AssertionError, match="tokenized again"):
        stores_of(letters(file), tree, Forbidden())
    assert leftovers(tree) == []


def test_what_a_killed_builder_left_is_removed_by_the_next(file: Path, tree: ResultTree) -> None:
    (name, _) = built_ids(letters(file), ResultTree(tree.storage / "other"))
    here, fresh, stale = (
        tree.storage / "tokens" / f".{name}.{end}"
        for end in (f"{socket.gethostname()}.x", "elsewhere.fresh", "elsewhere.stale")
    )
    for leftover in (here, fresh, stale):
        leftover.mkdir(parents=True)
        (leftover / "tokens.bin").write_bytes(b"half")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(stale / "tokens.bin", (two_days_ago, two_days_ago))
    os.utime(stale, (two_days_ago, two_days_ago))
    assert built(letters(file), tree).meta.tokens == 8
    # That of another machine may still be worked on, until nothing touched it for a day.
    assert (here.exists(), fresh.exists(), stale.exists()) == (False, True, False)


BUILD = """
import sys
from pathlib import Path
from cpt.builder import build
from cpt.dataset_config import DatasetConfig
from cpt.digests import Digests
from cpt.records import ResultTree
from cpt.token_library import library
from cpt.tokenizer import ByteTokenizer
class Counted(ByteTokenizer):
    def encode_batch(self, texts):
        print("tokenized", flush=True)
        return super().encode_batch(texts)
_, storage, file = sys.argv
dataset = DatasetConfig(path="json", train=file, validation=file)
tree = ResultTree(Path(storage))
build(dataset, Counted(), library(tree), "x", Digests(tree.storage / "digests.json"), print)
"""


def test_of_builders_at_the_same_time_one_tokenizes(file: Path, tree: ResultTree) -> None:
    command = [sys.executable, "-c", BUILD, str(tree.storage), str(file)]
    builders = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        for _ in range(3)
    ]
    outputs = [builder.communicate(timeout=60)[0] for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0, 0]
    # One batch of each split.
    assert sum(output.count("tokenized") for output in outputs) == 2
    assert built(letters(file), tree).meta.documents == 3


def test_processes_pack_what_one_packs_in_the_same_order(
    tmp_path: Path, tree: ResultTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": f"document {number}", "domain": "xy"[number % 2]} for number in range(300)]
    file = write_json_lines(tmp_path / "many.jsonl", rows)
    alone = built(letters(file, domain="domain"), tree)
    monkeypatch.setattr(packing, "BATCH_CHARACTERS", 100)
    several = built(letters(file, domain="domain"), ResultTree(tmp_path / "other"))
    assert alone.meta == several.meta
    assert texts(several) == [row["text"] for row in rows]


def test_a_source_that_changed_is_packed_anew_and_said(file: Path, tree: ResultTree) -> None:
    said: list[str] = []
    first = stores_of(letters(file), tree, said=said).train[""]
    assert said == []
    write_json_lines(file, [*ROWS, {"text": "d", "domain": "x"}])
    second = stores_of(letters(file), tree, said=said).train[""]
    assert (first.meta.documents, second.meta.documents) == (3, 4)
    assert said == [
        f"letters {split}: what lies there has changed since it was packed; packed anew"
        for split in ("train", "validation")
    ]


@pytest.mark.parametrize("name", ["tokens.bin", "starts.bin", "domains.bin", "hashes.bin"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_store_is_set_aside_and_packed_anew(
    file: Path, tree: ResultTree, name: str, damage: str
) -> None:
    store = built(letters(file), tree)
    content = (store.path / name).read_bytes()
    match damage:
        case "cut":
            (store.path / name).write_bytes(content[:-1])
        case "changed":
            (store.path / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "gone":
            (store.path / name).unlink()
    said: list[str] = []
    again = stores_of(letters(file), tree, said=said).train[""]
    assert (again.path / name).read_bytes() == content
    (sentence,) = said
    assert name in sentence
    assert sentence.endswith(f"moved to {store.path.name}.damaged-1 and packed anew")


def test_what_was_verified_is_not_read_again_until_it_is_touched(
    file: Path, tree: ResultTree
) -> None:
    store = built(letters(file), tree)
    tokens = store.path / "tokens.bin"
    before = tokens.stat()
    tokens.write_bytes(bytes(before.st_size))
    os.utime(tokens, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert TokenStore(store.path).tokens.tolist() == [0] * 8  # the price of opening fast
    (store.path / "verified.json").unlink()
    with pytest.raises(StoreError, match=r"tokens\.bin does not hold what was written"):
        TokenStore(store.path)


def test_a_damaged_meta_is_noticed(file: Path, tree: ResultTree) -> None:
    store = built(letters(file), tree)
    meta = json.loads((store.path / "meta.json").read_text())
    (store.path / "meta.json").write_text(json.dumps(meta | {"tokens": 7}))
    with pytest.raises(StoreError, match=r"meta\.json is damaged"):
        TokenStore(store.path)


def test_a_full_disk_ends_the_build_with_a_sentence(tmp_path: Path, tree: ResultTree) -> None:
    file = write_json_lines(tmp_path / "long.jsonl", [{"text": "x" * 100_000}])
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
    done = subprocess.run(
        [sys.executable, "-c", limited + BUILD, str(tree.storage), str(file)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "tokens.bin cannot be written (File too large): it needs more than the 200002 " in last
    assert "are free there; make room, and the next run packs it anew." in last
    assert leftovers(tree) == []


def test_text_that_changes_while_it_is_packed_is_refused(file: Path, tree: ResultTree) -> None:
    class Slow(ByteTokenizer):
        def encode_batch(self, texts: Any) -> list[np.ndarray]:
            write_json_lines(file, [*ROWS, {"text": "d", "domain": "x"}])
            return super().encode_batch(texts)

    with pytest.raises(ConfigError) as caught:
        stores_of(letters(file), tree, Slow())
    assert caught.value.faults == (
        f"{FIELD}: got 'json', whose content changed while it was packed; must stay as it is until "
        "then; run it again once nothing writes there.",
    )
    assert leftovers(tree) == []


# --- a share held out ---


def test_a_share_is_held_out_by_the_hash_of_the_text(tmp_path: Path, tree: ResultTree) -> None:
    rows = [{"text": f"document {number % 1000}"} for number in range(2000)]
    file = write_json_lines(tmp_path / "whole.jsonl", [{"text": ""}, *rows])
    cut = letters(file, validation=(), validation_share="1/10")
    stores = stores_of(cut, tree)
    kept, held_out = texts(stores.train[""]), texts(stores.validation)
    expected = [
        row["text"]
        for row in rows
        if int.from_bytes(hashlib.blake2b(row["text"].encode(), digest_size=8).digest(), "little")
        < 2**64 // 10
    ]
    assert held_out == expected
    assert 140 <= len(held_out) <= 260  # 200 expected, each text twice
    assert sorted(kept + held_out) == sorted(row["text"] for row in rows)
    # The second copy of a text falls where the first did.
    assert set(kept).isdisjoint(held_out)
    assert shared_documents(stores.validation, [stores.train[""]]) == 0
    assert (stores.train[""].meta.empty, stores.validation.meta.empty) == (1, 0)


def test_a_cut_keeps_bytes_and_domains_with_their_documents(
    tmp_path: Path, tree: ResultTree
) -> None:
    """Every document has a length of its own, and a domain that tells it."""
    rows = [{"text": "x" * number, "domain": str(number)} for number in range(1, 101)]
    file = write_json_lines(tmp_path / "whole.jsonl", rows)
    cut = letters(file, validation=(), validation_share="1/4", domain="domain")
    stores = stores_of(cut, tree)
    for store in (stores.train[""], stores.validation):
        assert store.meta.documents > 10
        for text, number in zip(texts(store), store.domains, strict=True):
            assert store.meta.domains[number].model_dump() == {
                "name": str(len(text)),
                "documents": 1,
                "tokens": len(text) + 1,
                "bytes": len(text),
            }


def test_another_share_is_another_corpus(file: Path, tree: ResultTree) -> None:
    def ids(share: str) -> list[str]:
        return built_ids(letters(file, validation=(), validation_share=share), tree)

    rows = [{"text": str(number)} for number in range(100)]
    write_json_lines(file, rows)
    assert len({*ids("1/2"), *ids("1/3")}) == 4


def test_a_share_that_holds_out_nothing_is_refused(file: Path, tree: ResultTree) -> None:
    sentence = refusal(letters(file, validation=(), validation_share="1/1000000"), tree)
    assert sentence.startswith(f"{FIELD}.validation_share: got '1/1000000'; the validation set is")


# --- a part of a corpus ---


def test_parts_are_disjoint_equal_and_together_the_whole(file: Path, tree: ResultTree) -> None:
    rows = [{"text": f"document {number}"} for number in range(3000)]
    write_json_lines(file, [{"text": ""}, *rows])
    parts = [stores_of(letters(file, part=f"{number} of 3"), tree) for number in (1, 2, 3)]
    found = [texts(part.train[""]) for part in parts]
    assert sorted(text for part in found for text in part) == sorted(row["text"] for row in rows)
    assert all(900 <= len(part) <= 1100 for part in found)  # 1,000 expected
    # In the order of the file, and the held-out documents are those of the same part.
    assert found[0] == [row["text"] for row in rows if row["text"] in set(found[0])]
    assert [texts(part.validation) for part in parts] == found
    # An empty document is in every part: it holds nothing.
    assert [part.train[""].meta.empty for part in parts] == [1, 1, 1]


def test_a_share_is_held_out_of_a_part_as_of_the_whole(file: Path, tree: ResultTree) -> None:
    rows = [{"text": f"document {number}"} for number in range(3000)]
    write_json_lines(file, rows)
    whole = stores_of(letters(file, validation=(), validation_share="1/2"), tree)
    held_out = set(texts(whole.validation))
    for number in (1, 2):
        cut = letters(file, validation=(), validation_share="1/2", part=f"{number} of 2")
        stores = stores_of(cut, tree)
        assert set(texts(stores.validation)) <= held_out
        assert held_out.isdisjoint(texts(stores.train[""]))
        assert 650 <= len(texts(stores.validation)) <= 850  # 750 expected


def test_a_part_keeps_domains_with_their_documents(file: Path, tree: ResultTree) -> None:
    rows = [{"text": "x" * number, "domain": str(number)} for number in range(1, 101)]
    store = built(letters(write_json_lines(file, rows), part="2 of 2", domain="domain"), tree)
    assert 30 < store.meta.documents < 70
    for text, number in zip(texts(store), store.domains, strict=True):
        assert store.meta.domains[number].name == str(len(text))


def test_another_part_is_another_corpus(file: Path, tree: ResultTree) -> None:
    write_json_lines(file, [{"text": str(number)} for number in range(100)])
    parts = ("1 of 2", "2 of 2", "1 of 3", None)
    assert len({name for part in parts for name in built_ids(letters(file, part=part), tree)}) == 8


@pytest.mark.parametrize("part", ["0 of 3", "4 of 3", "3", "1/3", 2, "1 of 0", "-1 of 3"])
def test_a_part_that_is_none_is_refused(part: object) -> None:
    with pytest.raises(ValueError, match="must be a part of so many, from '1 of 3' to '3 of 3'"):
        letters("a.jsonl", part=part)


# --- several sources ---


def mixed(tmp_path: Path, **changed: Any) -> MixedDatasetConfig:
    sources = {}
    for name, rows in {"cats": ["a", "b"], "dogs": ["c", "d"]}.items():
        content = [{"text": text, "kind": text.upper()} for text in rows]
        file = write_json_lines(tmp_path / f"{name}.jsonl", content)
        sources[name] = {"path": "json", "train": str(file), "validation": str(file), "weight": 1}
    sources["dogs"]["domain"] = "kind"
    return MixedDatasetConfig.model_validate({"sources": sources} | changed)


def test_each_source_has_a_store_and_all_hold_out_together(
    tmp_path: Path, tree: ResultTree
) -> None:
    stores = stores_of(mixed(tmp_path), tree)
    assert {name: texts(store) for name, store in stores.train.items()} == {
        "cats": ["a", "b"],
        "dogs": ["c", "d"],
    }
    assert texts(stores.validation) == ["a", "b", "c", "d"]
    assert [domain.name for domain in stores.validation.meta.domains] == [
        "cats",
        "dogs/C",
        "dogs/D",
    ]
    assert [domain.name for domain in stores.train["dogs"].meta.domains] == ["C", "D"]


def test_a_source_shares_its_store_with_a_data_set_of_its_own(
    tmp_path: Path, tree: ResultTree
) -> None:
    stores = stores_of(mixed(tmp_path), tree)
    alone = built(letters(tmp_path / "cats.jsonl"), tree)
    assert alone.path == stores.train["cats"].path


def test_sources_of_the_same_text_share_a_store(tmp_path: Path, tree: ResultTree) -> None:
    dataset = mixed(tmp_path)
    twice = dataset.model_copy(
        update={"sources": {**dataset.sources, "copy": dataset.sources["cats"]}}
    )
    stores = stores_of(twice, tree)
    assert stores.train["copy"].path == stores.train["cats"].path
    assert texts(stores.train["copy"]) == ["a", "b"]
    assert texts(stores.validation) == ["a", "b", "c", "d", "a", "b"]


def test_a_fault_of_a_source_names_it(tmp_path: Path, tree: ResultTree) -> None:
    dataset = mixed(tmp_path)
    (tmp_path / "dogs.jsonl").unlink()
    with pytest.raises(ConfigError) as caught:
        stores_of(dataset, tree)
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        f"{FIELD}.sources.dogs.train",
        f"{FIELD}.sources.dogs.validation",
    ]


# --- documents that both hold ---


def test_shared_documents_are_counted(tmp_path: Path, tree: ResultTree) -> None:
    train = write_json_lines(tmp_path / "t.jsonl", [{"text": text} for text in "abcaa"])
    held_out = write_json_lines(tmp_path / "v.jsonl", [{"text": text} for text in "axay"])
    stores = stores_of(letters(train, validation=str(held_out)), tree)
    assert shared_documents(stores.validation, [stores.train[""]]) == 2
    assert shared_documents(stores.train[""], [stores.validation]) == 3


# --- refusals ---


def test_refuses_files_that_are_missing_all_at_once(tree: ResultTree) -> None:
    with pytest.raises(ConfigError) as caught:
        built(letters("gone.json", train=("absent.json", "none-*.json")), tree)
    first, second, third = caught.value.faults
    assert first.startswith(f"{FIELD}.train: got 'absent.json'; there is no such file (")
    assert second.startswith(f"{FIELD}.train: got 'none-*.json'; matches no file (")
    assert third.startswith(f"{FIELD}.validation: got '")


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
    assert sentence.endswith(f"row 1 of {file} holds {shown(value)}.")


@pytest.mark.parametrize("rows", [[], [{"text": ""}]])
def test_refuses_an_empty_set(tmp_path: Path, tree: ResultTree, rows: list[dict[str, Any]]) -> None:
    for name in ("none.json", "none.json.gz"):
        file = write_json_lines(tmp_path / name, rows)
        sentence = refusal(letters(file), tree)
        assert sentence.startswith(f"{FIELD}.train: got")
        assert "the train set is empty" in sentence
        good = write_json_lines(tmp_path / "good.json", ROWS)
        sentence = refusal(letters(good, validation=str(file)), tree)
        assert sentence.startswith(f"{FIELD}.validation: got")
        assert "the validation set is empty" in sentence


@pytest.mark.parametrize(
    ("path", "name", "content"),
    [
        ("json", "x.json", b'{"text": "a"}\n{"text": 3'),
        ("json", "x.json.gz", b"not gzip"),
        ("json", "x.json.gz", gzip.compress(os.urandom(5000))[:200]),
        ("parquet", "x.parquet", b"not parquet"),
        ("csv", "x.csv", b'text,b\n1,2\n"x'),
        ("arrow", "x.arrow", b"not arrow"),
        ("json", "x.json", b'{"text": "\\ud800"}\n'),
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


def test_refuses_a_row_of_json_that_is_not_utf8(tmp_path: Path, tree: ResultTree) -> None:
    (tmp_path / "x").write_bytes(b'{"text": "a"}\n{"text": "caf\xe9"}\n')
    sentence = refusal(letters(tmp_path / "x"), tree)
    assert sentence.startswith(
        f"{FIELD}.text: got 'text'; must be a column of UTF-8 text, but row 2 of {tmp_path / 'x'} "
        "holds other bytes ("
    )
    assert sentence.endswith("; convert it, e.g. with iconv.")


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("csv", b"text\ncaf\xe9\n"),
        ("text", b"caf\xe9"),
    ],
)
def test_refuses_what_is_not_utf8(
    tmp_path: Path, tree: ResultTree, path: str, content: bytes
) -> None:
    (tmp_path / "x").write_bytes(content)
    sentence = refusal(letters(tmp_path / "x", path=path), tree)
    assert sentence.startswith(
        f"{FIELD}.train: got '{tmp_path / 'x'}'; must be UTF-8, but holds other bytes ("
    )
    assert "0xe9" in sentence


def test_a_column_of_strings_and_numbers_is_refused_at_the_first_number(
    tmp_path: Path, tree: ResultTree
) -> None:
    file = write_json_lines(tmp_path / "mixed.jsonl", [{"text": "a"}, {"text": 3}])
    assert refusal(letters(file), tree).endswith(f"row 2 of {file} holds 3.")


@pytest.mark.parametrize("path", ["jsn", "nobody/nothing"])
def test_refuses_a_path_that_nothing_opens(tree: ResultTree, path: str) -> None:
    sentence = refusal(letters("train", path=path), tree)
    assert sentence.startswith(f"{FIELD}.path: got '{path}'; must be one of arrow, csv, json")
    assert ("did you mean 'json'?" in sentence) == (path == "jsn")


def test_refuses_a_split_that_a_directory_lacks(tmp_path: Path, tree: ResultTree) -> None:
    write_json_lines(tmp_path / "train.jsonl", ROWS)
    assert refusal(letters("dev", path=str(tmp_path), validation="train"), tree) == (
        f"{FIELD}.train: got 'dev'; must be a split of {tmp_path}; legal here: train."
    )


def test_refuses_a_domain_column_that_names_no_domains(
    file: Path, tree: ResultTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_writer, "MAX_DOMAINS", 1)
    sentence = refusal(letters(file, domain="domain"), tree)
    assert sentence.startswith(f"{FIELD}.domain: got a column with 2 different names, 'y' the last")


# --- real text ---

REAL = {  # rows, bytes and GPT-NeoX tokens, from the data's own README
    "en_wiki": [(4715, 15_320_625, 3_447_008), (220, 676_697, 152_989)],
    "en_news": [(3405, 6_659_054, 1_415_843), (186, 343_223, 72_732)],
    "en_books": [(502, 6_475_849, 1_558_415), (39, 484_002, 116_805)],
    "en_papers": [(156, 2_600_400, 605_318), (10, 165_461, 39_082)],
    "de_wiki": [(507, 2_968_233, 961_225), (24, 127_135, 40_613)],
    "de_books": [(581, 8_151_415, 2_731_917), (24, 399_811, 133_112)],
    "de_law": [(347, 4_745_781, 1_620_664), (18, 254_446, 87_316)],
    "py_code": [(897, 8_768_417, 2_616_128), (50, 467_397, 135_036)],
}


@pytest.mark.long
@pytest.mark.timeout(400)
def test_real_text_through_the_neox_tokenizer(shared_data: Path, tree: ResultTree) -> None:
    tokenizer = load_tokenizer(str(shared_data / "20B_tokenizer.json"))
    sources = {
        name: {
            "path": "json",
            "train": str(shared_data / f"{name}.train.jsonl.gz"),
            "validation": str(shared_data / f"{name}.valid.jsonl.gz"),
            "weight": 1,
        }
        for name in REAL
    }
    stores = stores_of(MixedDatasetConfig.model_validate({"sources": sources}), tree, tokenizer)
    held_out = {domain.name: domain for domain in stores.validation.meta.domains}
    for name, ((rows, size, tokens), held_out_counts) in REAL.items():
        meta = stores.train[name].meta
        # Each document is ended by one more token.
        assert (meta.documents, meta.bytes, meta.tokens - rows) == (rows, size, tokens)
        part = held_out[name]
        assert (part.documents, part.bytes, part.tokens - part.documents) == held_out_counts
        assert (stores.train[name].tokens[stores.train[name].starts[1:] - 1] == 0).all()
    assert shared_documents(stores.validation, list(stores.train.values())) == 0
