"""What a rank reads."""

import numpy as np
import pytest
import torch

from cpt.data import TrainingStream, held_out_sequences
from cpt.packing import Packed
from cpt.store_writer import StoreWriter
from cpt.token_store import TokenStore
from cpt.tokenizer import ByteTokenizer


def text(sequence: torch.Tensor) -> str:
    return bytes(token if token < 256 else 0 for token in sequence.tolist()).decode()


def test_ranks_read_the_slices_of_one_batch(tiny) -> None:
    stream = TrainingStream(tiny.config(), tiny.tree)
    whole = stream.batch(3)
    for world_size in (2, 4):
        slices = [stream.batch(3, rank, world_size) for rank in range(world_size)]
        assert torch.equal(torch.cat(slices), whole)


def test_targets_follow_their_inputs_in_the_text(tiny) -> None:
    batch = TrainingStream(tiny.config(), tiny.tree).batch(0)
    assert batch.shape == (4, 17)
    joined = bytes(
        token if token < 256 else 0
        for token in TokenStore(tiny.tree.tokens(tiny.corpora["old"])).tokens
    ).decode()
    for sequence in batch:
        assert text(sequence) in joined


def test_an_epoch_reads_every_sequence_once(tiny) -> None:
    store = TokenStore(tiny.tree.tokens(tiny.corpora["old"]))
    size = store.num_sequences(16)
    stream = TrainingStream(tiny.config(global_batch_size=1), tiny.tree)
    first = [tuple(stream.batch(step)[0].tolist()) for step in range(size)]
    second = [tuple(stream.batch(step)[0].tolist()) for step in range(size, 2 * size)]
    in_order = [tuple(row.tolist()) for row in store.sequence(np.arange(size), 16)]
    assert sorted(first) == sorted(second) == sorted(in_order)
    assert first != in_order
    assert first != second


def test_replay_repeats_pre_training_in_its_order(tiny) -> None:
    upstream = TrainingStream(tiny.config(), tiny.tree)
    seen = [tuple(row.tolist()) for step in range(2) for row in upstream.batch(step)]
    mixed = tiny.config(stream=[tiny.source("old", "1/4"), tiny.source("new", "3/4")])
    stream = TrainingStream(mixed, tiny.tree)
    replayed = [tuple(stream.batch(step)[3].tolist()) for step in range(8)]
    assert replayed == seen


def test_replay_comes_out_of_the_new_data(tiny) -> None:
    alone = TrainingStream(tiny.config(stream=[tiny.source("new")]), tiny.tree)
    mixed = TrainingStream(
        tiny.config(stream=[tiny.source("old", "1/4"), tiny.source("new", "3/4")]), tiny.tree
    )
    new = [tuple(row.tolist()) for step in range(3) for row in alone.batch(step)]
    kept = [tuple(row.tolist()) for step in range(4) for row in mixed.batch(step)[:3]]
    assert kept == new


def test_seeds_order_the_data(tiny) -> None:
    one = TrainingStream(tiny.config(seed=1), tiny.tree).batch(0)
    two = TrainingStream(tiny.config(seed=2), tiny.tree).batch(0)
    assert not torch.equal(one, two)


def test_held_out_sequences_are_shared_out_by_domain(tiny) -> None:
    store = TokenStore(tiny.tree.tokens(tiny.corpora["held out"]))
    chosen = held_out_sequences("held out", store, 16, 64)
    # Six documents of 30 bytes and an end-of-text in each domain: 186 tokens, 11 sequences.
    assert chosen.domains == ("cats", "dogs")
    assert chosen.domain_of.tolist() == [0, 0, 1, 1]
    assert chosen.tokens_per_byte == (186 / 180, 186 / 180)
    assert text(chosen.sequences[0]) == "the 7 old cats sa"
    assert text(chosen.sequences[2]) == "the 8 old dogs sa"
    # The second of two starts at floor(1 * 11 / 2) = 5 sequences, 80 tokens, into its domain.
    joined = ("the 7 old cats sat on 49 mats.\0" * 6)[80:97]
    assert text(chosen.sequences[1]) == joined


