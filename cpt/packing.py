"""Texts to packed tokens, on as many processes as there are cores.

One process reads and writes, the others tokenize; batches come back in the order they were read.
Memory: the batches under way, a few for each process, and the longest document.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cpt.cutting import document_hash
from cpt.sources import Documents
from cpt.tokenizer import Tokenizer

BATCH_CHARACTERS = 1_000_000
"""Text that is tokenized at once; one longer document is a batch of its own."""

ALONE_BATCHES = 4
"""Batches that the reading process tokenizes itself: starting others takes half a second."""

BATCHES_PER_PROCESS = 3
"""Waiting or under way: enough that none idles while the reader waits for the first."""


class Packed(NamedTuple):
    """Some documents, tokenized; n of them.

    Attributes:
        tokens: All tokens one after another, each document followed by end-of-text; uint16 or
            uint32, little-endian, [sum of lengths].
        lengths: int64 [n], end-of-text included.
        sizes: int64 [n], UTF-8 bytes of text.
        hashes: uint64 [n], `document_hash` of each.
        domains: One for each document; None where the source names none.
        empty: Empty documents left out among them.
    """

    tokens: NDArray[np.unsignedinteger]
    lengths: NDArray[np.int64]
    sizes: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    domains: list[str] | None
    empty: int

    def those(self, chosen: NDArray[np.bool_]) -> "Packed":
        """The documents chosen; empty ones are counted with neither.

        Args:
            chosen: bool [n].
        """
        domains = self.domains
        if domains is not None:
            domains = [domains[number] for number in np.flatnonzero(chosen)]
        return Packed(
            tokens=self.tokens[np.repeat(chosen, self.lengths)],
            lengths=self.lengths[chosen],
            sizes=self.sizes[chosen],
            hashes=self.hashes[chosen],
            domains=domains,
            empty=0,
        )


def token_dtype(tokenizer: Tokenizer) -> np.dtype[np.unsignedinteger]:
    """What the ids of a tokenizer are stored in."""
    return np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<u4")


def packed(found: Iterable[Documents], tokenizer: Tokenizer) -> Iterator[Packed]:
    """Tokenizes documents in their order.

    Raises:
        ConfigError: From the reader.
        RuntimeError: A tokenizing process died.
    """
    batches = _batches(found)
    for _, batch in zip(range(ALONE_BATCHES), batches, strict=False):
        yield _pack(batch, tokenizer)
    first = next(batches, None)
    if first is None:
        return
    processes = _processes()
    # Not forked: what runs here by now has threads.
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(tokenizer,),
    ) as pool:
        waiting: deque[Future[Packed]] = deque([pool.submit(_pack_there, first)])
        try:
            for batch in batches:
                waiting.append(pool.submit(_pack_there, batch))
                if len(waiting) >= processes * BATCHES_PER_PROCESS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _processes() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _batches(found: Iterable[Documents]) -> Iterator[Documents]:
    """The same documents in batches of about `BATCH_CHARACTERS`."""
    texts: list[str] = []
    domains: list[str] | None = None
    size = empty = 0
    for part in found:
        empty += part.empty
        for number, text in enumerate(part.texts):
            texts.append(text)
            if part.domains is not None:
                domains = [] if domains is None else domains
                domains.append(part.domains[number])
            size += len(text)
            if size >= BATCH_CHARACTERS:
                yield Documents(texts, domains, empty)
                texts, domains, size, empty = [], None, 0, 0
    if texts or empty:
        yield Documents(texts, domains, empty)


_tokenizer: Tokenizer


def _begin(tokenizer: Tokenizer) -> None:
    """In each process of the pool: they are the parallelism, the library's threads are not."""
    global _tokenizer
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _tokenizer = tokenizer


def _pack_there(batch: Documents) -> Packed:
    return _pack(batch, _tokenizer)


def _pack(batch: Documents, tokenizer: Tokenizer) -> Packed:
    encoded = tokenizer.encode_batch(batch.texts)
    end = np.array([tokenizer.end_of_text])
    pieces = [piece for ids in encoded for piece in (ids, end)]
    tokens = np.concatenate(pieces) if pieces else np.empty(0)
    return Packed(
        tokens=tokens.astype(token_dtype(tokenizer)),
        lengths=np.array([len(ids) + 1 for ids in encoded], dtype=np.int64),
        sizes=np.array([len(text.encode()) for text in batch.texts], dtype=np.int64),
        hashes=np.array([document_hash(text) for text in batch.texts], dtype=np.uint64),
        domains=batch.domains,
        empty=batch.empty,
    )
