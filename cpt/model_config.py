"""The shape of a model: what can be said of it in numbers, without torch."""

import math
from typing import Any, Literal, Self

from pydantic import model_validator

from cpt.parsing import Count, Frozen, Positive, UnitShare


class RotaryScaling(Frozen):
    """Rotary frequencies stretched for a longer context, as published for Llama 3.1.

    Wavelengths up to `original_length / high_frequency_factor` stay, those beyond
    `original_length / low_frequency_factor` are divided by `factor`, and those between are blended.

    Attributes:
        factor: How much longer the context became.
        low_frequency_factor: Below `high_frequency_factor`.
        high_frequency_factor: Above `low_frequency_factor`.
        original_length: Positions the model was trained for before.
    """

    factor: Positive
    low_frequency_factor: Positive
    high_frequency_factor: Positive
    original_length: Count

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.low_frequency_factor >= self.high_frequency_factor:
            raise ValueError(
                f"low_frequency_factor {self.low_frequency_factor:g} must be below "
                f"high_frequency_factor {self.high_frequency_factor:g}"
            )
        return self


class ModelConfig(Frozen):
    """The shape of a GPT of the NeoX or the Llama family.

    NeoX (Pythia): layer norms, a GELU MLP, biases everywhere, a share of each head rotated. Llama
    (also Qwen 2 and 3): RMS norms, a gated MLP, no biases, whole heads rotated.

    Attributes:
        family: Decides all that no other field does.
        num_layers: Blocks.
        hidden_size: Width.
        num_heads: Attention heads, of the queries.
        num_kv_heads: Llama: heads of keys and values, each shared by num_heads / num_kv_heads
            queries; None means num_heads.
        head_dim: Llama: width of a head, even; None means hidden_size / num_heads.
        vocab_size: Rows of the embedding, at least the tokenizer's vocabulary; None stands for
            the tokenizer's, rounded up to a multiple of 64, until the sweep resolves it.
        intermediate_size: Width inside the MLP; None means 4 x hidden_size, in NeoX alone.
        rotary_fraction: Share of each head that is rotated: 0.25 in Pythia, 1 in Llama.
        rotary_base: Base of the rotary frequencies.
        rotary_scaling: Llama: None means not stretched.
        norm_eps: Epsilon of the norms.
        parallel_residual: NeoX: attention and MLP read the same input (GPT-J residual).
        qkv_bias: Llama: biases of queries, keys and values alone (Qwen 2).
        qk_norm: Llama: an RMS norm over each head of the queries and keys (Qwen 3).
        tied: The output matrix is the embedding.
        max_sequence_length: Positions the model was trained for; None: not known. Says what may
            be trained, not what results.
    """

    family: Literal["neox", "llama"] = "neox"
    num_layers: Count
    hidden_size: Count
    num_heads: Count
    num_kv_heads: Count | None = None
    head_dim: Count | None = None
    vocab_size: Count | None = None
    intermediate_size: Count | None = None
    rotary_fraction: UnitShare = 0.25
    rotary_base: Positive = 10_000.0
    rotary_scaling: RotaryScaling | None = None
    norm_eps: Positive = 1e-5
    parallel_residual: bool = True
    qkv_bias: bool = False
    qk_norm: bool = False
    tied: bool = False
    max_sequence_length: Count | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_family(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("family") == "llama":
            return {"rotary_fraction": 1.0, "parallel_residual": False} | content
        return content

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of num_heads {self.num_heads}"
            )
        if self.num_heads % self.kv_heads:
            raise ValueError(
                f"num_heads {self.num_heads} must be a multiple of num_kv_heads {self.kv_heads}"
            )
        if self.family == "neox":
            for name in ("num_kv_heads", "head_dim", "rotary_scaling", "qkv_bias", "qk_norm"):
                if getattr(self, name):
                    raise ValueError(f"{name} must be left out of family neox; llama has it")
            return self
        if self.intermediate_size is None:
            raise ValueError("intermediate_size is missing; family llama has no usual one")
        if self.rotary_fraction != 1.0:
            raise ValueError(
                f"rotary_fraction {self.rotary_fraction:g} must be 1 in family llama; leave it out"
            )
        if self.parallel_residual:
            raise ValueError("parallel_residual must be false in family llama; leave it out")
        if self.head_size % 2:
            raise ValueError(f"head_dim {self.head_size} must be even: pairs are rotated")
        return self

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden_size // self.num_heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_kv_heads or self.num_heads

    @property
    def mlp_size(self) -> int:
        """Width inside the MLP."""
        return self.intermediate_size or 4 * self.hidden_size

    @property
    def rotary_size(self) -> int:
        """Rotated dimensions of a head, even."""
        return int(self.head_size * self.rotary_fraction) // 2 * 2

    @property
    def num_parameters(self) -> int:
        """All parameters: embeddings, biases and norms included.

        Raises:
            ValueError: `vocab_size` is not resolved yet.
        """
        return self._embedding_size * (1 if self.tied else 2) + self._block_parameters

    def flops_per_token(self, sequence_length: int) -> int:
        """FLOPs to train on one token: 6 N + 12 layers * attention width * sequence_length.

        N leaves out the input embedding, which is a look-up. The second term is attention, not
        halved for the causal mask. Source: PaLM, arXiv 2204.02311, appendix B.
        """
        multiplied = self._embedding_size + self._block_parameters
        attention = self.num_layers * self.num_heads * self.head_size * sequence_length
        return 6 * multiplied + 12 * attention

    @property
    def _embedding_size(self) -> int:
        if self.vocab_size is None:
            raise ValueError("model.vocab_size is not resolved yet")
        return self.vocab_size * self.hidden_size

    @property
    def _block_parameters(self) -> int:
        """Matrices, biases and norms of all blocks, and the final norm."""
        d, m = self.hidden_size, self.mlp_size
        q, kv = self.num_heads * self.head_size, self.kv_heads * self.head_size
        attention = d * (q + 2 * kv) + q * d
        if self.family == "neox":
            block = attention + 4 * d + 2 * d * m + m + d + 4 * d
            return self.num_layers * block + 2 * d
        block = attention + 3 * d * m + 2 * d
        block += (q + 2 * kv) * self.qkv_bias + 2 * self.head_size * self.qk_norm
        return self.num_layers * block + d


