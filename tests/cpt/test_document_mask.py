"""Attention inside documents: a packed document computes as if it stood alone."""

import shutil

import pytest
import torch
import torch.nn.functional as F

from cpt.model import GPT, attend, document_mask, initial_weights
from cpt.model_config import ModelConfig
from cpt.placement import fill

NEOX = ModelConfig(num_layers=2, hidden_size=16, num_heads=2, vocab_size=64)
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
BOTH = pytest.mark.parametrize("config", [NEOX, LLAMA], ids=["neox", "llama"])
END = 63
SPANS = [(0, 6), (6, 7), (7, 16), (16, 33)]
"""First position and the one after the last of four documents; the second is empty."""


@pytest.fixture(params=["written out", "fused"])
def path(request, monkeypatch) -> None:
    """Both ways to attend, whatever the length."""
    longest = 1000 if request.param == "written out" else 0
    monkeypatch.setattr("cpt.model.SHORT_FP32", longest)
    monkeypatch.setattr("cpt.model.SHORT_BF16", longest)


def model(config: ModelConfig, document_end: int | None) -> GPT:
    built = GPT(config)
    fill(built, initial_weights(built, 0))
    for name, parameter in built.named_parameters():
        # As drawn, attention hardly moves the losses.
        if "attention" in name and parameter.dim() == 2:
            parameter.data.mul_(5)
    built.document_end = document_end
    return built


def packed(rows: int = 3) -> torch.Tensor:
    """int64 [rows, 33]: the four documents, each with other tokens in every row."""
    tokens = torch.randint(0, END, (rows, 33), generator=torch.Generator().manual_seed(0))
    for _, stop in SPANS:
        tokens[:, stop - 1] = END
    return tokens


def gradients(built: GPT, sequences: torch.Tensor) -> dict[str, torch.Tensor]:
    built.zero_grad()
    built.mean_loss(sequences).backward()
    return {name: p.grad.clone() for name, p in built.named_parameters() if p.grad is not None}


def farthest_from_alone(built: GPT) -> float:
    """The largest difference of a loss in the packed sequences to that of the document alone."""
    inside = built.token_losses(packed())
    gaps = [
        (inside[:, start : stop - 1] - built.token_losses(packed()[:, start:stop])).abs().max()
        for start, stop in SPANS
        if stop - start > 1
    ]
    return float(max(gaps))


# The mask.


def test_the_mask_of_a_sequence_typed_by_hand() -> None:
    """Documents a b end, end, c d; the end of the first is read by nothing after it."""
    tokens = torch.tensor([[5, 6, 9, 9, 7, 8]])
    expected = [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 1],
    ]
    mask = document_mask(tokens, 9)
    assert (mask.dtype, mask.shape) == (torch.bool, (1, 1, 6, 6))
    assert mask[0, 0].int().tolist() == expected


def test_every_sequence_of_a_batch_has_its_own_mask() -> None:
    tokens = torch.tensor([[9, 1, 2], [1, 9, 2]])
    assert document_mask(tokens, 9)[:, 0].int().tolist() == [
        [[1, 0, 0], [0, 1, 0], [0, 1, 1]],
        [[1, 0, 0], [1, 1, 0], [0, 0, 1]],
    ]


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)], ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)], ids=str
)
def test_masked_attention_is_torchs_own(path, heads, dtype, tolerance) -> None:
    random = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(3, n, 33, 8, generator=random).to(dtype) for n in (heads[0], *heads[1:] * 2)
    )
    mask = document_mask(packed(), END)
    theirs = F.scaled_dot_product_attention(
        q.float(), k.float(), v.float(), attn_mask=mask, enable_gqa=True
    )
    found = attend(q, k, v, mask)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), theirs, atol=tolerance, rtol=tolerance)


# The model.


@BOTH
def test_a_packed_document_has_the_losses_it_has_alone(path, config) -> None:
    """Also where it does not begin at position 0: rotary positions are relative."""
    assert farthest_from_alone(model(config, END)) < 1e-5


@BOTH
def test_without_the_mask_a_packed_document_has_other_losses(path, config) -> None:
    assert farthest_from_alone(model(config, None)) > 1e-2


@BOTH
def test_a_sequence_of_one_document_has_the_losses_it_has_without_the_mask(path, config) -> None:
    sequences = packed()[:, 16:]
    masked, whole = (model(config, end).token_losses(sequences) for end in (END, None))
    torch.testing.assert_close(masked, whole)


def test_no_gradient_reaches_another_document(path) -> None:
    """Tokens 1 to 3 in the first document, 4 to 6 in the second: told by the embeddings."""
    tokens = torch.tensor([[1, 2, 3, END, 4, 5, 6]])
    for end, reached in ((END, [4, 5, 6]), (None, [1, 2, 3, 4, 5, 6, END])):
        built = model(NEOX, end)
        built(tokens)[0, 4:].square().sum().backward()
        gradient = built.embed_in.weight.grad
        assert gradient is not None
        assert gradient.abs().sum(dim=1).nonzero().flatten().tolist() == reached


@BOTH
def test_recomputed_activations_give_the_same_masked_gradients(config) -> None:
    built = model(config, END)
    kept = gradients(built, packed())
    for block in built.blocks:
        block.recomputed = True
    again = gradients(built, packed())
    assert kept.keys() == again.keys() == dict(built.named_parameters()).keys()
    assert all(torch.equal(kept[name], again[name]) for name in kept)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
@pytest.mark.parametrize(
    "config", [pytest.param(NEOX, marks=pytest.mark.long), LLAMA], ids=["neox", "llama"]
)
def test_compiled_blocks_give_the_same_masked_gradients(path, config) -> None:
    built = model(config, END)
    plain = gradients(built, packed())
    for block in built.blocks:
        block.compile_training()
    compiled = gradients(built, packed())
    for name, gradient in plain.items():
        torch.testing.assert_close(compiled[name], gradient, atol=1e-5, rtol=1e-4)


def test_bf16_is_masked_too(path) -> None:
    built = model(LLAMA, END)
    exact = built.token_losses(packed())
    built.compute_dtype = torch.bfloat16
    torch.testing.assert_close(built.token_losses(packed()), exact, atol=0.05, rtol=0)
    read_through = model(LLAMA, None).token_losses(packed())
    assert float((read_through - exact).abs().max()) > 0.1
