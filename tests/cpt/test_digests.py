"""Checksums that are reckoned once."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from cpt import digests
from cpt.digests import SETTLED_NS, Digests


def settled(file: Path, content: bytes) -> Path:
    """Written long enough ago that its time stamp will not be that of a later change."""
    file.write_bytes(content)
    long_ago = time.time_ns() - 10 * SETTLED_NS
    os.utime(file, ns=(long_ago, long_ago))
    return file


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read."""
    names: list[str] = []
    real = digests.sha256

    def reading(file: Path) -> str:
        names.append(file.name)
        return real(file)

    monkeypatch.setattr(digests, "sha256", reading)
    return names


def test_a_file_is_read_once_in_all(tmp_path: Path, read: list[str]) -> None:
    file = settled(tmp_path / "a", b"text")
    for _ in range(2):
        with Digests(tmp_path / "kept.json") as known:
            assert known.sha256(file) == known.sha256(file) == hashlib.sha256(b"text").hexdigest()
    assert read == ["a"]


def test_a_touched_file_is_read_again(tmp_path: Path, read: list[str]) -> None:
    file = settled(tmp_path / "a", b"text")
    with Digests(tmp_path / "kept.json") as known:
        known.sha256(file)
    settled(file, b"text")
    os.utime(file, ns=(1, 1))
    with Digests(tmp_path / "kept.json") as known:
        known.sha256(file)
    assert read == ["a", "a"]


def test_what_was_changed_a_moment_ago_is_not_trusted(tmp_path: Path, read: list[str]) -> None:
    """It may change again within the resolution of its time stamp."""
    (tmp_path / "a").write_bytes(b"text")
    with Digests(tmp_path / "kept.json") as known:
        known.sha256(tmp_path / "a")
        known.sha256(tmp_path / "a")
    assert read == ["a", "a"]
    assert not (tmp_path / "kept.json").exists()


def test_a_damaged_record_is_made_anew(tmp_path: Path, read: list[str]) -> None:
    file = settled(tmp_path / "a", b"text")
    (tmp_path / "kept.json").write_text("{")
    for _ in range(2):
        with Digests(tmp_path / "kept.json") as known:
            known.sha256(file)
    assert read == ["a"]
