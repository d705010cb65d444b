"""The part of the Hugging Face hub's HTTP API that reading a data set calls, served from memory.

Endpoints and headers are those that huggingface_hub 2.4 and datasets 5.2 use: `resolve` (HEAD and
GET with ranges), `revision`, `tree` and `paths-info`.
"""

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

ALWAYS = 10**9


@dataclass
class Repository:
    """A data set's repository.

    Attributes:
        commits: Files by path, by commit hash.
        refs: Commit hashes by branch or tag.
        refusal: (status, X-Error-Code) in place of any file, and of any answer at all where it is
            not `GatedRepo`: the hub tells everybody that a gated data set exists.
    """

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Adds a commit that holds these files and no others; its hash."""
        seed = repr([sorted(files.items()), branch, len(self.commits)])
        name = hashlib.sha1(seed.encode()).hexdigest()
        self.commits[name] = dict(files)
        self.refs[branch] = name
        return name


@dataclass(frozen=True)
class Request:
    """What was asked: `GET`, `HEAD` or `POST`, the file where it was one, and the bytes of it."""

    method: str
    path: str
    file: str = ""
    bytes: str = ""


@dataclass
class Hub:
    """A running hub.

    Attributes:
        url: Its HF_ENDPOINT.
        repositories: By id.
        requests: All so far.
        cuts: How many more answers with the content of a file break off halfway, by its name.
        after: Called when a request was answered.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    cuts: dict[str, int] = field(default_factory=dict)
    after: Callable[[Request], None] = lambda request: None

    def gets(self, file: str) -> list[Request]:
        """The requests for the content of a file."""
        return [asked for asked in self.requests if (asked.method, asked.file) == ("GET", file)]


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on this machine while the context lasts."""
    hub = Hub()

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Refused(Exception):
    def __init__(self, status: int, code: str, commit: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.commit = status, code, commit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Hub

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _handle(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        asked_bytes = self.headers.get("Range", "").removeprefix("bytes=")
        resolved = re.fullmatch(r"/datasets/(.+?)/resolve/([^/]+)/(.+)", path)
        file = resolved[3] if resolved else ""
        request = Request(self.command, path, file, asked_bytes)
        self.served.requests.append(request)
        try:
            if resolved:
                self._resolve(resolved[1], resolved[2], file, asked_bytes)
            else:
                self._json(self._api(path, sent))
        except _Refused as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.code}
            if refused.commit:
                headers["X-Repo-Commit"] = refused.commit
            self._answer(refused.status, b"", headers)
        self.served.after(request)

    def _api(self, path: str, sent: bytes) -> Any:
        if found := re.fullmatch(
            r"/api/datasets/(.+?)/(revision|tree|paths-info)/([^/]+)/?(.*)", path
        ):
            repository, kind, revision, folder = found.groups()
        elif found := re.fullmatch(r"/api/datasets/(.+)", path):
            repository, kind, revision, folder = found[1], "revision", "main", ""
        else:
            raise _Refused(404, "NotFound")
        commit, files = self._files(repository, revision)
        if kind == "revision":
            return {
                "id": repository,
                "sha": commit,
                "private": False,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": name} for name in files],
            }
        if kind == "paths-info":
            # A form: paths=a&paths=b&expand=False.
            names = [unquote(pair.split("=", 1)[1]) for pair in sent.decode().split("&")]
            return [_entry(name, files[name]) for name in files if name in names]
        recursive = "recursive=true" in self.path.lower()
        return list(_tree(files, folder, recursive=recursive))

    def _files(
        self, name: str, revision: str, *, files: bool = False
    ) -> tuple[str, dict[str, bytes]]:
        repository = self.served.repositories.get(name)
        if repository is None:
            raise _Refused(401, "RepoNotFound")  # as the hub answers who gives no token
        if repository.refusal is not None and (files or repository.refusal[1] != "GatedRepo"):
            raise _Refused(*repository.refusal)
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            raise _Refused(404, "RevisionNotFound")
        return commit, repository.commits[commit]

    def _resolve(self, name: str, revision: str, file: str, asked_bytes: str) -> None:
        commit, files = self._files(name, revision, files=True)
        if file not in files:
            raise _Refused(404, "EntryNotFound", commit)
        content = files[file]
        headers = {
            "X-Repo-Commit": commit,
            "ETag": f'"{_blob(content)}"',
            "Accept-Ranges": "bytes",
        }
        status = 200
        if asked_bytes:
            first, last = asked_bytes.split("-")
            start, stop = int(first), min(int(last) + 1 if last else len(content), len(content))
            if start >= len(content):
                raise _Refused(416, "RangeNotSatisfiable")
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            content, status = content[start:stop], 206
        cut = self.command == "GET" and self.served.cuts.get(file, 0) > 0
        if cut:
            self.served.cuts[file] -= 1
        self._answer(status, content, headers, cut=cut)

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(
        self, status: int, content: bytes, headers: Mapping[str, str], *, cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "oid": _blob(content), "size": len(content), "path": name}


def _tree(files: Mapping[str, bytes], folder: str, *, recursive: bool) -> Iterator[dict[str, Any]]:
    below = {name: files[name] for name in files if name.startswith(f"{folder}/" if folder else "")}
    if folder and not below:
        raise _Refused(404, "EntryNotFound")
    skipped = len(folder) + 1 if folder else 0
    folders = set()
    for name, content in below.items():
        *parents, _ = name[skipped:].split("/")
        for depth in range(1, len(parents) + 1 if recursive else min(len(parents), 1) + 1):
            folders.add(name[:skipped] + "/".join(parents[:depth]))
        if recursive or not parents:
            yield _entry(name, content)
    for name in sorted(folders):
        yield {"type": "directory", "oid": _blob(name.encode()), "size": 0, "path": name}
