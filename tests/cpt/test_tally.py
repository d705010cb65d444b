"""What was read is told as it was read, however often the run was interrupted."""

from typing import Any

import numpy as np
import pytest

from cpt import checkpoint
from cpt.config import RunConfig
from cpt.data import TrainingStream
from cpt.records import ResultTree, Status, StatusWord
from cpt.rows import current_rows, read_rows
from cpt.tally import Tally
from cpt.token_store import TokenStore
from cpt.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def mixed(tiny) -> RunConfig:
    """A quarter of replay, and one data set of two sources, one of which has two domains."""
    return tiny.config(
        stream=[
            tiny.source("old", "1/4") | {"seen": 7, "offset": 2},
            tiny.source("new", "1/2") | {"name": "both", "part": "code"},
            tiny.source("held out", "1/4") | {"name": "both", "part": "pets"},
        ]
    )


def tally(config: RunConfig, tree: ResultTree) -> Tally:
    return Tally(config, TrainingStream(config, tree).stores)


def rows_of(tree: ResultTree, config: RunConfig) -> list[Any]:
    rows = read_rows(tree.state(config.state_id).data_rows)
    return current_rows(rows, lambda row: (row["step"], row["source"], row["domain"]))


def test_rows_follow_one_another_from_evaluation_to_evaluation(tiny, mixed) -> None:
    train(mixed, tiny.tree)
    spans = {(row["since"], row["step"]) for row in rows_of(tiny.tree, mixed)}
    assert mixed.evaluation_steps() == (0, 1, 2, 4, 8, 10, 11, 12)
    assert sorted(spans) == [(0, 1), (1, 2), (2, 4), (4, 8), (8, 10), (10, 11), (11, 12)]


def test_sums_are_those_of_the_closed_form(tiny, mixed) -> None:
    train(mixed, tiny.tree)
    whole = [row for row in rows_of(tiny.tree, mixed) if row["domain"] is None]
    # 48 samples: 12 of replay; of the other 36 two thirds are code.
    for source, samples in (("old", 12), ("both/code", 24), ("both/pets", 12)):
        own = [row for row in whole if row["source"] == source]
        assert sum(row["samples"] for row in own) == samples
        assert sum(row["tokens"] for row in own) == samples * 16
        firsts = np.cumsum([0, *(row["samples"] for row in own)])
        assert [row["first_sample"] for row in own] == firsts[:-1].tolist()
    store = TokenStore(tiny.tree.tokens(tiny.corpora["new"]))
    last = next(row for row in reversed(whole) if row["source"] == "both/code")
    assert last["epoch"] == 24 / store.num_sequences(16)


def test_tokens_of_domains_are_those_of_the_batches(tiny, mixed) -> None:
    """Counted one by one, in what a rank was given to train on."""
    stream = TrainingStream(mixed, tiny.tree)
    store = stream.stores[2]
    where = {tuple(store.sequence(n, 16)[0].tolist()): n for n in range(store.num_sequences(16))}
    expected = {"cats": 0, "dogs": 0}
    for step in range(12):
        for row in stream.batch(step).tolist():
            number = where.get(tuple(row))
            for token in range(16) if number is not None else ():
                place = number * 16 + 1 + token
                document = int(np.searchsorted(store.starts, place, side="right")) - 1
                expected[store.meta.domains[store.domains[document]].name] += 1
    assert sum(expected.values()) == 12 * 16
    counted = {"cats": 0, "dogs": 0}
    due = tally(mixed, tiny.tree)
    for row in (row for step in sorted(due.steps) for row in due.rows(step)):
        if row.domain is not None:
            assert (row.samples, row.first_sample, row.epoch) == (None, None, None)
            counted[row.domain] += row.tokens
    assert counted == expected


def test_domain_tokens_equal_a_count_token_by_token(tiny) -> None:
    store = TokenStore(tiny.tree.tokens(tiny.corpora["held out"]))
    of_token = np.repeat(np.asarray(store.domains), np.diff(store.starts))
    for length in (1, 5, 16, 40):
        index = np.random.default_rng(length).integers(0, store.num_sequences(length), 30)
        expected = [0, 0]
        for n in index:
            for domain in of_token[n * length + 1 : n * length + 1 + length]:
                expected[domain] += 1
        assert store.domain_tokens(index, length).tolist() == expected
    assert store.domain_tokens(np.arange(0), 16).tolist() == [0, 0]


def test_a_set_without_domains_is_one(tiny) -> None:
    store = TokenStore(tiny.tree.tokens(tiny.corpora["old"]))
    assert store.domain_tokens(np.array([0, 3, 3]), 16).tolist() == [48]


@pytest.mark.parametrize("lost", [[12], [9, 12]])
def test_rows_of_an_interrupted_run_are_those_of_an_uninterrupted_one(tiny, mixed, lost) -> None:
    """It goes on from step 9, or begins again: what was written past that does not count."""
    straight = tiny.beside("straight")
    train(mixed, straight)
    train(mixed, tiny.tree)
    state = tiny.tree.state(mixed.state_id)
    for step in lost:
        state.checkpoint_marker(step).unlink()
    kept = checkpoint.steps(state)
    state.write_status(Status(status=StatusWord.RUNNING, step=max(kept, default=0)))
    written = len(read_rows(state.data_rows))
    train(mixed, tiny.tree)
    assert len(read_rows(state.data_rows)) > written
    assert rows_of(tiny.tree, mixed) == rows_of(straight, mixed)


def test_rows_after_a_beginning_are_those_of_an_undivided_run(tiny, mixed) -> None:
    """The beginning ends between two evaluations; the row that spans its end stands whole."""
    straight = tiny.beside("straight")
    train(mixed, straight)
    base = mixed.model_copy(update={"stop_step": 6})
    train(base, tiny.tree)
    rest = mixed.model_copy(update={"base": base.state_id})
    train(rest, tiny.tree)
    begun, own = rows_of(tiny.tree, base), rows_of(tiny.tree, rest)
    assert {(row["since"], row["step"]) for row in begun} == {(0, 1), (1, 2), (2, 4), (4, 6)}
    undivided = rows_of(straight, mixed)
    assert [row for row in begun if row["step"] < 6] + own == undivided
