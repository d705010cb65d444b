"""Writes a token store as its documents come; memory does not grow with the corpus."""

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from cpt.files import write_json
from cpt.packing import Packed, token_dtype
from cpt.parsing import ConfigError, shown
from cpt.token_store import (
    DOMAINS,
    HASHES,
    META,
    STARTS,
    TOKENS,
    VERIFIED,
    CorpusMeta,
    DomainMeta,
    FileMeta,
    StoreError,
    stamp_of,
)
from cpt.tokenizer import Tokenizer

MAX_DOMAINS = 1000
"""More means that the column does not name domains; int16 would hold 32,767."""


class StoreWriter:
    """A store in the making.

    Args:
        folder: Where it is written; nobody reads it before it is published.
        tokenizer: What packed its documents.
    """

    def __init__(self, folder: Path, tokenizer: Tokenizer) -> None:
        self.folder, self._tokenizer = folder, tokenizer
        self._files = {name: _Checked(folder / name) for name in (TOKENS, STARTS, DOMAINS, HASHES)}
        self._files[STARTS].write(np.zeros(1, dtype="<i8"))
        # None: the source names no domains, and is not one of several.
        self._numbers: dict[str | None, int] = {}
        self._documents, self._tokens, self._bytes = Counter[int](), Counter[int](), Counter[int]()
        self._empty = self._end = 0

    def append(self, batch: Packed, source: str, domain_field: str) -> None:
        """Adds documents.

        Args:
            batch: The documents.
            source: Of a data set of several sources, whose names are domains; else empty.
            domain_field: Dotted name of the field that names the domain column.

        Raises:
            ConfigError: There are too many domains.
            StoreError: The disk is full, or cannot be written.
        """
        self._empty += batch.empty
        if not len(batch.lengths):
            return
        labels = self._labels(batch, source, domain_field)
        self._files[TOKENS].write(batch.tokens)
        self._files[STARTS].write((self._end + np.cumsum(batch.lengths)).astype("<i8"))
        self._files[DOMAINS].write(labels.astype("<i2"))
        self._files[HASHES].write(batch.hashes.astype("<u8"))
        self._end += int(batch.lengths.sum())
        for number in np.unique(labels).tolist():
            mine = labels == number
            self._documents[number] += int(mine.sum())
            self._tokens[number] += int(batch.lengths[mine].sum())
            self._bytes[number] += int(batch.sizes[mine].sum())

    def _labels(self, batch: Packed, source: str, domain_field: str) -> NDArray[np.int64]:
        """The number of each document's domain."""
        names: list[str | None] = [source or None] * len(batch.lengths)
        if batch.domains is not None:
            names = [f"{source}/{name}" if source else name for name in batch.domains]
        labels = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        if len(self._numbers) > MAX_DOMAINS:
            raise ConfigError(
                [
                    f"{domain_field}: got a column with {len(self._numbers)} different names, "
                    f"{shown(list(self._numbers)[-1])} the last of them; must have at most "
                    f"{MAX_DOMAINS}, for each is evaluated by itself; name another column, or none."
                ]
            )
        return np.array(labels, dtype=np.int64)

    @property
    def is_empty(self) -> bool:
        """Whether it holds no document."""
        return self._end == 0

    def finish(
        self, *, corpus_id: str, origin: str, path: str, split: Literal["train", "validation"]
    ) -> None:
        """Writes meta.json, after which the folder is a store; see `CorpusMeta` for the arguments.

        Raises:
            StoreError: The disk is full, or cannot be written.
        """
        files = {name: file.finish() for name, file in self._files.items()}
        dtype: Literal["uint16", "uint32"] = (
            "uint16" if token_dtype(self._tokenizer).itemsize == 2 else "uint32"
        )
        meta = CorpusMeta(
            corpus_id=corpus_id,
            origin=origin,
            path=path,
            split=split,
            tokenizer=self._tokenizer.name,
            vocab_size=self._tokenizer.vocab_size,
            end_of_text=self._tokenizer.end_of_text,
            documents=self._documents.total(),
            empty=self._empty,
            tokens=self._end,
            bytes=self._bytes.total(),
            dtype=dtype,
            domains=tuple(
                DomainMeta(
                    name=name,
                    documents=self._documents[number],
                    tokens=self._tokens[number],
                    bytes=self._bytes[number],
                )
                for name, number in self._numbers.items()
                if name is not None
            ),
            files=files,
        )
        try:
            write_json(self.folder / META, meta.model_dump(mode="json"))
            # What was written a moment ago needs no reader to reckon its checksums.
            stamps = {name: stamp_of(self.folder / name) for name in files}
            write_json(self.folder / VERIFIED, stamps)
        except OSError as error:
            raise StoreError(
                f"{self.folder / META} cannot be written ({error.strerror}); make room, and the "
                "next run packs it anew."
            ) from error

    def close(self) -> None:
        """Lets go of the files, finished or not."""
        for file in self._files.values():
            file.close()


class _Checked:
    """A file that is written from its beginning to its end, and its checksum."""

    def __init__(self, path: Path) -> None:
        self._path, self._size, self._digest = path, 0, hashlib.sha256()
        self._file: BinaryIO = path.open("wb")

    def write(self, array: NDArray[np.generic]) -> None:
        content = array.tobytes()
        try:
            self._file.write(content)
        except OSError as error:
            raise self._failed(error, len(content)) from error
        self._digest.update(content)
        self._size += len(content)

    def finish(self) -> FileMeta:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise self._failed(error, 0) from error
        return FileMeta(bytes=self._size, sha256=self._digest.hexdigest())

    def close(self) -> None:
        try:
            self._file.close()
        except OSError:  # what was buffered found no room either; the folder is thrown away
            return

    def _failed(self, error: OSError, size: int) -> StoreError:
        free = shutil.disk_usage(self._path.parent).free
        return StoreError(
            f"{self._path} cannot be written ({error.strerror}): it needs more than the "
            f"{self._size + size} bytes that it has come to, and {free} are free there; make room, "
            "and the next run packs it anew."
        )
