"""Model FLOPs utilisation on NVIDIA GPUs: rewarm's updates, and the plain eager loop beside them.

    PYTHONPATH=. python benchmarks/gpu.py [--model paper-405m] [--micro-batch 16] [--steps 50]
    PYTHONPATH=. torchrun --nproc-per-node 8 benchmarks/gpu.py

Needs torch 2.11 or later and this repository, no Ray. Context 2048, bf16, random tokens, a step of
one micro-batch for each GPU; data, evaluation and checkpoints are left out. FLOPs are those of
`ModelConfig.flops_per_token`, over the 989 TFLOP/s of an H100 or H200. The plain loop is that of
`plain_gpt.py` under bf16 autocast, eager, with whole logits and fused AdamW; it runs on one GPU
alone. Without a GPU it exits with status 2.
"""

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from plain_gpt import PlainGPT, make_optimizer, same_weights, updates

from cpt.config import RunConfig
from cpt.learner import Learner
from cpt.model import initial_weights
from cpt.model_config import PRESETS, padded_vocab_size
from cpt.parallel import PEAK_FLOPS, Workers, workers
from cpt.parsing import parse
from cpt.placement import fill

Update = Callable[[torch.Tensor], torch.Tensor]
WARM_UP_STEPS = 10
LR = 3e-4


@dataclass(frozen=True)
class Measured:
    """What some updates took.

    Attributes:
        tokens_per_second: Of all GPUs together.
        mfu: Model FLOPs over what the GPUs could do.
        memory: Most bytes allocated at once, on the first GPU.
        loss: Of the last update, nats per token.
    """

    tokens_per_second: float
    mfu: float
    memory: int
    loss: float


def run_config(
    model: str,
    context: int,
    batch: int,
    *,
    checkpointing: bool,
    precision: Literal["fp32", "bf16"] = "bf16",
) -> RunConfig:
    """A stage of this model; its data are never read."""
    shape = PRESETS[model]
    vocabulary = shape.vocab_size or padded_vocab_size(257)
    held_out = {
        "datasets": [],
        "interval_steps": 1,
        "final_window_steps": 1,
        "final_window_interval_steps": 1,
    }
    fields = {
        "label": "gpu",
        "model": shape.model_dump() | {"vocab_size": vocabulary},
        "sequence_length": context,
        "global_batch_size": batch,
        "total_steps": 1,
        "schedule": {"type": "constant", "max_lr": LR},
        "stream": [{"name": "random", "corpus": "random", "weight": 1}],
        "evaluation": held_out,
        "precision": precision,
        "compile": "always",
        "activation_checkpointing": checkpointing,
    }
    return parse(RunConfig, fields)


def rewarm_update(config: RunConfig, team: Workers) -> Update:
    """What `cpt.train` does with a batch."""
    learner = Learner(config, team)
    fill(learner.model, initial_weights(learner.model, config.seed))

    def update(batch: torch.Tensor) -> torch.Tensor:
        loss = learner.backward(batch)
        learner.step(LR)
        return loss

    return update


def plain_update(config: RunConfig, team: Workers) -> Update:
    """What the plain loop does with one."""
    model = PlainGPT(config.model, config.sequence_length)
    model.load_state_dict(same_weights(config))
    model.to(team.device)
    optimizer = make_optimizer(model, config.optimizer, fused=team.device.type == "cuda")
    autocast = torch.autocast(team.device.type, torch.bfloat16)

    def update(batch: torch.Tensor) -> torch.Tensor:
        return next(updates(model, optimizer, config, [(batch[:, :-1], batch[:, 1:])], autocast))

    return update


def measure(
    make: Callable[[RunConfig, Workers], Update], config: RunConfig, team: Workers, steps: int
) -> Measured | None:
    """Times some updates after a warm-up; None: they do not fit into memory."""
    gc.collect()  # the weights of the one before
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(team.device)
    vocab_size = config.model.vocab_size
    assert vocab_size is not None
    local = config.global_batch_size // team.world_size
    generator = torch.Generator(team.device).manual_seed(team.rank)
    shape = local, config.sequence_length + 1
    batch = torch.randint(vocab_size, shape, generator=generator, device=team.device)
    try:
        update = make(config, team)
        for _ in range(WARM_UP_STEPS):
            update(batch)
        _synchronize(team)
        began = time.perf_counter()
        for _ in range(steps):
            loss = update(batch)
        _synchronize(team)
    except torch.OutOfMemoryError:
        return None
    rate = steps * config.tokens_per_step / (time.perf_counter() - began)
    peak = PEAK_FLOPS["H100"] * team.world_size
    return Measured(
        tokens_per_second=rate,
        mfu=rate * config.model.flops_per_token(config.sequence_length) / peak,
        memory=torch.cuda.max_memory_allocated(team.device),
        loss=team.mean(loss)[0],
    )


def _synchronize(team: Workers) -> None:
    torch.cuda.synchronize(team.device)
    team.barrier()


def show(config: RunConfig, team: Workers, steps: int) -> None:
    """Prints a row for each trainer."""
    trainers = {"rewarm, compiled bf16": rewarm_update}
    if team.world_size == 1:
        trainers["plain loop, eager, bf16 autocast"] = plain_update
    if team.is_first:
        print("| trainer | throughput | MFU | peak memory | last loss |", flush=True)
        print("|---|---|---|---|---|", flush=True)
    for name, make in trainers.items():
        found = measure(make, config, team, steps)
        if not team.is_first:
            continue
        if found is None:
            print(f"| {name} | out of memory | | | |", flush=True)
            continue
        print(
            f"| {name} | {found.tokens_per_second:,.0f} tokens/s | {found.mfu:.1%} | "
            f"{found.memory / 2**30:.1f} GiB | {found.loss:.3f} |",
            flush=True,
        )


def main() -> None:
    """Measures on the GPUs that torchrun gave, or on one."""
    parser = argparse.ArgumentParser(description="Model FLOPs utilisation on GPUs.")
    parser.add_argument("--model", default="paper-405m")
    parser.add_argument("--micro-batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--activation-checkpointing", action="store_true")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py needs an NVIDIA GPU, and torch finds none.", file=sys.stderr)
        sys.exit(2)
    batch = asked.micro_batch * int(os.environ.get("WORLD_SIZE", "1"))
    config = run_config(
        asked.model, asked.context, batch, checkpointing=asked.activation_checkpointing
    )
    with workers() as team:
        if team.is_first:
            print(
                f"{asked.model}, {team.world_size} x {torch.cuda.get_device_name(team.device)}, "
                f"torch {torch.__version__}, {asked.micro_batch} x {asked.context} tokens a GPU"
            )
        show(config, team, asked.steps)


if __name__ == "__main__":
    main()
