"""The shape of a model: what can be said of it in numbers, without torch."""

from typing import Self

import numpy as np
from pydantic import model_validator

from cpt.parsing import Count, Frozen, Positive, UnitShare


class ModelConfig(Frozen):
    """The shape of a GPT of the NeoX family.

    Attributes:
        num_layers: Blocks.
        hidden_size: Width; divisible by `num_heads`.
        num_heads: Attention heads.
        vocab_size: Rows of the embedding, at least the tokenizer's vocabulary; None stands for
            the tokenizer's, rounded up to a multiple of 64, until the sweep resolves it.
        intermediate_size: Width inside the MLP; None means 4 x hidden_size.
        rotary_fraction: Share of each head that is rotated (0.25 in Pythia).
        rotary_base: Base of the rotary frequencies.
        norm_eps: Epsilon of the layer norms.
        parallel_residual: Attention and MLP read the same input (GPT-J residual).
        tied: The output matrix is the embedding.
    """

    num_layers: Count
    hidden_size: Count
    num_heads: Count
    vocab_size: Count | None = None
    intermediate_size: Count | None = None
    rotary_fraction: UnitShare = 0.25
    rotary_base: Positive = 10_000.0
    norm_eps: Positive = 1e-5
    parallel_residual: bool = True
    tied: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be a multiple of num_heads {self.num_heads}"
            )
        return self

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden_size // self.num_heads

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
        """FLOPs to train on one token: 6 N + 12 layers * width * sequence_length.

        N leaves out the input embedding, which is a look-up. The second term is attention, not
        halved for the causal mask. Source: PaLM, arXiv 2204.02311, appendix B.
        """
        multiplied = self._embedding_size + self._block_parameters
        return 6 * multiplied + 12 * self.num_layers * self.hidden_size * sequence_length

    @property
    def _embedding_size(self) -> int:
        if self.vocab_size is None:
            raise ValueError("model.vocab_size is not resolved yet")
        return self.vocab_size * self.hidden_size

    @property
    def _block_parameters(self) -> int:
        """Matrices, biases and norms of all blocks, and the final norm."""
        d, m = self.hidden_size, self.mlp_size
        block = 4 * d * d + 4 * d + 2 * d * m + m + d + 4 * d
        return self.num_layers * block + 2 * d


PRESETS: dict[str, ModelConfig] = {
    "gpt-200k": ModelConfig(num_layers=3, hidden_size=64, num_heads=2),
    "gpt-1m": ModelConfig(num_layers=4, hidden_size=128, num_heads=4),
    "gpt-10m": ModelConfig(num_layers=8, hidden_size=320, num_heads=5),
    "pythia-70m": ModelConfig(num_layers=6, hidden_size=512, num_heads=8, vocab_size=50_304),
    "pythia-160m": ModelConfig(num_layers=12, hidden_size=768, num_heads=12, vocab_size=50_304),
    "pythia-410m": ModelConfig(num_layers=24, hidden_size=1024, num_heads=16, vocab_size=50_304),
}
"""Named shapes. The Pythia ones are those of EleutherAI's configuration files."""


def padded_vocab_size(vocab_size: int) -> int:
    """The tokenizer's vocabulary rounded up to a multiple of 64, kind to matrix units."""
    return int(np.ceil(vocab_size / 64)) * 64
