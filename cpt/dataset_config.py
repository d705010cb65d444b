"""What a data set is called and which of its columns are read; `cpt.sources` reads it."""

from typing import Self

from pydantic import field_validator, model_validator

from cpt.parsing import Count, Frozen, nearest

LOCAL_CORPORA = ("local:python-prose", "local:python-code")
"""Real text that every machine with Python has: docstrings, and the standard library's source."""

FILE_FORMATS = ("arrow", "csv", "json", "parquet", "text")
"""Formats whose files are named in `train` and `validation`."""


class DatasetConfig(Frozen):
    """Any text data set: what `datasets.load_dataset` reads from disk, or a `local:` corpus.

    Attributes:
        path: json | parquet | text | csv | arrow with files below; a directory or hub id with
            split names below; or `local:python-prose` | `local:python-code`, which need neither.
        train: File, list of files or split; may hold globs where it names files.
        validation: Likewise; held out, never trained on.
        text: Column that holds the text.
        domain: Column that names each document's domain; None where there is one domain.
        name: Configuration of a directory or hub data set.
        revision: Revision of a hub data set.
        repeat: Training may read it more than once; False refuses a budget beyond one epoch.
        tokens: Training tokens it holds, for a plan where the data are not at hand; packed data
            are counted instead. Determines nothing.
    """

    path: str
    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    text: str = "text"
    domain: str | None = None
    name: str | None = None
    revision: str | None = None
    repeat: bool = False
    tokens: Count | None = None

    @field_validator("train", "validation", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.path.startswith("local:"):
            if self.path not in LOCAL_CORPORA:
                raise ValueError(
                    f"path {self.path!r} must be one of {', '.join(LOCAL_CORPORA)}"
                    f"{nearest(self.path, LOCAL_CORPORA)}"
                )
            if self.train or self.validation:
                raise ValueError(f"{self.path} splits itself; leave out train and validation")
        elif not self.train or not self.validation:
            raise ValueError("train and validation must name files or splits")
        if self.path.startswith("local:") or self.path in FILE_FORMATS:
            for field in ("name", "revision"):
                if (value := getattr(self, field)) is not None:
                    raise ValueError(
                        f"{field} {value!r} must be left out: {self.path} has none, only a hub "
                        "data set or a directory has"
                    )
        return self
