"""Checkpoints: torch's distributed format, complete only when `complete.json` stands in it.

Before one is loaded every byte of it is compared with its marker (`cpt.checkpoint_marker`) by all
ranks together, each a part, and all come to one verdict. `cpt.saver` writes them, `cpt.recovery`
decides which one a state goes on from.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from cpt.checkpoint_reading import read_metadata, read_tensors
from cpt.learner import Learner
from cpt.parallel import Workers
from cpt.records import StateDir, StatusWord

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


class IncompleteStateError(FileNotFoundError):
    """A state that another starts from is not complete, or is no more."""


class DamagedCheckpointError(RuntimeError):
    """The final checkpoint of a complete state is not as it was written.

    It was set aside, so that state is complete no more: train it again, from its checkpoint before.

    Attributes:
        state_id: Of the state whose checkpoint it is.
        step: Of the checkpoint.
        sentence: What is wrong with it, and where it is now.
    """

    def __init__(self, state_id: str, step: int, sentence: str) -> None:
        super().__init__(state_id, step, sentence)
        self.state_id, self.step, self.sentence = state_id, step, sentence

    def __str__(self) -> str:
        return self.sentence


def steps(state: StateDir) -> list[int]:
    """Steps that have a checkpoint of this state without a visible fault, ascending."""
    return state.whole_steps()


def fault(state: StateDir, step: int, team: Workers) -> str | None:
    """What is wrong with the checkpoint of a step, in words, read to its last byte; None: nothing.

    All ranks must call it, and all are told the same.
    """
    folder = state.checkpoint(step)
    found: str | None
    try:
        marker = state.read_marker(step)
        found = marker.quick_fault(folder, state.path)
        found = found or marker.file_fault(folder, team.rank, team.world_size)
    except ValueError as error:
        found = str(error)
    return next(filter(None, team.gather(found)), None)


def final_step(state: StateDir, team: Workers) -> int:
    """The step of the checkpoint that a complete state ends with, which was found whole.

    All ranks must call it.

    Raises:
        IncompleteStateError: The state is not complete.
        DamagedCheckpointError: That checkpoint is damaged; it was set aside.
    """
    status = state.read_status()
    if status is None or status.status is not StatusWord.COMPLETE:
        raise IncompleteStateError(f"{state.path} is not a complete state")
    step = status.step
    seen = _marker_text(state, step)
    told = fault(state, step, team)
    # Another may have found it too, and it may be in training again by now.
    is_same = seen is not None and seen == _marker_text(state, step)
    if told is not None and is_same and team.is_first:
        told = f"{told}; set aside as {state.set_checkpoint_aside(step).name}"
    told = team.gather(told)[0]
    if told is not None:
        raise DamagedCheckpointError(state.path.name, step, told)
    return step


def _marker_text(state: StateDir, step: int) -> bytes | None:
    marker = state.checkpoint_marker(step)
    return marker.read_bytes() if marker.exists() else None


def load(state: StateDir, step: int, learner: Learner, team: Workers) -> Progress:
    """Resumes: weights, optimizer state and step, whatever number of workers wrote them.

    Args:
        state: Whose checkpoint.
        step: Of a checkpoint in which `fault` found nothing.
        learner: Is given them.
        team: All of it must call.

    Raises:
        ValueError: It is the checkpoint of a model of another shape, or unsafe.
    """
    folder = state.checkpoint(step)
    _check_shapes(folder, learner.model)
    tensors = tensors_of(learner)
    read_tensors(folder, tensors, alone=team.world_size == 1)
    set_model_state_dict(learner.model, tensors["model"])
    set_optimizer_state_dict(learner.model, learner.optimizer, tensors["optimizer"])
    marker = state.read_marker(step)
    return Progress(step=marker.step, elapsed_seconds=marker.elapsed_seconds)


def load_weights(state: StateDir, model: nn.Module, team: Workers) -> None:
    """Initialises: the final weights of a complete state, and nothing else of it.

    All ranks must call it.

    Raises:
        FileNotFoundError: That state is not complete.
        DamagedCheckpointError: Its final checkpoint is damaged; it was set aside.
        ValueError: Its model is of another shape, or the checkpoint is unsafe.
    """
    folder = state.checkpoint(final_step(state, team))
    _check_shapes(folder, model)
    tensors = {"model": get_model_state_dict(model)}
    read_tensors(folder, tensors, alone=team.world_size == 1)
    set_model_state_dict(model, tensors["model"])


def _check_shapes(folder: Path, model: nn.Module) -> None:
    """Refuses a checkpoint whose weights are not those of this model, each by name and shape."""
    stored = {
        name.removeprefix("model."): tuple(entry.size)
        for name, entry in read_metadata(folder).state_dict_metadata.items()
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


def tensors_of(learner: Learner) -> dict[str, Any]:
    """What a checkpoint holds: the model's state dict and the optimizer's, by parameter name."""
    return {
        "model": get_model_state_dict(learner.model),
        "optimizer": get_optimizer_state_dict(learner.model, learner.optimizer),
    }
