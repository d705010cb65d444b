"""The workers of one training: devices, process group, sums over all of them."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist

Value = TypeVar("Value")

PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 FLOP/s from NVIDIA's data sheets, by a part of the device's name."""


@dataclass(frozen=True)
class Workers:
    """The process group as one rank sees it."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """The rank that writes rows."""
        return self.rank == 0

    def mean(self, value: torch.Tensor, *, flag: bool = False) -> tuple[float, bool]:
        """The mean of a scalar over all ranks, and whether any of them raised the flag.

        One collective for both, so that asking each other costs an update nothing.
        """
        if self.world_size == 1:
            return float(value), flag
        both = torch.stack([value, torch.full_like(value, flag)])
        dist.all_reduce(both)
        total, flags = both.tolist()
        return total / self.world_size, flags > 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The elementwise sum over all ranks."""
        if self.world_size > 1:
            dist.all_reduce(values)
        return values

    def gather(self, value: Value) -> list[Value]:
        """What each rank brings, by rank; all get it. Any value that can be pickled."""
        if self.world_size == 1:
            return [value]
        gathered: list[Any] = [None] * self.world_size
        dist.all_gather_object(gathered, value)
        return gathered

    def barrier(self) -> None:
        """Waits for all ranks."""
        if self.world_size > 1:
            dist.barrier()

    @property
    def peak_flops(self) -> float | None:
        """Dense bf16 FLOP/s of all workers' devices; None where not known."""
        if self.device.type != "cuda":
            return None
        name = torch.cuda.get_device_name(self.device)
        for part, peak in PEAK_FLOPS.items():
            if part in name:
                return peak * self.world_size
        return None


@contextlib.contextmanager
def workers() -> Iterator[Workers]:
    """Joins the process group: one that exists, one that torchrun describes, or none."""
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        device = torch.device("cuda", local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        _keep_freed_memory()
    ours = not dist.is_initialized() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if ours:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        joined = dist.is_initialized()
        yield Workers(
            rank=dist.get_rank() if joined else 0,
            world_size=dist.get_world_size() if joined else 1,
            device=device,
        )
    finally:
        if ours:
            dist.destroy_process_group()


def _keep_freed_memory() -> None:
    """Tells glibc to reuse large freed blocks, which it would give back and fault in every step.

    Worth 12 to 18% of an update on a CPU. Other C libraries have no `mallopt`, and are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_M_TRIM_THRESHOLD, 2**31 - 1), (_M_MMAP_THRESHOLD, 2**30)):
            mallopt(parameter, value)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From glibc's malloc.h."""
