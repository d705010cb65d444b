"""Files of an object store through pyarrow: read, listed, fetched and sent in pieces.

Memory is bounded by a piece. What passes by itself is tried again (`cpt.retries`).
"""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pyarrow import fs

from cpt.cache_room import room_in_cache
from cpt.file_systems import opened
from cpt.retries import patiently, told
from cpt.storage import below, holds_secret, shown_uri
from cpt.token_store import StoreError, sha256

PIECE_BYTES = 8 << 20
"""What is read or written at once: large beside what a request costs, small beside memory."""


class DamagedObjectError(StoreError):
    """A file over there is not what was written; the message says which and how."""


@dataclass(frozen=True)
class Stored:
    """A file over there.

    Attributes:
        bytes: Its size.
        modified: When it was written, in nanoseconds since 1970; most stores tell whole seconds.
    """

    bytes: int
    modified: int


class ObjectStore:
    """What lies below a URI; names are relative to it, e.g. `9c1f/meta.json`.

    Nothing is opened before it is needed.

    Raises:
        StoreError: The URI says who may read there.
    """

    manifest = "meta.json"
    """The file in a folder that names the size and checksum of the others."""

    def __init__(self, uri: str) -> None:
        if holds_secret(uri):
            raise StoreError(
                f"{shown_uri(uri)} comes with a user, password or key, and would be written down "
                "with it; put that into the environment (e.g. AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY)."
            )
        self.uri = uri
        self._has_bucket = False

    def shown(self, name: str) -> str:
        """How sentences call a file or folder."""
        return shown_uri(below(self.uri, name))

    def folders(self) -> list[str]:
        """The names of the folders directly below.

        Raises:
            StoreError: The bucket does not exist, or cannot be reached.
        """
        files, root = self._opened
        with told(shown_uri(self.uri), "reached"):
            try:
                found = files.get_file_info(fs.FileSelector(root))
            except FileNotFoundError:
                self._check_bucket()
                return []
        return sorted(one.base_name for one in found if one.type is fs.FileType.Directory)

    def files(self, folder: str) -> dict[str, Stored]:
        """The files below a folder, however deep, by their names relative to it.

        Raises:
            StoreError: The bucket does not exist, or cannot be reached.
        """
        files, root = self._opened
        path = f"{root}/{folder}"
        with told(self.shown(folder), "listed"):
            try:
                found = patiently(files.get_file_info, fs.FileSelector(path, recursive=True))
            except FileNotFoundError:
                self._check_bucket()
                return {}
        return {
            one.path.removeprefix(f"{path}/"): Stored(one.size, one.mtime_ns)
            for one in found
            if one.type is fs.FileType.File
        }

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none.

        Raises:
            StoreError: It cannot be reached.
        """
        files, root = self._opened
        with told(self.shown(name), "read"):
            try:
                with patiently(files.open_input_file, f"{root}/{name}") as stream:
                    return bytes(patiently(stream.read_at, stream.size(), 0))
            except FileNotFoundError:
                return None

    def stage(self, name: str, target: Path, size: int, checksum: str) -> None:
        """Fetches a file whose size and SHA-256 its folder's manifest names, unless it is here.

        What was fetched so far lies beside it, in `NAME.part`.

        Raises:
            DamagedObjectError: It is missing, or not what was written.
            StoreError: It cannot be read, or there is no room.
        """
        if target.exists() and sha256(target) == checksum:
            return
        part = target.with_name(f"{target.name}.part")
        for _ in range(2):
            if self.fetch(name, part, size) == checksum:
                part.rename(target)
                return
            part.unlink()
        raise DamagedObjectError(
            f"{self.shown(name)} does not have the checksum {checksum} that its {self.manifest} "
            f"names; {self.remedy(name)}"
        )

    def fetch(self, name: str, target: Path, size: int) -> str:
        """Fetches a file from where `target` ends.

        Args:
            name: Of the file.
            target: Its first bytes, or nothing yet.
            size: That it must have.

        Returns:
            SHA-256 of the whole.

        Raises:
            DamagedObjectError: It is missing, or has another size.
            StoreError: It cannot be read, or there is no room.
        """
        digest = hashlib.sha256()
        files, root = self._opened
        # Unbuffered: what could not be written must not be tried again when the file is closed.
        with room_in_cache(target, size), target.open("a+b", buffering=0) as file:
            file.seek(0)
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
            done = file.tell()
            source = self._source(files, f"{root}/{name}", name, size)
            with source:
                while done < size:
                    with told(self.shown(name), "read"):
                        piece = patiently(source.read_at, min(PIECE_BYTES, size - done), done)
                    if not piece:  # replaced meanwhile by a shorter one: the checksum tells
                        break
                    left = memoryview(piece)
                    while left:
                        left = left[file.write(left) :]
                    digest.update(piece)
                    done += len(piece)
            os.fsync(file.fileno())
        return digest.hexdigest()

    def send(self, source: Path, name: str) -> str:
        """Writes a file, in the place of one that is there.

        Returns:
            SHA-256 of what was sent.

        Raises:
            StoreError: It cannot be written.
        """
        with told(self.shown(name), "written"):
            return str(patiently(self._send, source, name))

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file, in the place of one that is there.

        Raises:
            StoreError: It cannot be written.
        """
        with told(self.shown(name), "written"):
            patiently(self._write, name, content)

    def copy(self, name: str, other: str) -> None:
        """Copies a file over there.

        Raises:
            StoreError: It cannot be copied.
        """
        files, root = self._opened
        with told(self.shown(name), "copied"):
            patiently(files.copy_file, f"{root}/{name}", f"{root}/{other}")

    def remove(self, name: str) -> None:
        """Removes a file, if it is there.

        Raises:
            StoreError: It cannot be removed.
        """
        files, root = self._opened
        with (
            told(self.shown(name), "removed"),
            contextlib.suppress(FileNotFoundError),
        ):
            patiently(files.delete_file, f"{root}/{name}")

    def remove_folder(self, folder: str) -> None:
        """Removes a folder, if it is there.

        Raises:
            StoreError: It cannot be removed.
        """
        files, root = self._opened
        with (
            told(self.shown(folder), "removed"),
            contextlib.suppress(FileNotFoundError),
        ):
            patiently(files.delete_dir, f"{root}/{folder}")

    def _write(self, name: str, content: bytes) -> None:
        files, root = self._opened
        with files.open_output_stream(f"{root}/{name}") as stream:
            stream.write(content)

    def _send(self, source: Path, name: str) -> str:
        files, root = self._opened
        digest = hashlib.sha256()
        with source.open("rb") as file, files.open_output_stream(f"{root}/{name}") as stream:
            while piece := file.read(PIECE_BYTES):
                stream.write(piece)
                digest.update(piece)
        return digest.hexdigest()

    def _source(self, files: Any, path: str, name: str, size: int) -> Any:
        with told(self.shown(name), "read"):
            try:
                source = patiently(files.open_input_file, path)
            except FileNotFoundError:
                raise DamagedObjectError(
                    f"{self.shown(name)} is missing; {self.remedy(name)}"
                ) from None
        if source.size() != size:
            raise DamagedObjectError(
                f"{self.shown(name)} has {source.size()} bytes, not the {size} that its "
                f"{self.manifest} names; {self.remedy(name)}"
            )
        return source

    def remedy(self, name: str) -> str:
        """What to do about a file that is not what was written."""
        folder = self.shown(name.partition("/")[0])
        return f"delete {folder}, and the next rewarm plan packs and uploads it anew."

    def _check_bucket(self) -> None:
        """A folder is missing that need not be there, or the bucket, which must."""
        files, root = self._opened
        bucket = root.partition("/")[0]
        if bucket and not self._has_bucket:
            files.get_file_info(fs.FileSelector(bucket))
            self._has_bucket = True

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the path in it."""
        with told(shown_uri(self.uri), "opened"):
            return opened(self.uri)
