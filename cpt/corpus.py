"""What a data set is packed into, and the names of those stores.

A name is a hash of the source's content, the columns read and the tokenizer: the same text at
another path is the same corpus. `cpt.builder` packs them; `cpt.token_store` says what they hold.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cpt.dataset_config import AnyDatasetConfig, SourceConfig, content_of, source_field
from cpt.digests import Digests
from cpt.parsing import ConfigError
from cpt.sources import Split, fingerprint, pinned
from cpt.tokenizer import Tokenizer

STORE_VERSION = 1
"""Enters every corpus id; raised when the same text is packed differently."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One store that a data set needs: a source's training text, or what all of them hold out.

    Attributes:
        id: Its name, 16 hex digits of a hash of what determines its tokens.
        split: train | validation.
        sources: What it is packed from, by name; `pinned`.
        fingerprints: Of each of them, by name; see `cpt.sources.fingerprint`.
        origin: Hash of how that was asked for, wherever it led.
        label: How to call it.
    """

    id: str
    split: Split
    sources: Mapping[str, SourceConfig]
    fingerprints: Mapping[str, str]
    origin: str
    label: str


def corpora(
    dataset: AnyDatasetConfig, tokenizer: Tokenizer, field: str, digests: Digests
) -> list[Corpus]:
    """What a data set is packed into: training text source by source, then what is held out.

    Reads files that were not read before, but tokenizes nothing.

    Args:
        dataset: The data set.
        tokenizer: What packs it.
        field: Dotted name of the data set, e.g. `datasets.german`, for refusals.
        digests: Checksums of files that were read before.

    Raises:
        ConfigError: A file or the data set is missing or cannot be read.
    """
    sources: dict[str, SourceConfig] = {}
    contents: dict[Split, dict[str, dict[str, Any]]] = {"train": {}, "validation": {}}
    faults: list[str] = []
    for name, asked in dataset.sources.items():
        place = source_field(field, name)
        try:
            source = sources[name] = pinned(asked, place)
        except ConfigError as error:
            faults += error.faults
            continue
        for split, found in contents.items():
            try:
                source_hash = fingerprint(source, split, place, digests)
            except ConfigError as error:
                faults += error.faults
                continue
            found[name] = {"source": source_hash, "text": source.text, "domain": source.domain}
    if faults:
        raise ConfigError(dict.fromkeys(faults))
    label = field.removeprefix("datasets.")
    wanted = [
        _corpus(
            f"{label}/{name}" if name else label,
            "train",
            {name: asked},
            {name: sources[name]},
            {name: contents["train"][name]},
            tokenizer,
        )
        for name, asked in dataset.sources.items()
    ]
    held_out = contents["validation"]
    return [*wanted, _corpus(label, "validation", dataset.sources, sources, held_out, tokenizer)]


def _corpus(
    label: str,
    split: Split,
    asked: Mapping[str, SourceConfig],
    sources: Mapping[str, SourceConfig],
    contents: Mapping[str, Mapping[str, Any]],
    tokenizer: Tokenizer,
) -> Corpus:
    packing = {"version": STORE_VERSION, "split": split, "tokenizer": tokenizer.fingerprint}
    # The name of a source is a domain of what is held out, and nothing to its training text.
    alone = split == "train" or "" in contents
    content = next(iter(contents.values())) if alone else {"sources": list(contents.items())}
    origin = [[name, content_of(source)] for name, source in asked.items()]
    return Corpus(
        id=_hash({**packing, **content})[:16],
        split=split,
        sources=sources,
        fingerprints={name: content["source"] for name, content in contents.items()},
        origin=_hash({**packing, "asked": origin}),
        label=f"{label} {split}",
    )


def _hash(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
