"""The GPT against numbers computed by hand."""

import math

import pytest
import torch

from cpt.model import GPT, rotary, token_losses
from cpt.model_config import ModelConfig

TINY = ModelConfig(num_layers=2, hidden_size=16, num_heads=2, vocab_size=64)


def model(config: ModelConfig = TINY, seed: int = 0) -> GPT:
    built = GPT(config)
    built.init_weights(seed)
    return built


def test_parameters_are_counted_by_hand() -> None:
    embeddings = 2 * 64 * 16
    attention = 16 * 48 + 48 + 16 * 16 + 16
    mlp = 16 * 64 + 64 + 64 * 16 + 16
    norms = 2 * 2 * 16
    by_hand = embeddings + 2 * (attention + mlp + norms) + 2 * 16
    assert sum(parameter.numel() for parameter in model().parameters()) == by_hand
    assert TINY.num_parameters == by_hand


def test_a_tied_output_is_counted_once() -> None:
    tied = TINY.model_copy(update={"tied": True})
    built = model(tied)
    assert built.embed_out.weight is built.embed_in.weight
    assert sum(parameter.numel() for parameter in built.parameters()) == tied.num_parameters


def test_flops_are_six_per_multiplied_parameter_and_attention() -> None:
    multiplied = TINY.num_parameters - 64 * 16
    assert TINY.flops_per_token(32) == 6 * multiplied + 12 * 2 * 16 * 32


def test_the_loss_at_init_is_that_of_the_initial_logits() -> None:
    """ln(V), and half the variance of the logits: D * 2 / (5 D) = 0.4 by small init."""
    config = ModelConfig(num_layers=1, hidden_size=256, num_heads=4, vocab_size=512)
    sequences = torch.randint(0, 512, (64, 33), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = token_losses(model(config), sequences).mean()
    assert float(loss) == pytest.approx(math.log(512) + 0.2, abs=0.03)


def test_no_position_sees_a_later_one() -> None:
    first = torch.arange(8)[None]
    second = first.clone()
    second[0, 5:] = 40
    built = model()
    with torch.no_grad():
        before, after = built(first), built(second)
    assert torch.equal(before[0, :5], after[0, :5])
    assert not torch.equal(before[0, 5], after[0, 5])


def test_weights_are_drawn_as_published() -> None:
    config = ModelConfig(num_layers=3, hidden_size=64, num_heads=4, vocab_size=512)
    drawn = dict(model(config).named_parameters())
    small, wang = math.sqrt(2 / (5 * 64)), 2 / (3 * math.sqrt(64))
    for name, expected in {
        "embed_in.weight": small,
        "embed_out.weight": small,
        "layers.0.attention.query_key_value.weight": small,
        "layers.0.mlp.dense_h_to_4h.weight": small,
        "layers.0.attention.dense.weight": wang,
        "layers.2.mlp.dense_4h_to_h.weight": wang,
    }.items():
        assert float(drawn[name].detach().std()) == pytest.approx(expected, rel=0.05), name
    assert torch.equal(drawn["layers.0.input_layernorm.weight"], torch.ones(64))
    assert torch.equal(drawn["layers.0.attention.dense.bias"], torch.zeros(64))


def test_a_seed_names_the_weights() -> None:
    one, same, other = (dict(model(seed=seed).named_parameters()) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["embed_in.weight"], other["embed_in.weight"])


def test_a_quarter_of_each_head_is_rotated() -> None:
    config = ModelConfig(num_layers=1, hidden_size=64, num_heads=2, vocab_size=64)
    cos, sin = rotary(config, 3, torch.device("cpu"))
    assert cos.shape == sin.shape == (3, 8)
    angles = [1.0, 10000 ** (-2 / 8), 10000 ** (-4 / 8), 10000 ** (-6 / 8)]
    assert torch.allclose(cos[1], torch.tensor(angles * 2).cos())
    assert torch.allclose(sin[2], torch.tensor([2 * angle for angle in angles * 2]).sin())


def test_attention_depends_on_distance_alone() -> None:
    """Rotary positions: the same keys and queries one step later give the same scores."""
    config = ModelConfig(
        num_layers=1, hidden_size=16, num_heads=1, vocab_size=64, rotary_fraction=1.0
    )
    attention = model(config).layers[0].attention
    cos, sin = rotary(config, 4, torch.device("cpu"))
    query, key = torch.randn(2, 1, 1, 1, 16).unbind(0)
    turned_q = attention._rotated(query.expand(1, 1, 4, 16), cos, sin)
    turned_k = attention._rotated(key.expand(1, 1, 4, 16), cos, sin)
    scores = (turned_q @ turned_k.transpose(-1, -2))[0, 0]
    assert float(scores[2, 1].detach()) == pytest.approx(float(scores[3, 2].detach()), abs=1e-5)
    assert float(scores[2, 0].detach()) == pytest.approx(float(scores[3, 1].detach()), abs=1e-5)
    assert abs(float((scores[2, 1] - scores[2, 0]).detach())) > 1e-4


def test_parallel_residual_reads_one_input_for_both_branches() -> None:
    block = model().layers[0]
    x = torch.randn(1, 4, 16)
    cos, sin = rotary(TINY, 4, torch.device("cpu"))
    with torch.no_grad():
        expected = (
            x
            + block.attention(block.input_layernorm(x), cos, sin)
            + block.mlp(block.post_attention_layernorm(x))
        )
        assert torch.allclose(block(x, cos, sin), expected)
        block.parallel_residual = False
        assert not torch.allclose(block(x, cos, sin), expected, atol=1e-4)
