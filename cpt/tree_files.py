"""Files of a result tree between its working copy and object storage, each whole or not at all.

Small files are moved in one piece. A file here that was fetched bears the time of the one over
there, and counts as that one while size and time agree. Folders of large files hold a marker that
names them with size and checksum; it is sent, and placed, last.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from cpt.cache_room import room_in_cache
from cpt.checkpoint_marker import NAME as MARKER
from cpt.files import folder_name
from cpt.object_store import DamagedObjectError, ObjectStore, Stored
from cpt.seals import SEAL, Digest, sealed_text
from cpt.token_store import StoreError, sha256

AT_ONCE = 16
"""Requests of one process: each waits some ten milliseconds for an answer."""
LARGE_AT_ONCE = 4
"""Large files of one process."""

Item = TypeVar("Item")


class TreeFiles(ObjectStore):
    """A tree's URI beside the folder that is its copy here.

    Raises:
        StoreError: The URI says who may read there.
    """

    manifest = MARKER

    def __init__(self, uri: str, copy: Path) -> None:
        super().__init__(uri)
        self._copy = copy

    def remedy(self, name: str) -> str:
        """What to do about a file that is not what was written."""
        folder = self.shown(name.rpartition("/")[0])
        return f"delete {folder}, and the next rewarm run makes it anew."

    def name(self, path: Path) -> str:
        """How a file or folder of the copy is called over there."""
        return path.relative_to(self._copy).as_posix()

    def locked(self, path: Path) -> FileLock:
        """The right to change a folder of the copy; a kill frees it."""
        locks = self._copy / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{path.name}.fetching")

    def send_small(self, paths: Sequence[Path]) -> None:
        """Replaces the files over there; rows up to the last whole line."""
        # In threads, which no signal interrupts: a stream that is left early is a cut-off file.
        each(self._send_small, paths, AT_ONCE)

    def send_large(self, paths: Sequence[Path]) -> None:
        """Replaces the files over there, in pieces: a reader may meet one that was cut off.

        Raises:
            StoreError: One cannot be written, or changed meanwhile.
        """
        each(self._send_large, paths, LARGE_AT_ONCE)

    def whole(self, name: str) -> bytes | None:
        """A small file; None where there is none.

        A longer one that takes its place while it is read comes cut to the length of the first.
        """
        content = self.read(name)
        while content is not None and not _is_whole(name, content):
            before, content = content, self.read(name)
            if content == before:  # it is so over there
                break
        return content

    def fetch_changed(self, path: Path, there: Stored) -> None:
        """Replaces a small file here, unless it is the one over there by size and time."""
        if not agrees(path, there):
            place(path, self.whole(self.name(path)), there.modified)

    def fetch_marked(self, name: str, folder: Path) -> bool:
        """Fetches the files that a marker names, then the marker; removes all others.

        Returns:
            Whether there is a marker.

        Raises:
            DamagedObjectError: A file is missing, or not what the marker says.
            StoreError: A file cannot be read, or there is no room.
        """
        marker = folder / MARKER
        content = self.whole(f"{name}/{MARKER}")
        if content is None:
            return False
        if marker.exists() and marker.read_bytes() != content:
            marker.unlink()
        files = self.named(name, content)
        with room_in_cache(folder / MARKER, len(content)):
            folder.mkdir(parents=True, exist_ok=True)

        def stage(file: str) -> None:
            written = files[file]
            self.stage(f"{name}/{file}", folder / file, written.bytes, written.sha256)

        each(stage, sorted(files), LARGE_AT_ONCE)
        for path in folder.iterdir():
            if path.name not in {*files, MARKER}:
                path.unlink()
        place(marker, content)
        return True

    def named(self, name: str, content: bytes) -> dict[str, Digest]:
        """What the marker of a folder says of the files in it.

        Raises:
            DamagedObjectError: It says nothing, or names a file outside.
        """
        try:
            files = json.loads(content)["files"]
            return {folder_name(file): Digest(**digest) for file, digest in files.items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            marker = f"{name}/{MARKER}"
            raise DamagedObjectError(
                f"{self.shown(marker)} does not name the files of its folder ({error}); "
                f"{self.remedy(marker)}"
            ) from error

    def _send_small(self, path: Path) -> None:
        content = path.read_bytes()
        if path.suffix == ".jsonl":  # the last line may be one that is being written
            content = content[: content.rfind(b"\n") + 1]
        self.write(self.name(path), content)

    def _send_large(self, path: Path) -> None:
        if self.send(path, self.name(path)) != sha256(path):
            raise StoreError(f"{path} changed while it was sent; run it again")


def each(work: Callable[[Item], object], items: Iterable[Item], at_once: int) -> None:
    """Works in threads, in any order; raises what the first one raised."""
    with ThreadPoolExecutor(at_once) as pool:
        for _ in pool.map(work, items):
            pass


def agrees(path: Path, there: Stored) -> bool:
    """Whether a file here is that one, by size and time."""
    if not path.exists():
        return False
    here = path.stat()
    return (here.st_size, here.st_mtime_ns) == (there.bytes, there.modified)


def place(path: Path, content: bytes | None, modified: int | None = None) -> None:
    """Replaces a file here atomically, unless it is what it should be.

    Args:
        path: Where.
        content: What it should be; None: it should not be there.
        modified: Its time, in nanoseconds since 1970; None: now.

    Raises:
        StoreError: There is no room.
    """
    if content is None:
        path.unlink(missing_ok=True)
        return
    if modified is None and path.exists() and path.read_bytes() == content:
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with room_in_cache(aside, len(content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
    if modified is not None:
        os.utime(aside, ns=(modified, modified))
    aside.replace(path)


def _is_whole(name: str, content: bytes) -> bool:
    if name.endswith(".jsonl"):
        return not content or content.endswith(b"\n")
    try:
        value = json.loads(content)
        if not isinstance(value, dict) or SEAL not in value:
            return True
        # A text that lost no more than the end of its last line reads as JSON too.
        unsealed = {name: one for name, one in value.items() if name != SEAL}
        return content == sealed_text(unsealed).encode()
    except ValueError:
        return False
