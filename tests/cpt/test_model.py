"""The GPT against numbers computed by hand."""

import contextlib
import math
import shutil
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from cpt.model import GPT, attend, initial_weights, rotary
from cpt.model_config import PRESETS, ModelConfig
from cpt.placement import fill

TINY = ModelConfig(num_layers=2, hidden_size=16, num_heads=2, vocab_size=64)


def model(config: ModelConfig = TINY, seed: int = 0) -> GPT:
    built = GPT(config)
    fill(built, initial_weights(built, seed))
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
    assert built.embed_out is None
    assert sum(parameter.numel() for parameter in built.parameters()) == tied.num_parameters


def test_flops_are_six_per_multiplied_parameter_and_attention() -> None:
    multiplied = TINY.num_parameters - 64 * 16
    assert TINY.flops_per_token(32) == 6 * multiplied + 12 * 2 * 16 * 32


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
    assert cos.shape == sin.shape == (3, 1, 4)
    angles = [1.0, 10000 ** (-2 / 8), 10000 ** (-4 / 8), 10000 ** (-6 / 8)]
    assert torch.allclose(cos[1, 0], torch.tensor(angles).cos())
    assert torch.allclose(sin[2, 0], torch.tensor([2 * angle for angle in angles]).sin())


def test_attention_depends_on_distance_alone() -> None:
    """Rotary positions: the same keys and queries one step later give the same scores."""
    config = ModelConfig(
        num_layers=1, hidden_size=16, num_heads=1, vocab_size=64, rotary_fraction=1.0
    )
    attention = model(config).layers[0].attention
    cos, sin = rotary(config, 4, torch.device("cpu"))
    query, key = torch.randn(2, 1, 1, 1, 16).unbind(0)
    turned_q = attention.rotated(query.expand(1, 4, 1, 16), cos, sin)
    turned_k = attention.rotated(key.expand(1, 4, 1, 16), cos, sin)
    scores = turned_q[0, :, 0] @ turned_k[0, :, 0].T
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


LLAMA = ModelConfig(
    family="llama",
    num_layers=2,
    hidden_size=24,
    num_heads=4,
    num_kv_heads=2,
    vocab_size=64,
    intermediate_size=40,
    tied=True,
)


def test_llama_parameters_are_counted_by_hand() -> None:
    """Heads are 6 wide: queries 24, keys and values 12 each."""
    attention = 24 * (24 + 12 + 12) + 24 * 24
    by_hand = 64 * 24 + 2 * (attention + 3 * 24 * 40 + 2 * 24) + 24
    assert sum(parameter.numel() for parameter in model(LLAMA).parameters()) == by_hand
    assert LLAMA.num_parameters == by_hand
    with_extras = LLAMA.model_copy(update={"qkv_bias": True, "qk_norm": True})
    assert sum(p.numel() for p in model(with_extras).parameters()) == by_hand + 2 * (48 + 2 * 6)
    assert with_extras.num_parameters == by_hand + 2 * (48 + 2 * 6)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pythia-70m", 70_426_624),
        ("pythia-160m", 162_322_944),
        ("pythia-410m", 405_334_016),
        ("paper-405m", 405_334_016),
        ("paper-10b", 9_642_249_216),
        ("llama-1b", 1_235_814_400),
    ],
)
def test_presets_have_as_many_parameters_as_published(name, parameters) -> None:
    """EleutherAI's and Meta's model cards; the paper's two: PAPER.md, section 1.1."""
    config = PRESETS[name]
    assert config.num_parameters == parameters
    with torch.device("meta"):
        built = GPT(config)
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters


@pytest.mark.parametrize("family", ["neox", "llama"])
def test_the_loss_at_init_is_that_of_a_uniform_guess(family) -> None:
    """ln(V), and half the variance of the logits."""
    wide = {"num_layers": 2, "hidden_size": 256, "num_heads": 4, "vocab_size": 512}
    config = ModelConfig(**wide)
    logit_variance = 256 * 2 / (5 * 256)
    if family == "llama":
        config = ModelConfig(family="llama", intermediate_size=688, **wide)
        logit_variance = 256 * 0.02**2
    sequences = torch.randint(0, 512, (64, 33), generator=torch.Generator().manual_seed(0))
    loss = float(model(config).token_losses(sequences).mean())
    assert loss == pytest.approx(math.log(512) + logit_variance / 2, abs=0.03)


