"""A result tree on object storage: what a reader there and a copy here may ever see."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tenacity import stop_after_attempt

from cpt import retries
from cpt.checkpoint_marker import Marker
from cpt.files import read_json, write_json
from cpt.mirror import Mirror
from cpt.object_store import PIECE_BYTES, ObjectStore
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import EvalRow, append_rows, read_rows
from cpt.seals import digest_file
from cpt.token_store import StoreError

REPOSITORY = Path(__file__).parents[2]
RUNNING, COMPLETE = StatusWord.RUNNING, StatusWord.COMPLETE


@pytest.fixture
def uri(s3) -> str:
    return str(s3.uri("bucket", "some/results"))


@pytest.fixture
def store(uri) -> ObjectStore:
    """What lies there, looked at from outside."""
    return ObjectStore(uri)


@pytest.fixture
def copy(uri, tmp_path) -> Callable[[str], ResultTree]:
    """A working copy: each name is another machine, or another role."""
    return lambda name: ResultTree(tmp_path / name, remote=uri)


def row(step: int) -> EvalRow:
    return EvalRow(
        step=step, tokens=step, dataset="d", domain=None, loss=1, bits_per_byte=1, num_tokens=1
    )


def write_state(tree: ResultTree, name: str = "a", step: int = 4) -> StateDir:
    state = tree.state(name)
    write_json(state.config, {"base": None})
    append_rows(state.eval_rows, [row(step)])
    state.write_status(Status(status=RUNNING, step=step))
    return state


def write_checkpoint(state: StateDir, step: int, **files: bytes) -> None:
    folder = state.checkpoint(step)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    state.mark_checkpoint(
        Marker(
            state=state.path.name,
            step=step,
            elapsed_seconds=1,
            torch="2",
            world_size=1,
            files={name: digest_file(folder / name) for name in files},
            rows={"eval.jsonl": digest_file(state.eval_rows)},
        )
    )


def send_state(mirror: Mirror, state: StateDir, *steps: int) -> None:
    mirror.send(state.config)
    for step in steps:
        names = [path.name for path in state.checkpoint(step).iterdir()]
        mirror.send_checkpoint(state, step, [name for name in names if name != "complete.json"])
        mirror.mark_checkpoint(state, step, kept=2)
    mirror.send_rows(state)
    mirror.send(state.status)


def content(folder: Path) -> dict[str, bytes]:
    """What stands below a folder, hidden files left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name[0] != "."
    }


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_tree_in_a_directory_has_nothing_to_send_or_fetch(tmp_path) -> None:
    tree = ResultTree(tmp_path)
    state = write_state(tree)
    write_checkpoint(state, 4, weights=b"w")
    before = content(tmp_path)
    mirror = Mirror.of(tree)
    send_state(mirror, state, 4)
    mirror.fetch_state(state, checkpoint=True)
    mirror.fetch_states(["a", "b"])
    mirror.remove_checkpoint(state, 4)
    assert content(tmp_path) == before
    mirror.write_status(state, Status(status=COMPLETE, step=4))
    assert state.read_status() == Status(status=COMPLETE, step=4)


def test_another_machine_has_what_was_sent(copy) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    write_checkpoint(state, 4, weights=b"w" * 100, metadata=b"m")
    send_state(Mirror.of(here), state, 4)
    other = there.state("a")
    assert Mirror.of(there).fetch_state(other, checkpoint=True) == ()
    assert content(other.path) == content(state.path)
    assert other.checkpoint_fault(4) is None


def test_what_is_not_stored_does_not_count(copy) -> None:
    tree = copy("here")
    state = write_state(tree)
    write_checkpoint(state, 4, weights=b"four")
    send_state(Mirror.of(tree), state, 4)
    stored = content(state.path)
    append_rows(state.eval_rows, [row(8)])
    state.data_rows.write_text("")
    write_checkpoint(state, 8, weights=b"eight")
    Mirror.of(tree).fetch_state(state, checkpoint=True)
    assert content(state.path) == stored
    assert state.marked_steps() == [4]


def test_what_is_here_already_is_not_fetched_again(s3, copy) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    write_checkpoint(state, 4, weights=b"w" * 100)
    send_state(Mirror.of(here), state, 4)
    for checkpoint in (False, True):
        Mirror.of(there).fetch_state(there.state("a"), checkpoint=checkpoint)
    s3.requests.clear()
    for checkpoint in (False, True):
        Mirror.of(there).fetch_state(there.state("a"), checkpoint=checkpoint)
    assert s3.read("weights") == s3.read("config.json") == s3.read("eval.jsonl") == []
    assert len(s3.read("status.json")) == 2


