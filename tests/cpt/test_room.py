"""A full disk: the last good checkpoint stays, the sentence says where and how much."""

import os
import subprocess
import sys

import pytest

from cpt.records import ResultTree, StateDir, StatusWord
from cpt.room import NoRoomError
from cpt.train import train
from tests.cpt.test_train import ENVIRONMENT, ROOT, rows_of, same_bits, weights_of, write_config

pytestmark = pytest.mark.usefixtures("one_thread")

TRAIN = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
from cpt.records import ResultTree, StateDir
from cpt.room import NoRoomError
from cpt.train import read_config, train
state = StateDir(Path(sys.argv[1]))
try:
    train(read_config(state), ResultTree(state.path.parent.parent))
except NoRoomError as error:
    print(error)
"""


def train_with(room: int, state: StateDir) -> str:
    """Trains in a process that may write no file longer than this; what it says."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, str(state.path), str(room)],
        env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize("file", ["checkpoint", "rows"])
def test_what_does_not_fit_is_told_and_the_last_checkpoint_stays(tiny, file) -> None:
    config = tiny.config(total_steps=60, checkpoint_interval_steps=10)
    straight = tiny.beside("straight")
    train(config, straight)
    whole = straight.state(config.state_id)
    shards = sum(path.stat().st_size for path in whole.checkpoint(60).glob("*.distcp"))
    rows = whole.train_rows.stat().st_size
    state = write_config(tiny.tree, config)
    if file == "checkpoint":
        assert shards > rows
        said = train_with(shards - 1000, state)
        folder, saved = state.checkpoint(10), []
        assert not folder.exists(), "what was written of it takes no room"
    else:
        # Shards fit; the rows, behind lines that say nothing, grow beyond what a file may hold.
        room = shards + 2000
        state.train_rows.write_bytes(b"\n" * (room - rows // 2))
        said = train_with(room, state)
        folder, saved = state.train_rows, state.marked_steps()
        assert saved
    assert said.startswith(f"{folder} cannot be written (File too large): it takes ")
    assert "are free there; make room, and it goes on from the last checkpoint" in said
    status = state.read_status()
    assert status is not None
    assert status.status is StatusWord.RUNNING
    assert state.marked_steps() == saved

    train(config, tiny.tree)
    assert rows_of(state) == rows_of(whole)
    assert same_bits(weights_of(state, config), weights_of(whole, config))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_full_for_a_while_costs_no_checkpoint(tiny, tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        config = tiny.config(total_steps=40, checkpoint_interval_steps=10, keep_checkpoints=1)
        straight = tiny.beside("straight")
        train(config, straight)
        whole = straight.state(config.state_id)
        (disk / "tokens").symlink_to(tiny.tree.storage / "tokens")
        tree = ResultTree(disk)
        state = write_config(tree, config)
        filler = disk / "filler"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        one = sum(path.stat().st_size for path in whole.checkpoint(40).iterdir())
        filler.write_bytes(b"x" * (free - one * 3 // 2))
        with pytest.raises(NoRoomError, match="No space left on device"):
            train(config, tree)
        assert state.marked_steps() == [10]
        filler.unlink()
        train(config, tree)
        assert rows_of(state) == rows_of(whole)
        assert same_bits(weights_of(state, config), weights_of(whole, config))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
