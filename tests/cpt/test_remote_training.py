"""Training on object storage: what reaches it is what a directory would hold, whatever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cpt import object_mirror
from cpt.config import RunConfig
from cpt.leaving import Leave, LeavingError
from cpt.mirror import Mirror
from cpt.object_store import ObjectStore
from cpt.records import ResultTree, StateDir, Status, StatusWord
from cpt.rows import read_rows
from cpt.token_store import StoreError
from cpt.train import train
from tests.cpt.test_train import ENVIRONMENT, ROOT, read_of, rows_of, same_bits, weights_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def uri(s3) -> str:
    return str(s3.uri("bucket", "some/results"))


@pytest.fixture
def copy(uri, tiny) -> Callable[[str], ResultTree]:
    """The tree on object storage as one machine has it; token stores are read in place."""
    tokens = str(tiny.tree.storage / "tokens")
    return lambda name: ResultTree(tiny.tree.storage.parent / name, tokens, uri)


def fetched(tree: ResultTree, config: RunConfig) -> StateDir:
    state = tree.state(config.state_id)
    assert Mirror.of(tree).fetch_state(state, checkpoint=True) == ()
    return state


def check_equal(one: StateDir, other: StateDir, config: RunConfig) -> None:
    assert (
        one.read_status()
        == other.read_status()
        == Status(status=StatusWord.COMPLETE, step=config.end_step)
    )
    assert rows_of(one) == rows_of(other)
    assert read_of(one) == read_of(other)
    assert same_bits(weights_of(one, config), weights_of(other, config))


def test_what_is_stored_is_what_a_directory_holds(copy, tiny) -> None:
    config = tiny.config()
    train(config, tiny.tree)
    train(config, copy("machine"))
    near, far = tiny.tree.state(config.state_id), fetched(copy("reader"), config)
    check_equal(near, far, config)
    Mirror.of(copy("reader")).fetch_state(far, checkpoint=False)
    assert near.marked_steps() == far.marked_steps() == [9, 12]
    assert {path.name for path in near.path.iterdir()} == {path.name for path in far.path.iterdir()}
    # Those who go on from it fetch them; nobody else needs their room.
    assert copy("machine").state(config.state_id).marked_steps() == []


@pytest.mark.long
def test_one_machine_goes_on_where_another_left(copy, tiny) -> None:
    """A parent and a child, each update but the last few on a machine of its own."""
    parent = tiny.config(total_steps=4, checkpoint_interval_steps=2)
    child = tiny.config(
        total_steps=4,
        checkpoint_interval_steps=2,
        parent=parent.state_id,
        stream=[tiny.source("new")],
    )
    for number, config in enumerate((parent, child)):
        train(config, tiny.tree)
        for step in (1, 2, 3):
            leave = Leave()
            leave.ask("again")
            with pytest.raises(LeavingError, match=f"saved at step {step} "):
                train(config, copy(f"machine-{number}-{step}"), leave=leave)
        train(config, copy(f"machine-{number}"))
        far = fetched(copy("reader"), config)
        check_equal(tiny.tree.state(config.state_id), far, config)
        assert [row["step"] for row in read_rows(far.train_rows)] == [1, 2, 3, 4]


@pytest.mark.long
def test_what_a_machine_did_not_send_does_not_count(copy, tiny) -> None:
    config = tiny.config()
    train(config, tiny.tree)
    leave = Leave()
    leave.ask("again")
    for _ in range(4):
        with pytest.raises(LeavingError):
            train(config, copy("machine"), leave=leave)
    # As if it had died before these reached the store.
    store = ObjectStore(str(copy("machine").remote))
    for name in ("step_00000004", "step_00000003"):
        store.remove(f"states/{config.state_id}/checkpoints/{name}/complete.json")
    with pytest.raises(LeavingError, match="saved at step 1 "):
        train(config, copy("machine"), leave=leave)
    train(config, copy("other machine"))
    check_equal(tiny.tree.state(config.state_id), fetched(copy("reader"), config), config)


def test_a_damaged_checkpoint_is_told_in_the_status_and_the_one_before_is_taken(copy, tiny) -> None:
    config = tiny.config()
    train(config, tiny.tree)
    for _ in range(4):
        leave = Leave()
        leave.ask("again")
        with pytest.raises(LeavingError):
            train(config, copy("machine"), leave=leave)
    store = ObjectStore(str(copy("machine").remote))
    name = f"states/{config.state_id}/checkpoints/step_00000004/__0_0.distcp"
    content = store.read(name)
    assert content is not None
    store.write(name, content[::-1])
    leave = Leave()
    leave.ask("again")
    with pytest.raises(LeavingError, match="saved at step 4 "):
        train(config, copy("other machine"), leave=leave)
    status = copy("other machine").state(config.state_id).read_status()
    assert status is not None
    assert "does not have the checksum" in status.reason
    assert status.reason.endswith("; went on from step 3")
    train(config, copy("machine"))
    check_equal(tiny.tree.state(config.state_id), fetched(copy("reader"), config), config)
    assert any(
        "step_00000004.damaged-1/" in one for one in store.files(f"states/{config.state_id}")
    )


def test_rows_are_sent_while_a_state_is_trained(copy, tiny, monkeypatch) -> None:
    monkeypatch.setattr(object_mirror, "ROWS_EVERY_SECONDS", 0.05)
    config = tiny.config(checkpoint_interval_steps=12)
    store = ObjectStore(str(copy("machine").remote))
    seen = []

    def look(rows: object) -> None:
        time.sleep(0.3)
        seen.append(store.files(f"states/{config.state_id}").get("eval.jsonl"))

    train(config, copy("machine"), look)
    assert all(seen)


@pytest.mark.long
def test_a_store_that_stays_away_ends_an_attempt_and_the_next_goes_on(
    copy, tiny, s3, monkeypatch
) -> None:
    from tenacity import stop_after_attempt

    from cpt import retries

    monkeypatch.setattr(retries.patiently, "stop", stop_after_attempt(1))
    config = tiny.config()
    train(config, tiny.tree)

    def go_away(rows: list[object]) -> None:
        if rows[0].step == 4:  # type: ignore[attr-defined]
            s3.failures = 10**6

    with pytest.raises(StoreError, match=r"cannot be \w+ \("):
        train(config, copy("machine"), go_away)
    s3.failures = 0
    train(config, copy("machine"))
    check_equal(tiny.tree.state(config.state_id), fetched(copy("reader"), config), config)


TRAIN = """
import os, sys
from pathlib import Path
import torch
from cpt.config import RunConfig
from cpt.parsing import parse
from cpt.files import read_json
from cpt.records import ResultTree
from cpt.train import train
folder, tokens, uri, config = sys.argv[1:]
torch.set_num_threads(1)
machine = Path(folder) / os.environ.get("RANK", "0")
train(parse(RunConfig, read_json(Path(config))), ResultTree(machine, tokens, uri))
"""


@pytest.fixture
def command(tmp_path, uri, tiny) -> Callable[[str, RunConfig], list[str]]:
    (tmp_path / "train.py").write_text(TRAIN)

    def words(machine: str, config: RunConfig) -> list[str]:
        file = tmp_path / "config.json"
        file.write_text(config.model_dump_json())
        return [
            str(tmp_path / "train.py"),
            str(tmp_path / machine),
            str(tiny.tree.storage / "tokens"),
            uri,
            str(file),
        ]

    return words


@pytest.mark.long
def test_killed_anywhere_and_run_elsewhere_equals_uninterrupted(copy, tiny, command, uri) -> None:
    config = tiny.config(total_steps=40, checkpoint_interval_steps=7)
    train(config, tiny.tree)
    store = ObjectStore(uri)
    for number, checkpoint in enumerate((7, 21)):
        words = [sys.executable, *command(f"machine-{number}", config)]
        process = subprocess.Popen(words, env=os.environ | ENVIRONMENT, cwd=ROOT)
        name = f"step_{checkpoint:08d}"
        while process.poll() is None and not any(
            name in one for one in store.files(f"states/{config.state_id}/checkpoints")
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    train(config, copy("last machine"))
    far = fetched(copy("reader"), config)
    check_equal(tiny.tree.state(config.state_id), far, config)


@pytest.mark.long
def test_a_group_may_span_machines(copy, tiny, command, uri) -> None:
    """Two ranks with a copy each: each sends its part; both fetch all before they go on."""
    config = tiny.config(total_steps=12, checkpoint_interval_steps=3)
    train(config, tiny.tree)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    first = config.model_copy(update={"stop_step": None})
    words = [*launcher, "2", *command("group", first)]
    process = subprocess.Popen(
        words, env=os.environ | ENVIRONMENT, cwd=ROOT, start_new_session=True
    )
    store = ObjectStore(uri)
    while process.poll() is None and not any(
        "complete.json" in one for one in store.files(f"states/{config.state_id}/checkpoints")
    ):
        time.sleep(0.01)
    # The launcher's workers are sessions of their own.
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *map(int, children)):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert len(children) == 2
    subprocess.run(words, env=os.environ | ENVIRONMENT, cwd=ROOT, check=True)
    checkpoints = store.files(f"states/{config.state_id}/checkpoints")
    assert {name.split("/")[1] for name in checkpoints if "00000012/" in name} == {
        ".metadata", "__0_0.distcp", "__1_0.distcp", "complete.json"
    }  # fmt: skip
    near, far = tiny.tree.state(config.state_id), fetched(copy("reader"), config)
    for one, other in zip(rows_of(near)[0], rows_of(far)[0], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)
    # What either machine keeps is little, and the second has no markers of its own.
    for rank in ("0", "1"):
        kept = Path(words[-4]) / rank / "states" / config.state_id / "checkpoints"
        assert not list(kept.glob("step_*"))