def test_a_status_is_fetched_though_size_and_time_agree(copy, store) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here, step=4)
    Mirror.of(here).send(state.config, state.status)
    other = there.state("a")
    Mirror.of(there).fetch_state(other, checkpoint=False)
    time.sleep(0.01)
    Mirror.of(here).write_status(state, Status(status=RUNNING, step=8))
    stamp = store.files("states/a")["status.json"].modified
    os.utime(other.status, ns=(stamp, stamp))
    Mirror.of(there).fetch_state(other, checkpoint=False)
    status = other.read_status()
    assert status is not None
    assert status.step == 8


def test_a_line_that_is_being_written_is_not_sent(copy, store) -> None:
    tree = copy("here")
    state = write_state(tree)
    whole = state.eval_rows.read_bytes()
    with state.eval_rows.open("ab") as file:
        file.write(b'{"step": 8, "lo')
    Mirror.of(tree).send_rows(state)
    assert store.read("states/a/eval.jsonl") == whole


def test_rows_are_sent_when_they_have_changed(s3, copy) -> None:
    tree = copy("here")
    state = write_state(tree)
    mirror = Mirror.of(tree)
    mirror.send_rows(state)
    before = s3.written()
    mirror.send_rows(state)
    assert s3.written() == before
    append_rows(state.eval_rows, [row(8)])
    mirror.send_rows(state)
    assert s3.written() > before


def test_a_marker_is_sent_after_its_files_and_the_rows(s3, copy) -> None:
    tree = copy("here")
    state = write_state(tree)
    write_checkpoint(state, 4, weights=b"w")
    send_state(Mirror.of(tree), state, 4)
    writes = [path for method, path, *_ in s3.requests if method == "PUT"]
    names = list(dict.fromkeys(path.rpartition("/")[2] for path in writes))
    assert names == ["config.json", "weights", "eval.jsonl", "complete.json", "status.json"]


def test_two_checkpoints_are_kept_and_old_ones_lose_their_marker_first(s3, copy, store) -> None:
    tree = copy("here")
    state = write_state(tree)
    for step in (4, 8, 12):
        write_checkpoint(state, step, weights=b"w")
    send_state(Mirror.of(tree), state, 4, 8, 12)
    assert {name.split("/")[0] for name in store.files("states/a/checkpoints")} == {
        "step_00000008",
        "step_00000012",
    }
    deleted = [path for method, path, *_ in s3.requests if method == "DELETE"]
    assert deleted[0].endswith("step_00000004/complete.json")


def test_whoever_reads_notes_checkpoints_without_fetching_them(s3, copy, store) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    for step in (4, 8):
        write_checkpoint(state, step, weights=b"w" * 100, metadata=b"m")
    send_state(Mirror.of(here), state, 4, 8)
    store.write("states/a/checkpoints/step_00000004/weights", b"w" * 99)
    s3.requests.clear()
    other = there.state("a")
    Mirror.of(there).fetch_state(other, checkpoint=False)
    assert s3.read("weights") == []
    assert other.marked_steps() == [4, 8]
    assert other.checkpoint_fault(8) is None
    assert re.fullmatch(
        r"s3://bucket/some/results/states/a/checkpoints/step_00000004/weights\?endpoint_override=\S"
        r"+ has 99 bytes, not the 100 written",
        str(other.checkpoint_fault(4)),
    )
    store.remove("states/a/checkpoints/step_00000008/metadata")
    Mirror.of(there).fetch_state(other, checkpoint=False)
    assert re.search(r"step_00000008/metadata\S+ is missing", str(other.checkpoint_fault(8)))


def test_a_noted_checkpoint_can_be_fetched(copy) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    write_checkpoint(state, 4, weights=b"w")
    send_state(Mirror.of(here), state, 4)
    other = there.state("a")
    for checkpoint in (False, True, False):
        Mirror.of(there).fetch_state(other, checkpoint=checkpoint)
    assert content(other.checkpoint(4)) == content(state.checkpoint(4))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (b"W" * 100, r"weights\S+ does not have the checksum \w{64} that its complete.json names"),
        (b"w", r"weights\S+ has 1 bytes, not the 100 that its complete.json names"),
        (None, r"weights\S+ is missing"),
    ],
)
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(
    copy, store, change, sentence
) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    for step in (4, 8):
        write_checkpoint(state, step, weights=b"w" * 100)
    send_state(Mirror.of(here), state, 4, 8)
    name = "states/a/checkpoints/step_00000008/weights"
    store.write(name, change) if change else store.remove(name)
    other = there.state("a")
    (told,) = Mirror.of(there).fetch_state(other, checkpoint=True)
    assert re.search(
        rf"{sentence}; delete s3://\S+step_00000008\S+, and the next rewarm run makes it anew\.",
        told,
    )
    assert other.marked_steps() == [4]
    assert (other.checkpoint(4) / "weights").read_bytes() == b"w" * 100


