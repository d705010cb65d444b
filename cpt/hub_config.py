"""A Hugging Face model: where its folder is, and its `config.json` as a `ModelConfig`.

Four of its model types are ours: gpt_neox (family neox), llama, qwen2 (llama with `qkv_bias`) and
qwen3 (llama with `qk_norm`). What such a file asks for and our model does not compute is refused;
fields that change nothing in the forward pass (`use_cache`, `initializer_range`, ...) are not read.

Transformers 5 keeps rotary settings in `rope_parameters`; files published before have `rope_theta`
and `rope_scaling`, or `rotary_emb_base` and `rotary_pct` for gpt_neox. Both are read.
"""

import re
from pathlib import Path
from typing import Any

from cpt.files import read_json
from cpt.model_config import ModelConfig
from cpt.parsing import ConfigError, parse, shown

ARCHITECTURES = {
    "gpt_neox": "GPTNeoXForCausalLM",
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
"""Model types that are read and written, and what transformers calls their classes."""

_HUB_FILES = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
"""What is downloaded of a model on the hub: not its weights in other formats."""

_NAMES = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "num_heads": "num_attention_heads",
    "vocab_size": "vocab_size",
    "intermediate_size": "intermediate_size",
}
"""Ours and theirs, of the fields that a file must have."""

_OTHER_NAMES = {
    "num_kv_heads": "num_key_value_heads",
    "rotary_scaling": "rope_scaling",
    "max_sequence_length": "max_position_embeddings",
    "tied": "tie_word_embeddings",
    "parallel_residual": "use_parallel_residual",
}
"""The others, for refusals."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "gpt_neox": {"max_position_embeddings": 2048},
    "llama": {"max_position_embeddings": 2048},
    "qwen2": {"max_position_embeddings": 32_768, "num_key_value_heads": 32},
    "qwen3": {"max_position_embeddings": 32_768, "num_key_value_heads": 32, "head_dim": 128},
}
"""What a missing field means: the defaults of transformers' configuration classes."""

_NEVER = {
    "quantization_config": "must be left out: weights are read as they are stored",
    "auto_map.AutoModelForCausalLM": "must be left out: code that comes with a model is not run",
    "pruned_heads": "must be left out: every head is kept",
}
_ALWAYS: dict[str, dict[str, tuple[Any, str]]] = {
    "gpt_neox": {
        "hidden_act": ("gelu", "the exact GELU is computed"),
        "attention_bias": (True, "attention has biases in family neox"),
        "attention_dropout": (0, "nothing is dropped"),
        "hidden_dropout": (0, "nothing is dropped"),
    },
    "llama": {
        "hidden_act": ("silu", "the gate is a SiLU"),
        "attention_bias": (False, "it puts a bias on o_proj, which family llama lacks"),
        "mlp_bias": (False, "family llama has no bias in the MLP"),
        "attention_dropout": (0, "nothing is dropped"),
    },
    "qwen2": {
        "hidden_act": ("silu", "the gate is a SiLU"),
        "use_sliding_window": (False, "every position reads all before it"),
        "attention_dropout": (0, "nothing is dropped"),
    },
    "qwen3": {
        "hidden_act": ("silu", "the gate is a SiLU"),
        "attention_bias": (False, "it puts a bias on o_proj, which family llama lacks"),
        "use_sliding_window": (False, "every position reads all before it"),
        "attention_dropout": (0, "nothing is dropped"),
    },
}
"""By model type: the one value that is computed, which is also the default, and why."""

LLAMA3_NAMES = {
    "factor": "factor",
    "low_frequency_factor": "low_freq_factor",
    "high_frequency_factor": "high_freq_factor",
    "original_length": "original_max_position_embeddings",
}
"""Fields of our `RotaryScaling` and of their mapping."""


def read_model(folder: Path, field: str) -> ModelConfig:
    """The shape of the model in a folder.

    What is written out although it is the usual (`head_dim` = `hidden_size / num_heads`, ...) is
    left out, so that one model has one configuration however its file was written.

    Args:
        folder: Holds `config.json`.
        field: Dotted name of the field that names the model, for refusals.

    Raises:
        ConfigError: There is no such file, or it asks for what our model does not compute: a
            sentence for each fault, with the field of `config.json` and its value.
    """
    path = folder / "config.json"
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise ConfigError([f"{field}: there is no {path}; a model's folder must hold one."]) from (
            error
        )
    except (OSError, ValueError) as error:
        raise ConfigError([f"{field}: {path} cannot be read ({error})."]) from error
    return _File(path, content, field).model()


