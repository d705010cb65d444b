"""Checkpoints: torch's distributed format, complete only when `complete.json` stands in it.

The marker is written after the last byte, by rank 0, once every rank has written its part; a
folder without it is the remains of a kill and is written over. Weights and optimizer state are
saved by parameter name, so another number of workers can load them.
"""

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from cpt.learner import Learner
from cpt.parallel import Workers
from cpt.records import CHECKPOINTS_KEPT, StateDir, StatusWord, read_json

_FAULTS_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a checkpoint knows beside tensors.

    Attributes:
        step: Optimizer updates completed.
        elapsed_seconds: Time spent in this stage so far, over all attempts.
    """

    step: int
    elapsed_seconds: float


def steps(state: StateDir) -> list[int]:
    """Steps that have a complete checkpoint of this state, ascending."""
    return [step for step in state.marked_steps() if state.checkpoint_fault(step) is None]


def last_step(state: StateDir) -> int:
    """The step of the checkpoint that a complete state ends with.

    Raises:
        FileNotFoundError: The state is not complete, or its last checkpoint is missing or damaged.
    """
    status = state.read_status()
    if status is None or status.status is not StatusWord.COMPLETE:
        raise FileNotFoundError(f"{state.path} is not a complete state")
    fault = state.checkpoint_fault(status.step)
    if fault is not None:
        raise FileNotFoundError(fault)
    return status.step


class Saver:
    """Writes the checkpoints of one state while it goes on training.

    `save` copies the tensors and returns; a thread writes them, marks the checkpoint once every
    rank has written its part, and removes all but the newest `CHECKPOINTS_KEPT`. As a context
    manager it waits for what is being written, whatever happened.
    """

    def __init__(self, state: StateDir, learner: Learner, team: Workers) -> None:
        self._state, self._learner, self._team = state, learner, team
        # Its collectives must not meet those of training, which another thread issues.
        self._group = dist.new_group(backend="gloo") if team.world_size > 1 else None
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=team.device.type == "cuda",
                use_shared_memory=False,
                use_async_staging=False,
                use_non_blocking_copy=team.device.type == "cuda",
            )
        )
        self._thread = ThreadPoolExecutor(1)
        self._written: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._thread.shutdown()
        self._stager.close()

    def save(self, progress: Progress) -> None:
        """Begins a checkpoint; all ranks must call it.

        Raises:
            OSError: The one before could not be written.
        """
        self.wait()
        folder = self._state.checkpoint(progress.step)
        if self._team.is_first:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        self._team.barrier()
        staged = self._stager.stage(_tensors(self._learner))
        assert isinstance(staged, dict)  # a Future only where staging is asynchronous
        self._written = self._thread.submit(self._write, staged, progress)

    def wait(self) -> None:
        """Returns once the last checkpoint is marked.

        Raises:
            OSError: It could not be written.
        """
        if self._written is not None:
            self._written.result()
            self._written = None
            self._team.barrier()

    def _write(self, staged: dict[str, Any], progress: Progress) -> None:
        state, team = self._state, self._team
        with _quietly_alone():
            dcp.save(
                staged,
                checkpoint_id=state.checkpoint(progress.step),
                process_group=self._group,
                no_dist=team.world_size == 1,
            )
        # Rank 0 returns last: it has heard from all others before it writes the metadata.
        if team.is_first:
            state.mark_checkpoint(
                progress.step,
                {
                    "elapsed_seconds": progress.elapsed_seconds,
                    "torch": torch.__version__,
                    "world_size": team.world_size,
                },
            )
            for old in steps(state)[:-CHECKPOINTS_KEPT]:
                shutil.rmtree(state.checkpoint(old))


def load(state: StateDir, step: int, learner: Learner, team: Workers) -> Progress:
    """Resumes: weights, optimizer state and step, whatever number of workers wrote them.

    Raises:
        ValueError: It is the checkpoint of a model of another shape.
    """
    _check_shapes(state.checkpoint(step), learner.model)
    tensors = _tensors(learner)
    with _quietly_alone():
        dcp.load(tensors, checkpoint_id=state.checkpoint(step), no_dist=team.world_size == 1)
    set_model_state_dict(learner.model, tensors["model"])
    set_optimizer_state_dict(learner.model, learner.optimizer, tensors["optimizer"])
    marker = read_json(state.checkpoint_marker(step))
    return Progress(step=marker["step"], elapsed_seconds=marker["elapsed_seconds"])


def load_weights(state: StateDir, model: nn.Module, team: Workers) -> None:
    """Initialises: the final weights of a complete state, and nothing else of it.

    Raises:
        FileNotFoundError: That state is not complete.
        ValueError: Its model is of another shape.
    """
    step = last_step(state)
    _check_shapes(state.checkpoint(step), model)
    tensors = {"model": get_model_state_dict(model)}
    with _quietly_alone():
        dcp.load(tensors, checkpoint_id=state.checkpoint(step), no_dist=team.world_size == 1)
    set_model_state_dict(model, tensors["model"])


def _check_shapes(folder: Path, model: nn.Module) -> None:
    """Refuses a checkpoint whose weights are not those of this model, each by name and shape."""
    stored = {
        name.removeprefix("model."): tuple(entry.size)
        for name, entry in FileSystemReader(folder).read_metadata().state_dict_metadata.items()
        if name.startswith("model.") and isinstance(entry, TensorStorageMetadata)
    }
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    faults = [
        f"{name} is {stored.get(name, 'missing')} there and {wanted.get(name, 'not')} in the model"
        for name in sorted(stored.keys() | wanted.keys())
        if stored.get(name) != wanted.get(name)
    ]
    if faults:
        shown = "; ".join(faults[:_FAULTS_SHOWN])
        more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise ValueError(f"{folder} is the checkpoint of another model: {shown}{more}")


def _tensors(learner: Learner) -> dict[str, Any]:
    return {
        "model": get_model_state_dict(learner.model),
        "optimizer": get_optimizer_state_dict(learner.model, learner.optimizer),
    }


@contextlib.contextmanager
def _quietly_alone() -> Iterator[None]:
    """Torch warns of a single process even where it was asked for with `no_dist`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
