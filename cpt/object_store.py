"""Files of an object store through pyarrow: read, listed, fetched and sent in pieces.

Memory is bounded by a piece. pyarrow tells everything but "does not exist" as an `OSError` without
a number; what went wrong stands in its text. Those that pass by themselves are tried again here,
after each file system's own attempts: some seconds each.
"""

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from cpt.room import NO_ROOM
from cpt.storage import below, holds_secret, shown_uri
from cpt.token_store import StoreError

PIECE_BYTES = 8 << 20
"""What is read or written at once: large beside what a request costs, small beside memory."""

PASSING = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|THROTTLING|SERVICE_UNAVAILABLE|INTERNAL_FAILURE"
    r"|REQUEST_TIMEOUT|HTTP status (5\d\d|429)"  # the AWS client
    r"|Status\((UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|RESOURCE_EXHAUSTED)"  # Google's
)
"""Refused and missing things stay so: NO_SUCH_BUCKET, ACCESS_DENIED, HTTP status 403 ..."""

GOOGLE_RETRY_SECONDS = 10
"""Google's client alone would try for a quarter of an hour."""


def _passes(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno is None and bool(PASSING.search(str(error)))


_patiently = Retrying(
    retry=retry_if_exception(_passes),
    stop=stop_after_attempt(3),
    wait=wait_random_exponential(max=8),
    reraise=True,
)


class ObjectStore:
    """What lies below a URI; names are relative to it, e.g. `9c1f/meta.json`.

    Nothing is opened before it is needed.

    Raises:
        StoreError: The URI says who may read there.
    """

    def __init__(self, uri: str) -> None:
        if holds_secret(uri):
            raise StoreError(
                f"{shown_uri(uri)} comes with a user, password or key, and would be written down "
                "with it; put that into the environment (e.g. AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY)."
            )
        self.uri = uri

    def shown(self, name: str) -> str:
        """How sentences call a file or folder."""
        return shown_uri(below(self.uri, name))

    def folders(self) -> list[str]:
        """The names of the folders directly below.

        Raises:
            StoreError: The bucket does not exist, or cannot be reached.
        """
        files, root = self._opened
        with self._told(shown_uri(self.uri), "reached"):
            try:
                found = files.get_file_info(fs.FileSelector(root))
            except FileNotFoundError:  # the folder, or on Google's store the bucket
                if bucket := root.partition("/")[0]:
                    files.get_file_info(fs.FileSelector(bucket))
                return []
        return sorted(one.base_name for one in found if one.type is fs.FileType.Directory)

    def read(self, name: str) -> bytes | None:
        """A small file; None where there is none.

        Raises:
            StoreError: It cannot be reached.
        """
        files, root = self._opened
        with self._told(self.shown(name), "read"):
            try:
                with _patiently(files.open_input_file, f"{root}/{name}") as stream:
                    return bytes(_patiently(stream.read_at, stream.size(), 0))
            except FileNotFoundError:
                return None

    def fetch(self, name: str, target: Path, size: int) -> str:
        """Fetches a file from where `target` ends.

        Args:
            name: Of the file.
            target: Its first bytes, or nothing yet.
            size: That it must have.

        Returns:
            SHA-256 of the whole.

        Raises:
            StoreError: It cannot be read, has another size, or there is no room.
        """
        digest = hashlib.sha256()
        files, root = self._opened
        # Unbuffered: what could not be written must not be tried again when the file is closed.
        with room_for(target, size), target.open("a+b", buffering=0) as file:
            file.seek(0)
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
            done = file.tell()
            source = self._source(files, f"{root}/{name}", name, size)
            with source:
                while done < size:
                    with self._told(self.shown(name), "read"):
                        piece = _patiently(source.read_at, min(PIECE_BYTES, size - done), done)
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
        with self._told(self.shown(name), "written"):
            return str(_patiently(self._send, source, name))

    def _send(self, source: Path, name: str) -> str:
        files, root = self._opened
        digest = hashlib.sha256()
        with source.open("rb") as file, files.open_output_stream(f"{root}/{name}") as stream:
            while piece := file.read(PIECE_BYTES):
                stream.write(piece)
                digest.update(piece)
        return digest.hexdigest()

    def _source(self, files: Any, path: str, name: str, size: int) -> Any:
        with self._told(self.shown(name), "read"):
            try:
                source = _patiently(files.open_input_file, path)
            except FileNotFoundError:
                raise StoreError(f"{self.shown(name)} is missing; {self.remedy(name)}") from None
        if source.size() != size:
            raise StoreError(
                f"{self.shown(name)} has {source.size()} bytes, not the {size} that its meta.json "
                f"names; {self.remedy(name)}"
            )
        return source

    def remedy(self, name: str) -> str:
        """What to do about a file that is not what was written."""
        folder = self.shown(name.partition("/")[0])
        return f"delete {folder}, and the next rewarm plan packs and uploads it anew."

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the path in it."""
        uri = self.uri
        if urlsplit(uri).scheme in ("gs", "gcs") and "retry_limit_seconds" not in uri:
            uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={GOOGLE_RETRY_SECONDS}"
        with self._told(shown_uri(uri), "opened"):
            files, root = fs.FileSystem.from_uri(uri)
        return files, root.rstrip("/")

    @contextlib.contextmanager
    def _told(self, what: str, done: str) -> Iterator[None]:
        """Turns what pyarrow raises into a sentence.

        An OSError with a number is this machine's own, but for ENOENT.
        """
        try:
            yield
        except StoreError:
            raise
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise
            reason = " ".join(str(error).split())
            raise StoreError(
                f"{what} cannot be {done} ({reason}); check that the bucket exists, the network, "
                "and the credentials in the environment."
            ) from error


@contextlib.contextmanager
def room_for(path: Path, size: int) -> Iterator[None]:
    """Turns a full disk into a sentence; what was written so far stays.

    Raises:
        StoreError: There is no room for a file that comes to `size` bytes.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        done = path.stat().st_size if path.is_file() else 0
        free = shutil.disk_usage(path.parent).free
        raise StoreError(
            f"{path} cannot be written ({error.strerror}): {size - done} more bytes are needed, "
            f"and {free} are free there; make room, or name another folder in REWARM_CACHE; the "
            "next run goes on from what was fetched."
        ) from error
