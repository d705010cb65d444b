"""Our parameters and the tensors that Hugging Face's models store, one made of the other.

| ours                            | gpt_neox                         | llama, qwen2, qwen3         |
|---------------------------------|----------------------------------|-----------------------------|
| embed_in                        | gpt_neox.embed_in                | model.embed_tokens          |
| layers.N.                       | gpt_neox.layers.N.               | model.layers.N.             |
|   input_layernorm               |   input_layernorm                |   input_layernorm           |
|   attention.query_key_value     |   attention.query_key_value:     |   self_attn.q_proj, k_proj, |
|     all queries, keys, values   |     query, key, value of head 0, |   v_proj                    |
|                                 |     of head 1, ...               |                             |
|   attention.query_norm, key_norm|                                  |   self_attn.q_norm, k_norm  |
|   attention.dense               |   attention.dense                |   self_attn.o_proj          |
|   post_attention_layernorm      |   post_attention_layernorm       |   post_attention_layernorm  |
|   mlp.gate                      |                                  |   mlp.gate_proj             |
|   mlp.dense_h_to_4h             |   mlp.dense_h_to_4h              |   mlp.up_proj               |
|   mlp.dense_4h_to_h             |   mlp.dense_4h_to_h              |   mlp.down_proj             |
| final_layer_norm                | gpt_neox.final_layer_norm        | model.norm                  |
| embed_out (not where tied)      | embed_out                        | lm_head                     |
"""

import re
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from cpt.model import GPT
from cpt.model_config import ModelConfig

_LLAMA_NAMES = {
    "embed_in": "model.embed_tokens",
    "final_layer_norm": "model.norm",
    "embed_out": "lm_head",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "attention.dense": "self_attn.o_proj",
    "mlp.gate": "mlp.gate_proj",
    "mlp.dense_h_to_4h": "mlp.up_proj",
    "mlp.dense_4h_to_h": "mlp.down_proj",
}

_HARMLESS = re.compile(r"rotary_emb\.inv_freq$|\.attention\.(bias|masked_bias)$")
"""Buffers that old versions stored: angles and masks, which follow from the configuration."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of our model, and where its values are stored.

    Attributes:
        name: Ours.
        shape: Ours.
        stored: Name and shape of each stored tensor; the rows of one after the other are ours.
        interleaved_heads: The rows of the one stored tensor stand head by head, a query, key and
            value each; 0: they stand as ours do.
    """

    name: str
    shape: tuple[int, ...]
    stored: tuple[tuple[str, tuple[int, ...]], ...]
    interleaved_heads: int = 0

    def joined(self, parts: list[Tensor]) -> Tensor:
        """Our tensor from the stored ones, in their order and dtype."""
        if self.interleaved_heads:
            return self._regrouped(parts[0], self.interleaved_heads, 3)
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def parted(self, whole: Tensor) -> list[Tensor]:
        """The stored tensors from ours; the inverse of `joined`."""
        if self.interleaved_heads:
            return [self._regrouped(whole, 3, self.interleaved_heads)]
        return list(whole.split([shape[0] for _, shape in self.stored]))

    def _regrouped(self, whole: Tensor, outer: int, inner: int) -> Tensor:
        """Rows [outer, inner, head size] to [inner, outer, head size]."""
        rows = whole.view(outer, inner, -1, *whole.shape[1:])
        return rows.transpose(0, 1).reshape(whole.shape)


class Layout:
    """All parameters of a model, in our order.

    Attributes:
        model: Its shape.
        parameters: What `GPT.named_parameters` names, and where each is stored.
    """

    def __init__(self, model: ModelConfig) -> None:
        self.model = model
        with torch.device("meta"):
            built = GPT(model)
        self.parameters = tuple(
            _parameter(model, name, tuple(parameter.shape))
            for name, parameter in built.named_parameters()
        )

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every stored tensor, in the order of our parameters."""
        return {name: shape for one in self.parameters for name, shape in one.stored}

    @property
    def embedding(self) -> str:
        """The name of the stored embedding."""
        return self.parameters[0].stored[0][0]

    def is_tied_output(self, stored_name: str) -> bool:
        """Whether a tensor is the output matrix of a tied model, which must equal the embedding."""
        return self.model.tied and stored_name in ("embed_out.weight", "lm_head.weight")

    def is_harmless(self, stored_name: str) -> bool:
        """Whether a tensor may be stored beside `shapes`, and holds nothing of its own."""
        return self.is_tied_output(stored_name) or _HARMLESS.search(stored_name) is not None


def _parameter(model: ModelConfig, name: str, shape: tuple[int, ...]) -> Parameter:
    is_neox = model.family == "neox"
    stored: tuple[tuple[str, tuple[int, ...]], ...]
    owner, _, kind = name.rpartition(".")
    if owner.endswith("attention.query_key_value"):
        if is_neox:
            stored = ((f"gpt_neox.{name}", shape),)
            return Parameter(name, shape, stored, interleaved_heads=model.num_heads)
        prefix = f"model.{owner.removesuffix('attention.query_key_value')}self_attn."
        heads = {"q": model.num_heads, "k": model.kv_heads, "v": model.kv_heads}
        stored = tuple(
            (f"{prefix}{letter}_proj.{kind}", (count * model.head_size, *shape[1:]))
            for letter, count in heads.items()
        )
        return Parameter(name, shape, stored)
    if is_neox:
        return Parameter(
            name, shape, ((name if owner == "embed_out" else f"gpt_neox.{name}", shape),)
        )
    layer = re.match(r"layers\.\d+\.", owner)
    if layer is None:
        return Parameter(name, shape, ((f"{_LLAMA_NAMES[owner]}.{kind}", shape),))
    inside = owner[layer.end() :]
    their_name = f"model.{layer[0]}{_LLAMA_NAMES.get(inside, inside)}.{kind}"
    return Parameter(name, shape, ((their_name, shape),))