def test_llama_weights_are_drawn_as_published() -> None:
    drawn = dict(model(LLAMA.model_copy(update={"hidden_size": 128})).named_parameters())
    for name, parameter in drawn.items():
        if parameter.dim() == 2:
            assert float(parameter.detach().std()) == pytest.approx(0.02, rel=0.1), name
        else:
            assert torch.equal(parameter, torch.ones(parameter.shape)), name


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)], ids=str
)
def test_written_out_attention_is_torchs_own(heads, dtype, tolerance) -> None:
    random = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, n, 33, 8, generator=random).to(dtype) for n in (heads[0], *heads[1:] * 2)
    )
    theirs = F.scaled_dot_product_attention(
        q.float(), k.float(), v.float(), is_causal=True, enable_gqa=True
    )
    torch.testing.assert_close(attend(q, k, v).float(), theirs, atol=tolerance, rtol=tolerance)


def test_a_long_sequence_takes_the_fused_kernel(monkeypatch) -> None:
    q, k, v = torch.randn(3, 1, 2, 33, 8, generator=torch.Generator().manual_seed(0)).unbind(0)
    short = attend(q, k, v)
    monkeypatch.setattr("cpt.model.SHORT_FP32", 32)
    torch.testing.assert_close(attend(q, k, v), short)


def gradients(built: GPT, sequences: torch.Tensor) -> dict[str, torch.Tensor]:
    built.zero_grad()
    built.mean_loss(sequences).backward()
    return {name: p.grad.clone() for name, p in built.named_parameters() if p.grad is not None}


@contextlib.contextmanager
def saved_elements() -> Iterator[list[int]]:
    """How many elements each tensor has that waits for the backward pass."""
    sizes: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield sizes


@pytest.mark.parametrize("config", [TINY, LLAMA], ids=["neox", "llama"])
def test_recomputed_activations_give_the_same_gradients(config) -> None:
    sequences = torch.randint(0, 64, (4, 17), generator=torch.Generator().manual_seed(0))
    built = model(config)
    with saved_elements() as whole:
        kept = gradients(built, sequences)
    for block in built.blocks:
        block.recomputed = True
    with saved_elements() as inputs:
        again = gradients(built, sequences)
    assert sum(inputs) < sum(whole) / 2
    assert kept.keys() == again.keys() == dict(built.named_parameters()).keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
@pytest.mark.parametrize(
    "config", [TINY, pytest.param(LLAMA, marks=pytest.mark.long)], ids=["neox", "llama"]
)
def test_compiled_blocks_give_the_same_gradients(config) -> None:
    sequences = torch.randint(0, 64, (4, 17), generator=torch.Generator().manual_seed(0))
    built = model(config)
    plain = gradients(built, sequences)
    for block in built.blocks:
        block.compile_training()
    compiled = gradients(built, sequences)
    for name, gradient in plain.items():
        torch.testing.assert_close(compiled[name], gradient, atol=1e-5, rtol=1e-4)


def test_bf16_computes_beside_fp32_weights() -> None:
    sequences = torch.randint(0, 64, (4, 17), generator=torch.Generator().manual_seed(0))
    built = model()
    exact = built.token_losses(sequences)
    built.compute_dtype = torch.bfloat16
    assert built(sequences).dtype == torch.bfloat16
    losses = built.token_losses(sequences)
    assert losses.dtype == torch.float32
    assert not torch.equal(losses, exact)
    torch.testing.assert_close(losses, exact, atol=0.03, rtol=0)
    assert all(g.dtype == torch.float32 for g in gradients(built, sequences).values())


def test_llama_frequencies_are_stretched_as_published() -> None:
    """By hand, for 8 dimensions, base 10000 and an original context of 64 positions.

    Wavelengths 6.28, 62.8, 628, 6283: above 64 / 1 they are divided by the factor, below 64 / 4
    they stay; the second, of 64 / 62.8 = 1.0186 turns, keeps (1.0186 - 1) / (4 - 1) of its own.
    """
    config = ModelConfig(
        **LLAMA.model_dump(exclude={"head_dim", "rotary_scaling"}),
        head_dim=8,
        rotary_scaling={
            "factor": 8,
            "low_frequency_factor": 1,
            "high_frequency_factor": 4,
            "original_length": 64,
        },
    )
    kept = (64 * 0.1 / (2 * math.pi) - 1) / 3
    angles = [1.0, 0.1 * (kept + (1 - kept) / 8), 0.01 / 8, 0.001 / 8]
    cos, sin = rotary(config, 2, torch.device("cpu"))
    torch.testing.assert_close(cos[1, 0], torch.tensor(angles).cos())
    torch.testing.assert_close(sin[1, 0], torch.tensor(angles).sin())
