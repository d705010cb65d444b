"""Data sets of the hub, read by a process of its own from a hub on this machine.

huggingface_hub reads its endpoint and its cache's place where it is imported.
"""

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpt.dataset_config import DatasetConfig
from cpt.parsing import ConfigError, parse
from tests.cpt.hub_server import ALWAYS, Hub, Repository, Request, running_hub

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ID = "some/texts"
DATASET = {"path": ID, "train": "train", "validation": "test"}
BROKEN = "must be read to its end, but the connection kept breaking"

# Builds each data set given and prints what came of it; waits between two tries are skipped.
BUILD = """
import json, sys, time
from pathlib import Path
import numpy as np
from cpt.builder import build
from cpt.dataset_config import DatasetConfig
from cpt.digests import Digests
from cpt.parsing import ConfigError
from cpt.records import ResultTree
from cpt.token_library import library
from cpt.tokenizer import ByteTokenizer
time.sleep = lambda seconds: None
_, storage, datasets = sys.argv
tree = ResultTree(Path(storage))
for dataset in json.loads(datasets):
    said = []
    try:
        with Digests(tree.storage / "digests.json") as digests:
            stores = build(
                DatasetConfig(**dataset), ByteTokenizer(), library(tree), "datasets.x", digests,
                said.append,
            )
    except ConfigError as error:
        print(json.dumps({"faults": error.faults}))
        continue
    texts = []
    for store in (stores.train[""], stores.validation):
        pieces = np.split(np.asarray(store.tokens), store.starts[1:-1])
        texts.append([bytes(piece[:-1].tolist()).decode() for piece in pieces])
    ids = [stores.train[""].meta.corpus_id, stores.validation.meta.corpus_id]
    print(json.dumps({"ids": ids, "texts": texts, "said": said}))
"""


class Reader:
    """A machine that reads from the hub: its cache, and its packed corpora."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.hub, self.cache, self.storage = hub, folder / "hf", folder / "results"

    def build(self, *changes: Mapping[str, Any], **environment: str) -> list[dict[str, Any]]:
        """What came of each data set: ids, texts and words said; or faults."""
        datasets = [DATASET | dict(change) for change in changes]
        inherited = {name: value for name, value in os.environ.items() if "HF_" not in name}
        done = subprocess.run(
            [sys.executable, "-c", BUILD, str(self.storage), json.dumps(datasets)],
            env=inherited
            | {
                "HF_ENDPOINT": self.hub.url,
                "HF_HOME": str(self.cache),
                "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HUB_DISABLE_XET": "1",
            }
            | environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refusal(self, change: Mapping[str, Any], **environment: str) -> str:
        (found,) = self.build(change, **environment)
        (sentence,) = found["faults"]
        assert isinstance(sentence, str)
        return sentence

    def cached(self, content: bytes) -> bool:
        """Whether any file of the cache holds these bytes."""
        files = [file for file in self.cache.rglob("*") if file.is_file()]
        return any(content in file.read_bytes() for file in files)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with running_hub() as running:
        yield running


@pytest.fixture
def reader(hub: Hub, tmp_path: Path) -> Reader:
    return Reader(hub, tmp_path / "reader")


@pytest.fixture
def other(hub: Hub, tmp_path: Path) -> Reader:
    return Reader(hub, tmp_path / "other")


def json_lines(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


def parquet(*texts: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": list(texts)}), sink)
    return sink.getvalue()


CARD = """---
configs:
- config_name: news
  default: true
  data_files:
  - split: train
    path: news/train-*.SUFFIX
  - split: test
    path: news/test.SUFFIX
- config_name: wiki
  data_files:
  - split: train
    path: wiki/train.SUFFIX
  - split: test
    path: wiki/test.SUFFIX
