"""The mirror of a result tree on object storage; see `cpt.mirror`.

In a working copy a checkpoint is fetched, with its marker placed last, or only noted: then its
marker lies beside an `elsewhere.json` that says whether its files are whole over there. Small files
are not fetched again while size and time agree; `status.json` always is, since both may agree
though it changed.
"""

import contextlib
import json
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cpt.checkpoint_marker import NAME as MARKER
from cpt.files import read_json
from cpt.mirror import Mirror
from cpt.noted import note, remove
from cpt.object_store import DamagedObjectError
from cpt.records import ResultTree, StateDir, Status
from cpt.token_store import StoreError, sha256
from cpt.tree_files import AT_ONCE, TreeFiles, each, place

ROWS_EVERY_SECONDS = 30.0
"""How far behind progress and reports are while a state is trained."""


class ObjectMirror(Mirror):
    """Between a tree's working copy and its URI."""

    def __init__(self, tree: ResultTree) -> None:
        assert tree.remote is not None
        self._tree = tree
        self._files = TreeFiles(tree.remote, tree.storage)
        self._sent: dict[Path, tuple[int, int]] = {}
        self._sending = threading.Lock()

    def send(self, *paths: Path) -> None:
        """In the order in which they finish."""
        self._files.send_small(paths)

    def fetch(self, *paths: Path) -> None:
        """Whatever is here."""
        files = self._files
        each(lambda path: place(path, files.whole(files.name(path))), paths, AT_ONCE)

    def write_status(self, state: StateDir, status: Status) -> None:
        """Between two fetches."""
        with self._files.locked(state.path):
            state.write_status(status)
            self.send(state.status)

    def fetch_state(
        self, state: StateDir, *, checkpoint: bool, repair: bool = False
    ) -> tuple[str, ...]:
        """A list of what is there, then each file that is not here yet."""
        files = self._files
        with files.locked(state.path):
            for path in state.row_files:
                self._sent.pop(path, None)
            # Read before all that it speaks of is even listed, placed after it.
            status = files.whole(files.name(state.status))
            there = files.files(files.name(state.path))
            small = {name for name in there if "/" not in name and name[0] != "."}
            for name in sorted(small - {state.status.name}):
                files.fetch_changed(state.path / name, there[name])
            for path in state.path.glob("*"):
                others = {*small, state.status.name}
                if path.is_file() and path.name[0] != "." and path.name not in others:
                    path.unlink()
            marked = _marked_steps(there)
            kept = {state.checkpoint(step) for step in marked}
            for folder in state.checkpoints.glob("step_*"):
                if folder not in kept:  # what is not over there does not count
                    remove(folder)
            faults: tuple[str, ...] = ()
            if checkpoint:
                faults = self._fetch_newest(state, marked, repair=repair)
            else:
                for step in marked:
                    note(files, state.checkpoint(step), there)
            place(state.status, status)
        return faults

    def fetch_states(self, state_ids: Iterable[str], *, bases: bool = False) -> None:
        """Several at once."""
        wanted, known = set(state_ids), set[str]()
        while wanted:
            states = [self._tree.state(name) for name in sorted(wanted)]
            each(lambda state: self.fetch_state(state, checkpoint=False), states, AT_ONCE)
            known |= wanted
            wanted = {base for state in states if bases and (base := _base(state))} - known

    def send_rows(self, state: StateDir) -> None:
        """Files that did not change are left out."""
        with self._sending:  # lest one that read fewer rows is the later one to write them
            changed = {path: stamp for path in state.row_files if (stamp := self._unsent(path))}
            self.send(*changed)
            self._sent |= changed

    @contextlib.contextmanager
    def sending_rows(self, state: StateDir) -> Iterator[None]:
        """In a thread; where the store does not answer, the next time will do."""
        is_over = threading.Event()

        def send() -> None:
            while not is_over.wait(ROWS_EVERY_SECONDS):
                with contextlib.suppress(StoreError):
                    self.send_rows(state)

        thread = threading.Thread(target=send, name="rows", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def send_checkpoint(self, state: StateDir, step: int, names: Iterable[str]) -> None:
        """Some at once."""
        self._files.send_large([state.checkpoint(step) / name for name in names])

    def mark_checkpoint(self, state: StateDir, step: int, kept: int) -> None:
        """A list of what is there tells which are old, and what kills left before this one."""
        self.send_rows(state)
        self.send(state.checkpoint_marker(step))
        there = self._files.files(self._files.name(state.checkpoints))
        newest = _marked_steps(there)[-kept:]
        for old in _steps(there, ".+"):
            if old < step and old not in newest:
                self.remove_checkpoint(state, old)

    def remove_checkpoint(self, state: StateDir, step: int) -> None:
        """Nothing happens where there is none."""
        self._remove_folder(self._files.name(state.checkpoint(step)))

    def tidy(self, state: StateDir, step: int) -> None:
        """Only what is older."""
        marked = state.marked_steps()
        for old in state.checkpoint_steps():
            if old < step and old not in marked:
                remove(state.checkpoint(old))

    def release(self, state: StateDir) -> None:
        """Before its status says complete: whoever goes on from it fetches them later."""
        with self._files.locked(state.path):
            for folder in state.checkpoints.glob("step_*"):
                remove(folder)

    def set_aside(self, folder: Path) -> str:
        """Copied over there, then removed."""
        with self._files.locked(folder):
            return self._set_aside(folder)

    def send_folder(self, folder: Path) -> None:
        """The marker is not written here."""
        name = f"{self._files.name(folder)}/{MARKER}"
        if self._files.read(name) is not None:
            return
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        self._files.send_large(paths)
        written = {
            path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in paths
        }
        content = json.dumps({"files": written}, indent=1).encode()
        each(lambda name: self._files.write(name, content), [name], 1)

    def fetch_folder(self, folder: Path) -> None:
        """Made aside and renamed."""
        with self._files.locked(folder):
            if folder.exists():
                return
            partial = folder.with_name(f"{folder.name}.partial")
            if self._files.fetch_marked(self._files.name(folder), partial):
                (partial / MARKER).unlink()
                partial.rename(folder)

    def _unsent(self, path: Path) -> tuple[int, int] | None:
        """Size and time of a file here; None where there is none, or where it was sent so."""
        if not path.exists():
            return None
        here = path.stat()
        stamp = here.st_size, here.st_mtime_ns
        return None if self._sent.get(path) == stamp else stamp

    def _fetch_newest(
        self, state: StateDir, marked: Sequence[int], *, repair: bool
    ) -> tuple[str, ...]:
        faults: list[str] = []
        found = False
        for step in reversed(marked):
            folder = state.checkpoint(step)
            if found:  # not fetched, or an older one; over there it is if it is needed
                remove(folder)
                continue
            try:
                self._files.fetch_marked(self._files.name(folder), folder)
                fault = state.checkpoint_fault(step)
                fault = fault or state.read_marker(step).row_fault(state.path)
            except DamagedObjectError as error:
                fault = str(error)
            if fault is None:
                found = True
                continue
            if repair:
                fault += f"; set aside as {self._set_aside(folder)}"
            remove(folder)
            faults.append(fault)
        return tuple(faults)

    def _set_aside(self, folder: Path) -> str:
        files, name, number = self._files, self._files.name(folder), 1
        while files.files(aside := f"{name}.damaged-{number}"):
            number += 1
        each(lambda one: files.copy(f"{name}/{one}", f"{aside}/{one}"), files.files(name), AT_ONCE)
        self._remove_folder(name)
        shutil.rmtree(folder, ignore_errors=True)
        return files.shown(aside)

    def _remove_folder(self, name: str) -> None:
        """Markers first: what a kill leaves of the rest is no checkpoint."""
        there = self._files.files(name)
        for one in there:
            if one.rpartition("/")[2] == MARKER:
                self._files.remove(f"{name}/{one}")
        if there:
            self._files.remove_folder(name)


def _marked_steps(there: Iterable[str]) -> list[int]:
    """Steps whose checkpoint bears a marker, ascending, by names that end in `step_N/NAME`."""
    return _steps(there, re.escape(MARKER))


def _steps(there: Iterable[str], file: str) -> list[int]:
    """Steps that have a file of such a name, ascending."""
    found = (re.search(rf"(?:^|/)step_(\d+)/{file}$", name) for name in there)
    return sorted({int(step[1]) for step in found if step})


def _base(state: StateDir) -> str | None:
    try:
        base: str | None = read_json(state.config).get("base")
    except (FileNotFoundError, ValueError):
        return None  # `sweeps.store` tells of damage
    return base
