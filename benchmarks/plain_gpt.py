"""The minimal GPT training loop that everyone knows, with the NeoX block in place of GPT-2's.

    python benchmarks/plain_gpt.py [--autocast] [--compile] STATE_DIR

Trains what STATE_DIR/config.json says from the same weights on the same batches as `python -m cpt
STATE_DIR`, as nanoGPT does: eager fp32, batches stacked from a memory map, whole logits, AdamW not
fused on a CPU. `--autocast` computes in bf16, `--compile` compiles the whole model. Only the
columns of `train.jsonl` that `contest` reads are written, after the last step. Imports of `cpt` no
more than what makes the two comparable: the configuration, the shuffled order, the first weights.
"""

import argparse
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cpt.config import OptimizerConfig, RunConfig
from cpt.mixture import shuffled
from cpt.model import GPT, initial_weights
from cpt.model_config import ModelConfig
from cpt.records import ResultTree, StateDir
from cpt.token_store import TokenStore
from cpt.train import read_config


def rotate_half(x: Tensor) -> Tensor:
    """Pairs of the rotary embedding are half a head apart."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


class Attention(nn.Module):
    """Causal self-attention, a share of each head rotated."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: ModelConfig, length: int) -> None:
        super().__init__()
        self.num_heads, self.rotary_size = config.num_heads, config.rotary_size
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        exponents = torch.arange(0, self.rotary_size, 2).float() / self.rotary_size
        angles = torch.outer(torch.arange(length).float(), config.rotary_base**-exponents)
        angles = torch.cat((angles, angles), dim=-1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def rotated(self, x: Tensor) -> Tensor:
        """[B, H, T, K], as published."""
        turning, kept = x[..., : self.rotary_size], x[..., self.rotary_size :]
        turned = turning * self.cos + rotate_half(turning) * self.sin
        return torch.cat((turned.to(x.dtype), kept), dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        B, T, D = x.shape
        heads = self.query_key_value(x).view(B, T, 3, self.num_heads, D // self.num_heads)
        q, k, v = (part.transpose(1, 2) for part in heads.unbind(dim=2))
        y = F.scaled_dot_product_attention(self.rotated(q), self.rotated(k), v, is_causal=True)
        return self.dense(y.transpose(1, 2).contiguous().view(B, T, D))


class MLP(nn.Module):
    """Two matrices around an exact GELU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden_size, config.mlp_size)
        self.dense_4h_to_h = nn.Linear(config.mlp_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x)))


class Block(nn.Module):
    """Attention and MLP in parallel."""

    def __init__(self, config: ModelConfig, length: int) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden_size, config.norm_eps)
        self.post_attention_layernorm = nn.LayerNorm(config.hidden_size, config.norm_eps)
        self.attention = Attention(config, length)
        self.mlp = MLP(config)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        attended = self.attention(self.input_layernorm(x))
        return x + attended + self.mlp(self.post_attention_layernorm(x))


class PlainGPT(nn.Module):
    """The model, under the parameter names of `cpt.model.GPT`."""

    def __init__(self, config: ModelConfig, length: int) -> None:
        super().__init__()
        assert config.vocab_size is not None
        assert config.family == "neox"
        assert config.parallel_residual
        self.embed_in = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, length) for _ in range(config.num_layers))
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, config.norm_eps)
        self.embed_out = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The mean loss; inputs and targets are int64 [B, T]."""
        hidden = self.embed_in(x)
        for layer in self.layers:
            hidden = layer(hidden)
        logits = self.embed_out(self.final_layer_norm(hidden))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), y.reshape(-1))


def same_weights(config: RunConfig) -> dict[str, Tensor]:
    """The weights that `cpt.train` begins with."""
    with torch.device("meta"):
        model = GPT(config.model)
    return dict(initial_weights(model, config.seed))


def make_optimizer(
    model: nn.Module, config: OptimizerConfig, *, fused: bool = False
) -> torch.optim.AdamW:
    """NanoGPT's `configure_optimizers`: matrices decay; fused on a GPU alone."""
    groups = [
        {
            "params": [p for p in model.parameters() if p.dim() >= 2],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=config.betas, eps=config.eps, fused=fused)


def batches(config: RunConfig, tree: ResultTree) -> Iterator[tuple[Tensor, Tensor]]:
    """NanoGPT's `get_batch`, in the order of `cpt.data.TrainingStream` (one source, one epoch)."""
    (source,) = config.stream
    data = TokenStore(tree.tokens(source.corpus))
    T, size = config.sequence_length, data.num_sequences(config.sequence_length)
    wanted = config.total_steps * config.global_batch_size
    starts = shuffled(np.arange(wanted), size, config.seed, 0) * T
    for ix in starts.reshape(config.total_steps, config.global_batch_size):
        x = torch.stack([torch.from_numpy(data.tokens[i : i + T].astype(np.int64)) for i in ix])
        y = torch.stack(
            [torch.from_numpy(data.tokens[i + 1 : i + 1 + T].astype(np.int64)) for i in ix]
        )
        yield x, y


def updates(
    model: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.AdamW,
    config: RunConfig,
    data: Iterable[tuple[Tensor, Tensor]],
    autocast: contextlib.AbstractContextManager[object],
) -> Iterator[Tensor]:
    """The loop: yields each step's loss before its update, on its device."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for step, (x, y) in enumerate(data):
        for group in optimizer.param_groups:
            group["lr"] = config.lr(step)
        with autocast:
            loss = model(x, y)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.optimizer.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.detach()


def main() -> None:
    """Trains one state and writes its rows."""
    parser = argparse.ArgumentParser(description="The plain loop.")
    parser.add_argument("state", type=Path)
    parser.add_argument("--autocast", action="store_true")
    parser.add_argument("--compile", action="store_true")
    asked = parser.parse_args()
    state = StateDir(asked.state.resolve())
    config = read_config(state)
    plain = PlainGPT(config.model, config.sequence_length)
    plain.load_state_dict(same_weights(config))
    optimizer = make_optimizer(plain, config.optimizer)
    model = torch.compile(plain) if asked.compile else plain
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=asked.autocast)
    data = batches(config, ResultTree(state.path.parent.parent))
    began, rows = time.perf_counter(), []
    for step, loss in enumerate(updates(model, optimizer, config, data, autocast), start=1):
        seconds = time.perf_counter() - began
        rows.append({"step": step, "loss": float(loss), "elapsed_seconds": seconds})
    state.train_rows.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
