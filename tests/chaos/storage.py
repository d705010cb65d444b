"""Where the disturbed sweep writes: a directory, or an object store with a copy to look at."""

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Protocol

from cpt.records import ResultTree

SMALL = ("status.json", "config.json", "train.jsonl", "plan.json", "complete.json")
LOOK_SECONDS = 0.5


class Storage(Protocol):
    """What a sweep file names, and the tree that is looked at."""

    uri: str
    tree: ResultTree

    def look(self) -> None:
        """Brings what tells where states stand up to date."""

    def fetch(self) -> None:
        """Brings everything up to date."""

    def close(self) -> None:
        """Ends what serves it."""


class Directory:
    """A directory that all nodes see: there is nothing to bring."""

    def __init__(self, folder: Path) -> None:
        self.uri, self.tree = str(folder), ResultTree(folder)

    def look(self) -> None:
        """Nothing."""

    def fetch(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Bucket:
    """S3 over HTTP from this process, and a copy of what lies in it."""

    def __init__(self, folder: Path) -> None:
        from moto.core.models import DEFAULT_ACCOUNT_ID
        from moto.s3.models import s3_backends

        from tests.s3_server import S3Server

        os.environ |= {
            "AWS_ACCESS_KEY_ID": "some-key-id",
            "AWS_SECRET_ACCESS_KEY": "some-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        # It would print a line for each request.
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket("chaos", "us-east-1")
        self._server = S3Server()
        self.uri, self.tree = self._server.uri("chaos", "results"), ResultTree(folder)
        self._seen: dict[str, str] = {}
        self._looked = 0.0

    def look(self) -> None:
        """Brings the small files, every half second at most."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._bring(SMALL)
        self._looked = time.monotonic()

    def fetch(self) -> None:
        """Brings everything."""
        self._bring(None)

    def close(self) -> None:
        """Ends the server."""
        self._server.stop()

    def _bring(self, names: tuple[str, ...] | None) -> None:
        # Straight from the server's memory, which is this process's: no request disturbs the sweep.
        there = {
            name.removeprefix("results/"): key
            for name, key in list(self._bucket.keys.items())
            if not name.endswith("/") and (names is None or name.rpartition("/")[2] in names)
        }
        for name, key in there.items():
            if self._seen.get(name) != key.etag:
                path = self.tree.storage / name
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    content = key.value
                except ValueError:  # replaced at this moment; the next look brings the new one
                    continue
                path.write_bytes(content)
                self._seen[name] = key.etag
        for name in self._seen.keys() - {
            name.removeprefix("results/") for name in list(self._bucket.keys)
        }:
            (self.tree.storage / name).unlink(missing_ok=True)
            del self._seen[name]
        for folder in self.tree.storage.glob("states/*/checkpoints/*"):
            if not any(folder.iterdir()):
                shutil.rmtree(folder)


KINDS: dict[str, type[Directory] | type[Bucket]] = {"directory": Directory, "s3": Bucket}
