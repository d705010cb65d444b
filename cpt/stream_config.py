"""What a stage reads: sources with exact shares, those of one data set side by side."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal, Self

from pydantic import model_validator

from cpt.parsing import Count, CountOrZero, ExactPositive, Frozen


class Source(Frozen):
    """One corpus in a training stream.

    A sample of it is named by its number in the training order: the order in which a stage reads
    the source when it is new, epoch after epoch, each in an order of its own (`cpt.mixture`).

    Attributes:
        name: How people call its data set; not hashed. Sources of one data set stand together.
        corpus: Id of its token store.
        weight: Its share of the stream, exact.
        part: Its name inside a data set of several sources; not hashed.
        order: original: the training order; reshuffled: another order of what was seen.
        offset: Samples of what was seen that are passed over at first, and come at the end.
        seen: Samples that an earlier stage read of it: reading starts over after so many; None:
            what comes next was never read, and every epoch is in a new order.
    """

    name: str
    corpus: str
    weight: ExactPositive
    part: str | None = None
    order: Literal["original", "reshuffled"] = "original"
    offset: CountOrZero = 0
    seen: Count | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.seen is None and (self.order != "original" or self.offset):
            raise ValueError("seen is missing; order and offset are of what was seen")
        if self.seen is not None and self.offset >= self.seen:
            raise ValueError(f"offset {self.offset} must be below seen, {self.seen}")
        return self

    @property
    def label(self) -> str:
        """`slimpajama/c4`, or the data set's name where it is one source."""
        return self.name if self.part is None else f"{self.name}/{self.part}"


def first_in_training_order(source: Source, index: int) -> int | None:
    """The number in the training order of the `index`-th sample that a stage reads.

    None where the order is another one, so that neighbours do not lie side by side.
    """
    if source.seen is None:
        return index
    return (index + source.offset) % source.seen if source.order == "original" else None


def groups(stream: Sequence[Source]) -> list[list[Fraction]]:
    """The weights, a group for each data set; as `cpt.mixture` takes them."""
    return [[source.weight for source in group] for group in _by_dataset(stream)]


def identity(stream: Sequence[Source], samples: Sequence[int]) -> list[Any]:
    """What determines the samples and their order, as plain JSON values.

    A source is its corpus and its share of the whole; `order` and `offset` where they are not the
    default, and `seen` where they are given or reading starts over. A data set of several sources
    is the list of them.

    Args:
        stream: The sources.
        samples: How many are read of each.
    """
    whole = sum((source.weight for source in stream), Fraction(0))
    read = iter(samples)
    content: list[Any] = []
    for group in _by_dataset(stream):
        sources = [_source_identity(source, whole, next(read)) for source in group]
        content.append(sources if len(sources) > 1 else sources[0])
    return content


def _source_identity(source: Source, whole: Fraction, samples: int) -> list[Any]:
    options: dict[str, Any] = {}
    if source.order != "original":
        options["order"] = source.order
    if source.offset:
        options["offset"] = source.offset
    if source.seen is not None and (options or samples > source.seen):
        options["seen"] = source.seen
    return [source.corpus, str(source.weight / whole), *([options] if options else [])]


def _by_dataset(stream: Sequence[Source]) -> list[list[Source]]:
    return [list(group) for _, group in itertools.groupby(stream, lambda source: source.name)]
