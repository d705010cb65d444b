"""Checkpoints: torch's distributed format, complete only when `complete.json` stands in it.

The marker is written after the last byte, by rank 0, once every rank has written its part; a
folder without it is the remains of a kill and is written over. Weights and optimizer state are
saved by parameter name, so another number of workers can load them.
"""

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from cpt.parallel import Workers
from cpt.records import CHECKPOINTS_KEPT, StateDir, StatusWord, read_json


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


def save(
    state: StateDir,
    progress: Progress,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    team: Workers,
) -> None:
    """Writes a checkpoint, marks it, and removes all but the newest `CHECKPOINTS_KEPT`."""
    folder = state.checkpoint(progress.step)
    if team.is_first:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    team.barrier()
    tensors: dict[str, Any] = {
        "model": get_model_state_dict(model),
        "optimizer": get_optimizer_state_dict(model, optimizer),
    }
    with _quietly_alone():
        dcp.save(tensors, checkpoint_id=folder, no_dist=team.world_size == 1)
    team.barrier()
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


def load(
    state: StateDir, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, team: Workers
) -> Progress:
    """Resumes: weights, optimizer state and step, whatever number of workers wrote them."""
    tensors: dict[str, Any] = {
        "model": get_model_state_dict(model),
        "optimizer": get_optimizer_state_dict(model, optimizer),
    }
    with _quietly_alone():
        dcp.load(tensors, checkpoint_id=state.checkpoint(step), no_dist=team.world_size == 1)
    set_model_state_dict(model, tensors["model"])
    set_optimizer_state_dict(model, optimizer, tensors["optimizer"])
    marker = read_json(state.checkpoint_marker(step))
    return Progress(step=marker["step"], elapsed_seconds=marker["elapsed_seconds"])


def load_weights(state: StateDir, model: nn.Module, team: Workers) -> None:
    """Initialises: the final weights of a complete state, and nothing else of it.

    Raises:
        FileNotFoundError: That state is not complete.
    """
    step = last_step(state)
    tensors = {"model": get_model_state_dict(model)}
    with _quietly_alone():
        dcp.load(tensors, checkpoint_id=state.checkpoint(step), no_dist=team.world_size == 1)
    set_model_state_dict(model, tensors["model"])


@contextlib.contextmanager
def _quietly_alone() -> Iterator[None]:
    """Torch warns of a single process even where it was asked for with `no_dist`."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
