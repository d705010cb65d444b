"""The tokens a rank reads: training batches by step number, held-out sequences by data set.

A batch is a function of the step alone. Nothing is iterated, so nothing has to be saved: resuming
at a step, or on another number of workers, reads the same samples in the same order.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cpt.config import RunConfig
from cpt.mixture import locate
from cpt.order import positions
from cpt.records import ResultTree
from cpt.token_library import library
from cpt.token_store import TokenStore

PLACED_SAMPLES = 4096
"""How many samples are placed at once: some milliseconds' work, every so many steps."""


class TrainingStream:
    """The mixed stream of one stage, cut into global batches.

    Attributes:
        stores: The store of each source.
    """

    def __init__(self, config: RunConfig, tree: ResultTree) -> None:
        shelf = library(tree)
        self.stores = [shelf.open(source.corpus) for source in config.stream]
        self._sources = config.stream
        self._shares = config.shares
        self._sequence_length = config.sequence_length
        self._global_batch_size = config.global_batch_size
        self._seed = config.seed
        self._placed_steps = max(PLACED_SAMPLES // config.global_batch_size, 1)
        self._placed: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> torch.Tensor:
        """The sequences one rank trains on in the update from `step` to `step + 1`.

        Rank r reads the r-th contiguous slice of the global batch; where the ranks do not divide
        it, slices differ by one sequence.

        Returns:
            int64 [global_batch_size / world_size, sequence_length + 1]; the last token is only
            a target.
        """
        first, end = (self._global_batch_size * one // world_size for one in (rank, rank + 1))
        source, position = self._places(step, slice(first, end))
        batch = np.empty((end - first, self._sequence_length + 1), dtype=np.int64)
        for number, store in enumerate(self.stores):
            mine = source == number
            if mine.any():
                batch[mine] = store.rows(position[mine], self._sequence_length)
        return torch.from_numpy(batch)

    def _places(self, step: int, part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Source and position of a part of a global batch, each int64 [samples].

        Reckoned for many steps at once: for one, NumPy's calls cost more than what they reckon.
        """
        window, within = divmod(step, self._placed_steps)
        if self._placed is None or self._placed[0] != window:
            count = self._placed_steps * self._global_batch_size
            samples = np.arange(window * count, (window + 1) * count)
            source, index = locate(samples, self._shares)
            position = np.empty_like(index)
            for number, store in enumerate(self.stores):
                mine = source == number
                size = store.num_sequences(self._sequence_length)
                position[mine] = positions(self._sources[number], index[mine], size, self._seed)
            self._placed = window, source, position
        _, source, position = self._placed
        first = within * self._global_batch_size
        part = slice(first + part.start, first + part.stop)
        return source[part], position[part]


@dataclass(frozen=True)
class HeldOutSequences:
    """What is evaluated of one data set: always the same sequences.

    Attributes:
        name: The data set's name in the configuration.
        sequences: int64 [n, sequence_length + 1].
        domain_of: int64 [n], index into `domains`.
        domains: Names; one empty name where the set has no domains.
        tokens_per_byte: For each domain, from the whole set.
    """

    name: str
    sequences: torch.Tensor
    domain_of: torch.Tensor
    domains: tuple[str, ...]
    tokens_per_byte: tuple[float, ...]


def held_out_sequences(
    name: str, store: TokenStore, sequence_length: int, num_tokens: int
) -> HeldOutSequences:
    """Chooses sequences of a held-out set: each domain by its share, spread evenly over it.

    The documents of a domain are joined in their order and cut into sequences that do not
    overlap but for the target of the last token. Every domain has at least one sequence.

    Args:
        name: How the rows call the set.
        store: The packed validation split.
        sequence_length: Tokens predicted per sequence.
        num_tokens: Wanted in all; a smaller set is taken whole.

    Raises:
        ValueError: A domain is shorter than one sequence.
    """
    domains = store.meta.domains
    texts = [_DomainText(store, number) for number in range(max(len(domains), 1))]
    sizes = [(text.tokens - 1) // sequence_length for text in texts]
    for number, size in enumerate(sizes):
        if size < 1:
            where = f"domain {domains[number].name!r}" if domains else "the whole set"
            raise ValueError(
                f"{name}: {where} holds {texts[number].tokens} validation tokens; it must hold "
                f"at least {sequence_length + 1}, one sequence; add documents"
            )
    wanted = num_tokens // sequence_length
    chosen, domain_of = [], []
    for number, (text, size) in enumerate(zip(texts, sizes, strict=True)):
        count = min(size, max(1, wanted * size // sum(sizes)))
        starts = np.arange(count) * size // count * sequence_length
        chosen.append(text.at(starts[:, None] + np.arange(sequence_length + 1)))
        domain_of.append(np.full(count, number))
    return HeldOutSequences(
        name=name,
        sequences=torch.from_numpy(np.concatenate(chosen).astype(np.int64)),
        domain_of=torch.from_numpy(np.concatenate(domain_of).astype(np.int64)),
        domains=tuple(domain.name for domain in domains) or ("",),
        tokens_per_byte=tuple(domain.tokens / domain.bytes for domain in domains)
        or (store.meta.tokens / store.meta.bytes,),
    )


class _DomainText:
    """The documents of one domain, joined in order; only what is asked for is read.

    Attributes:
        tokens: How many there are.
    """

    def __init__(self, store: TokenStore, number: int) -> None:
        documents = np.flatnonzero(store.domains == number)
        starts = np.asarray(store.starts)
        lengths = starts[documents + 1] - starts[documents]
        self._ends = np.cumsum(lengths)
        # What lies between a document's place in the joined text and its place in the store.
        self._shift = starts[documents] - (self._ends - lengths)
        self._store = np.asarray(store.tokens)
        self.tokens = int(self._ends[-1]) if len(documents) else 0

    def at(self, offsets: NDArray[np.int64]) -> NDArray[np.integer]:
        """The tokens at some places of the joined text, in the shape of `offsets`."""
        document = np.searchsorted(self._ends, offsets, side="right")
        return self._store[offsets + self._shift[document]]
