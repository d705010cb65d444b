"""No test reaches a network or writes into the user's Hugging Face cache."""

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Read when `datasets` and `huggingface_hub` are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="rewarm-tests-hf-")


class S3Server:
    """moto's S3 over real HTTP, which writes down what it is asked and can be made to misbehave.

    Attributes:
        requests: (method, path, first byte asked for or None, answer's length) in order.
        pieces_until_held: Ranged reads of token files after which it does not answer any more,
            until `held` is set.
        holds_parts: Whether it takes parts of objects and does not answer, until `held` is set.
        failures: As many of the next requests are answered with 503.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()
        self.requests: list[tuple[str, str, int | None, int]] = []
        self.held = threading.Event()
        self.pieces_until_held: int | None = None
        self.holds_parts = False
        self.failures = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        first = None
        if "HTTP_RANGE" in environ:
            first = int(environ["HTTP_RANGE"].removeprefix("bytes=").partition("-")[0])
        if self.failures:
            self.failures -= 1
            start_response("503 Slow down", [("Content-Length", "0")])
            return [b""]
        if first is not None and path.endswith("tokens.bin") and self.pieces_until_held is not None:
            if self.pieces_until_held == 0:
                self.held.wait(60)
            else:
                self.pieces_until_held -= 1
        answer = list(self._app(environ, start_response))
        self.requests.append((method, path, first, sum(map(len, answer))))
        if self.holds_parts and "partNumber=" in environ["QUERY_STRING"]:
            self.held.wait(60)
        return answer

    def uri(self, bucket: str, folder: str) -> str:
        """The URI of a folder."""
        endpoint = f"127.0.0.1:{self._server.server_port}"
        return f"s3://{bucket}/{folder}?endpoint_override={endpoint}&scheme=http"

    def written(self) -> int:
        """How many requests wrote an object, or a part of one."""
        return sum(method in ("PUT", "POST") for method, *_ in self.requests)

    def read(self, name: str) -> list[tuple[int, int]]:
        """(first byte, length) of each reading of objects of this name."""
        return [
            (first, length)
            for method, path, first, length in self.requests
            if method == "GET" and first is not None and path.endswith(f"/{name}")
        ]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Server]:
    """An object store with one bucket, `bucket`; this machine's copies lie in `cache`."""
    pytest.importorskip("moto.server", reason="moto, the S3 server of these tests, is not there")
    pytest.importorskip("flask_cors", reason="flask-cors, which moto's server needs, is not there")
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "some-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "some-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("REWARM_CACHE", str(tmp_path / "cache"))
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.reset()
    backend.create_bucket("bucket", "us-east-1")
    server = S3Server()
    yield server
    server.held.set()
    server.stop()
