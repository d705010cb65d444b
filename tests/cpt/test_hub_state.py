"""A trained state as a folder that transformers loads."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cpt.config import RunConfig
from cpt.data import held_out_sequences
from cpt.files import read_json
from cpt.hub_config import read_model
from cpt.hub_state import export_state, recipe
from cpt.hub_tokenizer import byte_encoder, write_tokenizer
from cpt.parsing import ConfigError
from cpt.records import Status, StatusWord
from cpt.rows import read_rows
from cpt.token_store import CorpusMeta, TokenStore
from cpt.tokenizer import ByteTokenizer, FileTokenizer, load_tokenizer
from cpt.train import train
from sweeps.__main__ import main

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.usefixtures("quiet_transformers")

TEXTS = ["plain", "Grüße, мир 你好 🎉", " two  spaces\n\tand \x00\x7f\r\n", "it 's . ok", "e\u0301"]
LLAMA = {
    "family": "llama",
    "num_layers": 2,
    "hidden_size": 16,
    "num_heads": 4,
    "num_kv_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 320,
    "qk_norm": True,
    "tied": True,
    "max_sequence_length": 64,
}


def trained(tiny: Any, **changes: object) -> RunConfig:
    config = tiny.config(**changes)
    train(config, tiny.tree)
    return config


def refusal(act: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        act()
    assert all(fault.endswith(".") for fault in caught.value.faults)
    return str(caught.value)


@torch.no_grad()
def their_loss(model: Any, sequences: torch.Tensor) -> float:
    logits = model(sequences[:, :-1]).logits
    return float(
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), sequences[:, 1:].flatten())
    )


@pytest.mark.parametrize("changes", [{}, {"model": LLAMA}], ids=["neox", "llama"])
def test_transformers_has_the_held_out_loss_that_training_wrote(
    tiny: Any, changes: dict[str, object], tmp_path: Path
) -> None:
    config = trained(tiny, **changes)
    state = tiny.tree.state(config.state_id)
    assert export_state(state, tmp_path / "model") == ()
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    store = TokenStore(tiny.tree.tokens(tiny.corpora["held out"]))
    held_out = held_out_sequences("held out", store, 16, config.evaluation.tokens_per_dataset)
    last = {row["domain"]: row for row in read_rows(state.eval_rows) if row["step"] == 12}
    for number, domain in enumerate(held_out.domains):
        loss = their_loss(model, held_out.sequences[held_out.domain_of == number])
        assert loss == pytest.approx(last[domain]["loss"], rel=1e-5)
    positions = 16 if not changes else 64
    assert model.config.max_position_embeddings == positions
    assert model.generation_config.eos_token_id == 256
    assert read_model(tmp_path / "model", "x").num_parameters == config.model.num_parameters


def test_the_exported_tokenizer_is_the_bytes(tiny: Any, tmp_path: Path) -> None:
    state = tiny.tree.state(trained(tiny).state_id)
    export_state(state, tmp_path / "model", torch.bfloat16)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert ids == list(text.encode())
        assert tokenizer.decode(ids) == text
    assert len(tokenizer) == 257
    assert tokenizer.eos_token_id == 256
    assert tokenizer.model_max_length == 16
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.dtype == torch.bfloat16
    written = model.generate(**tokenizer("the 7", return_tensors="pt"), max_new_tokens=3)
    assert written.shape[0] == 1
    assert written[0, :5].tolist() == list(b"the 7")


def test_the_byte_encoder_is_the_byte_tokenizer(tmp_path: Path) -> None:
    byte_encoder().save(str(tmp_path / "tokenizer.json"))
    ours, file = ByteTokenizer(), load_tokenizer(str(tmp_path))
    assert isinstance(file, FileTokenizer)
    assert (file.vocab_size, file.end_of_text) == (ours.vocab_size, ours.end_of_text)
    every = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000)]))
    for text in (*TEXTS, every, "not <|endoftext|> an end"):
        assert file.encode_batch([text])[0].tolist() == ours.encode_batch([text])[0].tolist()


def meta(tokenizer: str, **changes: Any) -> CorpusMeta:
    fields = {
        "corpus_id": "c",
        "origin": "o",
        "path": "json",
        "split": "train",
        "tokenizer": tokenizer,
        "vocab_size": 257,
        "end_of_text": 256,
        "documents": 1,
        "empty": 0,
        "tokens": 2,
        "bytes": 1,
        "dtype": "uint16",
        "domains": (),
        "files": {
            f"{name}.bin": {"bytes": size, "sha256": ""}
            for name, size in (("tokens", 4), ("starts", 16), ("domains", 2), ("hashes", 8))
        },
    }
    return CorpusMeta.model_validate(fields | changes)


def test_a_tokenizer_file_is_copied_where_it_is_still_the_same(tmp_path: Path) -> None:
    file, target = tmp_path / "tokenizer.json", tmp_path / "model"
    target.mkdir()
    byte_encoder().save(str(file))
    assert "has changed" in refusal(
        lambda: write_tokenizer(meta(str(file), vocab_size=300), target, 64)
    )
    assert "no file" in refusal(lambda: write_tokenizer(meta("gone.json"), target, 64))
    assert "hub id" in refusal(lambda: write_tokenizer(meta("none/such"), target, 64))
    assert list(target.iterdir()) == []
    write_tokenizer(meta(str(file)), target, 64)
    assert (target / "tokenizer.json").read_bytes() == file.read_bytes()
    tokenizer = transformers.AutoTokenizer.from_pretrained(target)
    assert tokenizer("é")["input_ids"] == [0xC3, 0xA9]
    assert tokenizer.eos_token == "<|endoftext|>"


def test_a_state_is_exported_where_its_tokens_are_not(tiny: Any, tmp_path: Path) -> None:
    config = trained(tiny)
    (tiny.tree.storage / "tokens").unlink()
    assert export_state(tiny.tree.state(config.state_id), tmp_path / "model") == ()
    assert (tmp_path / "model" / "tokenizer.json").exists()


def test_a_state_that_does_not_name_its_tokens_is_exported_without_a_tokenizer(
    tiny: Any, tmp_path: Path
) -> None:
    config = trained(tiny)
    (tiny.tree.storage / "tokens").unlink()
    tiny.tree.state(config.state_id).corpus.unlink()
    (told,) = export_state(tiny.tree.state(config.state_id), tmp_path / "model")
    assert told.startswith("exported without a tokenizer: ")
    assert "meta.json" in told
    assert not (tmp_path / "model" / "tokenizer.json").exists()
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")


def test_the_card_tells_the_recipe(tiny: Any) -> None:
    stream = [tiny.source("old", "1/4"), tiny.source("new", "3/4")]
    config = tiny.config(stream=stream, parent="steps3-seed0-abc", seed=7)
    text = recipe(config)
    for fact in (
        f"| State | `{config.state_id}` |",
        "| Started from | state `steps3-seed0-abc` |",
        "| Tokens | 768 |",
        "| Steps | 12 |",
        "| Learning rate | cosine, peak rate 0.01 |",
        "| Precision | fp32 |",
        "| Seed | 7 |",
        "| old | 192 | 0.25 |",
        "| new | 576 | 0.75 |",
        "# tiny",
    ):
        assert fact in text.replace("\n", "  "), fact


def test_what_is_no_complete_state_is_refused(tiny: Any, tmp_path: Path) -> None:
    state = tiny.tree.state(trained(tiny).state_id)
    target = tmp_path / "model"
    absent = tiny.tree.state("absent")
    assert f"{absent.path} is no state" in refusal(lambda: export_state(absent, target))
    shard = next(state.checkpoint(12).glob("*.distcp"))
    shutil.move(shard, tmp_path / "aside")
    assert f"{shard} is missing" in refusal(lambda: export_state(state, target))
    state.write_status(Status(status=StatusWord.RUNNING, step=6))
    assert "is running at step 6; must be complete" in refusal(lambda: export_state(state, target))
    assert not target.exists()


def test_the_command_line_exports_and_refuses(
    tiny: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = tiny.tree.state(trained(tiny).state_id)

    def rewarm(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["rewarm", "export", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        code = caught.value.code
        assert isinstance(code, int)
        return code, capsys.readouterr().err

    assert rewarm(state.path, tmp_path / "model", "--dtype", "bfloat16") == (0, "")
    assert read_json(tmp_path / "model" / "config.json")["torch_dtype"] == "bfloat16"
    for arguments in ((state.path, tmp_path / "model"), (tmp_path / "nowhere", tmp_path / "other")):
        code, said = rewarm(*arguments)
        assert code == 2
        assert said.startswith("refused: ")
        assert said.count("\n") == 1