---
"""


def repository_files(suffix: str = "jsonl") -> dict[str, bytes]:
    write = parquet if suffix == "parquet" else json_lines
    return {
        "README.md": CARD.replace("SUFFIX", suffix).encode(),
        f"news/train-0.{suffix}": write("alpha", "beta"),
        f"news/train-1.{suffix}": write("gamma", "delta"),
        f"news/test.{suffix}": write("epsilon"),
        f"wiki/train.{suffix}": write("zeta"),
        f"wiki/test.{suffix}": write("eta"),
    }


RANGE = 15 * 2**20
"""Bytes that `datasets` asks for at once: ten megabytes, and the five that fsspec reads ahead."""

LONG = [f"{number:03} {'x' * 100_000}" for number in range(200)]

NEWS = [["alpha", "beta", "gamma", "delta"], ["epsilon"]]
CHANGED = {**repository_files(), "news/test.jsonl": json_lines("theta")}


@pytest.fixture
def texts(hub: Hub) -> Repository:
    repository = hub.repositories[ID] = Repository()
    repository.commit(repository_files())
    return repository


# --- what is read ---


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_copied_and_a_streamed_data_set_are_the_same_corpus(
    texts: Repository, reader: Reader, other: Reader, suffix: str
) -> None:
    texts.commit(repository_files(suffix))
    (copied,) = reader.build({})
    (streamed,) = other.build({"streaming": True})
    assert copied["texts"] == NEWS
    assert copied == streamed


def test_a_configuration_a_split_and_a_part_of_one_are_corpora_of_their_own(
    texts: Repository, reader: Reader
) -> None:
    found = reader.build(
        {},
        {"name": "wiki"},
        {"train": "test", "validation": "train"},
        {"train": "train[:50%]", "validation": "train[50%:]"},
        {"train": ["train[75%:]", "train[:1]"]},
        {"train": "test+train"},
    )
    assert [one["texts"][0] for one in found] == [
        NEWS[0],
        ["zeta"],
        ["epsilon"],
        ["alpha", "beta"],
        ["delta", "alpha"],
        ["epsilon", *NEWS[0]],
    ]
    assert len({one["ids"][0] for one in found}) == len(found)


def test_streaming_copies_no_data(texts: Repository, reader: Reader, other: Reader) -> None:
    reader.build({"streaming": True})
    assert reader.cached(b"config_name: news")
    assert not reader.cached(b"alpha")
    other.build({})
    assert other.cached(b"alpha")


@pytest.mark.long
def test_streaming_asks_for_ranges(texts: Repository, hub: Hub, reader: Reader) -> None:
    content = json_lines(*LONG)
    texts.commit({**repository_files(), "news/train-1.jsonl": content})
    reader.build({"streaming": True})
    asked = [request.bytes for request in hub.gets("news/train-1.jsonl")]
    assert asked == [f"0-{RANGE - 1}", f"{RANGE}-{len(content) - 1}"]


def test_a_share_held_out_is_read_once_for_both_splits(
    texts: Repository, hub: Hub, reader: Reader
) -> None:
    rows = [f"row {number}" for number in range(20)]
    texts.commit({**repository_files(), "news/train-1.jsonl": json_lines(*rows)})
    (found,) = reader.build({"validation": [], "validation_share": "0.5", "streaming": True})
    assert sorted(found["texts"][0] + found["texts"][1]) == sorted(["alpha", "beta", *rows])
    # The columns are told from the first file, before its rows are read.
    assert [len(hub.gets(f"news/train-{number}.jsonl")) for number in (0, 1)] == [2, 1]


# --- identity ---


def changed(split: str) -> str:
    return f"x {split}: what lies there has changed since it was packed; packed anew"


def test_a_new_commit_is_a_new_corpus_and_said(texts: Repository, reader: Reader) -> None:
    (before,) = reader.build({})
    texts.commit(CHANGED)
    (after,) = reader.build({})
    assert (before["said"], after["said"]) == ([], [changed("train"), changed("validation")])
    assert after["texts"] == [NEWS[0], ["theta"]]
    assert not set(before["ids"]) & set(after["ids"])


def test_a_pinned_revision_stays_when_main_moves(texts: Repository, reader: Reader) -> None:
    commit = texts.refs["main"]
    texts.refs |= {"v1": commit, "old": commit}
    pinned = [{"revision": name} for name in (commit, "v1", "old")]
    before = reader.build(*pinned)
    texts.commit(CHANGED)
    assert reader.build(*pinned) == before
    assert before[0]["texts"] == NEWS
    assert before[0]["ids"] == before[1]["ids"] == before[2]["ids"]


@pytest.mark.long
def test_a_branch_that_moves_is_a_new_corpus(texts: Repository, reader: Reader) -> None:
    texts.commit(repository_files(), "draft")
    (before,) = reader.build({"revision": "draft"})
    texts.commit(CHANGED, "draft")
    (after,) = reader.build({"revision": "draft"})
    assert (before["texts"], after["texts"]) == (NEWS, [NEWS[0], ["theta"]])
    assert after["said"] == [changed("train"), changed("validation")]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.long
def test_a_commit_made_after_the_fingerprint_is_not_read(
    texts: Repository, hub: Hub, reader: Reader, streaming: bool
) -> None:
    first = texts.refs["main"]

    def move_main(request: Request) -> None:
        if request.path.endswith("/revision/main") and texts.refs["main"] == first:
            texts.commit(CHANGED)

    hub.after = move_main
    before, after = reader.build({"streaming": streaming}, {"streaming": streaming})
    assert (before["texts"], after["texts"]) == (NEWS, [NEWS[0], ["theta"]])


# --- once packed, and without the hub ---

OFFLINE = {"HF_HUB_OFFLINE": "1"}
GONE = {"HF_ENDPOINT": "http://127.0.0.1:9"}
"""Where nothing listens."""


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.long
def test_what_is_packed_is_not_asked_for_again(
    texts: Repository, hub: Hub, reader: Reader, streaming: bool
) -> None:
    first = reader.build({"streaming": streaming})
    assert hub.gets("news/test.jsonl")
    hub.requests.clear()
    assert reader.build({"streaming": streaming}) == first
    asked = {request.file for request in hub.requests if request.file}
    assert asked == {"README.md", "texts.py", ".huggingface.yaml", "dataset_infos.json"}


@pytest.mark.parametrize("without", [OFFLINE, GONE])
@pytest.mark.long
def test_without_the_hub_a_packed_corpus_is_found(
    texts: Repository, reader: Reader, without: dict[str, str]
) -> None:
    pinned = {"revision": texts.refs["main"]}
    asked = [{}, {"streaming": True}, {"name": "wiki"}, pinned]
    found = reader.build(*asked)
    assert reader.build(*asked, **without) == found


@pytest.mark.long
def test_a_commit_hash_needs_no_cache_either(
    texts: Repository, reader: Reader, other: Reader
) -> None:
    pinned = {"revision": texts.refs["main"], "streaming": True}
    found = reader.build(pinned)
    other.storage = reader.storage
    assert other.build(pinned, **OFFLINE) == found


@pytest.mark.long
def test_a_copy_is_packed_without_the_hub(texts: Repository, reader: Reader, other: Reader) -> None:
    found = reader.build({})
    other.cache = reader.cache
    assert other.build({}, **OFFLINE) == found


@pytest.mark.long
def test_a_copy_of_another_commit_is_no_substitute(texts: Repository, reader: Reader) -> None:
    wanted = texts.refs["main"]
    copied = texts.commit(CHANGED)
    reader.build({})
    assert reader.refusal({"revision": wanted}, **OFFLINE) == (
        f"datasets.x.revision: got '{wanted}'; {ID} cannot be opened there, and the copy in the "
        f"cache is of {copied}."
    )


# --- refusals ---

LEGAL_PATHS = (
    "must be one of arrow, csv, json, parquet, text, a directory, or a hub id that can be reached "
    "or is in the cache"
)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"path": "some/other"},
            f".path: got 'some/other'; {LEGAL_PATHS}, but the hub has no such data set, or a "
            "private one, which needs a token in HF_TOKEN.",
        ),
        ({"name": "nws"}, ".name: got 'nws'; must be a configuration of ID; did you mean 'news'?"),
        (
            {"name": "books"},
            ".name: got 'books'; must be a configuration of ID; legal here: news, wiki.",
        ),
        (
            {"train": "trian[:50%]"},
            ".train: got 'trian[:50%]'; must be a split of ID; did you mean 'train'?",
        ),
        (
            {"validation": "dev", "streaming": True},
            ".validation: got 'dev'; must be a split of ID; legal here: test, train.",
        ),
        ({"revision": "v9"}, ".revision: got 'v9'; must be a branch, tag or commit of ID."),
        (
            {"revision": "0" * 40},
            f".revision: got '{'0' * 40}'; must be a branch, tag or commit of ID.",
        ),
    ],
)
def test_refuses_what_the_hub_does_not_have(
    texts: Repository, hub: Hub, reader: Reader, change: dict[str, Any], sentence: str
) -> None:
    assert reader.refusal(change) == f"datasets.x{sentence}".replace("ID", ID)
    assert not [request for request in hub.requests if request.file.endswith("jsonl")]


def test_a_part_of_a_split_is_not_streamed() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(DatasetConfig, DATASET | {"train": "train[:50%]", "streaming": True})
    (sentence,) = caught.value.faults
    assert sentence.endswith(
        "'train[:50%]' must be a whole split with streaming; leave streaming out to read a part of "
        "one."
    )


@pytest.mark.long
def test_refuses_to_choose_among_configurations(texts: Repository, reader: Reader) -> None:
    card = CARD.replace("SUFFIX", "jsonl").replace("  default: true\n", "")
    texts.commit({**repository_files(), "README.md": card.encode()})
    assert reader.refusal({}) == (
        f"datasets.x.name: got nothing; must be a configuration of {ID}; legal here: news, wiki."
    )


@pytest.mark.parametrize("refusal", [(401, "GatedRepo"), (403, "GatedRepo"), (401, "RepoNotFound")])
@pytest.mark.long
def test_what_is_gated_or_private_needs_a_token(
    texts: Repository, reader: Reader, refusal: tuple[int, str]
) -> None:
    texts.refusal = refusal
    sentence = reader.refusal({})
    assert sentence.startswith(f"datasets.x.path: got '{ID}'; must be ")
    assert "HF_TOKEN." in sentence
    assert ("granted access" in sentence) == (refusal[1] == "GatedRepo")


@pytest.mark.parametrize("without", [OFFLINE, GONE])
@pytest.mark.long
def test_refuses_what_is_neither_reached_nor_known(reader: Reader, without: dict[str, str]) -> None:
    sentence = reader.refusal({}, **without)
    assert sentence.startswith(f"datasets.x.path: got '{ID}'; {LEGAL_PATHS} (")


# --- connections that break ---


def rows_in(name: str) -> tuple[list[str], bytes]:
    """Rows of a file, and its content, as lines, compressed lines or columns."""
    rows = [f"row {number}" for number in range(2000)]
    content = parquet(*rows) if name.endswith("parquet") else json_lines(*rows)
    return rows, gzip.compress(content) if name.endswith("gz") else content


@pytest.fixture(params=["train.jsonl", "train.jsonl.gz", "train.parquet"])
def breaking(request: pytest.FixtureRequest, hub: Hub) -> str:
    """The name of the only file of a data set."""
    name = str(request.param)
    hub.repositories[ID] = Repository()
    hub.repositories[ID].commit({"README.md": b"", name: rows_in(name)[1]})
    return name


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.long
def test_a_connection_that_breaks_once_costs_nothing(
    breaking: str, hub: Hub, reader: Reader, streaming: bool
) -> None:
    hub.cuts[breaking] = 1
    (found,) = reader.build({"validation": "train", "streaming": streaming})
    assert hub.cuts[breaking] == 0
    assert found["texts"] == [rows_in(breaking)[0]] * 2


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.long
def test_a_connection_that_always_breaks_leaves_no_store(
    breaking: str, hub: Hub, reader: Reader, streaming: bool
) -> None:
    hub.cuts[breaking] = ALWAYS
    sentence = reader.refusal({"validation": "train", "streaming": streaming})
    assert sentence.startswith(f"datasets.x.path: got '{ID}'; {BROKEN} (")
    assert stores(reader) == []


def test_a_stream_that_breaks_later_is_not_taken_for_its_end(
    texts: Repository, hub: Hub, reader: Reader
) -> None:
    texts.commit({**repository_files(), "news/train-1.jsonl": json_lines(*LONG)})

    def break_the_rest(request: Request) -> None:
        if (request.method, request.file) == ("GET", "news/train-1.jsonl"):
            hub.cuts[request.file] = ALWAYS

    hub.after = break_the_rest
    assert BROKEN in reader.refusal({"streaming": True})
    assert f"0-{RANGE - 1}" in [request.bytes for request in hub.gets("news/train-1.jsonl")]
    assert stores(reader) == []


def stores(reader: Reader) -> list[str]:
    folder = reader.storage / "tokens"
    return [path.name for path in folder.iterdir() if path.name != ".locks"]
