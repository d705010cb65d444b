"""Where token stores are kept: a directory, and object storage as moto's server speaks it."""

import errno
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cpt import retries
from cpt.files import write_json
from cpt.object_store import PIECE_BYTES
from cpt.records import ResultTree
from cpt.rows import read_rows
from cpt.storage import cache_of, shown_uri
from cpt.token_library import TokenLibrary
from cpt.token_store import (
    DOMAINS,
    HASHES,
    META,
    STARTS,
    TOKENS,
    CorpusMeta,
    FileMeta,
    StoreError,
    TokenStore,
)
from cpt.train import train

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = 1000
"""Tokens of each document."""


def write_store(folder: Path, corpus_id: str, tokens: int = 3 * DOCUMENT, seed: int = 0) -> Path:
    """A whole store as a builder leaves it in the workplace."""
    folder.mkdir(parents=True)
    documents = tokens // DOCUMENT
    arrays = {
        TOKENS: np.random.default_rng(seed).integers(0, 256, tokens).astype("<u2"),
        STARTS: np.arange(documents + 1, dtype="<i8") * DOCUMENT,
        DOMAINS: np.zeros(documents, "<i2"),
        HASHES: np.arange(documents, dtype="<u8"),
    }
    files = {}
    for name, array in arrays.items():
        content = array.tobytes()
        (folder / name).write_bytes(content)
        files[name] = FileMeta(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    meta = CorpusMeta(
        corpus_id=corpus_id,
        origin="o",
        path="json",
        split="train",
        tokenizer="bytes",
        vocab_size=257,
        end_of_text=256,
        documents=documents,
        empty=0,
        tokens=tokens,
        bytes=tokens,
        dtype="uint16",
        domains=(),
        files=files,
    )
    write_json(folder / META, meta.model_dump(mode="json"))
    return folder


def publish(library: TokenLibrary, corpus_id: str, **content: int) -> TokenStore:
    aside = write_store(library.workplace / f".{corpus_id}.aside", corpus_id, **content)
    return library.publish(aside, corpus_id)


def damage(file: Path) -> None:
    """Another byte in the middle; the size stays, the time does not."""
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        byte = stream.read(1)[0]
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 1]))
    os.utime(file, ns=(0, 0))


