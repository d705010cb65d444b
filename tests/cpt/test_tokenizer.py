import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cpt.parsing import ConfigError
from cpt.tokenizer import load_tokenizer


def write_tokenizer(path: Path, added: tuple[str, ...] = ("<|endoftext|>",)) -> Path:
    """Words a = 0 and b = 1, unknown = 2, then the added tokens."""
    tokens = [
        {
            "id": 3 + number,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number, content in enumerate(added)
    ]
    content = {
        "version": "1.0",
        "truncation": {
            "direction": "Right",
            "max_length": 3,
            "strategy": "LongestFirst",
            "stride": 0,
        },
        "padding": None,
        "added_tokens": tokens,
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "?": 2}, "unk_token": "?"},
    }
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def refusal(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_tokenizer(name, "tokenizer")
    (sentence,) = caught.value.faults
    return sentence


def test_bytes_are_utf8() -> None:
    tokenizer = load_tokenizer("bytes")
    encoded = tokenizer.encode_batch(["aé", ""])
    assert [ids.tolist() for ids in encoded] == [[97, 0xC3, 0xA9], []]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (257, 256)


def test_a_file_encodes_the_whole_text_despite_its_truncation(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(write_tokenizer(tmp_path / "tokenizer.json")))
    encoded = tokenizer.encode_batch(["a b a b a", "b"])
    assert [ids.tolist() for ids in encoded] == [[0, 1, 0, 1, 0], [1]]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (4, 3)


def test_text_cannot_spell_the_end_of_a_document(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(write_tokenizer(tmp_path / "tokenizer.json")))
    (ids,) = tokenizer.encode_batch(["a <|endoftext|> b"])
    assert ids.tolist() == [0, 2, 1]


def test_a_directory_stands_for_the_file_in_it(tmp_path: Path) -> None:
    write_tokenizer(tmp_path / "tokenizer.json", added=("<pad>", "</s>"))
    assert load_tokenizer(str(tmp_path)).end_of_text == 4


def test_the_fingerprint_follows_the_content_and_not_the_path(tmp_path: Path) -> None:
    first = write_tokenizer(tmp_path / "one.json")
    moved = Path(shutil.copy(first, tmp_path / "two.json"))
    other = write_tokenizer(tmp_path / "three.json", added=("</s>",))
    fingerprints = [load_tokenizer(str(path)).fingerprint for path in (first, moved, other)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    assert load_tokenizer("bytes").fingerprint not in fingerprints


def test_refuses_a_tokenizer_without_end_of_text(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path / "tokenizer.json", added=("<pad>",))
    sentence = refusal(str(path))
    assert sentence.startswith(f"tokenizer: got '{path}'"[:60])
    assert "no token that ends a document; must hold one of" in sentence


@pytest.mark.parametrize("content", ["{", "{}", '{"model": 3}'])
def test_refuses_a_file_that_is_no_tokenizer(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content, encoding="utf-8")
    assert f"{path} is not a tokenizer.json (" in refusal(str(path))


def test_refuses_a_file_that_does_not_exist() -> None:
    assert refusal("absent/tokenizer.json").startswith(
        "tokenizer: got 'absent/tokenizer.json'; there is no file absent/tokenizer.json"
    )


@pytest.mark.parametrize("name", ["nobody/no-model", "byte", "not a name"])
def test_refuses_a_hub_id_that_cannot_be_reached(name: str) -> None:
    sentence = refusal(name)
    assert sentence.startswith(f"tokenizer: got '{name}'; must be 'bytes', the path of")
    assert sentence.endswith(").")


def test_the_neox_tokenizer(shared_data: Path) -> None:
    tokenizer = load_tokenizer(str(shared_data / "20B_tokenizer.json"))
    (ids,) = tokenizer.encode_batch(["Hello world"])
    assert ids.tolist() == [12092, 1533]
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (50277, 0)
    assert ids.dtype == np.uint32
