"""Which disturbance comes when, drawn from a seed. Pure.

Kinds are dealt from a deck that is shuffled anew whenever it is used up, so that each comes as
often as the deck says, in an order that nobody chose.
"""

import enum
import random
from collections.abc import Iterator
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What is done to whom."""

    KILL_TRAINING = "SIGKILL to a training process"
    TERMINATE_TRAINING = "SIGTERM to a training process"
    KILL_NODE = "SIGKILL to a whole node"
    DRAIN_NODE = "drain of a node, then SIGKILL"
    KILL_DRIVER = "SIGKILL to the driver"
    TERMINATE_DRIVER = "SIGTERM to the driver"


WITH_NOTICE = frozenset({Kind.TERMINATE_TRAINING, Kind.DRAIN_NODE, Kind.TERMINATE_DRIVER})
"""After these a state may save before it goes."""

OF_THE_DRIVER = frozenset({Kind.KILL_DRIVER, Kind.TERMINATE_DRIVER})
"""After these a person types the command again; after all others the run goes on by itself."""

DECK = (
    *[Kind.KILL_TRAINING] * 4,
    *[Kind.KILL_NODE] * 2,
    *[Kind.KILL_DRIVER] * 2,
    Kind.TERMINATE_TRAINING,
    Kind.DRAIN_NODE,
    Kind.TERMINATE_DRIVER,
)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One disturbance to come.

    Attributes:
        kind: What.
        pause: Seconds from the one before to this one, at least.
        choice: In [0, 1): which of those it can meet.
        may_be_early: It need not wait until the sweep has got on since the one before, and so may
            meet one that is just being resumed.
    """

    kind: Kind
    pause: float
    choice: float
    may_be_early: bool


def disturbances(number: int, seed: int, pauses: tuple[float, float]) -> Iterator[Planned]:
    """As many as asked for.

    Args:
        number: How many.
        seed: The same seed draws the same.
        pauses: Shortest and longest, seconds.
    """
    generator = random.Random(seed)
    deck: list[Kind] = []
    for _ in range(number):
        if not deck:
            deck = generator.sample(DECK, len(DECK))
        yield Planned(
            kind=deck.pop(),
            pause=generator.uniform(*pauses),
            choice=generator.random(),
            may_be_early=generator.random() < 0.2,
        )
