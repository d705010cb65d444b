"""No test reaches a network or writes into the user's Hugging Face cache."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.s3_server import S3Server

# Read when `datasets` and `huggingface_hub` are imported, so set before any test module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="rewarm-tests-hf-")


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
