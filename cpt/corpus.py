"""Packed tokens of any text data set, cached by content and shared by all sweeps.

    <storage>/tokens/<corpus_id>/
      tokens.bin     the documents one after another, each followed by end-of-text; uint16 where
                     the vocabulary fits, else uint32; little-endian
      starts.npy     int64 [documents + 1], offset of each document's first token, then the total
      domains.npy    int16 [documents], index into the domains of meta.json
      meta.json      CorpusMeta

The id is a hash of the source's content, the columns read and the tokenizer: the same text at
another path is the same corpus. A store is built aside and renamed when complete, so a store that
exists is whole.
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

from cpt.config import DatasetConfig
from cpt.parsing import ConfigError, Frozen, shown
from cpt.records import ResultTree, read_json, write_json
from cpt.sources import Document, Split, documents, fingerprint
from cpt.tokenizer import Tokenizer

STORE_VERSION = 1
"""Enters every corpus id; raised when the same text is packed differently."""

BATCH_CHARACTERS = 2_000_000
"""Text that is held and tokenized at once; one longer document is a batch of its own."""

MAX_DOMAINS = 1000
"""More means that the column does not name domains; int16 would hold 32,767."""

ABANDONED_SECONDS = 24 * 3600
"""A half-built store untouched for so long belongs to a builder that was killed."""


class DomainMeta(Frozen):
    """One domain's part of a corpus.

    Attributes:
        name: As the domain column spells it.
        documents: Number of documents.
        tokens: End-of-text included.
        bytes: UTF-8 bytes of the text, without end-of-text.
    """

    name: str
    documents: int
    tokens: int
    bytes: int


class CorpusMeta(Frozen):
    """What `meta.json` holds.

    Attributes:
        corpus_id: Name of the store's directory.
        path: The data set's `path` when it was built; recorded, not part of the id.
        split: train | validation.
        tokenizer: Its name when the store was built; recorded, not part of the id.
        vocab_size: Of the tokenizer.
        end_of_text: The id after every document.
        documents: Number of documents.
        tokens: End-of-text included.
        bytes: UTF-8 bytes of the text, without end-of-text.
        dtype: Of tokens.bin.
        domains: In order of first appearance; empty where the data set names no domain column.
        sha256: Of tokens.bin.
    """

    corpus_id: str
    path: str
    split: Split
    tokenizer: str
    vocab_size: int
    end_of_text: int
    documents: int
    tokens: int
    bytes: int
    dtype: Literal["uint16", "uint32"]
    domains: tuple[DomainMeta, ...]
    sha256: str


class TokenStore:
    """A complete store, memory-mapped.

    Attributes:
        path: Its directory.
        meta: What it holds.
        tokens: uint16 or uint32 [tokens], read-only.
        starts: int64 [documents + 1], offsets into `tokens`.
        domains: int16 [documents], indices into `meta.domains`; all 0 where that is empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meta = CorpusMeta.model_validate(read_json(path / "meta.json"))
        dtype = np.dtype(self.meta.dtype).newbyteorder("<")
        self.tokens = np.memmap(
            path / "tokens.bin", dtype=dtype, mode="r", shape=(self.meta.tokens,)
        )
        self.starts: np.ndarray = np.load(path / "starts.npy", mmap_mode="r")
        self.domains: np.ndarray = np.load(path / "domains.npy", mmap_mode="r")

    def num_sequences(self, sequence_length: int) -> int:
        """Whole sequences in one epoch.

        Neighbours share one token, so each token but the first is predicted at most once, and
        those of a tail shorter than a sequence never.
        """
        return (self.meta.tokens - 1) // sequence_length

    def sequence(self, index: int | np.ndarray, sequence_length: int) -> np.ndarray:
        """Inputs and targets of some sequences.

        Args:
            index: One index or an integer array [n], each in [0, num_sequences).
            sequence_length: L, tokens predicted in one sequence.

        Returns:
            int64 [n, L + 1]; row i holds tokens[index[i] * L : index[i] * L + L + 1].

        Raises:
            IndexError: An index is out of range.
        """
        indices = np.atleast_1d(np.asarray(index, dtype=np.int64))
        count = self.num_sequences(sequence_length)
        if indices.size and not 0 <= indices.min() <= indices.max() < count:
            raise IndexError(f"sequences {indices.min()} to {indices.max()} of {count}")
        offsets = indices[:, None] * sequence_length + np.arange(sequence_length + 1)
        return np.asarray(self.tokens[offsets], dtype=np.int64)


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
        touched = max(file.stat().st_mtime for file in (leftover, *leftover.iterdir()))
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
