"""Which sequence of its store is the i-th sample that a stage reads of a source.

The training order numbers what a source has to give: sample n of it is sequence n of the first
epoch's order, the one after the last of that epoch is the first of the second's, and so on. New
data are read in it from 0 on. Replay reads what was seen, the first `seen` samples of it, again:
from `offset` on and around, as often as it takes; reshuffled, each round in an order of its own.
"""

import numpy as np

from cpt.mixture import Int64s, shuffled
from cpt.stream_config import Source

REPLAY = (1,)
"""The orders of reshuffled replay, beside those of training."""


def training_order(source: Source, index: Int64s, seed: int) -> Int64s:
    """The number in the training order of the `index`-th samples that a stage reads.

    Args:
        source: What is read.
        index: Counted from the beginning of the stage, shape [n].
        seed: The run's.
    """
    if source.seen is None:
        return index
    rounds, within = np.divmod(index, source.seen)
    within = (within + source.offset) % source.seen
    if source.order == "original":
        return within
    number = np.empty_like(within)
    for each in np.unique(rounds):
        now = rounds == each
        number[now] = shuffled(within[now], source.seen, seed, int(each), REPLAY)
    return number


def positions(source: Source, index: Int64s, size: int, seed: int) -> Int64s:
    """Where the `index`-th samples that a stage reads of a source lie in its store.

    Args:
        source: What is read.
        index: Counted from the beginning of the stage, shape [n].
        size: Sequences in the store.
        seed: The run's.

    Returns:
        Positions in [0, size), shape [n].
    """
    epochs, within = np.divmod(training_order(source, index, seed), size)
    position = np.empty_like(within)
    for epoch in np.unique(epochs):
        now = epochs == epoch
        position[now] = shuffled(within[now], size, seed, int(epoch))
    return position
