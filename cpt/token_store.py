"""What a token store holds, whether it is whole, and how sequences are read from it.

    <storage>/tokens/<corpus_id>/
      tokens.bin     the documents one after another, each followed by end-of-text; uint16 where
                     the vocabulary fits, else uint32
      starts.bin     int64 [documents + 1], offset of each document's first token, then the total
      domains.bin    int16 [documents], index into the domains of meta.json
      hashes.bin     uint64 [documents], first 8 bytes of the BLAKE2b hash of the text
      meta.json      CorpusMeta, with the length and checksum of each of the others
      verified.json  size and time of the files whose checksums were last found right

All numbers are little-endian. `cpt.builder` builds it; readers need no tokenizer.
"""

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from cpt.files import read_json, write_json
from cpt.parsing import Frozen, parse

TOKENS, STARTS, DOMAINS, HASHES = "tokens.bin", "starts.bin", "domains.bin", "hashes.bin"
META, VERIFIED = "meta.json", "verified.json"
HASHES_AT_ONCE = 1 << 20
"""Documents that are compared at a time."""


class StoreError(ValueError):
    """A token store cannot be had; the message says why."""


class DamagedError(StoreError):
    """It is not what was built; the message says which file and how."""


class DomainMeta(Frozen):
    """One domain's part of a corpus.

    Attributes:
        name: As the domain column spells it, or the name of the source.
        documents: Number of documents.
        tokens: End-of-text included.
        bytes: UTF-8 bytes of the text, without end-of-text.
    """

    name: str
    documents: int
    tokens: int
    bytes: int


class FileMeta(Frozen):
    """One file of a store."""

    bytes: int
    sha256: str


class CorpusMeta(Frozen):
    """What `meta.json` holds.

    Attributes:
        corpus_id: Name of the store's directory.
        origin: Hash of how the text was asked for, wherever it led; recorded, not part of the id.
        path: The data set's `path` when it was built; recorded, not part of the id.
        split: train | validation.
        tokenizer: Its name when the store was built; recorded, not part of the id.
        vocab_size: Of the tokenizer.
        end_of_text: The id after every document.
        documents: Number of documents.
        empty: Documents without text, which were left out.
        tokens: End-of-text included.
        bytes: UTF-8 bytes of the text, without end-of-text.
        dtype: Of tokens.bin.
        domains: In order of first appearance; empty where the data set names no domain column.
        files: The other files by name.
    """

    corpus_id: str
    origin: str
    path: str
    split: Literal["train", "validation"]
    tokenizer: str
    vocab_size: int
    end_of_text: int
    documents: int
    empty: int
    tokens: int
    bytes: int
    dtype: Literal["uint16", "uint32"]
    domains: tuple[DomainMeta, ...]
    files: dict[str, FileMeta]

    @model_validator(mode="after")
    def _check(self) -> Self:
        sizes = {
            TOKENS: self.tokens * np.dtype(self.dtype).itemsize,
            STARTS: (self.documents + 1) * 8,
            DOMAINS: self.documents * 2,
            HASHES: self.documents * 8,
        }
        if {name: file.bytes for name, file in self.files.items()} != sizes:
            raise ValueError(f"files must be {sizes} bytes long")
        return self


