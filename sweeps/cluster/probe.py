"""One machine's part in finding out whether two of them mean the same storage by one name.

Who asks leaves a question there, a file with a number drawn for it; the other one reads it and
leaves an answer, which the first one reads. The files are hidden, small, and removed at the end:

    .reach-<number>             the question
    .reach-<number>.<who>       an answer
"""

import contextlib
import os
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cpt.records import ResultTree
from cpt.storage import below, cache_of, is_remote, shown_uri
from cpt.token_store import StoreError

MOUNT = (
    "mount one directory under that path on every machine, or name an object store, "
    "s3://BUCKET/FOLDER"
)
"""What helps where a directory is not the same everywhere."""


@dataclass(frozen=True)
class Place:
    """What all machines of a sweep must reach.

    Attributes:
        field: Its name in the sweep file.
        where: A directory, or a URI.
        is_written: Whether workers write there too; all of them read.
    """

    field: str
    where: str
    is_written: bool

    @property
    def shown(self) -> str:
        """How sentences call it."""
        return shown_uri(self.where) if is_remote(self.where) else self.where


def places(tree: ResultTree) -> list[Place]:
    """Where the results of a tree lie and, where they lie elsewhere, its tokens."""
    found = [Place("storage", tree.remote or str(tree.storage), is_written=True)]
    with_results = None if tree.remote is None else below(tree.remote, "tokens")
    if tree.token_storage is not None and tree.token_storage != with_results:
        found.append(Place("token_storage", tree.token_storage, is_written=False))
    return found


@dataclass(frozen=True)
class Question:
    """One that was left.

    Attributes:
        number: By which it is found.
        made: Folders that were made for it, the innermost first.
    """

    number: str
    made: tuple[Path, ...]


def ask(place: Place) -> Question:
    """Leaves a question, as whoever plans and writes the results.

    Raises:
        StoreError: It cannot be written there; the sentence ends with a remedy.
    """
    number, made = uuid.uuid4().hex, []
    if not is_remote(place.where):
        folder = Path(place.where)
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"it cannot be made ({error.strerror}); name a directory of yours."
            ) from error
    _files(place).write(_name(number), number.encode())
    return Question(number, tuple(made))


def answer(place: Place, number: str, who: str) -> None:
    """Reads a question and, where workers write, leaves an answer by that name.

    Raises:
        StoreError: It cannot, or this is another storage; the sentence ends with a remedy.
    """
    files = _files(place)
    asked = files.read(_name(number))
    if asked is None or asked.decode() != number:
        raise StoreError(f"it is another storage there, without what was just written; {MOUNT}.")
    if place.is_written:
        files.write(_name(number, who), number.encode())
    if is_remote(place.where):
        _check_cache(place.where)


def take_answer(place: Place, number: str, who: str) -> None:
    """Looks for an answer that was left, and removes it.

    Raises:
        StoreError: It is not seen here; the sentence ends with a remedy.
    """
    if not place.is_written:
        return
    files = _files(place)
    if files.read(_name(number, who)) is None:
        raise StoreError(f"what is written there does not arrive here; {MOUNT}.")
    files.remove(_name(number, who))


def forget(place: Place, question: Question) -> None:
    """Removes a question, and folders that were made for it and are empty.

    Raises:
        StoreError: It cannot be removed.
    """
    _files(place).remove(_name(question.number))
    with contextlib.suppress(OSError):
        for folder in question.made:
            folder.rmdir()


def _name(number: str, who: str | None = None) -> str:
    return f".reach-{number}" if who is None else f".reach-{number}.{who}"


def _check_cache(uri: str) -> None:
    """What is fetched from an object store lies on the disk of each machine."""
    folder = cache_of(uri)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"rewarm")
    except OSError as error:
        raise StoreError(
            f"the copy that each machine keeps cannot be written there, in {folder} "
            f"({error.strerror}); make room, or name another folder in REWARM_CACHE."
        ) from error


class _Files(Protocol):
    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def remove(self, name: str) -> None: ...


def _files(place: Place) -> _Files:
    if is_remote(place.where):
        # Imported here: pyarrow is not needed for a directory.
        from cpt.object_store import ObjectStore

        return ObjectStore(place.where)
    return _Folder(Path(place.where))


class _Folder:
    """A directory, spoken of like an object store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        try:
            # Of a mounted directory a listing may be cached, a file that was never asked for not.
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            if self._folder.is_dir():
                return None
            raise StoreError(f"it does not exist there; {MOUNT}.") from None
        except OSError as error:
            raise self._fault("read", error) from error

    def write(self, name: str, content: bytes) -> None:
        try:
            with (self._folder / name).open("wb") as file:
                file.write(content)
                os.fsync(file.fileno())
        except OSError as error:
            raise self._fault("written", error) from error

    def remove(self, name: str) -> None:
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise self._fault("changed", error) from error

    @staticmethod
    def _fault(done: str, error: OSError) -> StoreError:
        return StoreError(
            f"it cannot be {done} there ({error.strerror}); give it to the user that Ray runs as, "
            "and make room where it is full."
        )
