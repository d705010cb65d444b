"""What a token store holds, and how sequences are read from it.

    <storage>/tokens/<corpus_id>/
      tokens.bin     the documents one after another, each followed by end-of-text; uint16 where
                     the vocabulary fits, else uint32; little-endian
      starts.npy     int64 [documents + 1], offset of each document's first token, then the total
      domains.npy    int16 [documents], index into the domains of meta.json
      meta.json      CorpusMeta

`cpt.corpus` builds it. Readers need neither tokenizers nor datasets.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from cpt.parsing import Frozen
from cpt.records import read_json


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
    split: Literal["train", "validation"]
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
        return self.rows(indices, sequence_length).astype(np.int64)

    def rows(self, index: np.ndarray, sequence_length: int) -> np.ndarray:
        """What `sequence` returns, as stored: uint16 or uint32 [n, L + 1]."""
        count = self.num_sequences(sequence_length)
        if index.size and not 0 <= index.min() <= index.max() < count:
            raise IndexError(f"sequences {index.min()} to {index.max()} of {count}")
        # Neighbours overlap by a token, so whole rows are copied without an offset for each token.
        tokens, size = np.asarray(self.tokens), self.tokens.itemsize
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
        starts, domains = np.asarray(self.starts), np.asarray(self.domains)
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
