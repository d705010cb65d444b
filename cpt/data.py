"""The tokens a rank reads: training batches by step number, held-out sequences by data set.

A batch is a function of the step alone. Nothing is iterated, so nothing has to be saved: resuming
at a step, or on another number of workers, reads the same samples in the same order.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from cpt.config import RunConfig
from cpt.mixture import locate, shuffled
from cpt.records import ResultTree
from cpt.token_store import TokenStore

PLACED_SAMPLES = 4096
"""How many samples are placed at once: some milliseconds' work, every so many steps."""


class TrainingStream:
    """The mixed stream of one stage, cut into global batches."""

    def __init__(self, config: RunConfig, tree: ResultTree) -> None:
        self._stores = [TokenStore(tree.tokens(source.corpus)) for source in config.stream]
        self._weights: list[Fraction] = config.shares
        self._sequence_length = config.sequence_length
        self._global_batch_size = config.global_batch_size
        self._seed = config.seed
        self._placed_steps = max(PLACED_SAMPLES // config.global_batch_size, 1)
        self._placed: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> torch.Tensor:
        """The sequences one rank trains on in the update from `step` to `step + 1`.

        Rank r reads the r-th contiguous slice of the global batch.

        Returns:
            int64 [global_batch_size / world_size, sequence_length + 1]; the last token is only
            a target.
        """
        size = self._global_batch_size // world_size
        source, position = self._places(step, slice(rank * size, (rank + 1) * size))
        batch = np.empty((size, self._sequence_length + 1), dtype=np.int64)
        for number, store in enumerate(self._stores):
            mine = source == number
            if mine.any():
                batch[mine] = store.sequence(position[mine], self._sequence_length)
        return torch.from_numpy(batch)

    def _places(self, step: int, part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Source and position of a part of a global batch, each int64 [samples].

        Reckoned for many steps at once: for one, NumPy's calls cost more than what they reckon.
        """
        window, within = divmod(step, self._placed_steps)
        if self._placed is None or self._placed[0] != window:
            count = self._placed_steps * self._global_batch_size
            samples = np.arange(window * count, (window + 1) * count)
            source, index = locate(samples, self._weights)
            position = np.empty_like(index)
            for number, store in enumerate(self._stores):
                mine = source == number
                position[mine] = self._position(store, index[mine])
            self._placed = window, source, position
        _, source, position = self._placed
        first = within * self._global_batch_size
        part = slice(first + part.start, first + part.stop)
        return source[part], position[part]

    def _position(self, store: TokenStore, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the `index`-th samples of a source lie in its store; each epoch is reshuffled."""
        size = store.num_sequences(self._sequence_length)
        epochs, within = np.divmod(index, size)
        position = np.empty_like(index)
        for epoch in np.unique(epochs):
            now = epochs == epoch
            position[now] = shuffled(within[now], size, self._seed, int(epoch))
        return position


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
    available = [_domain_tokens(store, number) for number in range(max(len(domains), 1))]
    sizes = [(len(tokens) - 1) // sequence_length for tokens in available]
    for number, size in enumerate(sizes):
        if size < 1:
            where = f"domain {domains[number].name!r}" if domains else "the whole set"
            raise ValueError(
                f"{name}: {where} holds {len(available[number])} validation tokens; it must hold "
                f"at least {sequence_length + 1}, one sequence; add documents"
            )
    wanted = num_tokens // sequence_length
    chosen, domain_of = [], []
    for number, (tokens, size) in enumerate(zip(available, sizes, strict=True)):
        count = min(size, max(1, wanted * size // sum(sizes)))
        starts = np.arange(count) * size // count * sequence_length
        chosen.append(tokens[starts[:, None] + np.arange(sequence_length + 1)])
        domain_of.append(np.full(count, number))
    return HeldOutSequences(
        name=name,
        sequences=torch.from_numpy(np.concatenate(chosen).astype(np.int64)),
        domain_of=torch.from_numpy(np.concatenate(domain_of).astype(np.int64)),
        domains=tuple(domain.name for domain in domains) or ("",),
        tokens_per_byte=tuple(domain.tokens / domain.bytes for domain in domains)
        or (store.meta.tokens / store.meta.bytes,),
    )


def _domain_tokens(store: TokenStore, number: int) -> NDArray[np.integer]:
    """The tokens of one domain's documents, joined in order."""
    documents = np.flatnonzero(store.domains == number)
    pieces = [store.tokens[store.starts[d] : store.starts[d + 1]] for d in documents]
    return np.concatenate(pieces)