class TokenStore:
    """A complete store, memory-mapped.

    Its checksums are compared when it is opened, unless `verified.json` says that they were right
    and no file was touched since: reading a large store whole takes a while.

    Attributes:
        path: Its directory.
        meta: What it holds.
        tokens: uint16 or uint32 [tokens], read-only.
        starts: int64 [documents + 1], offsets into `tokens`.
        domains: int16 [documents], indices into `meta.domains`; all 0 where that is empty.
        hashes: uint64 [documents].

    Raises:
        DamagedError: A file is missing, or is not what was written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meta = read_meta(path)
        verify(path, self.meta)
        documents, token = self.meta.documents, np.dtype(self.meta.dtype)
        self.tokens = _mapped(path / TOKENS, token, self.meta.tokens)
        self.starts = _mapped(path / STARTS, np.dtype(np.int64), documents + 1)
        self.domains = _mapped(path / DOMAINS, np.dtype(np.int16), documents)
        self.hashes = _mapped(path / HASHES, np.dtype(np.uint64), documents)

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
        return self.rows(indices, sequence_length).astype(np.int64)

    def rows(self, index: np.ndarray, sequence_length: int) -> np.ndarray:
        """What `sequence` returns, as stored: uint16 or uint32 [n, L + 1]."""
        count = self.num_sequences(sequence_length)
        if index.size and not 0 <= index.min() <= index.max() < count:
            raise IndexError(f"sequences {index.min()} to {index.max()} of {count}")
        # Neighbours overlap by a token, so whole rows are copied without an offset for each token.
        tokens, size = self.tokens, self.tokens.itemsize
        windows = np.lib.stride_tricks.as_strided(
            tokens, (count, sequence_length + 1), (sequence_length * size, size), writeable=False
        )
        return windows[index]

    def domain_tokens(self, index: np.ndarray, sequence_length: int) -> np.ndarray:
        """How many of the tokens that some sequences predict are of each domain.

        Args:
            index: int64 [n], each in [0, num_sequences); one that stands twice counts twice.
            sequence_length: L, tokens predicted in one sequence.

        Returns:
            int64 [domains], summing to n * L; of one number where `meta.domains` is empty.
        """
        starts, domains = self.starts, self.domains
        begin = index * sequence_length + 1
        end = begin + sequence_length
        first = np.searchsorted(starts, begin, side="right") - 1
        number = np.searchsorted(starts, end, side="left") - first
        # A line for each document of each sequence: which one, and how far the two overlap.
        sequence = np.repeat(np.arange(index.size), number)
        before = np.cumsum(number) - number
        document = first[sequence] + np.arange(sequence.size) - before[sequence]
        overlap = np.minimum(starts[document + 1], end[sequence])
        overlap -= np.maximum(starts[document], begin[sequence])
        # Sums of floats, exact below 2^53.
        tokens = np.bincount(domains[document], overlap, max(len(self.meta.domains), 1))
        return tokens.astype(np.int64)


def read_meta(path: Path) -> CorpusMeta:
    """What a store says of itself.

    Raises:
        DamagedError: There is no store, or `meta.json` is damaged.
    """
    try:
        return parse(CorpusMeta, read_json(path / META))
    except FileNotFoundError as error:
        raise DamagedError(f"{path / META} does not exist") from error
    except ValueError as error:
        reason = " ".join(str(error).split())  # of several faults each has a line
        raise DamagedError(f"{path / META} is damaged ({reason})") from error


def verify(path: Path, meta: CorpusMeta) -> None:
    """Compares every file with what was written.

    Raises:
        DamagedError: A file is missing, or of another size or content.
    """
    known = _verified(path)
    stamps = {}
    for name, written in meta.files.items():
        file = path / name
        try:
            stamp = stamp_of(file)
        except FileNotFoundError as error:
            raise DamagedError(f"{file} is missing") from error
        if stamp[0] != written.bytes:
            raise DamagedError(
                f"{file} has {stamp[0]} bytes, not the {written.bytes} that were written"
            )
        if known.get(name) != stamp and sha256(file) != written.sha256:
            raise DamagedError(f"{file} does not hold what was written: its checksum is another")
        stamps[name] = stamp
    if stamps != known:
        # Where a reader may not write, the next one verifies again.
        with contextlib.suppress(PermissionError):
            write_json(path / VERIFIED, stamps)


def stamp_of(file: Path) -> list[int]:
    """Size in bytes and time of the last change in ns: what tells that a file was touched."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def sha256(file: Path) -> str:
    """Of a whole file, read in pieces."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def shared_documents(held_out: TokenStore, training: Sequence[TokenStore]) -> int:
    """How many held-out documents stand, word for word, in training data; told by their hashes.

    Memory: the hashes of what is held out, and a piece of the others.
    """
    hashes, copies = np.unique(held_out.hashes, return_counts=True)
    shared = np.zeros(len(hashes), dtype=bool)
    for store in training:
        for start in range(0, len(store.hashes), HASHES_AT_ONCE):
            piece = store.hashes[start : start + HASHES_AT_ONCE]
            places = np.searchsorted(hashes, piece).clip(max=len(hashes) - 1)
            shared[places[hashes[places] == piece]] = True
    return int(copies[shared].sum())


def _verified(path: Path) -> Mapping[str, Any]:
    """What `verified.json` says; damaged, it says nothing."""
    try:
        return read_json(path / VERIFIED)
    except (FileNotFoundError, ValueError):
        return {}


def _mapped(file: Path, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
    """A plain view of a memory map, whose own slices are slow."""
    mapped = np.memmap(file, dtype=dtype.newbyteorder("<"), mode="r", shape=(count,))
    return mapped.view(np.ndarray)
