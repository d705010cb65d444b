"""Small JSON files that several machines agree by: each is read and written whole."""

import errno
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cpt.files import read_json, write_json
from cpt.records import ResultTree, SweepDir
from cpt.storage import below

_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_HALF_WRITTEN_SECONDS = 0.5


class Place(Protocol):
    """Where such files lie.

    Attributes:
        settling_seconds: To wait after `create` until what is read back can be trusted; 0 where
            only one of several can create a file.
    """

    settling_seconds: float

    def read(self, name: str) -> Mapping[str, Any] | None:
        """What a file holds; None: there is none.

        Raises:
            ValueError: It is damaged.
        """

    def create(self, name: str, content: Mapping[str, Any]) -> bool:
        """Writes a file that does not exist; False: it does."""

    def replace(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a file, whether or not it exists."""

    def remove(self, name: str) -> None:
        """Deletes a file, if it exists."""


class Folder:
    """A `Place` in a directory."""

    settling_seconds = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> Mapping[str, Any] | None:
        """What a file holds."""
        until = time.monotonic() + _HALF_WRITTEN_SECONDS
        while True:
            try:
                return read_json(self._path / name)
            except FileNotFoundError:
                return None
            except ValueError:  # where there are no links a file is created before it is written
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def create(self, name: str, content: Mapping[str, Any]) -> bool:
        """Writes a file that does not exist, whole from its first moment where links exist."""
        path, aside = self._path / name, self._path / f".{name}.{content['id']}"
        write_json(aside, content)
        try:
            os.link(aside, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _created(path, aside.read_bytes())
        finally:
            aside.unlink()
        return True

    def replace(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a file."""
        write_json(self._path / name, content)

    def remove(self, name: str) -> None:
        """Deletes a file."""
        (self._path / name).unlink(missing_ok=True)


class ObjectFolder:
    """A `Place` on object storage, where no file can be created by one of several alone."""

    settling_seconds = 2.0

    def __init__(self, uri: str) -> None:
        # Imported here: pyarrow is not needed where nothing lies on object storage.
        from cpt.object_store import ObjectStore

        self._store = ObjectStore(uri)

    def read(self, name: str) -> Mapping[str, Any] | None:
        """What a file holds."""
        content = self._store.read(name)
        if content is None:
            return None
        try:
            found = json.loads(content)
        except ValueError as error:
            raise ValueError(f"{self._store.shown(name)} is not JSON ({error})") from error
        if not isinstance(found, dict):
            raise ValueError(f"{self._store.shown(name)} holds no JSON object")
        return found

    def create(self, name: str, content: Mapping[str, Any]) -> bool:
        """Writes a file that was not there a moment ago; of several the last one stands."""
        if self._store.read(name) is not None:
            return False
        self.replace(name, content)
        return True

    def replace(self, name: str, content: Mapping[str, Any]) -> None:
        """Writes a file."""
        self._store.write(name, json.dumps(content).encode())

    def remove(self, name: str) -> None:
        """Deletes a file."""
        self._store.remove(name)


def place_of(tree: ResultTree, sweep: SweepDir) -> Place:
    """Where the drivers of a sweep agree: beside its plan."""
    if tree.remote is None:
        return Folder(sweep.path)
    return ObjectFolder(below(tree.remote, f"sweeps/{sweep.path.name}"))


def _created(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb", buffering=0) as file:
            file.write(content)
    except FileExistsError:
        return False
    return True
