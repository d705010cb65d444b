"""Any text data set to packed tokens, cached by content and shared by all sweeps.

`cpt.token_store` says what a store holds. The id is a hash of the source's content, the columns
read and the tokenizer: the same text at another path is the same corpus. A store is built aside
and renamed when complete, so a store that exists is whole.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from cpt.dataset_config import DatasetConfig
from cpt.parsing import ConfigError, shown
from cpt.records import ResultTree, write_json
from cpt.sources import Document, Split, documents, fingerprint
from cpt.token_store import CorpusMeta, DomainMeta, TokenStore
from cpt.tokenizer import Tokenizer

__all__ = ["CorpusMeta", "DomainMeta", "Split", "TokenStore", "build", "corpus_id"]

STORE_VERSION = 1
"""Enters every corpus id; raised when the same text is packed differently."""

BATCH_CHARACTERS = 2_000_000
"""Text that is held and tokenized at once; one longer document is a batch of its own."""

MAX_DOMAINS = 1000
"""More means that the column does not name domains; int16 would hold 32,767."""

ABANDONED_SECONDS = 24 * 3600
"""A half-built store untouched for so long belongs to a builder that was killed."""


def corpus_id(dataset: DatasetConfig, split: Split, tokenizer: Tokenizer, field: str) -> str:
    """The store's name: 16 hex digits of a hash of what determines its tokens.

    Reads the files of the data set once, but tokenizes nothing.

    Args:
        dataset: The data set.
        split: Which of its two.
        tokenizer: What packs it.
        field: Dotted name of the data set, e.g. `datasets.german`, for refusals.

    Raises:
        ConfigError: A file or the data set is missing or cannot be read.
    """
    content = {
        "version": STORE_VERSION,
        "source": fingerprint(dataset, split, field),
        "text": dataset.text,
        "domain": dataset.domain,
        "split": split,
        "tokenizer": tokenizer.fingerprint,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def build(
    dataset: DatasetConfig, split: Split, tokenizer: Tokenizer, tree: ResultTree, field: str
) -> TokenStore:
    """The store of a split: the one that exists, or else a new one.

    Two builders of one store do not disturb each other: the first to finish wins.

    Args:
        dataset: The data set.
        split: Which of its two.
        tokenizer: What packs it.
        tree: Where it is kept.
        field: Dotted name of the data set, e.g. `datasets.german`, for refusals.

    Raises:
        ConfigError: The data set is missing, cannot be read, lacks a column or holds no text.
    """
    name = corpus_id(dataset, split, tokenizer, field)
    path = tree.tokens(name)
    if path.exists():
        return TokenStore(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    aside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=path.parent))
    try:
        _write(aside, name, dataset, split, tokenizer, field)
        aside.chmod(0o755)  # mkdtemp lets only its owner in; sweeps are shared
        _publish(aside, path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return TokenStore(path)


def _publish(aside: Path, path: Path) -> None:
    try:
        aside.rename(path)
    except OSError:
        if not path.exists():
            raise


def _remove_abandoned(path: Path) -> None:
    for leftover in path.parent.glob(f".{path.name}.*"):
        try:
            touched = max(file.stat().st_mtime for file in (leftover, *leftover.iterdir()))
        except FileNotFoundError:  # its builder has just published it
            continue
        if time.time() - touched > ABANDONED_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)


def _write(
    folder: Path,
    name: str,
    dataset: DatasetConfig,
    split: Split,
    tokenizer: Tokenizer,
    field: str,
) -> None:
    """Fills `folder` with a whole store, meta.json last. Memory: one batch and the index."""
    dtype: Literal["uint16", "uint32"] = "uint16" if tokenizer.vocab_size <= 2**16 else "uint32"
    on_disk = np.dtype(dtype).newbyteorder("<")
    starts, domains, text_bytes = array("q", [0]), array("h"), array("q")
    domain_names: dict[str | None, int] = {}
    digest = hashlib.sha256()
    with (folder / "tokens.bin").open("wb") as file:
        for batch in _batches(documents(dataset, split, field)):
            encoded = tokenizer.encode_batch([document.text for document in batch])
            for document, ids in zip(batch, encoded, strict=True):
                packed = np.append(ids, tokenizer.end_of_text).astype(on_disk).tobytes()
                file.write(packed)
                digest.update(packed)
                starts.append(starts[-1] + len(ids) + 1)
                domains.append(domain_names.setdefault(document.domain, len(domain_names)))
                text_bytes.append(len(document.text.encode()))
            _check_domains(len(domain_names), dataset, field)
        file.flush()
        os.fsync(file.fileno())
    if not domains:
        raise ConfigError([_empty(dataset, split, field)])
    np.save(folder / "starts.npy", np.frombuffer(starts, dtype=np.int64))
    np.save(folder / "domains.npy", np.frombuffer(domains, dtype=np.int16))
    lengths = np.diff(np.frombuffer(starts, dtype=np.int64))
    sizes = np.frombuffer(text_bytes, dtype=np.int64)
    labels = np.frombuffer(domains, dtype=np.int16)
    meta = CorpusMeta(
        corpus_id=name,
        path=dataset.path,
        split=split,
        tokenizer=tokenizer.name,
        vocab_size=tokenizer.vocab_size,
        end_of_text=tokenizer.end_of_text,
        documents=len(labels),
        tokens=starts[-1],
        bytes=int(sizes.sum()),
        dtype=dtype,
        domains=tuple(
            DomainMeta(
                name=domain,
                documents=int((labels == number).sum()),
                tokens=int(lengths[labels == number].sum()),
                bytes=int(sizes[labels == number].sum()),
            )
            for domain, number in domain_names.items()
            if domain is not None
        ),
        sha256=digest.hexdigest(),
    )
    write_json(folder / "meta.json", meta.model_dump(mode="json"))


def _batches(found: Iterator[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in found:
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _check_domains(count: int, dataset: DatasetConfig, field: str) -> None:
    if count > MAX_DOMAINS:
        raise ConfigError(
            [
                f"{field}.domain: got {shown(dataset.domain)}; must be a column of at most "
                f"{MAX_DOMAINS} different names, for each is evaluated by itself."
            ]
        )


def _empty(dataset: DatasetConfig, split: Split, field: str) -> str:
    given = list(getattr(dataset, split)) or dataset.path
    return (
        f"{field}.{split}: got {shown(given)}; the {split} set is empty, must hold at least one "
        f"document with text in {shown(dataset.text)}."
    )
