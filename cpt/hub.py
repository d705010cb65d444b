"""The weights of a Hugging Face model as ours: whole fp32 tensors on the CPU, one at a time.

`cpt.hub_config` finds the folder and reads its `config.json`; `cpt.hub_layout` says which stored
tensors become which parameter. Weights are read from safetensors alone: `model.safetensors`, else
the files that `model.safetensors.index.json` names.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cpt.files import read_json
from cpt.hub_layout import Layout
from cpt.model_config import ModelConfig
from cpt.parsing import ConfigError

WEIGHTS = "model.safetensors"
"""The file of a model that is not sharded."""
INDEX = "model.safetensors.index.json"
"""Says which file holds which tensor of one that is."""

_EXACT = ("F32", "BF16", "F16")
"""Stored types whose every value fp32 holds."""
_FAULTS_SHOWN = 10


def check(folder: Path, model: ModelConfig, field: str) -> None:
    """Refuses a folder whose weights are not those of a model, from the headers of its files.

    Args:
        folder: As `locate` found it.
        model: As `read_model` read it.
        field: Dotted name of the field that names the model, for refusals.

    Raises:
        ConfigError: A file is missing or damaged; or a sentence for each tensor that is missing,
            has no place in the model, or has another shape or an inexact type.
    """
    layout = Layout(model)
    try:
        with _stored(folder) as stored:
            faults = list(_faults(folder, layout, stored))
    except ConfigError as error:
        raise ConfigError(f"{field}: {fault}" for fault in error.faults) from error
    if len(faults) > _FAULTS_SHOWN:
        more = len(faults) - _FAULTS_SHOWN
        faults = [*faults[:_FAULTS_SHOWN], f"{folder} has {more} more faults of this kind."]
    if faults:
        raise ConfigError(f"{field}: {fault}" for fault in faults)


def weights(folder: Path, model: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """The weights of a model, under our names and in our order.

    Args:
        folder: One that `check` let pass.
        model: As `read_model` read it.

    Yields:
        Name and fp32 tensor of one parameter after the other, whole, on the CPU. What is stored in
        half precision becomes fp32 exactly.

    Raises:
        ConfigError: A file is missing or damaged, or a tied model stores an output matrix that is
            not its embedding.
    """
    layout = Layout(model)
    with _stored(folder) as stored:
        for name in filter(layout.is_tied_output, stored):
            if not torch.equal(_read(stored, name), _read(stored, layout.embedding)):
                raise ConfigError(
                    [
                        f"{folder} has {name} that differs from {layout.embedding}, while "
                        "tie_word_embeddings is true in its config.json; must be equal."
                    ]
                )
        for parameter in layout.parameters:
            yield (
                parameter.name,
                parameter.joined([_read(stored, name) for name, _ in parameter.stored]),
            )


def fingerprint(folder: Path, model: ModelConfig) -> str:
    """A hash of what the weights are, not of how they are stored.

    Args:
        folder: One that `check` let pass.
        model: As `read_model` read it.

    Returns:
        64 hex digits: SHA-256 over our names, shapes and fp32 values, in our order.

    Raises:
        ConfigError: As `weights`.
    """
    digest = hashlib.sha256()
    for name, whole in weights(folder, model):
        digest.update(f"{name} {list(whole.shape)}\n".encode())
        digest.update(whole.contiguous().numpy().astype("<f4", copy=False).data)
    return digest.hexdigest()


@contextlib.contextmanager
def _stored(folder: Path) -> Iterator[dict[str, Any]]:
    """The open file that holds each stored tensor.

    Raises:
        ConfigError: With sentences that name no field.
    """
    with contextlib.ExitStack() as opened:
        stored: dict[str, Any] = {}
        for path in _files(folder):
            try:
                file = opened.enter_context(safe_open(path, framework="pt"))
                names = file.keys()
            except (SafetensorError, OSError) as error:
                raise ConfigError(
                    [f"{path} is damaged or no safetensors file ({error}); fetch it again."]
                ) from error
            for name in names:
                if name in stored:
                    raise ConfigError([f"{path} holds {name}, as another file of {folder} does."])
                stored[name] = file
        yield stored


def _files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / INDEX
    if not index.is_file():
        raise ConfigError([_without_safetensors(folder)])
    try:
        places = read_json(index)["weight_map"]
        names = sorted(set(places.values()))
        paths = [folder / name for name in names]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigError(
            [f"{index} is damaged ({error}); must hold a weight_map from tensors to files."]
        ) from error
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise ConfigError(
            f"{path} is missing, which {index.name} names; fetch it again." for path in missing
        )
    return paths


def _without_safetensors(folder: Path) -> str:
    others = sorted(folder.glob("pytorch_model*.bin"))
    found = f"{others[0].name} alone" if others else f"neither {WEIGHTS} nor {INDEX}"
    return (
        f"{folder} holds {found}; must hold safetensors. Where transformers can read it, this "
        f"converts it: AutoModelForCausalLM.from_pretrained({str(folder)!r}, dtype='auto')"
        ".save_pretrained(NEW_FOLDER)."
    )


def _faults(folder: Path, layout: Layout, stored: dict[str, Any]) -> Iterator[str]:
    for name, shape in layout.shapes.items():
        if name not in stored:
            yield f"{folder} lacks the tensor {name}, of shape {list(shape)}."
            continue
        header = stored[name].get_slice(name)
        if tuple(header.get_shape()) != shape:
            yield (
                f"{name} has shape {list(header.get_shape())} in {folder}; must be {list(shape)}, "
                "as its config.json says."
            )
        elif header.get_dtype() not in _EXACT:
            yield (
                f"{name} is stored as {header.get_dtype()} in {folder}; must be one of "
                f"{', '.join(_EXACT)}."
            )
    for name in sorted(stored.keys() - layout.shapes.keys()):
        if not layout.is_harmless(name):
            yield (
                f"{folder} holds the tensor {name}, of shape "
                f"{list(stored[name].get_slice(name).get_shape())}, which a model of its "
                "config.json has not."
            )


def _read(stored: dict[str, Any], name: str) -> Tensor:
    whole: Tensor = stored[name].get_tensor(name)
    return whole.to(torch.float32)
