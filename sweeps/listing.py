"""What lies in a result tree that is a directory, as `sweeps.cleaning` decides on it; and deleting.

Links are not followed: what one leads to lies outside of the tree.
"""

import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator, Set
from pathlib import Path, PurePosixPath
from stat import S_ISREG

from filelock import FileLock, Timeout

from cpt.checkpoint_marker import NAME as MARKER
from cpt.files import read_json
from cpt.parsing import ConfigError
from cpt.records import ResultTree, StateDir, StatusWord
from cpt.storage import is_remote
from sweeps.cleaning import ABANDONED_SECONDS, Checkpoint, Entry, Freed, Kind, ListedState, Listing
from sweeps.store import check_plan


def listed(tree: ResultTree) -> Listing:
    """Lists a tree; the newest of several checkpoints of a settled state is read to its last byte.

    Raises:
        ConfigError: A plan is damaged, which might need anything.
    """
    planned: set[str] = set()
    for sweep in tree.sweeps():
        if sweep.plan.exists():
            check_plan(sweep)
            planned |= {state["state"] for state in read_json(sweep.plan)["states"]}
    root = tree.storage
    folders = [path for path in _inside(root / "states") if (path / "config.json").exists()]
    states = {path.name: path for path in folders if "." not in path.name}
    others = [path for path in _inside(root / "states") if path.name not in states]
    others += [path for sweep in tree.sweeps() for path in _inside(sweep.path)]
    stores = _token_folder(tree)
    unfinished: list[Path] = []
    for shelf in (stores, root / "tokenizers", root / "weights"):
        for path in _inside(shelf):
            making = path.is_dir() and path.name.startswith(".") and path.name != ".locks"
            (unfinished if making else others).append(path)
            if path.is_dir() and not making:
                others += [file for file in _inside(path) if file.is_file()]
    return Listing(
        states={name: _state(root, StateDir(path)) for name, path in states.items()},
        planned=frozenset(planned),
        others=tuple(_entry(root, path) for path in others),
        unfinished=tuple(
            _entry(root, path) for path in unfinished if _is_abandoned(path, _entry(root, path))
        ),
    )


def delete(tree: ResultTree, freed: Iterable[Freed], held: Set[str]) -> Iterator[Freed]:
    """Deletes one after the other, and yields each once it is gone.

    A kill leaves nothing that could be taken for whole: of a checkpoint the marker goes first, and
    a state is renamed to what the next cleaning takes for remains.

    Args:
        tree: Where.
        freed: What may go.
        held: The sweeps that nobody else can run meanwhile.

    Raises:
        ConfigError: A sweep was begun that is not among them.
    """
    for one in freed:
        begun = {sweep.path.name for sweep in tree.sweeps()} - held
        if begun:
            raise ConfigError(
                [
                    f"sweeps/{min(begun)}: it was begun while the tree was cleaned, and may need "
                    f"{one.path}; nothing more is deleted. Clean again once it has ended."
                ]
            )
        path = tree.storage / one.path
        if one.kind is Kind.SUPERSEDED:
            (path / MARKER).unlink(missing_ok=True)
        elif one.kind is Kind.UNPLANNED:
            path = path.rename(path.with_name(f"{path.name}.partial"))
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        yield one


def _token_folder(tree: ResultTree) -> Path:
    where = tree.token_storage
    return tree.storage / "tokens" if where is None or is_remote(where) else Path(where)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _entry(root: Path, path: Path) -> Entry:
    files = [path]
    if path.is_dir() and not path.is_symlink():
        files += [Path(above) / name for above, _, names in os.walk(path) for name in names]
    stats = [file.lstat() for file in files]
    return Entry(
        # What lies elsewhere, as token stores may, keeps its whole path.
        path=PurePosixPath(path.relative_to(root) if path.is_relative_to(root) else path),
        bytes=sum(stat.st_size for stat in stats if S_ISREG(stat.st_mode)),
        idle_seconds=time.time() - max(stat.st_mtime for stat in stats),
    )


def _state(root: Path, state: StateDir) -> ListedState:
    try:
        status = state.read_status()
    except ValueError:
        status = None
    try:
        config = read_json(state.config)
        origins = frozenset(filter(None, (config.get("parent"), config.get("base"))))
    except ValueError:
        origins = None
    marked = state.marked_steps()
    is_settled = status is not None and status.status in (StatusWord.COMPLETE, StatusWord.STOPPED)
    steps = {state.checkpoint(step): step for step in state.checkpoint_steps()}
    known = {state.config, state.checkpoints, *steps}
    return ListedState(
        entry=_entry(root, state.path),
        word=None if status is None else status.status,
        step=0 if status is None else status.step,
        origins=origins,
        checkpoints=tuple(
            Checkpoint(entry=_entry(root, path), step=step, is_marked=step in marked)
            for path, step in steps.items()
        ),
        newest_whole=_newest_whole(state, marked) if is_settled and len(marked) > 1 else None,
        others=tuple(
            _entry(root, path)
            for path in (
                *_inside(state.path),
                *_inside(state.checkpoints),
                *(file for path in steps for file in _inside(path)),
            )
            if path not in known
        ),
    )


def _newest_whole(state: StateDir, marked: list[int]) -> int | None:
    for step in reversed(marked):
        if state.checkpoint_fault(step) is None:
            marker = state.read_marker(step)
            if not (marker.file_fault(state.checkpoint(step)) or marker.row_fault(state.path)):
                return step
    return None


def _is_abandoned(path: Path, entry: Entry) -> bool:
    """Whether who made a store or model is dead: `cpt.builder`'s hold a lock on their machine."""
    _, name, *host = path.name.split(".")
    lock = path.parent / ".locks" / name
    if ".".join(host).startswith(f"{socket.gethostname()}.") and lock.exists():
        try:
            with FileLock(lock, timeout=0):
                return True
        except Timeout:
            return False
    return entry.idle_seconds >= ABANDONED_SECONDS
