"""How far a tracker was told of each state, kept in the sweep's folder: no row is sent twice.

Written after rows were sent. Who is killed between sends them again.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cpt.files import read_json, set_aside, write_sealed
from cpt.mirror import Mirror
from cpt.token_store import StoreError

SEND_EVERY_SECONDS = 30.0
"""To a tree on object storage, where a file costs a request."""


class Cursor:
    """Of one tracker, by where its rows go: elsewhere they have not been sent yet."""

    def __init__(
        self, path: Path, destination: str, mirror: Mirror, say: Callable[[str], None]
    ) -> None:
        """Reads it, where there is one.

        Args:
            path: Its file, called by the tracker's name.
            destination: Where rows go, in words that hold no secret.
            mirror: Of the tree that it lies in.
            say: Told that it is damaged; it is set aside then.
        """
        self._path, self._destination, self._mirror = path, destination, mirror
        with contextlib.suppress(StoreError):
            mirror.fetch(path)
        self._content: dict[str, Any] = {}
        try:
            if path.exists():
                self._content = read_json(path)
        except ValueError as error:
            set_aside(path)
            say(f"damaged: {error}; set aside, and {path.stem} is told everything again")
        self._sent_at = -SEND_EVERY_SECONDS
        self._is_written = self._is_stored = True

    def sent(self, state: str) -> Mapping[str, int]:
        """For each file of rows of a state the last step that was told."""
        sent: Mapping[str, int] = self._content.get(self._destination, {}).get(state, {})
        return sent

    def note(self, state: str, sent: Mapping[str, int]) -> None:
        """Notes how far a state was told; kept at the next `write`."""
        self._content.setdefault(self._destination, {})[state] = dict(sent)
        self._is_written = self._is_stored = False

    def write(self, *, last: bool) -> None:
        """Replaces the file if anything was noted, and now and then where the tree lies elsewhere.

        Args:
            last: Send it there whenever it was sent last.
        """
        if not self._is_written:
            write_sealed(self._path, self._content)
            self._is_written = True
        now = time.monotonic()
        if not self._is_stored and (last or now - self._sent_at >= SEND_EVERY_SECONDS):
            self._sent_at = now
            with contextlib.suppress(StoreError):
                self._mirror.send(self._path)
                self._is_stored = True
