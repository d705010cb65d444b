"""Trains a state in forks of one process, each killed at another call to the file system.

    python killed.py STATE_DIR FIRST STRIDE

For FIRST, FIRST + STRIDE, ... a copy of the state is trained and killed with SIGKILL at the n-th
time that it opens a file to write, writes (half of it), syncs, renames, removes or makes a folder;
then it is trained to its end. Prints a line `n steps-of-whole-checkpoints` each, until a training
ends before its n-th call.
"""

import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cpt.config import RunConfig
from cpt.records import ResultTree, StateDir
from cpt.train import read_config, train

EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


class Deadline:
    """Counts calls, and ends the process at one of them."""

    def __init__(self, at: int, below: Path) -> None:
        self._left, self._below = at, str(below)

    def reached(self) -> bool:
        self._left -= 1
        return self._left < 0

    def call(self) -> None:
        if self.reached():
            os.kill(os.getpid(), signal.SIGKILL)

    def is_ours(self, path: object) -> bool:
        return isinstance(path, str | os.PathLike) and str(path).startswith(self._below)

    def install(self) -> None:
        """In this process, for good."""
        deadline, open_, sync = self, io.open, os.fsync

        class Counted(io.FileIO):
            def write(self, data: Any) -> int:
                if deadline.reached():
                    content = bytes(data)
                    super().write(content[: len(content) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().write(data)

        def opened(path: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if "b" not in mode or not set(mode) & set("wa+") or not deadline.is_ours(path):
                return open_(path, mode, *rest, **named)
            deadline.call()
            raw = Counted(path, mode.replace("b", ""))
            return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

        def synced(descriptor: int) -> None:
            deadline.call()
            sync(descriptor)

        def audit(event: str, arguments: tuple[Any, ...]) -> None:
            if event not in EVENTS:
                return
            # A folder is removed by the names in it, relative to an open one.
            is_relative = arguments[-1] != -1 and not str(arguments[0]).startswith("/")
            if is_relative or deadline.is_ours(arguments[0]):
                deadline.call()

        io.open, os.fsync = opened, synced  # type: ignore[assignment]
        sys.addaudithook(audit)


def in_a_fork(work: Callable[[], None]) -> bool:
    """Whether a process that did it was killed."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL)
    return status == signal.SIGKILL


def until_killed(deadline: Deadline, config: RunConfig, tree: ResultTree) -> None:
    deadline.install()
    train(config, tree)


def main() -> None:
    state, number, stride = StateDir(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    config, storage = read_config(state), state.path.parent.parent
    killed = True
    while killed:
        tree = ResultTree(storage.parent / f"killed-{number}")
        tree.storage.mkdir()
        (tree.storage / "tokens").symlink_to(storage / "tokens")
        place = tree.state(config.state_id)
        shutil.copytree(state.path, place.path)

        deadline = Deadline(number, place.path)
        killed = in_a_fork(partial(until_killed, deadline, config, tree))
        whole = place.whole_steps()
        assert not in_a_fork(partial(train, config, tree))
        sys.stdout.write(f"{' '.join(map(str, [number, *whole]))}\n")
        number += stride


if __name__ == "__main__":
    main()
