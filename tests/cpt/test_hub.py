"""Hugging Face models in and out, against transformers' own models."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from cpt import hub
from cpt.files import read_json, write_json
from cpt.hub_config import locate, read_model
from cpt.hub_export import config_json, export
from cpt.model import GPT, initial_weights
from cpt.model_config import PRESETS, ModelConfig
from cpt.parsing import ConfigError
from cpt.placement import fill

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.usefixtures("quiet_transformers")

FIELD = "upstream.checkpoint"
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


@dataclass(frozen=True)
class Case:
    """One of transformers' configurations, small."""

    kind: str
    fields: dict[str, Any]

    def hf_config(self, **changes: Any) -> Any:
        sizes = {
            "vocab_size": 96,
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 48,
            "max_position_embeddings": 64,
        }
        owner = getattr(
            transformers,
            {
                "gpt_neox": "GPTNeoXConfig",
                "llama": "LlamaConfig",
                "qwen2": "Qwen2Config",
                "qwen3": "Qwen3Config",
            }[self.kind],
        )
        return owner(**(sizes | self.fields | changes))


CASES = {
    "neox parallel": Case("gpt_neox", {}),
    "neox sequential": Case("gpt_neox", {"use_parallel_residual": False, "rotary_pct": 1.0}),
    "neox tied": Case(
        "gpt_neox", {"tie_word_embeddings": True, "rotary_emb_base": 500, "rotary_pct": 0.5}
    ),
    "llama": Case("llama", {}),
    "llama grouped tied": Case("llama", {"num_key_value_heads": 2, "tie_word_embeddings": True}),
    "llama stretched": Case(
        "llama", {"num_key_value_heads": 1, "head_dim": 16, "rope_parameters": LLAMA3}
    ),
    "qwen2": Case("qwen2", {"num_key_value_heads": 2, "rope_theta": 1e6, "rms_norm_eps": 1e-5}),
    "qwen2 tied": Case("qwen2", {"num_key_value_heads": 4, "tie_word_embeddings": True}),
    "qwen3": Case("qwen3", {"num_key_value_heads": 2, "head_dim": 12}),
    "qwen3 tied": Case(
        "qwen3", {"num_key_value_heads": 1, "head_dim": 8, "tie_word_embeddings": True}
    ),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def theirs(case: Case, **changes: Any) -> Any:
    """A model of transformers with random weights, its norms and biases too."""
    model = transformers.AutoModelForCausalLM.from_config(case.hf_config(**changes)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.normal_(mean, 0.2, generator=generator)
    return model


def saved(case: Case, folder: Path, dtype: torch.dtype = torch.float32, **options: Any) -> Path:
    theirs(case).to(dtype).save_pretrained(folder, **options)
    return folder


def ours(folder: Path) -> GPT:
    """As training gets it."""
    found = locate(str(folder), FIELD)
    config = read_model(found, FIELD)
    hub.check(found, config, FIELD)
    model = GPT(config)
    names = [name for name, _ in model.named_parameters()]
    weights = list(hub.weights(found, config))
    assert [name for name, _ in weights] == names
    assert {whole.dtype for _, whole in weights} == {torch.float32}
    fill(model, weights)
    return model


def loaded(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def tokens() -> torch.Tensor:
    """Longer than any written-out attention, and than the original length of LLAMA3."""
    return torch.randint(0, 96, (2, 60), generator=torch.Generator().manual_seed(1))


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {
        name: whole
        for file in sorted(folder.glob("*.safetensors"))
        for name, whole in load_file(file).items()
    }


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    result = model(tokens())
    return result if isinstance(result, torch.Tensor) else result.logits


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """fp32 sums in another order; logits here are of size 1."""
    return torch.allclose(one, other, rtol=1e-4, atol=2e-5)


def changed(folder: Path, **fields: Any) -> Path:
    """The same folder with other fields in its `config.json`; None takes one out."""
    content = read_json(folder / "config.json") | fields
    kept = {name: value for name, value in content.items() if value is not None}
    write_json(folder / "config.json", kept)
    return folder


def refusal(act: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        act()
    assert all(fault.endswith(".") for fault in caught.value.faults)
    return str(caught.value)


@each_case
def test_their_model_computes_the_same_as_ours(case: Case, tmp_path: Path) -> None:
    model = theirs(case)
    model.save_pretrained(tmp_path)
    assert float(logits(model).std()) > 0.3
    assert close(logits(ours(tmp_path)), logits(model))


@each_case
def test_our_model_computes_the_same_as_theirs(case: Case, tmp_path: Path) -> None:
    config = read_model(saved(case, tmp_path / "theirs"), FIELD)
    model = GPT(config)
    fill(model, initial_weights(model, seed=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    export(config, model.named_parameters(), tmp_path / "ours", end_of_text=5)
    other = loaded(tmp_path / "ours")
    assert close(logits(model), logits(other))
    assert other.config.model_type == case.kind
    assert other.config.max_position_embeddings == 64
    assert other.generation_config.eos_token_id == 5
    assert read_model(tmp_path / "ours", FIELD) == config


@each_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_round_trip_keeps_every_bit(case: Case, dtype: torch.dtype, tmp_path: Path) -> None:
    folder = saved(case, tmp_path / "theirs", dtype)
    config = read_model(folder, FIELD)
    export(config, hub.weights(folder, config), tmp_path / "ours", dtype=dtype)
    before, after = tensors(folder), tensors(tmp_path / "ours")
    assert before.keys() == after.keys()
    for name, whole in before.items():
        assert after[name].dtype == dtype
        assert torch.equal(after[name], whole), name


def test_the_fingerprint_knows_values_alone(tmp_path: Path) -> None:
    case = CASES["llama grouped tied"]
    half = saved(case, tmp_path / "half", torch.bfloat16)
    config = read_model(half, FIELD)
    export(config, hub.weights(half, config), tmp_path / "full")
    export(config, hub.weights(half, config), tmp_path / "shards", shard_bytes=9_000)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    prints = {hub.fingerprint(tmp_path / name, config) for name in ("half", "full", "shards")}
    assert len(prints) == 1
    assert len(prints.pop()) == 64
    other = [
        (name, whole + 1e-3 if name == "final_layer_norm.weight" else whole)
        for name, whole in hub.weights(half, config)
    ]
    export(config, other, tmp_path / "other")
    assert hub.fingerprint(tmp_path / "other", config) != hub.fingerprint(half, config)


def test_their_shards_are_read_and_ours_are_theirs(tmp_path: Path) -> None:
    case = CASES["neox parallel"]
    folder = saved(case, tmp_path / "theirs", max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    expected = logits(theirs(case))
    assert close(logits(ours(folder)), expected)
    config = read_model(folder, FIELD)
    export(config, hub.weights(folder, config), tmp_path / "ours", shard_bytes=20_000)
    index = read_json(tmp_path / "ours" / hub.INDEX)
    assert set(index["weight_map"].values()) == {
        path.name for path in (tmp_path / "ours").glob("*.safetensors")
    }
    sizes = [whole.nbytes for whole in tensors(tmp_path / "ours").values()]
    assert index["metadata"]["total_size"] == sum(sizes)
    assert torch.equal(logits(loaded(tmp_path / "ours")), expected)


def test_an_old_file_of_pythia_is_read(tmp_path: Path) -> None:
    """`config.json` as published for pythia-70m, and the buffers its files had."""
    write_json(
        tmp_path / "config.json",
        {
            "architectures": ["GPTNeoXForCausalLM"],
            "bos_token_id": 0,
            "eos_token_id": 0,
            "hidden_act": "gelu",
            "hidden_size": 512,
            "initializer_range": 0.02,
            "intermediate_size": 2048,
            "layer_norm_eps": 1e-05,
            "max_position_embeddings": 2048,
            "model_type": "gpt_neox",
            "num_attention_heads": 8,
            "num_hidden_layers": 6,
            "rotary_emb_base": 10000,
            "rotary_pct": 0.25,
            "tie_word_embeddings": False,
            "torch_dtype": "float16",
            "transformers_version": "4.24.0",
            "use_cache": True,
            "use_parallel_residual": True,
            "vocab_size": 50304,
        },
    )
    assert read_model(tmp_path, FIELD) == PRESETS["pythia-70m"]


def test_an_old_file_of_llama_is_read(tmp_path: Path) -> None:
    """`config.json` as published for Llama 3.2 1B."""
    write_json(
        tmp_path / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": 128000,
            "eos_token_id": 128001,
            "head_dim": 64,
            "hidden_act": "silu",
            "hidden_size": 2048,
            "initializer_range": 0.02,
            "intermediate_size": 8192,
            "max_position_embeddings": 131072,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": 32,
            "num_hidden_layers": 16,
            "num_key_value_heads": 8,
            "pretraining_tp": 1,
            "rms_norm_eps": 1e-05,
            "rope_scaling": {
                "factor": 32.0,
                "high_freq_factor": 4.0,
                "low_freq_factor": 1.0,
                "original_max_position_embeddings": 8192,
                "rope_type": "llama3",
            },
            "rope_theta": 500000.0,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "vocab_size": 128256,
        },
    )
    assert read_model(tmp_path, FIELD) == PRESETS["llama-1b"]


@each_case
def test_what_we_write_is_what_we_read(case: Case, tmp_path: Path) -> None:
    """And what transformers makes of it is what transformers wrote."""
    config = read_model(saved(case, tmp_path / "theirs"), FIELD)
    (tmp_path / "ours").mkdir()
    content = config_json(config, dtype="float32", end_of_text=None)
    write_json(tmp_path / "ours" / "config.json", content)
    assert read_model(tmp_path / "ours", FIELD) == config
    before, after = (
        transformers.AutoConfig.from_pretrained(tmp_path / name).to_dict()
        for name in ("theirs", "ours")
    )
    for content in (before, after):
        for name in ("bos_token_id", "eos_token_id", "_name_or_path", "transformers_version"):
            content.pop(name, None)
    if case.kind == "qwen2":  # its class has no such field, yet its code reads it
        assert after.pop("head_dim") == config.head_size
    assert after == before


def test_buffers_of_old_files_are_passed_over(tmp_path: Path) -> None:
    for name, case, buffers in (
        ("neox", CASES["neox parallel"], ("attention.bias", "attention.masked_bias")),
        ("llama", CASES["llama"], ("self_attn.rotary_emb.inv_freq",)),
    ):
        folder = saved(case, tmp_path / name)
        prefix = "gpt_neox" if case.kind == "gpt_neox" else "model"
        layers = [f"{prefix}.layers.{number}" for number in (0, 1)]
        extra = {f"{layer}.{buffer}": torch.ones(3) for layer in layers for buffer in buffers}
        extra |= {f"{prefix}.layers.0.attention.rotary_emb.inv_freq": torch.ones(2)}
        save_file(tensors(folder) | extra, folder / hub.WEIGHTS)
        assert close(logits(ours(folder)), logits(theirs(case)))


def test_a_tied_model_may_store_its_output_matrix_if_it_is_the_embedding(tmp_path: Path) -> None:
    for name, output, embedding in (
        ("llama grouped tied", "lm_head.weight", "model.embed_tokens.weight"),
        ("neox tied", "embed_out.weight", "gpt_neox.embed_in.weight"),
    ):
        folder = saved(CASES[name], tmp_path / name)
        stored = tensors(folder)
        save_file(stored | {output: stored[embedding].clone()}, folder / hub.WEIGHTS)
        assert close(logits(ours(folder)), logits(theirs(CASES[name])))
        save_file(stored | {output: stored[embedding] + 1}, folder / hub.WEIGHTS)
        config = read_model(folder, FIELD)
        hub.check(folder, config, FIELD)
        text = refusal(lambda f=folder, c=config: hub.fingerprint(f, c))
        assert output in text
        assert embedding in text


NEOX, LLAMA, QWEN2, QWEN3 = (CASES[name] for name in ("neox parallel", "llama", "qwen2", "qwen3"))


@pytest.mark.parametrize(
    ("case", "field", "value", "shown"),
    [
        (NEOX, "model_type", "gpt2", "model_type is 'gpt2'"),
        (NEOX, "model_type", None, "model_type is missing"),
        (NEOX, "hidden_act", "gelu_new", "hidden_act is 'gelu_new'"),
        (NEOX, "attention_bias", False, "attention_bias is False"),
        (NEOX, "hidden_dropout", 0.1, "hidden_dropout is 0.1"),
        (NEOX, "attention_dropout", 0.1, "attention_dropout is 0.1"),
        (NEOX, "rope_scaling", {"type": "linear", "factor": 2.0}, "rope_type is 'linear'"),
        (NEOX, "rotary_pct", 0.5, "rotary_pct is 0.5"),
        (NEOX, "hidden_size", None, "hidden_size is missing"),
        (
            NEOX,
            "rope_parameters",
            {"rope_theta": 10_000.0, "partial_rotary_factor": 0.4},
            "rotary_pct is 0.4",
        ),
        (NEOX, "num_attention_heads", 5, "num_attention_heads 5"),
        (NEOX, "num_hidden_layers", -1, "num_hidden_layers: got -1"),
        (NEOX, "layer_norm_eps", "small", "layer_norm_eps: got 'small'"),
        (NEOX, "quantization_config", {"bits": 4}, "quantization_config is {'bits': 4}"),
        (LLAMA, "hidden_act", "gelu", "hidden_act is 'gelu'"),
        (LLAMA, "attention_bias", True, "attention_bias is True"),
        (LLAMA, "mlp_bias", True, "mlp_bias is True"),
        (LLAMA, "attention_dropout", 0.5, "attention_dropout is 0.5"),
        (LLAMA, "partial_rotary_factor", 0.5, "partial_rotary_factor is 0.5"),
        (LLAMA, "rope_theta", 5.0, "rope_theta is 5.0"),
        (LLAMA, "rope_parameters", {"rope_type": "yarn", "factor": 2.0}, "rope_type is 'yarn'"),
        (LLAMA, "rope_scaling", {"type": "dynamic", "factor": 2.0}, "rope_type is 'dynamic'"),
        (
            LLAMA,
            "rope_scaling",
            {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1, "high_freq_factor": 4},
            "rope_scaling.original_max_position_embeddings is missing",
        ),
        (LLAMA, "auto_map", {"AutoModelForCausalLM": "m.M"}, "AutoModelForCausalLM is 'm.M'"),
        (QWEN2, "use_sliding_window", True, "use_sliding_window is True"),
        (QWEN2, "layer_types", ["full_attention", "sliding_attention"], "layer_types is ["),
        (QWEN3, "attention_bias", True, "attention_bias is True"),
        (QWEN3, "head_dim", 7, "head_dim 7"),
    ],
)
def test_what_our_model_does_not_compute_is_refused(
    case: Case, field: str, value: Any, shown: str, tmp_path: Path
) -> None:
    case.hf_config().save_pretrained(tmp_path)
    changed(tmp_path, **{field: value})
    text = refusal(lambda: read_model(tmp_path, FIELD))
    assert text.count("\n") == 0
    assert text.startswith(f"{FIELD}: ")
    assert shown in text
    assert str(tmp_path) in text


def test_all_faults_of_a_config_are_told_at_once(tmp_path: Path) -> None:
    LLAMA.hf_config().save_pretrained(tmp_path)
    changed(tmp_path, mlp_bias=True, hidden_act="gelu", vocab_size=None)
    assert refusal(lambda: read_model(tmp_path, FIELD)).count("\n") == 2


def test_a_missing_field_means_what_transformers_takes_it_for(tmp_path: Path) -> None:
    sizes = {
        "vocab_size": 96,
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 32,
        "intermediate_size": 48,
    }
    for kind, owner in (
        ("gpt_neox", transformers.GPTNeoXConfig),
        ("llama", transformers.LlamaConfig),
        ("qwen2", transformers.Qwen2Config),
        ("qwen3", transformers.Qwen3Config),
    ):
        for name in ("short", "long"):
            (tmp_path / kind / name).mkdir(parents=True)
        write_json(tmp_path / kind / "short" / "config.json", sizes | {"model_type": kind})
        owner(**sizes).save_pretrained(tmp_path / kind / "long")
        short, long = (read_model(tmp_path / kind / name, FIELD) for name in ("short", "long"))
        assert short == long


@pytest.mark.parametrize("name", ["none/such", "./nowhere", "/no/such/folder", "a b"])
def test_a_model_that_is_nowhere_is_one_sentence(name: str) -> None:
    text = refusal(lambda: locate(name, FIELD))
    assert text.count("\n") == 0
    assert text.startswith(f"{FIELD}: got '{name}'; must be the folder of a model")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    assert "config.json" in refusal(lambda: read_model(tmp_path, FIELD))
    (tmp_path / "config.json").write_text('{"model_type": ')
    assert "is not complete JSON" in refusal(lambda: read_model(tmp_path, FIELD))


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, ModelConfig]:
    folder = saved(NEOX, tmp_path / "model", max_shard_size="20KB")
    return folder, read_model(folder, FIELD)


def rewritten(folder: Path, **changes: torch.Tensor | None) -> None:
    """One file of weights, with other tensors; None takes one out."""
    content = tensors(folder) | changes
    for file in folder.glob("model*"):
        file.unlink()
    save_file({k: v for k, v in content.items() if v is not None}, folder / hub.WEIGHTS)


def test_each_tensor_that_does_not_fit_is_named(stored: tuple[Path, ModelConfig]) -> None:
    folder, config = stored
    rewritten(
        folder,
        **{
            "gpt_neox.layers.0.mlp.dense_h_to_4h.bias": None,
            "gpt_neox.layers.1.attention.dense.weight": torch.zeros(32, 16),
            "gpt_neox.layers.2.attention.dense.weight": torch.zeros(32, 32),
            "gpt_neox.final_layer_norm.bias": torch.zeros(32, dtype=torch.int8),
        },
    )
    lines = refusal(lambda: hub.check(folder, config, FIELD)).split("\n")
    assert len(lines) == 4
    assert "lacks the tensor gpt_neox.layers.0.mlp.dense_h_to_4h.bias, of shape [48]" in lines[0]
    assert "gpt_neox.layers.1.attention.dense.weight has shape [32, 16]" in lines[1]
    assert "must be [32, 32]" in lines[1]
    assert "gpt_neox.final_layer_norm.bias is stored as I8" in lines[2]
    assert "holds the tensor gpt_neox.layers.2.attention.dense.weight" in lines[3]
    assert all(line.startswith(f"{FIELD}: ") for line in lines)


def test_a_long_list_of_faults_is_cut(stored: tuple[Path, ModelConfig]) -> None:
    folder, config = stored
    wider = config.model_copy(update={"hidden_size": 64})
    lines = refusal(lambda: hub.check(folder, wider, FIELD)).split("\n")
    assert len(lines) == 11
    assert lines[-1].endswith("more faults of this kind.")


def test_a_damaged_file_is_named(stored: tuple[Path, ModelConfig]) -> None:
    folder, config = stored
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    whole = shard.read_bytes()
    for damaged in (whole[:-4], whole[:5], b"", b"not safetensors at all" * 9):
        shard.write_bytes(damaged)
        assert f"{shard} is damaged" in refusal(lambda: hub.check(folder, config, FIELD))
    shard.unlink()
    assert f"{shard} is missing" in refusal(lambda: hub.check(folder, config, FIELD))
    for text in ('{"weight_map": {"a": 3}}', '{"weight_map": []}', "{}", "{"):
        (folder / hub.INDEX).write_text(text)
        assert f"{hub.INDEX} is damaged" in refusal(lambda: hub.check(folder, config, FIELD))


def test_weights_in_another_format_are_refused_with_what_converts_them(
    stored: tuple[Path, ModelConfig],
) -> None:
    folder, config = stored
    for file in folder.glob("model*"):
        file.unlink()
    assert "neither model.safetensors nor" in refusal(lambda: hub.check(folder, config, FIELD))
    (folder / "pytorch_model.bin").touch()
    text = refusal(lambda: hub.check(folder, config, FIELD))
    assert "pytorch_model.bin alone" in text
    assert ".save_pretrained(" in text


def test_nothing_is_exported_over_what_is_there(stored: tuple[Path, ModelConfig]) -> None:
    folder, config = stored
    before = {path: path.read_bytes() for path in folder.iterdir()}
    text = refusal(lambda: export(config, hub.weights(folder, config), folder))
    assert f"{folder} exists already" in text
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_an_odd_share_of_a_head_is_written_as_what_is_rotated(tmp_path: Path) -> None:
    """A quarter of 12 is 3, of which two are rotated; and none at all is a share too."""
    for name, fraction in (("odd", 0.25), ("none", 0.0)):
        config = ModelConfig(
            num_layers=1,
            hidden_size=48,
            num_heads=4,
            vocab_size=96,
            rotary_fraction=fraction,
            max_sequence_length=64,
        )
        model = GPT(config)
        fill(model, initial_weights(model, seed=0))
        export(config, model.named_parameters(), tmp_path / name)
        assert read_model(tmp_path / name, FIELD).rotary_size == config.rotary_size
        assert close(logits(loaded(tmp_path / name)), logits(model))


def test_an_export_may_fill_an_empty_folder_but_not_stand_in_a_file(
    stored: tuple[Path, ModelConfig], tmp_path: Path
) -> None:
    folder, config = stored
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    export(config, hub.weights(folder, config), tmp_path / "empty")
    hub.check(tmp_path / "empty", config, FIELD)
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        assert str(target) in refusal(
            lambda t=target: export(config, hub.weights(folder, config), t)
        )


def test_a_model_in_the_cache_of_the_hub_is_found() -> None:
    repository = Path(os.environ["HF_HOME"]) / "hub" / "models--org--tiny"
    commit = "0123456789" * 4
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    NEOX.hf_config().save_pretrained(snapshot)
    assert read_model(locate("org/tiny", FIELD), FIELD).vocab_size == 96


def test_a_failed_export_leaves_nothing(stored: tuple[Path, ModelConfig], tmp_path: Path) -> None:
    folder, config = stored
    target = tmp_path / "out" / "model"

    def large() -> Iterator[tuple[str, torch.Tensor]]:
        for name, whole in hub.weights(folder, config):
            yield name, whole * 1e6

    text = refusal(lambda: export(config, large(), target, dtype=torch.float16))
    assert "gpt_neox.embed_in.weight holds" in text
    assert "float16" in text
    assert list(target.parent.iterdir()) == []


def test_a_model_that_transformers_lacks_is_refused() -> None:
    llama = PRESETS["llama-1b"]
    both = llama.model_copy(update={"qkv_bias": True, "qk_norm": True})
    odd = llama.model_copy(update={"num_heads": 24, "head_dim": 64})
    endless = llama.model_copy(update={"max_sequence_length": None})
    for model, word in ((both, "qk_norm"), (odd, "2048"), (endless, "max_sequence_length")):
        assert word in refusal(lambda m=model: config_json(m, dtype="float32", end_of_text=None))
