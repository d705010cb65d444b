"""Losses on held-out sets."""

import math

import pytest
import torch

from cpt.data import held_out_sequences
from cpt.evaluate import Evaluator
from cpt.model import GPT, initial_weights
from cpt.parallel import Workers
from cpt.placement import fill
from cpt.token_store import TokenStore

ALONE = Workers(rank=0, world_size=1, device=torch.device("cpu"))


@pytest.fixture
def model(tiny) -> GPT:
    built = GPT(tiny.config().model)
    fill(built, initial_weights(built, 0))
    return built


def test_the_overall_loss_is_the_mean_over_all_tokens(tiny, model) -> None:
    rows = Evaluator(tiny.config(), tiny.tree, ALONE).rows(model, 5)
    store = TokenStore(tiny.tree.tokens(tiny.corpora["held out"]))
    sequences = held_out_sequences("held out", store, 16, 65_536).sequences
    expected = float(model.token_losses(sequences).double().mean())
    overall = rows[0]
    assert (overall.step, overall.tokens, overall.dataset) == (5, 5 * 64, "held out")
    assert overall.domain is None
    assert overall.num_tokens == 22 * 16
    assert overall.loss == pytest.approx(expected, rel=1e-6)


def test_domains_average_to_the_whole(tiny, model) -> None:
    overall, cats, dogs = Evaluator(tiny.config(), tiny.tree, ALONE).rows(model, 0)
    assert (cats.domain, dogs.domain) == ("cats", "dogs")
    assert (cats.loss + dogs.loss) / 2 == pytest.approx(overall.loss)
    assert cats.loss != dogs.loss


def test_bits_per_byte_are_nats_per_token_by_the_tokens_per_byte(tiny, model) -> None:
    """186 tokens stand for 180 bytes of text: end-of-text costs bits and is no byte."""
    for row in Evaluator(tiny.config(), tiny.tree, ALONE).rows(model, 0):
        assert row.bits_per_byte == pytest.approx(row.loss * 186 / 180 / math.log(2))


def test_the_batch_size_does_not_matter(tiny, model) -> None:
    small = tiny.evaluation() | {"batch_sequences": 5}
    rows = Evaluator(tiny.config(), tiny.tree, ALONE).rows(model, 0)
    others = Evaluator(tiny.config(evaluation=small), tiny.tree, ALONE).rows(model, 0)
    for row, other in zip(rows, others, strict=True):
        assert row.loss == pytest.approx(other.loss, rel=1e-6)