def test_a_small_held_out_set_is_taken_whole(tiny) -> None:
    store = TokenStore(tiny.tree.tokens(tiny.corpora["held out"]))
    chosen = held_out_sequences("held out", store, 16, 10_000)
    assert np.bincount(chosen.domain_of.numpy()).tolist() == [11, 11]


def test_a_domain_shorter_than_a_sequence_is_refused(tiny) -> None:
    store = TokenStore(tiny.tree.tokens(tiny.corpora["held out"]))
    with pytest.raises(ValueError, match="domain 'cats' holds 186 validation tokens; it must hold"):
        held_out_sequences("held out", store, 186, 10_000)


@pytest.fixture
def numbered(tmp_path) -> TokenStore:
    """Every token is its own place; documents of 1 to 40 tokens, of two domains by turns."""
    lengths = np.random.default_rng(0).integers(1, 41, 60)
    writer = StoreWriter(tmp_path, ByteTokenizer())
    packed = Packed(
        tokens=np.arange(lengths.sum(), dtype="<u2"),
        lengths=lengths,
        sizes=lengths,
        hashes=np.arange(60, dtype=np.uint64),
        domains=list("aabb" * 15),
        empty=0,
    )
    writer.append(packed, "", "domain")
    writer.finish(corpus_id=tmp_path.name, origin="o", path="p", split="validation")
    return TokenStore(tmp_path)


def test_held_out_sequences_are_those_of_the_joined_domains(numbered) -> None:
    """Bit for bit what joining every document of a domain gives."""
    for length, wanted in ((16, 64), (16, 10_000), (7, 100), (185, 1)):
        chosen = held_out_sequences("held out", numbered, length, wanted)
        for domain in range(2):
            documents = np.flatnonzero(numbered.domains == domain)
            joined = np.concatenate(
                [numbered.tokens[numbered.starts[d] : numbered.starts[d + 1]] for d in documents]
            ).astype(np.int64)
            mine = chosen.sequences[chosen.domain_of == domain]
            size = (len(joined) - 1) // length
            starts = np.arange(len(mine)) * size // len(mine) * length
            assert np.array_equal(mine, [joined[s : s + length + 1] for s in starts])


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 8])
def test_any_number_of_ranks_reads_the_same_mixture(tiny, world_size) -> None:
    config = tiny.config(
        global_batch_size=24,
        stream=[
            tiny.source("old", "1/20"),
            tiny.source("new", "3/5") | {"name": "both", "part": "code"},
            tiny.source("held out", "7/20") | {"name": "both", "part": "pets"},
        ],
    )
    stream = TrainingStream(config, tiny.tree)
    for step in range(5):
        slices = [stream.batch(step, rank, world_size) for rank in range(world_size)]
        assert torch.equal(torch.cat(slices), TrainingStream(config, tiny.tree).batch(step))


def test_replay_with_an_offset_repeats_pre_training_from_there_and_around(tiny) -> None:
    upstream = TrainingStream(tiny.config(), tiny.tree)
    seen = [tuple(row.tolist()) for step in range(2) for row in upstream.batch(step)]
    source = tiny.source("old", "1/4") | {"seen": 8, "offset": 6}
    stream = TrainingStream(tiny.config(stream=[source, tiny.source("new", "3/4")]), tiny.tree)
    replayed = [tuple(stream.batch(step)[3].tolist()) for step in range(10)]
    assert replayed == [seen[(n + 6) % 8] for n in range(10)]
    alone = TrainingStream(tiny.config(stream=[tiny.source("new")]), tiny.tree)
    new = [tuple(row.tolist()) for step in range(3) for row in alone.batch(step)]
    kept = [tuple(row.tolist()) for step in range(4) for row in stream.batch(step)[:3]]
    assert kept == new


def test_reshuffled_replay_reads_each_seen_sequence_once_in_another_order(tiny) -> None:
    upstream = TrainingStream(tiny.config(), tiny.tree)
    seen = [tuple(row.tolist()) for step in range(2) for row in upstream.batch(step)]
    source = tiny.source("old", "1/4") | {"seen": 8, "order": "reshuffled"}
    stream = TrainingStream(tiny.config(stream=[source, tiny.source("new", "3/4")]), tiny.tree)
    replayed = [tuple(stream.batch(step)[3].tolist()) for step in range(8)]
    assert sorted(replayed) == sorted(seen)
    assert replayed != seen
