"""A GPT of the NeoX family, read from top to bottom.

Rotary positions on a share of each head, attention and MLP in parallel on one residual stream,
biases and layer norms, an output matrix of its own. Shapes: B batch, T positions, D width,
H heads, K head size, V vocabulary.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cpt.model_config import ModelConfig


class Attention(nn.Module):
    """Causal self-attention with partly rotated queries and keys."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads, self.head_size = config.num_heads, config.head_size
        self.rotary_size = config.rotary_size
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Every position reads itself and those before it; [B, T, D] to [B, T, D]."""
        B, T, D = x_BTD.shape
        qkv = self.query_key_value(x_BTD).view(B, T, 3, self.num_heads, self.head_size)
        q_BHTK, k_BHTK, v_BHTK = qkv.permute(2, 0, 3, 1, 4)
        q_BHTK, k_BHTK = self._rotated(q_BHTK, cos, sin), self._rotated(k_BHTK, cos, sin)
        mixed = F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
        return self.dense(mixed.transpose(1, 2).reshape(B, T, D))

    def _rotated(self, x_BHTK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Turns the first `rotary_size` dimensions; pairs are (i, i + rotary_size / 2)."""
        if self.rotary_size == 0:
            return x_BHTK
        turned, kept = x_BHTK.split((self.rotary_size, self.head_size - self.rotary_size), dim=-1)
        first, second = turned.chunk(2, dim=-1)
        half = torch.cat((-second, first), dim=-1)
        return torch.cat(((turned * cos + half * sin).type_as(x_BHTK), kept), dim=-1)


class MLP(nn.Module):
    """Two matrices around a GELU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden_size, config.mlp_size)
        self.dense_4h_to_h = nn.Linear(config.mlp_size, config.hidden_size)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x_BTD)))


class Block(nn.Module):
    """One layer: x + attention(norm(x)) + mlp(norm(x)), or in sequence."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.parallel_residual = config.parallel_residual
        self.input_layernorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.attention = Attention(config)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        attended = self.attention(self.input_layernorm(x_BTD), cos, sin)
        if self.parallel_residual:
            return x_BTD + attended + self.mlp(self.post_attention_layernorm(x_BTD))
        x_BTD = x_BTD + attended
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))


class GPT(nn.Module):
    """The whole model; tokens in, logits out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.vocab_size is not None
        self.config = config
        self.embed_in = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.norm_eps)
        self.embed_out = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tied:
            self.embed_out.weight = self.embed_in.weight

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Logits of the next token.

        Args:
            tokens_BT: int64 [B, T].

        Returns:
            [B, T, V] in the computing precision.
        """
        cos, sin = rotary(self.config, tokens_BT.shape[1], tokens_BT.device)
        x_BTD = self.embed_in(tokens_BT)
        for layer in self.layers:
            x_BTD = layer(x_BTD, cos, sin)
        return self.embed_out(self.final_layer_norm(x_BTD))

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Fills the weights as GPT-NeoX's Pythia configurations do.

        | what                                | distribution                        |
        |-------------------------------------|-------------------------------------|
        | matrices into a block, embeddings   | N(0, 2 / (5 D)), "small init"       |
        | matrices back to the residual stream| N(0, (2 / (layers sqrt(D)))^2), "wang init" |
        | biases, norms                       | 0; 1 and 0                          |

        Args:
            seed: The same seed gives the same weights on any device and number of workers.
        """
        generator = torch.Generator().manual_seed(seed)
        small = math.sqrt(2 / (5 * self.config.hidden_size))
        wang = 2 / (self.config.num_layers * math.sqrt(self.config.hidden_size))
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                back = name.endswith(("attention.dense.weight", "mlp.dense_4h_to_h.weight"))
                values = torch.empty(parameter.shape)
                values.normal_(0.0, wang if back else small, generator=generator)
                parameter.copy_(values)
            else:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)


def rotary(config: ModelConfig, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, each fp32 [T, rotary_size]."""
    exponents = torch.arange(0, config.rotary_size, 2, device=device, dtype=torch.float32)
    frequencies = config.rotary_base ** (-exponents / max(config.rotary_size, 1))
    angles = torch.arange(length, device=device, dtype=torch.float32)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def token_losses(model: nn.Module, sequences: Tensor) -> Tensor:
    """Cross-entropy of every predicted token.

    Args:
        model: Maps int64 [B, T] to logits [B, T, V].
        sequences: int64 [B, T + 1]; position t predicts token t + 1.

    Returns:
        fp32 [B, T], nats.
    """
    logits_BTV = model(sequences[:, :-1]).float()
    targets = sequences[:, 1:].flatten()
    return F.cross_entropy(logits_BTV.flatten(0, 1), targets, reduction="none").view(
        sequences.shape[0], -1
    )