def python(code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


OPEN = """
import sys
from cpt.token_library import TokenLibrary
store = TokenLibrary.at(sys.argv[1]).open(sys.argv[2])
print(store.path, int(store.tokens.sum()))
"""


# In a directory.


def test_a_local_store_is_read_where_it_lies(tmp_path) -> None:
    library = TokenLibrary.at(tmp_path / "tokens")
    store = publish(library, "a")
    assert store.path == library.open("a").path == tmp_path / "tokens" / "a"


def test_what_is_not_in_a_local_library_is_not_found(tmp_path) -> None:
    library = TokenLibrary.at(str(tmp_path / "tokens"))
    assert library.find("a") is None
    assert list(library.corpora()) == []
    with pytest.raises(StoreError, match=r"a/meta\.json does not exist"):
        library.open("a")


def test_the_first_local_store_of_a_name_wins(tmp_path) -> None:
    library = TokenLibrary.at(tmp_path)
    first = publish(library, "a", seed=1)
    second = publish(library, "a", seed=2)
    assert np.array_equal(first.tokens, second.tokens)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_damaged_local_store_is_set_aside_and_its_name_free(tmp_path) -> None:
    library = TokenLibrary.at(tmp_path)
    for number in (1, 2):
        damage(publish(library, "a").path / TOKENS)
        with pytest.raises(StoreError, match="its checksum is another"):
            library.find("a")
        assert library.set_aside("a") == tmp_path / f"a.damaged-{number}"
    assert library.find("a") is None
    assert list(library.corpora()) == []


def test_only_published_stores_are_in_the_list(tmp_path) -> None:
    library = TokenLibrary.at(tmp_path)
    publish(library, "b")
    publish(library, "a")
    write_store(library.workplace / ".c.aside", "c")
    assert [meta.corpus_id for meta in library.corpora()] == ["a", "b"]


# On object storage.


@pytest.fixture
def uri(s3) -> str:
    return str(s3.uri("bucket", "some/tokens"))


@pytest.fixture
def other_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Whoever calls it stands before a machine that has staged nothing."""

    def change() -> None:
        folder = tmp_path / f"cache-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        monkeypatch.setenv("REWARM_CACHE", str(folder))

    return change


def in_bucket(uri: str, name: str) -> str:
    return f"{shown_uri(uri).partition('?')[0]}/{name}"


def remote_file(uri: str, name: str) -> tuple[object, str]:
    from pyarrow import fs

    files, root = fs.FileSystem.from_uri(uri)
    return files, f"{root}/{name}"


def overwrite(uri: str, name: str, change: Callable[[bytes], bytes]) -> None:
    files, path = remote_file(uri, name)
    with files.open_input_file(path) as stream:
        content = stream.read()
    with files.open_output_stream(path) as stream:
        stream.write(change(content))


def test_a_published_store_is_read_on_another_machine(uri, other_machine) -> None:
    here = publish(TokenLibrary.at(uri), "a")
    other_machine()
    library = TokenLibrary.at(uri)
    assert [meta.corpus_id for meta in library.corpora()] == ["a"]
    store = library.open("a")
    assert store.path != here.path
    assert np.array_equal(store.tokens, here.tokens)
    assert store.meta == here.meta
    found = library.find("a")
    assert found is not None
    assert found.path == store.path == cache_of(uri) / "a"


def test_what_was_built_here_is_not_fetched_again(s3, uri) -> None:
    publish(TokenLibrary.at(uri), "a")
    TokenLibrary.at(uri).open("a")
    assert s3.read(TOKENS) == []


def test_a_staged_store_is_read_without_asking_anyone(s3, uri) -> None:
    publish(TokenLibrary.at(uri), "a")
    asked = len(s3.requests)
    TokenLibrary.at(uri).open("a")
    assert len(s3.requests) == asked


def test_a_store_is_written_once(s3, uri, other_machine) -> None:
    publish(TokenLibrary.at(uri), "a")
    before = s3.written()
    assert before >= 5
    for seed in (0, 1):  # built again alike, and otherwise
        other_machine()
        store = publish(TokenLibrary.at(uri), "a", seed=seed)
        assert store.tokens[:3].tolist() == [217, 163, 130]
        assert [path.name for path in cache_of(uri).iterdir() if path.name[0] != "."] == ["a"]
    assert s3.written() == before


def test_two_libraries_do_not_mix(s3, uri) -> None:
    publish(TokenLibrary.at(uri), "a", seed=1)
    other = TokenLibrary.at(s3.uri("bucket", "other"))
    assert other.find("a") is None
    assert not np.array_equal(
        publish(other, "a", seed=2).tokens, TokenLibrary.at(uri).open("a").tokens
    )


def test_what_does_not_exist_there_is_not_found(uri) -> None:
    library = TokenLibrary.at(uri)
    library.check()
    assert library.find("a") is None
    assert list(library.corpora()) == []
    with pytest.raises(StoreError, match=r"/some/tokens/a.* does not exist"):
        library.open("a")


def test_a_store_without_meta_does_not_exist_and_is_written_over(uri, other_machine) -> None:
    publish(TokenLibrary.at(uri), "a")
    files, path = remote_file(uri, f"a/{META}")
    files.delete_file(path)
    overwrite(uri, f"a/{TOKENS}", lambda content: b"cut off")
    library = TokenLibrary.at(uri)
    assert library.find("a") is None  # though its copy is here
    publish(library, "a")
    other_machine()
    assert TokenLibrary.at(uri).open("a").meta.tokens == 3 * DOCUMENT


@pytest.mark.slow
def test_of_four_processes_one_fetches(s3, uri, other_machine) -> None:
    tokens = PIECE_BYTES  # two pieces
    publish(TokenLibrary.at(uri), "a", tokens=tokens)
    other_machine()
    workers = [python(OPEN, uri, "a") for _ in range(4)]
    answers = {worker.communicate(timeout=60) for worker in workers}
    assert len(answers) == 1
    assert answers.pop()[0].startswith(str(cache_of(uri) / "a"))
    assert s3.read(TOKENS) == [(0, PIECE_BYTES), (PIECE_BYTES, PIECE_BYTES)]


@pytest.mark.slow
def test_two_builders_at_once_leave_one_whole_store(s3, uri, other_machine, tmp_path) -> None:
    code = """
import sys, shutil
from pathlib import Path
from cpt.token_library import TokenLibrary
library = TokenLibrary.at(sys.argv[1])
aside = library.workplace / ".a.aside"
shutil.copytree(sys.argv[2], aside)
print(library.publish(aside, "a").path)
"""
    built = write_store(tmp_path / "built", "a", tokens=PIECE_BYTES)
    builders = [
        python(code, uri, str(built), REWARM_CACHE=str(tmp_path / f"builder-{number}"))
        for number in range(2)
    ]
    for builder in builders:
        assert builder.communicate(timeout=60)[1] == ""
    other_machine()
    store = TokenLibrary.at(uri).open("a")
    assert np.array_equal(store.tokens, np.fromfile(built / TOKENS, "<u2"))


@pytest.mark.slow
def test_a_fetch_that_was_killed_goes_on_where_it_stopped(s3, uri, other_machine) -> None:
    tokens = 2 * PIECE_BYTES  # four pieces
    built = np.array(publish(TokenLibrary.at(uri), "a", tokens=tokens).tokens)
    other_machine()
    s3.pieces_until_held = 2
    part = cache_of(uri) / "a.partial" / f"{TOKENS}.part"
    worker = python(OPEN, uri, "a")
    until(lambda: part.is_file() and part.stat().st_size == 2 * PIECE_BYTES)
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=10)
    s3.pieces_until_held = None
    s3.held.set()
    time.sleep(0.5)  # for the answer that the dead one waited for
    s3.requests.clear()
    store = TokenLibrary.at(uri).open("a")
    assert s3.read(TOKENS) == [(2 * PIECE_BYTES, PIECE_BYTES), (3 * PIECE_BYTES, PIECE_BYTES)]
    assert np.array_equal(store.tokens, built)
    assert not part.parent.exists()


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_damaged_partial_file_is_fetched_once_more(s3, uri, other_machine) -> None:
    publish(TokenLibrary.at(uri), "a")
    other_machine()
    partial = cache_of(uri) / "a.partial"
    partial.mkdir(parents=True)
    (partial / f"{TOKENS}.part").write_bytes(b"not its beginning")
    TokenLibrary.at(uri).open("a")
    assert [first for first, _ in s3.read(TOKENS)] == [len(b"not its beginning"), 0]


@pytest.mark.parametrize("file", [TOKENS, META])
def test_a_damaged_copy_is_staged_again(s3, uri, file) -> None:
    library = TokenLibrary.at(uri)
    store = publish(library, "a")
    whole = np.array(store.tokens)
    damage(store.path / file)
    if file == META:
        (store.path / META).write_text("{")
    assert np.array_equal(library.open("a").tokens, whole)
    assert len(s3.read(TOKENS)) == 1


def test_a_damaged_object_is_refused_and_named(s3, uri, other_machine) -> None:
    meta = publish(TokenLibrary.at(uri), "a").meta
    overwrite(uri, f"a/{TOKENS}", lambda content: content[::-1])
    s3.requests.clear()
    other_machine()
    library = TokenLibrary.at(uri)
    with pytest.raises(StoreError) as refusal:
        library.open("a")
    shown = shown_uri(uri)
    there, _, endpoint = shown.partition("?")
    assert str(refusal.value) == (
        f"{there}/a/{TOKENS}?{endpoint} does not have the checksum {meta.files[TOKENS].sha256} "
        f"that its meta.json names; delete {there}/a?{endpoint}, and the next rewarm plan packs "
        "and uploads it anew."
    )
    assert len(s3.read(TOKENS)) == 2
    with pytest.raises(StoreError, match="does not have the checksum"):
        library.set_aside("a")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content[:-2], f"{TOKENS}.* has 5998 bytes, not the 6000 that its meta"),
        (None, f"{TOKENS}.* is missing; delete s3://bucket/some/tokens/a"),
    ],
)
def test_a_cut_off_or_missing_object_is_refused(uri, other_machine, change, sentence) -> None:
    publish(TokenLibrary.at(uri), "a")
    if change:
        overwrite(uri, f"a/{TOKENS}", change)
    else:
        files, path = remote_file(uri, f"a/{TOKENS}")
        files.delete_file(path)
    other_machine()
    with pytest.raises(StoreError, match=sentence):
        TokenLibrary.at(uri).open("a")


def test_damaged_meta_is_refused_and_left_out_of_the_list(uri, other_machine) -> None:
    publish(TokenLibrary.at(uri), "a")
    publish(TokenLibrary.at(uri), "b")
    overwrite(uri, f"a/{META}", lambda content: content[:40])
    other_machine()
    library = TokenLibrary.at(uri)
    assert [meta.corpus_id for meta in library.corpora()] == ["b"]
    with pytest.raises(StoreError, match=r"tokens/a/meta\.json.* is damaged .*; delete s3://"):
        library.find("a")


@pytest.mark.parametrize("folder", ["tokens", ""])
def test_a_bucket_that_does_not_exist_is_refused(s3, folder) -> None:
    library = TokenLibrary.at(s3.uri("nowhere", folder))
    for ask in (library.check, lambda: library.find("a"), lambda: list(library.corpora())):
        with pytest.raises(
            StoreError,
            match=r"^s3://nowhere/\w*\?endpoint_override=127.0.0.1:\d+ "
            r"cannot be reached \(.*NO_SUCH_BUCKET.*\); check that the bucket exists",
        ):
            ask()
    with pytest.raises(StoreError, match=r"cannot be written .*NO_SUCH_BUCKET"):
        publish(library, "a")


@pytest.mark.slow
def test_a_server_that_is_gone_is_told_soon(s3, uri) -> None:
    s3.stop()
    library = TokenLibrary.at(uri)
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot be reached \(.*NETWORK_CONNECTION"):
        library.check()
    assert time.monotonic() - began < 15


@pytest.mark.slow
def test_what_passes_is_waited_for(s3, uri, other_machine) -> None:
    publish(TokenLibrary.at(uri), "a")
    other_machine()
    s3.failures = 14  # pyarrow's client alone gives up after eleven
    assert TokenLibrary.at(uri).open("a").meta.tokens == 3 * DOCUMENT
    assert s3.failures == 0


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 7", True),
        ("AWS Error SLOW_DOWN during ListObjectsV2 operation: slow down", True),
        (
            "AWS Error UNKNOWN (HTTP status 503) during HeadObject operation: No response body.",
            True,
        ),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted", True),
        ("AWS Error ACCESS_DENIED during HeadObject operation: No response body.", False),
        ("AWS Error UNKNOWN (HTTP status 403) during ListObjectsV2 operation", False),
        ("AWS Error NO_SUCH_BUCKET during CreateMultipartUpload operation", False),
        ("AWS Error SIGNATURE_DOES_NOT_MATCH during ListObjectsV2 operation", False),
    ],
)
def test_only_what_may_pass_is_tried_again(text, passes) -> None:
    asked = []

    def ask() -> None:
        asked.append(text)
        raise OSError(text)

    patiently = retries.patiently.copy(sleep=lambda seconds: None)
    with pytest.raises(OSError, match=re.escape(text)):
        patiently(ask)
    assert len(asked) == (3 if passes else 1)


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_next_run_goes_on(s3, uri, other_machine) -> None:
    publish(TokenLibrary.at(uri), "a", tokens=PIECE_BYTES)
    other_machine()
    room = PIECE_BYTES + 1000
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))" + OPEN
    _, error = python(code, uri, "a").communicate(timeout=60)
    part = cache_of(uri) / "a.partial" / f"{TOKENS}.part"
    assert f"StoreError: {part} cannot be written ({os.strerror(errno.EFBIG)}): " in error
    assert f"{2 * PIECE_BYTES - room} more bytes are needed" in error
    assert "the next run goes on from what was fetched." in error
    assert part.stat().st_size == room
    s3.requests.clear()
    TokenLibrary.at(uri).open("a")
    assert s3.read(TOKENS) == [(room, 2 * PIECE_BYTES - room)]


@pytest.mark.parametrize(
    "uri",
    [
        "s3://me:hush@bucket/tokens",
        "s3://me@bucket/tokens",
        "s3://bucket/tokens?secret_key=hush",
        "abfs://:hush@account.dfs.core.windows.net/tokens",
        "abfs://x@account.dfs.core.windows.net/tokens?client_secret=hush",
    ],
)
def test_a_uri_with_a_password_is_refused_and_not_shown(uri) -> None:
    with pytest.raises(StoreError, match="put that into the environment") as refusal:
        TokenLibrary.at(uri)
    assert "hush" not in str(refusal.value)


def test_credentials_are_written_nowhere(uri, tmp_path) -> None:
    publish(TokenLibrary.at(uri), "a")
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        assert b"some-secret" not in file.read_bytes()
        assert b"some-key-id" not in file.read_bytes()


# Training from it.


def test_training_from_object_storage_gives_the_same_rows(
    uri, tiny, other_machine, one_thread
) -> None:
    library = TokenLibrary.at(uri)
    for corpus_id in tiny.corpora.values():
        shutil.copytree(tiny.tree.tokens(corpus_id), library.workplace / ".aside")
        library.publish(library.workplace / ".aside", corpus_id)
    other_machine()
    config = tiny.config()
    train(config, tiny.tree)
    far = ResultTree(tiny.tree.storage.parent / "far", uri)
    train(config, far)
    assert not far.tokens("x").parent.exists()
    here, there = tiny.tree.state(config.state_id), far.state(config.state_id)
    assert read_rows(here.eval_rows) == read_rows(there.eval_rows)
    losses = [[row["loss"] for row in read_rows(one.train_rows)] for one in (here, there)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 12


@pytest.mark.long
def test_the_trainer_alone_takes_the_place_as_an_argument(uri, tiny, tmp_path) -> None:
    library = TokenLibrary.at(uri)
    for corpus_id in tiny.corpora.values():
        shutil.copytree(tiny.tree.tokens(corpus_id), library.workplace / ".aside")
        library.publish(library.workplace / ".aside", corpus_id)
    config = tiny.config()
    state = ResultTree(tmp_path / "far").state(config.state_id)
    write_json(state.config, config.model_dump(mode="json"))
    words = [sys.executable, "-m", "cpt", str(state.path)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    lacking = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert lacking.returncode == 1
    assert lacking.stderr.startswith("failed: ")
    assert lacking.stderr.endswith("meta.json does not exist\n")
    subprocess.run([*words, "--token-storage", uri], env=environment, check=True)
    assert len(read_rows(state.train_rows)) == 12
