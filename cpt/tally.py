"""What was read, counted: of each source, and of each domain inside it.

The counts follow from the step alone, like the batches, so nothing is kept while training: they
are the samples of the closed form, and the documents that these happen to lie in.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from cpt.config import RunConfig
from cpt.order import positions
from cpt.rows import DataRow
from cpt.token_store import TokenStore

TALLIED_SAMPLES = 65_536
"""How many sequences are looked up at once: some megabytes."""


class Tally:
    """The rows of `data.jsonl`, one stage's.

    Args:
        config: The run.
        stores: The store of each source of its stream.
    """

    def __init__(self, config: RunConfig, stores: Sequence[TokenStore]) -> None:
        self._config, self._stores = config, stores
        self._evaluated = config.evaluation_steps()
        self.steps = frozenset({*self._evaluated, config.end_step} - {0})
        """When rows are due: at every evaluation, and at the end."""

    def rows(self, step: int) -> list[DataRow]:
        """What was read from the evaluation before `step` up to it."""
        since = max(before for before in self._evaluated if before < step)
        config, length = self._config, self._config.sequence_length
        read = zip(
            config.stream,
            self._stores,
            config.source_samples(since),
            config.source_samples(step),
            strict=True,
        )
        rows = []
        for source, store, first, end in read:
            whole = DataRow(
                step=step,
                since=since,
                source=source.label,
                domain=None,
                tokens=(end - first) * length,
                samples=end - first,
                first_sample=first,
                epoch=end / store.num_sequences(length),
            )
            rows.append(whole)
            if store.meta.domains:
                tokens = np.zeros(len(store.meta.domains), dtype=np.int64)
                size = store.num_sequences(length)
                for index in _parts(first, end):
                    lie = positions(source, index, size, config.seed)
                    tokens += store.domain_tokens(lie, length)
                rows += [
                    DataRow(
                        step=step,
                        since=since,
                        source=source.label,
                        domain=domain.name,
                        tokens=count,
                        samples=None,
                        first_sample=None,
                        epoch=None,
                    )
                    for domain, count in zip(store.meta.domains, tokens.tolist(), strict=True)
                    if count
                ]
        return rows


def _parts(first: int, end: int) -> Iterator[np.ndarray]:
    for begin in range(first, end, TALLIED_SAMPLES):
        yield np.arange(begin, min(begin + TALLIED_SAMPLES, end))
