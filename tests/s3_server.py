"""An S3 server that tests, disturbed sweeps and measurements talk to."""

import threading
from collections.abc import Iterable
from typing import Any


class S3Server:
    """moto's S3 over real HTTP, which writes down what it is asked and can be made to misbehave.

    Attributes:
        requests: (method, path, first byte asked for or None, answer's length) in order.
        pieces_until_held: Ranged reads of token files after which it does not answer any more,
            until `held` is set.
        holds_parts: Whether it takes parts of objects and does not answer, until `held` is set.
        failures: As many of the next requests are answered with 503.
        key: The access key that alone may do anything; None: any may, as moto has it.
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
        self.key: str | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        first = None
        if "HTTP_RANGE" in environ:
            first = int(environ["HTTP_RANGE"].removeprefix("bytes=").partition("-")[0])
        if self.failures:
            self.failures -= 1
            start_response("503 Slow down", [("Content-Length", "0")])
            return [b""]
        if self.key and f"Credential={self.key}/" not in environ.get("HTTP_AUTHORIZATION", ""):
            start_response("403 Forbidden", [("Content-Length", "0")])
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
