"""Where things are kept: a directory, or a URI of an object store. Opens nothing.

A URI is one that pyarrow's file systems open, e.g. `s3://bucket/folder` or, for a server of one's
own, `s3://bucket/folder?endpoint_override=host:9000&scheme=http`. Who may read and write there is
told by the environment, never by the URI: URIs are written down and shown.
"""

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from cpt.parsing import nearest

REMOTE_SCHEMES = ("abfs", "abfss", "gcs", "gs", "hdfs", "s3", "viewfs")
"""What pyarrow opens besides `file`."""

SECRET = re.compile("key|secret|token|password|credential(?!_kind)", re.IGNORECASE)
"""Options of a URI that are no business of those who read it."""


def is_remote(where: str) -> bool:
    """Whether this is the URI of an object store; else it is a directory."""
    return "://" in where


def place(value: str) -> str:
    """A directory or URI as someone wrote it: `file://` taken off, others as they are.

    Raises:
        ValueError: Neither; the message is the rule.
    """
    scheme, separator, rest = value.partition("://")
    if slip := re.match(rf"({'|'.join(('file', *REMOTE_SCHEMES))}):/?(?!/)", value):
        raise ValueError(
            f"must be a directory, or a URI; did you mean '{slip[1]}://{value[slip.end() :]}'?"
        )
    if separator and scheme not in ("file", *REMOTE_SCHEMES):
        raise ValueError(
            "must be a directory, or a URI of a scheme that pyarrow opens"
            + nearest(scheme, ("file", *REMOTE_SCHEMES))
        )
    if separator and scheme != "file":
        try:
            bucket = urlsplit(value).netloc
        except ValueError:
            bucket = ""
        if not bucket:
            raise ValueError(f"must name a bucket: {scheme}://BUCKET/FOLDER")
        return value
    path = rest if separator else value
    if not path:
        raise ValueError("must name a directory; '.' is the current one")
    return path


def holds_secret(where: str) -> bool:
    """Whether a URI says who may read there."""
    if not is_remote(where):
        return False
    parts = urlsplit(where)
    named = parts.password is not None or (parts.scheme == "s3" and parts.username is not None)
    return named or any(SECRET.search(name) for name, _ in parse_qsl(parts.query))


def shown_uri(uri: str) -> str:
    """A URI as it stands in a sentence: of its options the endpoint alone, and no password."""
    parts = urlsplit(uri)
    endpoint = [(name, value) for name, value in parse_qsl(parts.query) if "endpoint" in name]
    host = parts.netloc.rpartition("@")[2]
    query = f"?{urlencode(endpoint, safe=':/')}" if endpoint else ""
    return f"{parts.scheme}://{host}{parts.path}{query}"


def below(uri: str, name: str) -> str:
    """The URI of what lies in a folder, options kept."""
    parts = urlsplit(uri)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()


def cache_folder() -> Path:
    """Where this machine keeps its copies of what lies on object storage."""
    named = os.environ.get("REWARM_CACHE")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(named).expanduser() if named else user / "rewarm").resolve()


def cache_of(uri: str) -> Path:
    """This machine's folder for what is kept at a URI; no two URIs share one."""
    parts = urlsplit(uri)
    alike = parts._replace(
        path=parts.path.strip("/"), query=urlencode(sorted(parse_qsl(parts.query)))
    )
    return cache_folder() / "tokens" / hashlib.sha256(alike.geturl().encode()).hexdigest()[:16]