def _pythia(num_layers: int, hidden_size: int, num_heads: int, vocab_size: int) -> ModelConfig:
    return ModelConfig(
        num_layers=num_layers,
        hidden_size=hidden_size,
        num_heads=num_heads,
        vocab_size=vocab_size,
        max_sequence_length=2048,
    )


PRESETS: dict[str, ModelConfig] = {
    "gpt-200k": ModelConfig(num_layers=3, hidden_size=64, num_heads=2),
    "gpt-1m": ModelConfig(num_layers=4, hidden_size=128, num_heads=4),
    "gpt-10m": ModelConfig(num_layers=8, hidden_size=320, num_heads=5),
    "pythia-70m": _pythia(6, 512, 8, 50_304),
    "pythia-160m": _pythia(12, 768, 12, 50_304),
    "pythia-410m": _pythia(24, 1024, 16, 50_304),
    "paper-405m": _pythia(24, 1024, 16, 50_304),
    "paper-10b": _pythia(36, 4608, 36, 50_688),
    "llama-1b": ModelConfig(
        family="llama",
        num_layers=16,
        hidden_size=2048,
        num_heads=32,
        num_kv_heads=8,
        vocab_size=128_256,
        intermediate_size=8192,
        rotary_base=500_000.0,
        rotary_scaling=RotaryScaling(
            factor=32.0,
            low_frequency_factor=1.0,
            high_frequency_factor=4.0,
            original_length=8192,
        ),
        tied=True,
        max_sequence_length=131_072,
    ),
}
"""Named shapes: Pythia's as in EleutherAI's configuration files, the paper's two (arXiv 2403.08763;
its 405M is Pythia-410m's shape), and Llama 3.2 1B's."""


def padded_vocab_size(vocab_size: int) -> int:
    """The tokenizer's vocabulary rounded up to a multiple of 64, kind to matrix units."""
    return math.ceil(vocab_size / 64) * 64
