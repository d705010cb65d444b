"""A question that is left in storage, and its answer: what two machines find out by them."""

from pathlib import Path

import pytest

from cpt.token_store import StoreError
from sweeps.cluster.probe import Place, answer, ask, forget, take_answer


def test_an_answer_is_read_and_nothing_is_left(tmp_path):
    place = Place("storage", str(tmp_path / "new" / "results"), is_written=True)
    question = ask(place)
    answer(place, question.number, "node")
    assert len(list(Path(place.where).iterdir())) == 2  # both are hidden files
    take_answer(place, question.number, "node")
    forget(place, question)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_there_stays(tmp_path):
    place = Place("storage", str(tmp_path / "results"), is_written=True)
    Path(place.where).mkdir()
    forget(place, ask(place))
    assert Path(place.where).is_dir()


def test_an_answer_that_does_not_arrive_is_a_fault(tmp_path):
    place = Place("storage", str(tmp_path), is_written=True)
    question = ask(place)
    with pytest.raises(StoreError, match="what is written there does not arrive here; mount one"):
        take_answer(place, question.number, "node")


def test_what_workers_only_read_needs_no_answer(tmp_path):
    place = Place("token_storage", str(tmp_path), is_written=False)
    question = ask(place)
    answer(place, question.number, "node")
    take_answer(place, question.number, "node")
    forget(place, question)
    assert list(tmp_path.iterdir()) == []


def test_an_object_store_leaves_no_questions_and_needs_room_for_a_copy(s3, tmp_path, monkeypatch):
    place = Place("storage", s3.uri("bucket", "results"), is_written=True)
    question = ask(place)
    answer(place, question.number, "node")
    take_answer(place, question.number, "node")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REWARM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(StoreError, match=r"cannot be written there, in .*Not a directory.*REWARM"):
        answer(place, question.number, "node")
    take_answer(place, question.number, "node")
    forget(place, question)
    with pytest.raises(StoreError, match="it is another storage there"):
        answer(place, question.number, "node")
