"""The tokenizer that made a token store, in the form that transformers' AutoTokenizer loads."""

import shutil
from pathlib import Path

from tokenizers import AddedToken, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as Encoder

from cpt.files import write_json
from cpt.parsing import ConfigError, shown
from cpt.token_store import CorpusMeta
from cpt.tokenizer import ByteTokenizer, load_tokenizer, tokenizer_file

END_OF_TEXT = "<|endoftext|>"
"""What id 256 of the byte tokenizer is called."""


def write_tokenizer(meta: CorpusMeta, folder: Path, max_length: int) -> None:
    """Writes `tokenizer.json` and `tokenizer_config.json`.

    As everywhere in transformers, text that spells the end-of-text token becomes that token; a
    token store has it as text.

    Args:
        meta: Of the store.
        folder: Where.
        max_length: Tokens the model was trained for.

    Raises:
        ConfigError: The tokenizer is no longer where it was, or has changed; nothing is written.
    """
    if meta.tokenizer == ByteTokenizer.name:
        encoder = byte_encoder()
        encoder.save(str(folder / "tokenizer.json"))
    else:
        source = tokenizer_file(meta.tokenizer, "tokenizer")
        found = load_tokenizer(meta.tokenizer)
        for name in ("vocab_size", "end_of_text"):
            before, now = getattr(meta, name), getattr(found, name)
            if before != now:
                raise ConfigError(
                    [
                        f"tokenizer: got {shown(meta.tokenizer)}; {source} has changed since the "
                        f"text was packed: its {name} was {before} and is {now}."
                    ]
                )
        shutil.copyfile(source, folder / "tokenizer.json")
        encoder = Encoder.from_file(str(source))
    end = encoder.id_to_token(meta.end_of_text)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": end,
            "eos_token": end,
            "model_max_length": max_length,
            # Decoded text is the text that was encoded.
            "clean_up_tokenization_spaces": False,
            # Without token types, which these models do not take.
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )


def byte_encoder() -> Encoder:
    """The `ByteTokenizer` in the tokenizers library: an id is a byte, 256 ends a text."""
    encoder: Encoder = Encoder(models.BPE(vocab=_byte_names(), merges=[]))
    encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    encoder.decoder = decoders.ByteLevel()
    encoder.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False)])
    return encoder


def _byte_names() -> dict[str, int]:
    """The character that stands for each byte: itself where it prints, else one from U+0100 on.

    As in GPT-2's encoder, whose alphabet the library's ByteLevel has built in.
    """
    printed = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    names, others = {}, 0
    for byte in range(256):
        if byte not in printed:
            names[chr(256 + others)] = byte
            others += 1
        else:
            names[chr(byte)] = byte
    return names