def test_a_damaged_checkpoint_can_be_set_aside_there(copy, store) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    for step in (4, 8):
        write_checkpoint(state, step, weights=b"w" * 100)
    send_state(Mirror.of(here), state, 4, 8)
    store.write("states/a/checkpoints/step_00000008/weights", b"W" * 100)
    (told,) = Mirror.of(there).fetch_state(there.state("a"), checkpoint=True, repair=True)
    assert re.search(r"; set aside as s3://\S+/step_00000008\.damaged-1\?\S+$", told)
    checkpoints = store.files("states/a/checkpoints")
    assert "step_00000008.damaged-1/weights" in checkpoints
    assert not any(name.startswith("step_00000008/") for name in checkpoints)
    assert Mirror.of(here).fetch_state(here.state("a"), checkpoint=True, repair=True) == ()


def test_a_damaged_state_is_set_aside_here_and_there(copy, store) -> None:
    tree = copy("here")
    state = write_state(tree)
    write_checkpoint(state, 4, weights=b"w")
    send_state(Mirror.of(tree), state, 4)
    before = {name: store.read(f"states/a/{name}") for name in store.files("states/a")}
    told = Mirror.of(tree).set_aside(state.path)
    assert re.fullmatch(r"s3://bucket/some/results/states/a\.damaged-1\?\S+", told)
    assert store.files("states/a") == {}
    assert not state.path.exists()
    after = {name: store.read(f"states/a.damaged-1/{name}") for name in before}
    assert after == before


def test_a_finished_state_takes_no_room_here(copy) -> None:
    tree = copy("here")
    state = write_state(tree)
    write_checkpoint(state, 4, weights=b"w")
    send_state(Mirror.of(tree), state, 4)
    whole = content(state.path)
    Mirror.of(tree).release(state)
    assert state.marked_steps() == []
    Mirror.of(tree).fetch_state(state, checkpoint=True)
    assert content(state.path) == whole


def test_a_file_damaged_here_is_fetched_again(copy) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    write_checkpoint(state, 4, weights=b"w" * 100)
    send_state(Mirror.of(here), state, 4)
    other = there.state("a")
    Mirror.of(there).fetch_state(other, checkpoint=True)
    (other.checkpoint(4) / "weights").write_bytes(b"W" * 100)
    Mirror.of(there).fetch_state(other, checkpoint=True)
    assert (other.checkpoint(4) / "weights").read_bytes() == b"w" * 100


def test_a_state_that_is_gone_there_is_gone_here(copy, store) -> None:
    tree = copy("here")
    state = write_state(tree)
    write_checkpoint(state, 4, weights=b"w")
    send_state(Mirror.of(tree), state, 4)
    store.remove_folder("states/a")
    Mirror.of(tree).fetch_state(state, checkpoint=True)
    assert content(state.path) == {}


def test_states_are_fetched_with_those_they_were_trained_from(copy) -> None:
    here, there = copy("here"), copy("there")
    for name, base in (("a", None), ("b", "a"), ("c", "b"), ("d", None)):
        state = write_state(here, name)
        write_json(state.config, {"base": base})
        send_state(Mirror.of(here), state)
    Mirror.of(there).fetch_states(["c", "never started"])
    assert [path.parent.name for path in there.storage.rglob("config.json")] == ["c"]
    Mirror.of(there).fetch_states(["c"], bases=True)
    assert sorted(path.parent.name for path in there.storage.rglob("config.json")) == [*"abc"]


def test_a_folder_that_never_changes_is_sent_and_fetched_once(s3, copy) -> None:
    here, there = copy("here"), copy("there")
    weights = here.weights("w")
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_bytes(b"w" * 100)
    Mirror.of(there).fetch_folder(there.weights("w"))
    assert not there.weights("w").exists()
    Mirror.of(here).send_folder(weights)
    before = s3.written()
    Mirror.of(here).send_folder(weights)
    assert s3.written() == before
    for _ in range(2):
        Mirror.of(there).fetch_folder(there.weights("w"))
    assert content(there.weights("w")) == content(weights)
    assert len(s3.read("model.safetensors")) == 1


