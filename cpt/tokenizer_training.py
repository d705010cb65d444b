"""Trains a byte-level BPE on the training data of a sweep, once, and keeps it by what made it.

    <storage>/tokenizers/<id>/
      tokenizer.json   as the tokenizers library writes it; the end of a text is <|endoftext|>
      recipe.json      what it was trained on

States know it by what it holds: the fingerprint of its file enters the id of every token store,
and those enter the id of every state.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import tokenizers
from filelock import FileLock
from tokenizers import Tokenizer as Encoder
from tokenizers import decoders, models, pre_tokenizers, trainers

from cpt.cutting import is_held_out
from cpt.dataset_config import AnyDatasetConfig, SourceConfig, source_field
from cpt.digests import Digests
from cpt.files import write_json, write_text
from cpt.mirror import Mirror
from cpt.parsing import ConfigError
from cpt.records import ResultTree
from cpt.sources import documents, fingerprint, pinned
from cpt.tokenizer import END_OF_TEXT_NAMES, FileTokenizer
from cpt.tokenizer_config import TrainedTokenizerConfig

RECIPE_VERSION = 1
"""Raised when the same text gives another tokenizer."""


def trained_tokenizer(
    config: TrainedTokenizerConfig,
    datasets: Mapping[str, AnyDatasetConfig],
    tree: ResultTree,
    digests: Digests,
    say: Callable[[str], None],
) -> FileTokenizer:
    """The tokenizer: the one that exists, or else a new one.

    Args:
        config: What to train.
        datasets: All data sets of the sweep; those that it is trained on are read.
        tree: Where it is kept.
        digests: Checksums of files that were read before.
        say: Told of work that takes a while.

    Raises:
        ConfigError: A data set is missing, cannot be read, lacks a column or holds no text.
    """
    parts = [
        part for name in config.train_on for part in _parts(datasets[name], f"datasets.{name}")
    ]
    recipe = _recipe(config, parts, digests)
    name = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    folder = tree.tokenizer(name)
    file = folder / "tokenizer.json"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{name}.lock"):
        mirror = Mirror.of(tree)
        mirror.fetch(file)
        if not file.exists():
            say(f"training a tokenizer: {config.label}")
            content = _train(config, parts)
            write_json(folder / "recipe.json", recipe)
            write_text(file, content)
            mirror.send(folder / "recipe.json")
            mirror.send(file)
    return FileTokenizer(str(file), file, "tokenizer")


class _Part(NamedTuple):
    """A source that is read, pinned; its dotted name, and its weight in its data set."""

    source: SourceConfig
    place: str
    weight: Fraction


def _parts(dataset: AnyDatasetConfig, field: str) -> list[_Part]:
    found = []
    for name, source in dataset.sources.items():
        place = source_field(field, name)
        found.append(_Part(pinned(source, place), place, dataset.weights[name]))
    return found


def _recipe(
    config: TrainedTokenizerConfig, parts: Sequence[_Part], digests: Digests
) -> dict[str, Any]:
    """What determines the tokenizer, as plain JSON values."""
    sources = [
        [fingerprint(part.source, "train", part.place, digests), part.source.text, str(part.weight)]
        for part in parts
    ]
    return {
        "version": RECIPE_VERSION,
        "library": tokenizers.__version__,
        "sources": sources,
        "vocab_size": config.vocab_size,
        "max_bytes": config.max_bytes,
    }


def _train(config: TrainedTokenizerConfig, parts: Sequence[_Part]) -> str:
    """The content of tokenizer.json."""
    encoder: Encoder = Encoder(models.BPE())
    encoder.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    encoder.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        special_tokens=[END_OF_TEXT_NAMES[0]],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    found = _texts(config, parts)
    with contextlib.closing(found):
        first = next(found, None)
        if first is None:
            raise ConfigError(
                ["tokenizer.train_on: the data sets hold no text; name others, or a tokenizer."]
            )

        def all_of_them() -> Iterator[str]:
            yield first
            yield from found

        encoder.train_from_iterator(all_of_them(), trainer=trainer)
    return str(encoder.to_str(pretty=True))


def _texts(config: TrainedTokenizerConfig, parts: Sequence[_Part]) -> Generator[str]:
    """The first training texts of every data set; what is held out is not read."""
    for source, place, weight in parts:
        left = int(config.max_bytes * weight)
        texts = (text for batch in documents(source, "train", place) for text in batch.texts)
        for text in texts:
            if is_held_out(text, source.validation_share):
                continue
            left -= len(text.encode())
            if left < 0:
                break
            yield text
