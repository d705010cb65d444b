"""Content that proves itself: digests of files, and JSON text that bears its own.

A digest is a number of bytes and their SHA-256. A sealed JSON object has as its last field, `seal`,
the SHA-256 of its text without that field, so that no byte of it can change unseen.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEAL = "seal"
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Digest:
    """What a file holds, or its first bytes."""

    bytes: int
    sha256: str


def digest_file(path: Path, length: int | None = None) -> Digest:
    """The digest of a file's first `length` bytes, or of all; of fewer where it is shorter.

    Raises:
        OSError: It cannot be read.
    """
    hashed, size = hashlib.sha256(), 0
    left = float("inf") if length is None else length
    with path.open("rb", buffering=0) as file:
        while left > 0 and (chunk := file.read(int(min(left, _CHUNK)))):
            hashed.update(chunk)
            size += len(chunk)
            left -= len(chunk)
    return Digest(size, hashed.hexdigest())


class BrokenSealError(ValueError):
    """A JSON file that bears a seal is not as it was written."""


class GrowingDigest:
    """The digest of a file that is appended to; what was read before is not read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size, self._hashed = 0, hashlib.sha256()

    def now(self) -> Digest:
        """Of all that stands in the file; a missing one is empty."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._size)
                while chunk := file.read(_CHUNK):
                    self._hashed.update(chunk)
                    self._size += len(chunk)
        return Digest(self._size, self._hashed.hexdigest())


def size_fault(path: Path, digest: Digest) -> str | None:
    """Why a file cannot be the one that was digested, by its length alone; None: it may be."""
    if not path.is_file():
        return f"{path} is missing"
    size = path.stat().st_size
    if size != digest.bytes:
        return f"{path} has {size} bytes, not the {digest.bytes} that were written"
    return None


def length_fault(path: Path, digest: Digest) -> str | None:
    """Why a file that grows cannot begin with what was digested; None: it may."""
    size = path.stat().st_size if path.is_file() else 0
    if size < digest.bytes:
        return f"{path} has {size} bytes, fewer than the {digest.bytes} that were written"
    return None


def content_fault(path: Path, digest: Digest) -> str | None:
    """Why a file does not begin with what was digested; None: it does."""
    if digest.bytes == 0 and not path.exists():
        return None
    try:
        found = digest_file(path, digest.bytes)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if found.bytes < digest.bytes:
        return f"{path} has {found.bytes} bytes, fewer than the {digest.bytes} that were written"
    if found != digest:
        return f"{path} has other bytes than were written (their SHA-256 differs)"
    return None


def sealed_text(content: Mapping[str, Any]) -> str:
    """A JSON object as text that bears its seal.

    Raises:
        ValueError: A number is NaN or infinite, which JSON lacks.
    """
    seal = hashlib.sha256(_text(content).encode()).hexdigest()
    return _text({**content, SEAL: seal}) + "\n"


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, allow_nan=False)
