"""Opens pyarrow's file system for a URI, with what differs from one store to another."""

from typing import Any
from urllib.parse import urlsplit

from pyarrow import fs

GOOGLE_RETRY_SECONDS = 10
"""Google's client alone would try for a quarter of an hour."""


def opened(uri: str) -> tuple[Any, str]:
    """The file system, and the path in it.

    Raises:
        OSError: It cannot be opened.
        ValueError: The URI has an option that it does not know.
    """
    scheme = urlsplit(uri).scheme
    if scheme in ("gs", "gcs"):
        uri = _with_option(uri, "retry_limit_seconds", str(GOOGLE_RETRY_SECONDS))
    elif scheme == "s3":
        # A small file is one request rather than three.
        uri = _with_option(uri, "allow_delayed_open", "true")
    files, root = fs.FileSystem.from_uri(uri)
    return files, root.rstrip("/")


def _with_option(uri: str, name: str, value: str) -> str:
    return uri if f"{name}=" in uri else f"{uri}{'&' if '?' in uri else '?'}{name}={value}"
