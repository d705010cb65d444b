"""Files that are whole or absent, whatever kills who writes them."""

import os
from pathlib import Path

import pytest

from cpt.files import read_json, write_json, write_text


def test_writing_makes_the_folders_above(tmp_path):
    write_json(tmp_path / "a" / "b" / "c.json", {"x": 1})
    assert read_json(tmp_path / "a" / "b" / "c.json") == {"x": 1}


def test_writing_leaves_nothing_else_behind(tmp_path):
    write_text(tmp_path / "file", "one")
    write_text(tmp_path / "file", "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "two")]


def test_a_reader_during_the_write_sees_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_text(path, "old")
    seen = []
    monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.read_text()))
    write_text(path, "new")
    assert (seen, path.read_text()) == (["old"], "new")


def test_the_content_is_on_disk_before_the_name_points_to_it(tmp_path, monkeypatch):
    events = []
    replace = Path.replace
    monkeypatch.setattr(os, "fsync", lambda _: events.append("sync"))
    monkeypatch.setattr(Path, "replace", lambda *args: (events.append("replace"), replace(*args)))
    write_text(tmp_path / "file", "text")
    assert events == ["sync", "replace"]


def test_all_of_the_text_is_in_the_file_that_is_synced(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_size))
    write_text(tmp_path / "file", "12345")
    assert synced == [5]


def test_a_write_that_dies_leaves_the_old_file(tmp_path, monkeypatch):
    def die(_: int) -> None:
        raise OSError("no space left")

    path = tmp_path / "file"
    write_text(path, "old")
    monkeypatch.setattr(os, "fsync", die)
    with pytest.raises(OSError, match="no space left"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_an_open_reader_keeps_the_file_it_opened(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old content")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old content"


def test_nan_is_refused_and_the_old_file_stays(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"loss": 1.0})
    with pytest.raises(ValueError, match=r"file\.json cannot hold \{'loss': nan\}"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path) == {"loss": 1.0}


@pytest.mark.parametrize(
    ("text", "fault"),
    [('{"a": 1', "is not complete JSON"), ("", "is not complete JSON"), ("[1]", "a JSON list")],
)
def test_a_file_without_a_whole_object_is_named(tmp_path, text, fault):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"file\.json.*{fault}"):
        read_json(path)
