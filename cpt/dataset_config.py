"""What a data set is called and which of its columns are read; `cpt.sources` reads it."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    field_validator,
    model_validator,
)

from cpt.parsing import (
    Count,
    ExactPositive,
    ExactShare,
    ExactUnitShare,
    Frozen,
    Name,
    Text,
    nearest,
)

LOCAL_CORPORA = ("local:python-prose", "local:python-code")
"""Real text that every machine with Python has: docstrings, and the standard library's source."""

FILE_FORMATS = ("arrow", "csv", "json", "parquet", "text")
"""Formats whose files are named in `train` and `validation`."""


class Part(NamedTuple):
    """One of so many equal parts of a source's documents.

    Attributes:
        number: From 1.
        of: How many parts there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number} of {self.of}"


_PART = re.compile(r"(\d{1,6}) of (\d{1,6})")


def _part(value: object) -> object:
    if isinstance(value, Part):
        return value
    match = _PART.fullmatch(value) if isinstance(value, str) else None
    number, of = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= of:
        raise ValueError("must be a part of so many, from '1 of 3' to '3 of 3'")
    return Part(number, of)


PartOf = Annotated[Part, BeforeValidator(_part), PlainSerializer(str, return_type=str)]


class SourceConfig(Frozen):
    """One place that text comes from: what `datasets.load_dataset` reads, or a `local:` corpus.

    Attributes:
        path: json | parquet | text | csv | arrow with files below; a directory or hub id with
            split names below; or `local:python-prose` | `local:python-code`, which need neither.
        train: File, list of files or split; may hold globs where it names files.
        validation: Likewise; held out, never trained on.
        validation_share: In place of `validation`: this share of the documents of `train`, chosen
            by a hash of their text, is held out.
        part: `2 of 3`: only the documents of this part, of both splits, chosen by a hash of their
            text. The parts of a corpus share no document, and together are all of it.
        text: Column that holds the text.
        domain: Column that names each document's domain; None where there is one domain.
        name: Configuration of a directory or hub data set.
        revision: Revision of a hub data set.
        streaming: A hub data set or directory is read as it arrives, without a copy on this disk.
        tokens: Training tokens it holds, for a plan where the data are not at hand; packed data
            are counted instead. Determines nothing.
    """

    path: Text
    train: tuple[Text, ...] = ()
    validation: tuple[Text, ...] = ()
    validation_share: ExactShare | None = None
    part: PartOf | None = None
    text: Text = "text"
    domain: Text | None = None
    name: Text | None = None
    revision: Text | None = None
    streaming: bool = False
    tokens: Count | None = None

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        if not isinstance(value, str | list | tuple):
            raise ValueError("must be a file, a split, or a list of them")
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.path.startswith("local:"):
            if self.path not in LOCAL_CORPORA:
                raise ValueError(
                    f"path {self.path!r} must be one of {', '.join(LOCAL_CORPORA)}"
                    f"{nearest(self.path, LOCAL_CORPORA)}"
                )
            if self.train or self.validation or self.validation_share is not None:
                raise ValueError(
                    f"{self.path} splits itself; leave out train, validation and validation_share"
                )
        elif self.validation_share is not None:
            if self.validation or not self.train:
                raise ValueError(
                    "validation_share cuts validation out of train; name train, and leave "
                    "validation out"
                )
            if self.validation_share == 0:
                raise ValueError("validation_share must be above 0")
        elif not self.train or not self.validation:
            raise ValueError(
                "train and validation must name files or splits; validation_share in place of "
                "validation cuts one out of train"
            )
        if self.path.startswith("local:") or self.path in FILE_FORMATS:
            for field in ("name", "revision"):
                if (value := getattr(self, field)) is not None:
                    raise ValueError(
                        f"{field} {value!r} must be left out: {self.path} has none, only a hub "
                        "data set or a directory has"
                    )
            if self.streaming:
                raise ValueError(
                    f"streaming must be left out: {self.path} is always read as it comes, only a "
                    "hub data set or a directory may be copied first"
                )
        elif self.streaming:
            for name in (*self.train, *self.validation):
                if "[" in name:
                    raise ValueError(
                        f"{name!r} must be a whole split with streaming; leave streaming out to "
                        "read a part of one"
                    )
        return self


class WeightedSource(SourceConfig):
    """One of several sources of a data set.

    Attributes:
        weight: Its share of the data set's training samples; weights need not sum to one.
    """

    weight: ExactPositive


class DatasetConfig(SourceConfig):
    """A data set of one source.

    Attributes:
        repeat: Training may read it more than once; False refuses a budget beyond one epoch.
        max_shared_documents: Share of its validation documents that may stand, word for word, in
            training data of the sweep too.
    """

    repeat: bool = False
    max_shared_documents: ExactUnitShare = Fraction(1, 100)

    @property
    def sources(self) -> Mapping[str, SourceConfig]:
        """Its one source, which has no name of its own."""
        return {"": self}

    @property
    def weights(self) -> Mapping[str, Fraction]:
        """All of it."""
        return {"": Fraction(1)}


class MixedDatasetConfig(Frozen):
    """A data set of several weighted sources, each a domain of its own.

    Attributes:
        sources: By name.
        repeat: Training may read a source more than once.
        max_shared_documents: As of a `DatasetConfig`.
    """

    sources: Annotated[dict[Name, WeightedSource], Field(min_length=1)]
    repeat: bool = False
    max_shared_documents: ExactUnitShare = Fraction(1, 100)

    @property
    def weights(self) -> Mapping[str, Fraction]:
        """The share of each source; they sum to one."""
        whole = sum((source.weight for source in self.sources.values()), Fraction(0))
        return {name: source.weight / whole for name, source in self.sources.items()}


def _one_or_several(value: object) -> str:
    several = isinstance(value, MixedDatasetConfig)
    return "several" if several or (isinstance(value, dict) and "sources" in value) else "one"


AnyDatasetConfig = Annotated[
    Annotated[DatasetConfig, Tag("one")] | Annotated[MixedDatasetConfig, Tag("several")],
    Discriminator(_one_or_several),
]


def source_field(dataset_field: str, source: str) -> str:
    """How a sweep file calls a source, e.g. `datasets.slimpajama.sources.c4`."""
    return f"{dataset_field}.sources.{source}" if source else dataset_field


def content_of(source: SourceConfig) -> dict[str, Any]:
    """What was asked of a source, as plain JSON values; not what lies there."""
    named = {"path", "train", "validation", "validation_share", "text", "domain"}
    named |= {"name", "revision"}
    # Left out where there is none, so that what was packed before parts were known is found.
    named |= {"part"} if source.part else set()
    return source.model_dump(mode="json", include=named)
