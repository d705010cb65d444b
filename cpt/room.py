"""A full disk, in a sentence."""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""A disk, a quota, a limit on a file's size."""


class NoRoomError(OSError):
    """Something does not fit on a disk; the message says what, how much, and what to do."""

    def __str__(self) -> str:
        return str(self.strerror)


@contextlib.contextmanager
def room_for(path: Path, size: int) -> Iterator[None]:
    """Tells of what was to be written where there was no room for it.

    Args:
        path: A file or folder; its folder exists.
        size: Bytes that it comes to.

    Raises:
        NoRoomError: There was none.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        free = shutil.disk_usage(path.parent).free
        raise NoRoomError(
            error.errno,
            f"{path} cannot be written ({error.strerror}): it takes {size} bytes, and {free} are "
            "free there; make room, and it goes on from the last checkpoint, which is whole",
        ) from error
