"""A model as a Hugging Face folder, which transformers 4 and 5 load.

Written aside and renamed when complete, so a folder that exists is whole.
"""

import contextlib
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from cpt.files import write_json
from cpt.hub import INDEX, WEIGHTS
from cpt.hub_config import ARCHITECTURES, LLAMA3_NAMES
from cpt.hub_layout import Layout
from cpt.model_config import ModelConfig
from cpt.parsing import ConfigError

SHARD_BYTES = 5_000_000_000
"""Of one file of weights, unless one tensor is larger."""


def export(
    model: ModelConfig,
    weights: Iterable[tuple[str, Tensor]],
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    end_of_text: int | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Writes a model: `config.json`, `generation_config.json` and its weights as safetensors.

    Args:
        model: Its `max_sequence_length` is known.
        weights: Our names and whole tensors, each once, in any order, on any device.
        folder: Where; must not exist, or be empty.
        dtype: What the weights are stored in: torch.float32, bfloat16 or float16.
        end_of_text: The token that ends a document and so a generation; None: not known.
        shard_bytes: More bytes than this are cut into several files, between tensors.

    Raises:
        ConfigError: The folder is not empty; transformers has no model of this shape; a weight is
            too large for `dtype`.
    """
    with published(folder) as aside:
        write_model(
            model, weights, aside, dtype=dtype, end_of_text=end_of_text, shard_bytes=shard_bytes
        )


@contextlib.contextmanager
def published(folder: Path) -> Iterator[Path]:
    """A folder to write in, which becomes `folder` once the block ends well.

    Raises:
        ConfigError: `folder` is not empty, or a file.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError([f"{folder} exists already and is not empty; name another folder."])
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise ConfigError([f"{folder} cannot be made ({error})."]) from error
    try:
        yield aside
        aside.chmod(0o755)  # mkdtemp lets only its owner in
        try:
            aside.rename(folder)  # over an empty folder too, but over no other
        except OSError as error:
            raise ConfigError([f"{folder} cannot be made ({error})."]) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_model(
    model: ModelConfig,
    weights: Iterable[tuple[str, Tensor]],
    folder: Path,
    *,
    dtype: torch.dtype,
    end_of_text: int | None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """What `export` writes, in a folder that exists.

    Holds one file's tensors at a time where `weights` come in our order.
    """
    type_name = str(dtype).removeprefix("torch.")
    write_json(folder / "config.json", config_json(model, dtype=type_name, end_of_text=end_of_text))
    write_json(
        folder / "generation_config.json",
        {"bos_token_id": end_of_text, "eos_token_id": end_of_text},
    )
    layout = Layout(model)
    parameters = {one.name: one for one in layout.parameters}
    shards = _shards(layout, dtype.itemsize, shard_bytes)
    place = {name: number for number, names in enumerate(shards) for name in names}
    waiting: list[dict[str, Tensor]] = [{} for _ in shards]
    for ours, whole in weights:
        parameter = parameters.pop(ours)
        parts = parameter.parted(whole.detach().cpu())
        for (name, shape), part in zip(parameter.stored, parts, strict=True):
            assert tuple(part.shape) == shape, name
            number = place[name]
            waiting[number][name] = _cast(name, part, dtype)
            if len(waiting[number]) == len(shards[number]):
                save_file(
                    waiting[number],
                    folder / _file_name(number, len(shards)),
                    metadata={"format": "pt"},
                )
                waiting[number] = {}
    assert not parameters, f"weights without {sorted(parameters)}"
    if len(shards) > 1:
        total = dtype.itemsize * sum(math.prod(shape) for shape in layout.shapes.values())
        files = {name: _file_name(number, len(shards)) for name, number in place.items()}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": files})


def _shards(layout: Layout, itemsize: int, shard_bytes: int) -> list[list[str]]:
    """The names in each file: our order, a new file where the next tensor would not fit."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, shape in layout.shapes.items():
        size = itemsize * math.prod(shape)
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def _file_name(number: int, count: int) -> str:
    return WEIGHTS if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _cast(name: str, whole: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy, since safetensors stores no two tensors that share memory."""
    cast = whole.to(dtype, copy=True).contiguous()
    if dtype != torch.float32 and not torch.equal(cast.isfinite(), whole.isfinite()):
        raise ConfigError(
            [
                f"{name} holds {float(whole.abs().max()):g}, beyond the largest number of "
                f"{str(dtype).removeprefix('torch.')}, {torch.finfo(dtype).max:g}; export it in "
                "another dtype."
            ]
        )
    return cast


def config_json(model: ModelConfig, *, dtype: str, end_of_text: int | None) -> dict[str, Any]:
    """What `config.json` holds for a model.

    Rotary settings stand in the fields that transformers 4 had, which version 5 reads too.

    Args:
        model: Its `max_sequence_length` is known.
        dtype: In which its weights are stored: float32, bfloat16 or float16.
        end_of_text: The token that ends a document; None: not known.

    Raises:
        ConfigError: Transformers has no model of this shape.
    """
    if model.max_sequence_length is None:
        raise ConfigError(
            ["model.max_sequence_length: got None; must be a number to export a model."]
        )
    kind = model_type(model)
    common = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "num_hidden_layers": model.num_layers,
        "num_attention_heads": model.num_heads,
        "intermediate_size": model.mlp_size,
        "max_position_embeddings": model.max_sequence_length,
        "tie_word_embeddings": model.tied,
        "attention_dropout": 0.0,
        # Written although null: the defaults of some classes name a token of another vocabulary.
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "torch_dtype": dtype,
    }
    if kind == "gpt_neox":
        return common | {
            "hidden_act": "gelu",
            "hidden_dropout": 0.0,
            "attention_bias": True,
            "layer_norm_eps": model.norm_eps,
            "use_parallel_residual": model.parallel_residual,
            "rotary_emb_base": model.rotary_base,
            "rotary_pct": _written_fraction(model),
        }
    scaling = model.rotary_scaling
    stretched = None
    if scaling is not None:
        values = {theirs: getattr(scaling, ours) for ours, theirs in LLAMA3_NAMES.items()}
        stretched = {"rope_type": "llama3"} | values
    content = common | {
        "hidden_act": "silu",
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_size,
        "rms_norm_eps": model.norm_eps,
        "rope_theta": model.rotary_base,
        "rope_scaling": stretched,
    }
    if kind == "qwen2":
        return content | {"use_sliding_window": False}
    if kind == "qwen3":
        return content | {"use_sliding_window": False, "attention_bias": False}
    return content | {"attention_bias": False, "mlp_bias": False}


def model_type(model: ModelConfig) -> str:
    """What transformers calls a model of this shape.

    Raises:
        ConfigError: It has none.
    """
    if model.family == "neox":
        return "gpt_neox"
    if model.qkv_bias and model.qk_norm:
        raise ConfigError(
            [
                "model.qk_norm: got True beside qkv_bias True; must be one of the two to export a "
                "model, since transformers has none with both."
            ]
        )
    if model.qkv_bias or model.qk_norm:
        return "qwen2" if model.qkv_bias else "qwen3"
    if model.hidden_size % model.num_heads:
        raise ConfigError(
            [
                f"model.hidden_size: got {model.hidden_size}; must be a multiple of num_heads "
                f"{model.num_heads} to export a llama, whatever its head_dim: transformers "
                "refuses others."
            ]
        )
    return "llama"


def _written_fraction(model: ModelConfig) -> float:
    """`rotary_pct`, from which transformers computes int(head_size * rotary_pct)."""
    fraction = model.rotary_fraction
    if int(model.head_size * fraction) != model.rotary_size:
        fraction = model.rotary_size / model.head_size
    if int(model.head_size * fraction) != model.rotary_size:
        fraction = math.nextafter(fraction, 1.0)
    return fraction
