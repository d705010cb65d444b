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
def workers(*, use_gpu: bool | None = None) -> Iterator[Workers]:
    """Joins the process group: one that exists, one that torchrun describes, or none.

    Args:
        use_gpu: Of each worker; None: where there is one.

    Raises:
        ValueError: A GPU is to be used, but torch finds none.
    """
    with contextlib.ExitStack() as settings:
        if use_gpu or (use_gpu is None and torch.cuda.is_available()):
            device = _own_gpu()
            settings.enter_context(_the_same_sums())
        else:
            device = torch.device("cpu")
            _keep_freed_memory()
        with _group(device) as team:
            yield team


@contextlib.contextmanager
def _group(device: torch.device) -> Iterator[Workers]:
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


def _own_gpu() -> torch.device:
    """That of this process among the workers of its machine; it becomes torch's current one."""
    if not torch.cuda.is_available():
        raise ValueError(
            f"this worker was given a GPU, but torch {torch.__version__} finds none; install a "
            "torch built for its CUDA driver (nvidia-smi shows which), or set "
            "resources.gpus_per_worker to 0"
        )
    # Whoever starts the workers may show each its own GPU alone, or all of them theirs.
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


@contextlib.contextmanager
def _the_same_sums() -> Iterator[None]:
    """Sums on a GPU in one order, so that a state that was interrupted ends as it would have.

    Without it flash attention adds up its gradients as they come: two runs of one bf16 sweep ended
    0.1 nats apart. It costs a tenth of the throughput (docs/log.md, 2026-11-26).
    """
    # Of cuBLAS, read with its first product; as large as what it would take on a Hopper.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic  # has attributes that mypy cannot see
    fills = memory.fill_uninitialized_memory
    # A mere warning would leave flash attention as it is.
    torch.use_deterministic_algorithms(mode=True)
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before)
        memory.fill_uninitialized_memory = fills


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
