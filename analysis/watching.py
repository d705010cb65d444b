"""Writes a page anew whenever what it is made from has changed.

Looks are cheap: sizes and times of row files, the content of the small files that are replaced
whole. What a look sees was there before the page is made, so nothing that arrives meanwhile is
lost: the next look sees it.
"""

import hashlib
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from cpt.files import read_json
from cpt.records import ResultTree, StateDir, StatusWord, SweepDir

OWNER = "owner.json"
SILENT_SECONDS = 60.0
"""Without a sign of life for so long, the owner of a sweep counts as dead (`sweeps.owner`)."""


def watch(
    look: Callable[[], Hashable],
    is_finished: Callable[[], bool],
    write: Callable[[float], None],
    every: float,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Writes at once and after every change, until all is finished or Ctrl-C.

    Args:
        look: What the page is made from, as a value that changes when it does.
        is_finished: Whether nothing is going to change any more.
        write: Makes the page; told after how many seconds it shall reload itself, 0: never again.
        every: Seconds between two looks.
        wait: For so many seconds.
    """
    seen: Hashable = None
    try:
        while True:
            now, finished = look(), is_finished()
            if finished or now != seen:
                write(0.0 if finished else every)
                seen = now
            if finished:
                return
            wait(every)
    except KeyboardInterrupt:
        # Nobody writes it any more, so it shall not wait for that.
        write(0.0)


def sweep_stamp(sweep_dir: Path) -> Hashable:
    """What a look sees of one sweep: it changes with its plan, and with rows and statuses.

    Raises:
        FileNotFoundError: There is no plan.
    """
    plan = SweepDir(sweep_dir).plan
    return _digest(plan), tuple(
        (
            _digest(state.config),
            _digest(state.status),
            *(_size_and_time(path) for path in state.row_files),
        )
        for state in _states(sweep_dir)
    )


def is_settled(sweep_dir: Path) -> bool:
    """Whether each trial of a sweep is complete, or stopped or failed somewhere on its path.

    Raises:
        FileNotFoundError: There is no plan.
    """
    words = {state.path.name: _word(state) for state in _states(sweep_dir)}
    ended = {StatusWord.STOPPED, StatusWord.FAILED}
    return all(
        words[trial["states"][-1]] is StatusWord.COMPLETE
        or any(words[state] in ended for state in trial["states"])
        for trial in _plan(sweep_dir)["trials"]
    )


def seems_owned(sweep_dir: Path) -> bool:
    """Whether a run gave a sign of life in a sweep's folder a short while ago."""
    try:
        beaten = (sweep_dir / OWNER).stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - beaten < SILENT_SECONDS


def _states(sweep_dir: Path) -> list[StateDir]:
    tree = ResultTree(sweep_dir.resolve().parent.parent)
    return [tree.state(state["state"]) for state in _plan(sweep_dir)["states"]]


def _plan(sweep_dir: Path) -> dict[str, Any]:
    return read_json(SweepDir(sweep_dir).plan)


def _word(state: StateDir) -> StatusWord | None:
    try:
        status = state.read_status()
    except ValueError:  # damaged: not trained yet, as the report has it
        return None
    return None if status is None else status.status


def _digest(path: Path) -> bytes:
    """Of a file that is replaced whole; none where there is no file."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except FileNotFoundError:
        return b""


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