def test_what_a_kill_left_of_a_checkpoint_goes_with_the_next_mark(copy, store) -> None:
    here = copy("here")
    mirror, state = Mirror.of(here), write_state(here)
    write_checkpoint(state, 6, weights=b"half")
    mirror.send_checkpoint(state, 6, ["weights"])  # and its marker never was
    write_checkpoint(state, 8, weights=b"w")
    send_state(mirror, state, 8)
    left = {name for name in store.files("states/a") if name.startswith("checkpoints/")}
    assert left == {"checkpoints/step_00000008/weights", "checkpoints/step_00000008/complete.json"}


# What dies, and what is slow.

SEND = """
import sys
from pathlib import Path
from cpt.checkpoint_marker import Marker
from cpt.mirror import Mirror
from cpt.records import ResultTree
tree = ResultTree(Path(sys.argv[1]), remote=sys.argv[2])
mirror, state = Mirror.of(tree), tree.state("a")
mirror.send_checkpoint(state, 8, ["weights"])
mirror.mark_checkpoint(state, 8, kept=2)
"""


@pytest.mark.slow
def test_a_sender_that_was_killed_leaves_nothing_that_counts(s3, uri, copy, store) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    write_checkpoint(state, 4, weights=b"w")
    send_state(Mirror.of(here), state, 4)
    write_checkpoint(state, 8, weights=os.urandom(2 * PIECE_BYTES))
    before, s3.holds_parts = s3.written(), True
    sender = python(SEND, str(here.storage), uri)
    until(lambda: s3.written() == before + 3)  # begun, and all parts are there
    sender.send_signal(signal.SIGKILL)
    sender.communicate(timeout=10)
    s3.holds_parts = False
    s3.held.set()
    assert "step_00000008/weights" not in store.files("states/a/checkpoints")
    other = there.state("a")
    assert Mirror.of(there).fetch_state(other, checkpoint=True) == ()
    assert other.marked_steps() == [4]
    assert python(SEND, str(here.storage), uri).communicate(timeout=60) == ("", "")
    Mirror.of(there).fetch_state(other, checkpoint=True)
    assert content(other.checkpoint(8)) == content(state.checkpoint(8))


FETCH = """
import sys
from pathlib import Path
from cpt.checkpoint_marker import Marker
from cpt.mirror import Mirror
from cpt.records import ResultTree
tree = ResultTree(Path(sys.argv[1]), remote=sys.argv[2])
print(Mirror.of(tree).fetch_state(tree.state("a"), checkpoint=True))
"""


@pytest.mark.slow
def test_a_fetch_that_was_killed_goes_on_where_it_stopped(s3, uri, copy) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    write_checkpoint(state, 8, **{"tokens.bin": os.urandom(4 * PIECE_BYTES)})
    send_state(Mirror.of(here), state, 8)
    s3.pieces_until_held = 2
    fetcher = python(FETCH, str(there.storage), uri)
    other = there.state("a")
    part = other.checkpoint(8) / "tokens.bin.part"
    until(lambda: part.exists() and part.stat().st_size == 2 * PIECE_BYTES)
    fetcher.send_signal(signal.SIGKILL)
    fetcher.communicate(timeout=10)
    assert other.marked_steps() == []
    s3.pieces_until_held = None
    s3.held.set()
    time.sleep(0.5)  # for the answer that the dead one waited for
    s3.requests.clear()
    Mirror.of(there).fetch_state(other, checkpoint=True)
    assert [first for first, _ in s3.read("tokens.bin")] == [2 * PIECE_BYTES, 3 * PIECE_BYTES]
    assert content(other.path) == content(state.path)


@pytest.mark.long
def test_of_four_processes_one_fetches(s3, uri, copy) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    write_checkpoint(state, 8, weights=os.urandom(100))
    send_state(Mirror.of(here), state, 8)
    fetchers = [python(FETCH, str(there.storage), uri) for _ in range(4)]
    assert [fetcher.communicate(timeout=60) for fetcher in fetchers] == [("()\n", "")] * 4
    assert len(s3.read("weights")) == 1


