"""A GPT of the NeoX or the Llama family, read from top to bottom.

| part             | NeoX (Pythia)                          | Llama (also Qwen 2 and 3)         |
|------------------|----------------------------------------|-----------------------------------|
| norm             | layer norm                             | RMS norm                          |
| residual stream  | attention and MLP in parallel          | one after the other               |
| positions        | rotary, on a share of each head        | rotary, stretched where asked     |
| keys and values  | a head for each of the queries         | a head for several of the queries |
| MLP              | two matrices around a GELU             | three around a SiLU gate          |
| biases           | everywhere                             | none, or on q, k and v            |

Weights are kept in fp32 and cast to the precision of what they meet, so a model computes in the
precision of its residual stream, `compute_dtype`. Norms, softmax, rotary angles and the loss
compute in fp32 inside.

Shapes: B batch, T positions, D width, H heads of queries, G heads of keys and values, K head size,
V vocabulary, N = B T.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cpt.loss import mean_loss, token_losses
from cpt.model_config import ModelConfig

SHORT_BF16, SHORT_FP32 = 512, 128
"""Up to these lengths written-out attention beats torch's fused kernel on a CPU: in bf16 6x at 64
positions and 2.5x at 256; beyond, the fused one wins by leaving out the masked half."""


class Linear(nn.Linear):
    """A matrix that computes in the precision of its input."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class Norm(nn.Module):
    """A layer norm, or an RMS norm, over the last dimension."""

    def __init__(self, config: ModelConfig, size: int) -> None:
        super().__init__()
        self.shape, self.eps = (size,), config.norm_eps
        self.weight = nn.Parameter(torch.empty(size))
        self.bias = nn.Parameter(torch.empty(size)) if config.family == "neox" else None

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x."""
        weight = self.weight.to(x.dtype)
        if self.bias is None:
            return F.rms_norm(x, self.shape, weight, self.eps)
        return F.layer_norm(x, self.shape, weight, self.bias.to(x.dtype), self.eps)


class Attention(nn.Module):
    """Causal self-attention; the rows of `query_key_value` are all queries, then keys, values."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads, self.kv_heads = config.num_heads, config.kv_heads
        self.head_size, self.rotary_size = config.head_size, config.rotary_size
        is_neox = config.family == "neox"
        width = config.num_heads * config.head_size
        rows = width + 2 * config.kv_heads * config.head_size
        self.query_key_value = Linear(config.hidden_size, rows, bias=is_neox or config.qkv_bias)
        self.dense = Linear(width, config.hidden_size, bias=is_neox)
        self.query_norm = Norm(config, config.head_size) if config.qk_norm else None
        self.key_norm = Norm(config, config.head_size) if config.qk_norm else None

    def forward(
        self, x_BTD: Tensor, cos: Tensor, sin: Tensor, mask_B1TT: Tensor | None = None
    ) -> Tensor:
        """Every position reads itself and those before it, or what the mask leaves of them.

        Args:
            x_BTD: [B, T, D].
            cos: Of the rotary angles, see `rotary`.
            sin: Likewise.
            mask_B1TT: See `document_mask`.

        Returns:
            [B, T, D].
        """
        B, T, _ = x_BTD.shape
        H, G = self.num_heads, self.kv_heads
        heads = self.query_key_value(x_BTD).view(B, T, H + 2 * G, self.head_size)
        turning, v_BTGK = heads.split((H + G, G), dim=2)
        if self.query_norm is not None and self.key_norm is not None:
            q_BTHK, k_BTGK = turning.split((H, G), dim=2)
            turning = torch.cat((self.query_norm(q_BTHK), self.key_norm(k_BTGK)), dim=2)
        q_BTHK, k_BTGK = self.rotated(turning, cos, sin).split((H, G), dim=2)
        q_BHTK, k_BGTK, v_BGTK = (x.transpose(1, 2) for x in (q_BTHK, k_BTGK, v_BTGK))
        mixed_BHTK = attend(q_BHTK, k_BGTK, v_BGTK, mask_B1TT)
        return self.dense(mixed_BHTK.transpose(1, 2).reshape(B, T, H * self.head_size))

    def rotated(self, x_BTHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Turns the first `rotary_size` dimensions; pairs are (i, i + rotary_size / 2)."""
        if self.rotary_size == 0:
            return x_BTHK
        half = self.rotary_size // 2
        first, second, kept = x_BTHK.split((half, half, self.head_size - 2 * half), dim=-1)
        turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
        return torch.cat((turned.to(x_BTHK.dtype), kept), dim=-1)


def document_mask(tokens_BT: Tensor, document_end: int) -> Tensor:
    """Which positions a position may read: itself and those before it, of its own document.

    A token that ends a document belongs to that document. Rotary angles need no reset where a
    document begins: scores depend on the distance of two positions alone.

    Args:
        tokens_BT: int64 [B, T].
        document_end: Id of the token that ends a document.

    Returns:
        bool [B, 1, T, T], queries before keys; True: may be read.
    """
    ends_BT = (tokens_BT == document_end).long()
    document_BT = ends_BT.cumsum(1) - ends_BT  # ends strictly before a position
    return (document_BT[:, None, :, None] == document_BT[:, None, None, :]).tril()


def attend(
    q_BHTK: Tensor, k_BGTK: Tensor, v_BGTK: Tensor, mask_B1TT: Tensor | None = None
) -> Tensor:
    """Causal attention; each head of keys and values serves H / G of the queries.

    Args:
        q_BHTK: [B, H, T, K].
        k_BGTK: [B, G, T, K].
        v_BGTK: [B, G, T, K].
        mask_B1TT: bool [B, 1, T, T], causal itself, see `document_mask`; None: all that is earlier.

    Returns:
        [B, H, T, K].
    """
    _, H, T, K = q_BHTK.shape
    shared = H // k_BGTK.shape[1]
    short = SHORT_BF16 if q_BHTK.dtype == torch.bfloat16 else SHORT_FP32
    if q_BHTK.device.type != "cpu" or short < T:
        return F.scaled_dot_product_attention(
            q_BHTK,
            k_BGTK,
            v_BGTK,
            attn_mask=mask_B1TT,
            is_causal=mask_B1TT is None,
            enable_gqa=shared > 1,
        )
    if shared > 1:
        k_BGTK, v_BGTK = (x.repeat_interleave(shared, dim=1) for x in (k_BGTK, v_BGTK))
    if mask_B1TT is None:
        barred = torch.full((T, T), -math.inf, dtype=q_BHTK.dtype, device=q_BHTK.device).triu(1)
    else:
        barred = torch.zeros_like(mask_B1TT, dtype=q_BHTK.dtype).masked_fill(~mask_B1TT, -math.inf)
    scores = (q_BHTK * K**-0.5) @ k_BGTK.transpose(-1, -2) + barred
    return torch.softmax(scores, dim=-1) @ v_BGTK


class MLP(nn.Module):
    """NeoX: two matrices around a GELU. Llama: one of two is gated by the SiLU of the other."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        is_neox = config.family == "neox"
        self.gate = None if is_neox else Linear(config.hidden_size, config.mlp_size, bias=False)
        self.dense_h_to_4h = Linear(config.hidden_size, config.mlp_size, bias=is_neox)
        self.dense_4h_to_h = Linear(config.mlp_size, config.hidden_size, bias=is_neox)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        wide = self.dense_h_to_4h(x_BTD)
        wide = F.gelu(wide) if self.gate is None else F.silu(self.gate(x_BTD)) * wide
        return self.dense_4h_to_h(wide)


class Block(nn.Module):
    """One layer: x + attention(norm(x)) + mlp(norm(x)), or in sequence.

    Attributes:
        recomputed: Activation checkpointing: keep the input alone for the backward pass.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.parallel_residual = config.parallel_residual
        self.input_layernorm = Norm(config, config.hidden_size)
        self.post_attention_layernorm = Norm(config, config.hidden_size)
        self.attention = Attention(config)
        self.mlp = MLP(config)
        self.recomputed = False
        self._train_layer = self._layer

    def compile_training(self) -> None:
        """Compiles what runs with gradients; evaluations, of other shapes, are left as they are."""
        # One compilation serves all blocks. A process that trains several models meets more shapes
        # than the default of 8.
        torch._dynamo.config.recompile_limit = 64
        self._train_layer = torch.compile(self._layer, dynamic=False)

    def forward(
        self, x_BTD: Tensor, cos: Tensor, sin: Tensor, mask_B1TT: Tensor | None = None
    ) -> Tensor:
        """[B, T, D] to [B, T, D]; the rest as `Attention` takes it."""
        if not torch.is_grad_enabled():
            return self._layer(x_BTD, cos, sin, mask_B1TT)
        if self.recomputed:
            return checkpoint(self._train_layer, x_BTD, cos, sin, mask_B1TT, use_reentrant=False)
        return self._train_layer(x_BTD, cos, sin, mask_B1TT)

    def _layer(self, x_BTD: Tensor, cos: Tensor, sin: Tensor, mask_B1TT: Tensor | None) -> Tensor:
        attended = self.attention(self.input_layernorm(x_BTD), cos, sin, mask_B1TT)
        if self.parallel_residual:
            return x_BTD + attended + self.mlp(self.post_attention_layernorm(x_BTD))
        x_BTD = x_BTD + attended
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))


class GPT(nn.Module):
    """The whole model. Its weights are not filled: see `initial_weights` and `cpt.hub`.

    Attributes:
        config: Its shape.
        compute_dtype: Precision of the residual stream, and so of every matrix product.
        document_end: Id of the token that ends a document; attention stays inside documents. None:
            sequences are read through.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.vocab_size is not None
        self.config = config
        self.compute_dtype = torch.float32
        self.document_end: int | None = None
        self.embed_in = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_layer_norm = Norm(config, config.hidden_size)
        self.embed_out = (
            None if config.tied else Linear(config.hidden_size, config.vocab_size, bias=False)
        )
        self._angles: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits of the next token.

        Args:
            tokens_BT: int64 [B, T].

        Returns:
            [B, T, V] in `compute_dtype`.
        """
        hidden_BTD = self._hidden(tokens_BT)
        return F.linear(hidden_BTD, self._output_weight())

    def mean_loss(self, sequences: Tensor) -> Tensor:
        """The mean cross-entropy of every predicted token, to train on.

        Args:
            sequences: int64 [B, T + 1]; position t predicts token t + 1.

        Returns:
            fp32 scalar, nats.
        """
        hidden_BTD = self._hidden(sequences[:, :-1])
        return mean_loss(
            hidden_BTD.flatten(0, 1), self._output_weight(), sequences[:, 1:].flatten()
        )

    @property
    def blocks(self) -> Iterator[Block]:
        """The layers, from the input on."""
        for layer in self.layers:
            assert isinstance(layer, Block)
            yield layer

    @torch.no_grad()
    def token_losses(self, sequences: Tensor) -> Tensor:
        """The cross-entropy of every predicted token, without gradients.

        Args:
            sequences: int64 [B, T + 1].

        Returns:
            fp32 [B, T], nats.
        """
        hidden_BTD = self._hidden(sequences[:, :-1])
        targets_BT = sequences[:, 1:]
        losses_N = token_losses(
            hidden_BTD.flatten(0, 1), self._output_weight(), targets_BT.flatten()
        )
        return losses_N.view(targets_BT.shape)

    def _hidden(self, tokens_BT: Tensor) -> Tensor:
        """The last hidden states, normed, [B, T, D]."""
        key = tokens_BT.shape[1], tokens_BT.device
        if key not in self._angles:
            self._angles[key] = rotary(self.config, *key)
        cos, sin = self._angles[key]
        end = self.document_end
        mask_B1TT = None if end is None else document_mask(tokens_BT, end)
        x_BTD = self.embed_in(tokens_BT).to(self.compute_dtype)
        for layer in self.layers:
            x_BTD = layer(x_BTD, cos, sin, mask_B1TT)
        return self.final_layer_norm(x_BTD)

    def _output_weight(self) -> Tensor:
        """[V, D] in `compute_dtype`."""
        weight = self.embed_in.weight if self.embed_out is None else self.embed_out.weight
        return weight.to(self.compute_dtype)


def initial_weights(model: GPT, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Random weights as published for each family.

    | what                          | NeoX (Pythia's configurations)              | Llama        |
    |-------------------------------|---------------------------------------------|--------------|
    | matrices into a block,        | N(0, 2 / (5 D)), "small init"               | N(0, 0.02^2) |
    | embeddings                    |                                             |              |
    | matrices back to the residual | N(0, (2 / (layers sqrt(D)))^2), "wang init" | N(0, 0.02^2) |
    | stream                        |                                             |              |
    | biases, norms                 | 0; 1 and 0                                  | 0; 1         |

    Llama's is the `initializer_range` of its published `config.json`.

    Args:
        model: Says which; may lie on the meta device, or be sharded.
        seed: The same seed gives the same weights on any device and number of workers.

    Yields:
        Name and fp32 tensor of one parameter after the other, whole, on the CPU.
    """
    config = model.config
    generator = torch.Generator().manual_seed(seed)
    small = wang = 0.02
    if config.family == "neox":
        small = math.sqrt(2 / (5 * config.hidden_size))
        wang = 2 / (config.num_layers * math.sqrt(config.hidden_size))
    for name, parameter in model.named_parameters():
        values = torch.empty(parameter.shape)
        if parameter.dim() == 2:
            back = name.endswith(("attention.dense.weight", "mlp.dense_4h_to_h.weight"))
            values.normal_(0.0, wang if back else small, generator=generator)
        else:
            values.fill_(1.0 if name.endswith("norm.weight") else 0.0)
        yield name, values


def rotary(config: ModelConfig, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, each fp32 [T, 1, rotary_size / 2]."""
    exponents = torch.arange(0, config.rotary_size, 2, device=device, dtype=torch.float32)
    frequencies = config.rotary_base ** (-exponents / max(config.rotary_size, 1))
    scaling = config.rotary_scaling
    if scaling is not None:
        # Share of the original context that one turn takes, in the published formula's terms.
        turns = scaling.original_length * frequencies / (2 * math.pi)
        low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
        kept = ((turns - low) / (high - low)).clamp(0, 1)
        frequencies = frequencies * (kept + (1 - kept) / scaling.factor)
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequencies
    return angles.cos()[:, None], angles.sin()[:, None]