def locate(checkpoint: str, field: str) -> Path:
    """The folder of a model: a local one, or that of the hub in the cache, downloaded if need be.

    Args:
        checkpoint: The path of a folder, else the id of a model on the Hugging Face hub.
        field: Dotted name of the field, for refusals.

    Raises:
        ConfigError: There is none, or the hub cannot be reached.
    """
    folder = Path(checkpoint)
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, RevisionResolutionError

    try:
        return Path(snapshot_download(checkpoint, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError, EntryNotFoundError, RevisionResolutionError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".:")
        raise ConfigError(
            [
                f"{field}: got {shown(checkpoint)}; must be the folder of a model (relative paths "
                f"start at {Path.cwd()}), or a hub id that can be reached or is in the cache "
                f"({reason})."
            ]
        ) from error


class _File:
    """One `config.json`; collects its faults."""

    def __init__(self, path: Path, content: dict[str, Any], field: str) -> None:
        self.path, self.content, self.field = path, content, field
        self.faults: list[str] = []

    def model(self) -> ModelConfig:
        """The shape, or a ConfigError with all faults."""
        kind = self.content.get("model_type")
        if not isinstance(kind, str) or kind not in ARCHITECTURES:
            self._refuse("model_type", kind, f"must be one of {', '.join(ARCHITECTURES)}")
            raise ConfigError(self.faults)
        self._check_computation(kind)
        values = {ours: self.content.get(theirs) for ours, theirs in _NAMES.items()}
        for theirs in _NAMES.values():
            if self.content.get(theirs) is None:
                self._refuse(theirs, None, "must be a number")
        values |= self._neox() if kind == "gpt_neox" else self._llama(kind)
        values["max_sequence_length"] = self._get(kind, "max_position_embeddings")
        values["tied"] = self.content.get("tie_word_embeddings", False)
        if self.faults:
            raise ConfigError(self.faults)
        try:
            model = parse(ModelConfig, _canonical(values))
        except ConfigError as error:
            raise ConfigError([self._translated(kind, fault) for fault in error.faults]) from error
        rotated = int(model.head_size * model.rotary_fraction)
        if rotated != model.rotary_size:
            self._refuse(
                "rotary_pct",
                model.rotary_fraction,
                f"must rotate an even part of a head of {model.head_size}, not {rotated}",
            )
            raise ConfigError(self.faults)
        return model

    def _get(self, kind: str, name: str) -> Any:
        return self.content.get(name, _DEFAULTS[kind].get(name))

    def _refuse(self, name: str, value: object, rule: str) -> None:
        found = "is missing" if value is None else f"is {shown(value)}"
        self.faults.append(f"{self.field}: {name} {found} in {self.path}; {rule}.")

    def _translated(self, kind: str, fault: str) -> str:
        """In the words of `config.json`."""
        names = _NAMES | _OTHER_NAMES
        if kind == "gpt_neox":
            names |= {"rotary_base": "rotary_emb_base", "rotary_fraction": "rotary_pct"}
            names |= {"norm_eps": "layer_norm_eps"}
        else:
            names |= {"rotary_base": "rope_theta", "norm_eps": "rms_norm_eps"}
        for ours, theirs in names.items():
            fault = re.sub(rf"\b{ours}\b", theirs, fault)
        return f"{self.field}: {self.path} is refused: {fault}"

    def _check_computation(self, kind: str) -> None:
        for name, rule in _NEVER.items():
            owner, _, key = name.partition(".")
            value = self.content.get(owner)
            if key:
                value = value.get(key) if isinstance(value, dict) else None
            if value:
                self._refuse(name, value, rule)
        for name, (only, why) in _ALWAYS[kind].items():
            value = self.content.get(name, only)
            # Two names of one function; and a dropout of null is none.
            same = value == only or (only == "silu" and value == "swish")
            if not same and not (only == 0 and value is None):
                self._refuse(name, value, f"must be {shown(only)}: {why}")
        layers = self.content.get("layer_types") or []
        if not isinstance(layers, list) or any(kind != "full_attention" for kind in layers):
            self._refuse(
                "layer_types",
                layers,
                "must be full_attention in every layer: every position reads all before it",
            )

    def _neox(self) -> dict[str, Any]:
        rope = self._rope()
        base = self._agreed(rope, "rope_theta", ("rotary_emb_base", "rope_theta"), 10_000.0)
        fraction = self._agreed(
            rope, "partial_rotary_factor", ("rotary_pct", "partial_rotary_factor"), 0.25
        )
        if self._rope_type(rope) != "default":
            self._refuse(
                self._rope_name("rope_type"), self._rope_type(rope), "must be default in gpt_neox"
            )
        return {
            "family": "neox",
            "rotary_base": base,
            "rotary_fraction": fraction,
            "norm_eps": self.content.get("layer_norm_eps", 1e-5),
            "parallel_residual": self.content.get("use_parallel_residual", True),
        }

    def _llama(self, kind: str) -> dict[str, Any]:
        rope = self._rope()
        fraction = self._agreed(rope, "partial_rotary_factor", ("partial_rotary_factor",), 1.0)
        if fraction != 1.0:
            self._refuse("partial_rotary_factor", fraction, "must be 1: whole heads are rotated")
        return {
            "family": "llama",
            "num_kv_heads": self._get(kind, "num_key_value_heads"),
            "head_dim": self._get(kind, "head_dim"),
            "rotary_base": self._agreed(rope, "rope_theta", ("rope_theta",), 10_000.0),
            "rotary_scaling": self._scaling(rope),
            "norm_eps": self.content.get("rms_norm_eps", 1e-6),
            "qkv_bias": kind == "qwen2",
            "qk_norm": kind == "qwen3",
        }

    def _rope(self) -> dict[str, Any]:
        name = self._rope_name()
        rope = self.content.get(name) or {}
        if not isinstance(rope, dict) or any(isinstance(value, dict) for value in rope.values()):
            self._refuse(name, rope, "must be one mapping of rotary settings for all layers")
            return {}
        return rope

    def _rope_name(self, key: str = "") -> str:
        """Where the rotary settings stand; transformers looks at the old name first."""
        name = "rope_scaling" if self.content.get("rope_scaling") else "rope_parameters"
        return f"{name}.{key}" if key else name

    def _rope_type(self, rope: dict[str, Any]) -> Any:
        return rope.get("rope_type", rope.get("type", "default"))

    def _scaling(self, rope: dict[str, Any]) -> dict[str, Any] | None:
        """Our `rotary_scaling`."""
        kind = self._rope_type(rope)
        if kind == "default":
            return None
        if kind != "llama3":
            self._refuse(self._rope_name("rope_type"), kind, "must be default or llama3")
            return None
        values = {ours: rope.get(theirs) for ours, theirs in LLAMA3_NAMES.items()}
        for ours, value in values.items():
            if value is None:
                self._refuse(self._rope_name(LLAMA3_NAMES[ours]), None, "llama3 needs it")
        outer = self.content.get("original_max_position_embeddings")
        if outer is not None and outer != values["original_length"]:
            self._refuse(
                "original_max_position_embeddings",
                outer,
                f"must be that of {self._rope_name()}, {values['original_length']}",
            )
        return values

    def _agreed(
        self, rope: dict[str, Any], inner: str, outer: tuple[str, ...], default: float
    ) -> Any:
        """A setting that may stand in several places.

        Which one counts depends on the version that reads the file, so all must agree; but the
        first of `outer` stands in for a missing `inner`, and has a default.
        """
        first, value = self._rope_name(inner), rope.get(inner)
        if value is None:
            first, value = outer[0], self.content.get(outer[0])
        if value is None:
            value = default
        for name in outer:
            other = self.content.get(name)
            if other is not None and other != value:
                self._refuse(name, other, f"must be that of {first}, {shown(value)}")
        return value


def _canonical(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is the usual anyway."""
    result = dict(values)
    if values["family"] == "neox":
        usual = {"intermediate_size": _times(values["hidden_size"], 4)}
    else:
        usual = {
            "num_kv_heads": values["num_heads"],
            "head_dim": _over(values["hidden_size"], values["num_heads"]),
        }
    for name, value in usual.items():
        if result[name] == value:
            result[name] = None
    return result


def _times(value: object, factor: int) -> object:
    return value * factor if isinstance(value, int) else None


def _over(value: object, divisor: object) -> object:
    if isinstance(value, int) and isinstance(divisor, int) and divisor and not value % divisor:
        return value // divisor
    return None
