"""A model on its workers: laid out, sharded by FSDP2, compiled, filled with weights.

One worker is not wrapped, since FSDP2 with a single process was several times slower than none.
"""

import os
import shutil
from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.distributed.fsdp._fully_shard._fsdp_api import ReduceScatter
from torch.distributed.tensor import DTensor, distribute_tensor
from typing_extensions import override

from cpt.config import RunConfig
from cpt.model import GPT
from cpt.parallel import Workers

LARGE_BLOCK = 4_000_000
"""Parameters from which on a block is gathered by itself on a CPU."""
COMPILE_FLOPS = {"cpu": 1e14, "cuda": 1e17}
"""Training FLOPs of a stage from which on `compile: auto` compiles: some five minutes' worth on two
cores, of which compiled blocks saved 5 to 35% and cost 8 to 15 s (docs/log.md, 2026-11-25). The
figure for GPUs is as many minutes' worth, reckoned, not measured."""


def place(config: RunConfig, team: Workers) -> GPT:
    """Builds a model on the workers' devices, sharded block by block; `fill` gives it weights.

    It is laid out on the meta device first, so that no worker ever holds more than its share. bf16
    keeps fp32 weights and reduces gradients in fp32.

    Raises:
        ValueError: `compile` is always, but this machine has no C++ compiler; the workers cannot be
            divided into `replicas`.
    """
    with torch.device("meta"):
        model = GPT(config.model)
    model.document_end = config.document_end
    if config.precision == "bf16":
        model.compute_dtype = torch.bfloat16
    compiled = is_compiled(config, team)
    for layer in model.blocks:
        layer.recomputed = config.activation_checkpointing
        if compiled:
            layer.compile_training()
    if team.world_size > 1:
        _shard(model, _mesh(config.replicas, team), team)
        for method in ("mean_loss", "token_losses"):
            register_fsdp_forward_method(model, method)
    return model.to_empty(device=team.device)


@torch.no_grad()
def fill(model: GPT, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Writes whole tensors into parameters by name, each worker its own share.

    Args:
        model: As placed.
        weights: The same on every worker; the names of parameters, on any device.
    """
    parameters = dict(model.named_parameters())
    for name, whole in weights:
        parameter = parameters[name]
        if isinstance(parameter, DTensor):
            # None: every worker cuts its own copy, nothing is sent.
            share = distribute_tensor(
                whole.to(parameter.device),
                parameter.device_mesh,
                parameter.placements,
                src_data_rank=None,
            )
            parameter.to_local().copy_(share.to_local())
        else:
            parameter.copy_(whole)


def is_compiled(config: RunConfig, team: Workers) -> bool:
    """Whether blocks are compiled for training; the same in every attempt at a state.

    `auto` decides by the FLOPs of the whole stage, not by what is left of it, so that a state that
    goes on from another computes as one that began at step 0.

    Raises:
        ValueError: It was asked for, but this machine has no C++ compiler.
    """
    if config.compile == "never":
        return False
    can = team.device.type == "cuda" or _has_compiler()
    if config.compile == "always":
        if not can:
            raise ValueError(
                "compile: got 'always'; needs a C++ compiler on a CPU (g++, clang++, or another "
                "that CXX names); install one, or use 'never'."
            )
        return True
    tokens = config.total_steps * config.tokens_per_step
    flops = tokens * config.model.flops_per_token(config.sequence_length)
    return can and flops >= COMPILE_FLOPS[team.device.type]


def _shard(model: GPT, mesh: DeviceMesh, team: Workers) -> None:
    """FSDP2: every block is gathered by itself when it is needed, the rest of the model as one.

    On a CPU memory is not what lacks, time to talk is: small blocks are gathered with the rest, at
    once, and kept from the forward pass to the backward pass.
    """
    on_cpu = team.device.type == "cpu"
    policy = MixedPrecisionPolicy(
        # On a CPU the blocks cast by themselves: torch 2.13 compiles no gradients of bf16 biases.
        param_dtype=None if on_cpu else model.compute_dtype,
        reduce_dtype=torch.float32,
    )
    for layer in model.blocks:
        size = sum(parameter.numel() for parameter in layer.parameters())
        if not on_cpu or size >= LARGE_BLOCK:
            fully_shard(layer, mesh=mesh, mp_policy=policy, reshard_after_forward=not on_cpu)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    if on_cpu:
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.set_custom_reduce_scatter(_PairwiseReduceScatter())


class _PairwiseReduceScatter(ReduceScatter):
    """Every worker sends each other its share and averages what it gets.

    Gloo's own reduces everything everywhere and cuts it then: 25 ms instead of 9 for 5 million
    gradients between two workers.
    """

    @override
    def allocate(
        self, size: Sequence[int | torch.SymInt], *, dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    @override
    def __call__(
        self,
        output_tensor: torch.Tensor,
        input_tensor: torch.Tensor,
        group: dist.ProcessGroup,
        op: dist.ReduceOp,
        async_op: bool = False,
    ) -> None:
        assert op == dist.ReduceOp.AVG  # what FSDP2 asks for where gradients are fp32
        received = torch.empty_like(input_tensor)
        dist.all_to_all_single(received, input_tensor, group=group)
        torch.mean(received.view(group.size(), -1), dim=0, out=output_tensor)


def _has_compiler() -> bool:
    names = (os.environ.get("CXX"), "g++", "clang++")
    return any(name is not None and shutil.which(name) is not None for name in names)


def _mesh(replicas: int, team: Workers) -> DeviceMesh:
    """All workers share one model, or each of `replicas` groups of them does."""
    if replicas == 1:
        return init_device_mesh(team.device.type, (team.world_size,))
    if team.world_size % replicas:
        raise ValueError(f"replicas: got {replicas}; must divide the {team.world_size} workers.")
    return init_device_mesh(
        team.device.type,
        (replicas, team.world_size // replicas),
        mesh_dim_names=("replicate", "shard"),
    )