def test_a_reader_never_sees_half_a_file(copy) -> None:
    here, there = copy("here"), copy("there")
    state, other = write_state(here), there.state("a")
    writer, reader = Mirror.of(here), Mirror.of(there)
    writer.send(state.config)
    done = threading.Event()

    def write() -> None:
        for step in range(5, 45):
            append_rows(state.eval_rows, [row(step)] * (step % 3 + 1))
            writer.send_rows(state)
            reason = "x" * (step * 37 % 101)  # longer, shorter
            writer.write_status(state, Status(status=RUNNING, step=step, reason=reason))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = set()
    while not done.is_set():
        reader.fetch_state(other, checkpoint=False)
        status = other.read_status()  # raises where it is not complete JSON
        if status is not None:
            assert len(status.reason) == status.step * 37 % 101
            assert read_rows(other.eval_rows)[-1]["step"] >= status.step
            seen.add(status.step)
        assert other.eval_rows.read_bytes().endswith(b"\n") if other.eval_rows.exists() else True
    thread.join()
    assert len(seen) > 3


def test_a_status_written_during_a_fetch_is_not_lost(copy) -> None:
    tree = copy("here")
    state = write_state(tree)
    mirror = Mirror.of(tree)
    send_state(mirror, state)
    stop = threading.Event()

    def fetch() -> None:
        while not stop.wait(0.02):
            mirror.fetch_state(state, checkpoint=False)

    thread = threading.Thread(target=fetch)
    thread.start()
    for step in range(8):
        mirror.write_status(state, Status(status=RUNNING, step=step))
        status = state.read_status()
        assert status is not None
        assert status.step == step
    stop.set()
    thread.join()
    mirror.fetch_state(state, checkpoint=False)
    assert read_json(state.status)["step"] == 7


@pytest.mark.long
def test_a_status_replaced_by_a_longer_one_while_it_is_read_is_read_whole(s3, copy) -> None:
    """By one byte: what is cut off is the end of the line, and the rest still reads as JSON."""
    writer, reader = copy("writer").state("a"), copy("reader").state("a")
    Mirror.of(copy("writer")).write_status(writer, Status(status=RUNNING, step=30))
    answers = s3._app

    def replacing(environ, start_response):
        answer = list(answers(environ, start_response))
        if environ["REQUEST_METHOD"] == "HEAD" and environ["PATH_INFO"].endswith("status.json"):
            s3._app = answers
            Mirror.of(copy("writer")).write_status(writer, Status(status=COMPLETE, step=40))
        return answer

    s3._app = replacing
    Mirror.of(copy("reader")).fetch(reader.status)
    assert s3._app is answers
    assert reader.read_status() == Status(status=COMPLETE, step=40)


def test_errors_that_pass_are_waited_for(s3, copy) -> None:
    here, there = copy("here"), copy("there")
    state = write_state(here)
    write_checkpoint(state, 4, weights=b"w")
    s3.failures = 14  # pyarrow's client alone gives up after eleven
    send_state(Mirror.of(here), state, 4)
    assert s3.failures == 0
    s3.failures = 14
    Mirror.of(there).fetch_state(there.state("a"), checkpoint=True)
    assert s3.failures == 0
    assert content(there.state("a").path) == content(state.path)


@pytest.mark.slow
def test_an_outage_that_lasts_is_one_sentence(s3, copy, monkeypatch) -> None:
    # Not the sleeps between them: pyarrow's client tries for six seconds by itself.
    monkeypatch.setattr(retries.patiently, "stop", stop_after_attempt(1))
    here = copy("here")
    state = write_state(here)
    s3.failures = 10**6
    with pytest.raises(
        StoreError,
        match=r"^s3://bucket/some/results/states/a/config\.json\?\S+ cannot be written \(.*\); "
        r"check that the bucket exists, the network, and the credentials in the environment\.$",
    ):
        Mirror.of(here).send(state.config)


def test_a_bucket_that_does_not_exist_is_told(s3, tmp_path) -> None:
    tree = ResultTree(tmp_path / "here", remote=s3.uri("nowhere", "results"))
    with pytest.raises(StoreError, match=r"s3://nowhere/results/states/a\S+ cannot be listed"):
        Mirror.of(tree).fetch_state(tree.state("a"), checkpoint=False)


@pytest.mark.parametrize(
    "marker",
    [
        {},
        {"files": {"../../stolen": {"bytes": 1, "sha256": "0" * 64}}},
        {"files": {"weights": {"bytes": 1}}},
    ],
)
def test_a_marker_that_names_no_files_of_its_folder_is_a_damaged_checkpoint(
    copy, store, marker
) -> None:
    here = copy("here")
    state = write_state(here)
    write_checkpoint(state, 4, weights=b"w")
    send_state(Mirror.of(here), state, 4)
    store.write("states/a/checkpoints/step_00000004/complete.json", json.dumps(marker).encode())
    (told,) = Mirror.of(here).fetch_state(state, checkpoint=True)
    assert re.search(r"complete\.json\S+ does not name the files of its folder", told)
    assert state.marked_steps() == []
