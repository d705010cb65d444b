"""Small JSON files that several machines agree by: each is read and written whole."""

import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cpt.records import read_json, write_json

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


def _created(path: Path, content: bytes) -> bool:
    try:
        with path.open("xb", buffering=0) as file:
            file.write(content)
    except FileExistsError:
        return False
    return True
