"""An S3 server in a process of its own that counts what it is asked, and by whom."""

import contextlib
import logging
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import parse_qs

from tests.s3_server import S3Server

BUCKET = "scale"


@dataclass(frozen=True)
class Request:
    """What was asked.

    Attributes:
        time: When, in seconds since 1970.
        who: The key id it was signed with.
        kind: GET, HEAD, PUT, LIST, COPY, DELETE; PARTS for what starts and ends an upload in parts.
        name: Of the object, without the bucket.
    """

    time: float
    who: str
    kind: str
    name: str


class Store:
    """The server, as the process that started it sees it.

    Attributes:
        uri: A folder in its bucket.
    """

    def __init__(self, uri: str, connection: Connection) -> None:
        self.uri, self._connection = uri, connection

    def requests(self) -> list[Request]:
        """All that it was asked since the last call."""
        self._connection.send("requests")
        found: list[Request] = self._connection.recv()
        return found


@contextlib.contextmanager
def store() -> Iterator[Store]:
    """Runs a server while the block runs; who asks signs as `AWS_ACCESS_KEY_ID` says."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    there.close()  # lest a server that could not start be waited for
    try:
        yield Store(here.recv(), here)
    finally:
        here.send("end")
        process.join()


def counted(requests: Iterable[Request]) -> Counter[str]:
    """How many of each kind."""
    return Counter(one.kind for one in requests)


def sign_as(who: str) -> dict[str, str]:
    """What the environment of a process has to say, so that its requests are known."""
    return {
        "AWS_ACCESS_KEY_ID": who,
        "AWS_SECRET_ACCESS_KEY": "some-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class _Counting(S3Server):
    def __init__(self) -> None:
        super().__init__()
        self.taken: list[Request] = []
        # moto lists a bucket while another thread writes into it, and fails.
        self._one = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        signed = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2]
        name = environ["PATH_INFO"].removeprefix(f"/{BUCKET}").strip("/")
        self.taken.append(
            Request(time.time(), signed.partition("/")[0], _kind(environ, name), name)
        )
        with self._one:
            return super().__call__(environ, start_response)


def _kind(environ: dict[str, Any], name: str) -> str:
    method, query = (
        environ["REQUEST_METHOD"],
        parse_qs(environ["QUERY_STRING"], keep_blank_values=True),
    )
    if method == "GET" and not name:
        return "LIST"
    if method == "POST" and "delete" in query:
        return "DELETE"
    if method == "POST":
        return "PARTS"
    if method == "PUT" and "HTTP_X_AMZ_COPY_SOURCE" in environ:
        return "COPY"
    return str(method)


def _serve(connection: Connection) -> None:
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    os.environ |= sign_as("server")
    # It would print a line for each request.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(BUCKET, "us-east-1")
    server = _Counting()
    connection.send(server.uri(BUCKET, "results"))
    while connection.recv() != "end":
        taken, server.taken = server.taken, []
        connection.send(taken)
    server.stop()
