"""Whole files between a working copy and the result tree on object storage.

Every program works on an ordinary directory. Where the tree lies on object storage that directory
is a copy on this machine, and what was written in it counts only once it was sent. `Mirror.of`
gives the one that a tree needs; for a tree in a directory there is nothing to do, so callers are
written once.

Over there a file is replaced whole. What stands in several files is sent in this order, and read
in the opposite one: rows, then the marker of a checkpoint that lies behind them, then the status.

Two roles have a copy each, `cache_of(uri)/results` for whoever plans and reads, and
`cache_of(uri)/work` for trainings, lest one fetches over what the other writes.
"""

import contextlib
import functools
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from cpt.files import set_aside
from cpt.records import ResultTree, StateDir, Status


class Mirror:
    """Of a tree in a directory: whoever writes a file there has sent it."""

    @staticmethod
    def of(tree: ResultTree) -> "Mirror":
        """The mirror of a tree; nothing is opened yet.

        Raises:
            StoreError: Its URI holds a password.
        """
        return Mirror() if tree.remote is None else _object_mirror(tree)

    def send(self, *paths: Path) -> None:
        """Replaces small files over there by those here; rows up to the last whole line.

        Raises:
            StoreError: One cannot be written.
        """

    def fetch(self, *paths: Path) -> None:
        """Replaces small files here by those over there; removes those that are not there.

        Raises:
            StoreError: One cannot be read.
        """

    def write_status(self, state: StateDir, status: Status) -> None:
        """Replaces a state's status here and there.

        Raises:
            StoreError: It cannot be written.
        """
        state.write_status(status)

    def fetch_state(
        self, state: StateDir, *, checkpoint: bool, repair: bool = False
    ) -> tuple[str, ...]:
        """Makes the local folder of a state what is stored.

        One fetch at a time per copy and state; what is here already is not fetched again.

        Args:
            state: Of the tree.
            checkpoint: Whether to fetch the newest checkpoint that is whole, and no other; else it
                is only noted which there are.
            repair: Whether a checkpoint that is found damaged is set aside over there.

        Returns:
            A sentence for each newer checkpoint that was found damaged.

        Raises:
            StoreError: A file cannot be read, or there is no room.
        """
        return ()

    def fetch_states(self, state_ids: Iterable[str], *, bases: bool = False) -> None:
        """Makes the folders of states what is stored; checkpoints are only noted.

        Args:
            state_ids: Which.
            bases: Whether to fetch the states too that they were trained from.

        Raises:
            StoreError: A file cannot be read, or there is no room.
        """

    def send_rows(self, state: StateDir) -> None:
        """Sends what a state's files of rows hold more than when they were last sent.

        Raises:
            StoreError: One cannot be written.
        """

    def sending_rows(self, state: StateDir) -> AbstractContextManager[None]:
        """Sends rows now and then while the block runs; who writes them ends with `send_rows`."""
        return contextlib.nullcontext()

    def send_checkpoint(self, state: StateDir, step: int, names: Iterable[str]) -> None:
        """Sends files of a checkpoint; its marker is to be sent after all of them.

        Raises:
            StoreError: One cannot be written.
        """

    def mark_checkpoint(self, state: StateDir, step: int, kept: int) -> None:
        """Sends the rows of a state, then the marker of a checkpoint.

        Then all but the newest `kept` checkpoints are removed over there.

        Raises:
            StoreError: It cannot be written.
        """

    def remove_checkpoint(self, state: StateDir, step: int) -> None:
        """Removes a checkpoint over there, its marker first.

        Raises:
            StoreError: It cannot be removed.
        """

    def tidy(self, state: StateDir, step: int) -> None:
        """Removes checkpoints before a step here that bear no marker.

        Of a group that spans machines the first rank's machine alone has markers of its own.
        """

    def release(self, state: StateDir) -> None:
        """Removes the checkpoints of a state here, where they lie over there."""

    def set_aside(self, folder: Path) -> str:
        """Renames a damaged folder to its name and `.damaged-1`, here and there.

        Returns:
            Where it is now.

        Raises:
            StoreError: It cannot be copied, or removed.
        """
        return str(set_aside(folder))

    def send_folder(self, folder: Path) -> None:
        """Sends a folder of files that never change, with a marker, unless it is there.

        Raises:
            StoreError: It cannot be written.
        """

    def fetch_folder(self, folder: Path) -> None:
        """Fetches a folder that `send_folder` sent, unless it is here or not there.

        Raises:
            StoreError: It cannot be read, or there is no room.
        """


@functools.cache
def _object_mirror(tree: ResultTree) -> Mirror:
    # Imported here: pyarrow is not needed for a directory.
    from cpt.object_mirror import ObjectMirror

    return ObjectMirror(tree)
