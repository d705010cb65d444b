"""Checksums of source files, reckoned once: a plan should not read a terabyte to find no change."""

import contextlib
import time
from pathlib import Path
from typing import Any, Self

from cpt.files import read_json, write_json
from cpt.token_store import sha256, stamp_of

SETTLED_NS = 2_000_000_000
"""A file changed so shortly before it was read may change again under the same time stamp."""


class Digests:
    """Checksums by path, kept in a file while size and time of what they were taken of last.

    A context, which keeps what is new when it ends.

    Args:
        file: Where they are kept; of several processes that write it the last wins, and what is
            lost is reckoned again.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, Any] = {}
        if file.exists():
            try:
                self._known = read_json(file)
            except ValueError:  # damaged: reckoned again
                self._known = {}
        self._before = dict(self._known)

    def sha256(self, file: Path) -> str:
        """Of the whole content.

        Raises:
            OSError: It cannot be read.
        """
        name, stamp = str(file.resolve()), stamp_of(file)
        found = self._known.get(name)
        if isinstance(found, list) and found[:2] == stamp:
            return str(found[2])
        digest = sha256(file)
        if time.time_ns() - stamp[1] > SETTLED_NS and stamp_of(file) == stamp:
            self._known[name] = [*stamp, digest]
        return digest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._known != self._before:
            with contextlib.suppress(OSError):  # what cannot be kept is reckoned again
                write_json(self._file, self._known)
