"""What to say when the disk that holds what is fetched is full."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from cpt.room import NO_ROOM
from cpt.token_store import StoreError


@contextlib.contextmanager
def room_in_cache(path: Path, size: int) -> Iterator[None]:
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
