"""Text to token ids: raw bytes, or the byte-level and sub-word tokenizers of Hugging Face.

A tokenizer is known by its `fingerprint`, the hash of what it is made of: the same file at
another path, or reached through the hub, is the same tokenizer.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer as Encoder

from cpt.parsing import ConfigError, shown

END_OF_TEXT_NAMES = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "</s>",
    "<eos>",
    "<|eos|>",
    "[EOS]",
    "<end_of_text>",
)
"""What the added token between documents is called, tried in this order."""


class Tokenizer(Protocol):
    """Text to ids.

    Attributes:
        name: As written in the sweep file.
        vocab_size: One more than the highest id, `end_of_text` included.
        end_of_text: The id that follows every document.
        fingerprint: 64 hex digits; equal where the same text becomes the same ids.
    """

    name: str
    vocab_size: int
    end_of_text: int
    fingerprint: str

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text: 1-d integer arrays, without end-of-text."""
        ...


class ByteTokenizer:
    """UTF-8 bytes are the ids 0..255; 256 ends a document."""

    name = "bytes"
    vocab_size = 257
    end_of_text = 256
    fingerprint = hashlib.sha256(b"rewarm utf-8 bytes, end of text 256").hexdigest()

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The UTF-8 bytes of each text, uint8."""
        return [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]


class FileTokenizer:
    """A `tokenizer.json` of the tokenizers library.

    Text that spells a special token is encoded as text: a document cannot end itself.

    Args:
        name: As written in the sweep file.
        path: The file.
        field: Dotted name of the field, for refusals.

    Raises:
        ConfigError: The file cannot be read, or has no end-of-text token.
    """

    def __init__(self, name: str, path: Path, field: str) -> None:
        content = _read(name, path, field)
        try:
            encoder: Encoder = Encoder.from_str(content)
        except Exception as error:  # tokenizers raises nothing finer
            raise ConfigError(
                [f"{field}: got {shown(name)}; {path} is not a tokenizer.json ({error})."]
            ) from error
        encoder.no_padding()
        encoder.no_truncation()
        encoder.encode_special_tokens = True
        added = {
            token.content: number for number, token in encoder.get_added_tokens_decoder().items()
        }
        ends = [added[end] for end in END_OF_TEXT_NAMES if end in added]
        if not ends:
            raise ConfigError(
                [
                    f"{field}: got {shown(name)}; {path} has no token that ends a document; must "
                    f"hold one of the added tokens {', '.join(END_OF_TEXT_NAMES)}."
                ]
            )
        self.name = name
        self.vocab_size = max(encoder.get_vocab(with_added_tokens=True).values()) + 1
        self.end_of_text = ends[0]
        self.fingerprint = hashlib.sha256(content.encode()).hexdigest()
        self._encoder = encoder

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text, uint32."""
        encodings = self._encoder.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]


def load_tokenizer(name: str, field: str = "tokenizer") -> Tokenizer:
    """Finds a tokenizer.

    Args:
        name: `bytes`; the path of a `tokenizer.json` or of a directory that holds one; anything
            else is the id of a model on the Hugging Face hub.
        field: Dotted name of the field, for refusals.

    Raises:
        ConfigError: There is none, it cannot be read, or it has no end-of-text token.
    """
    if name == "bytes":
        return ByteTokenizer()
    return FileTokenizer(name, tokenizer_file(name, field), field)


def tokenizer_file(name: str, field: str) -> Path:
    """The `tokenizer.json` of any tokenizer but `bytes`; may be missing where `name` is a path.

    Raises:
        ConfigError: It is on the hub, which cannot be reached.
    """
    path = Path(name)
    if path.is_dir():
        return path / "tokenizer.json"
    if path.suffix != ".json" and not path.exists():
        return _from_hub(name, field)
    return path


def _from_hub(name: str, field: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "tokenizer.json"))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(
            [
                f"{field}: got {shown(name)}; must be 'bytes', the path of a tokenizer.json, or a "
                f"hub id that can be reached or is in the cache ({reason})."
            ]
        ) from error


def _read(name: str, path: Path, field: str) -> str:
    try:
        content = path.read_text(encoding="utf-8")
        json.loads(content)
    except FileNotFoundError as error:
        raise ConfigError(
            [
                f"{field}: got {shown(name)}; there is no file {path} (relative paths start at "
                f"{Path.cwd()})."
            ]
        ) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            [f"{field}: got {shown(name)}; {path} is not a tokenizer.json ({error})."]
        ) from error
    return content
