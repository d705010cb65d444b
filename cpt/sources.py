"""Where documents come from, and a fingerprint of the source that needs no tokenizing.

Three kinds: files in a format that `datasets` reads; a directory or hub id that
`datasets.load_dataset` opens by itself; a `local:` corpus. Files are streamed one at a time, so
nothing is copied into a cache and a fault names its file. A `text` file is one document, whole;
the other formats hold one document a row.
"""

import difflib
import glob
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cpt import local_text
from cpt.dataset_config import FILE_FORMATS, DatasetConfig
from cpt.parsing import ConfigError, nearest, shown

Split = Literal["train", "validation"]

# How `datasets` is asked to read a format. Text that spells NA or null is text.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "csv": {"keep_default_na": False},
    "text": {"sample_by": "document"},
}

# What `datasets` and the readers below it raise for content that is not of the format.
_UNREADABLE = (ValueError, OSError, EOFError, zlib.error)


class Document(NamedTuple):
    """One text, and its domain where the data set names one."""

    text: str
    domain: str | None


def fingerprint(dataset: DatasetConfig, split: Split, field: str) -> str:
    """A hash of what a split holds, wherever it lies; no tokenizing.

    Files: the format and the content of each file, in order. A directory: the name and content of
    every file in it but hidden ones, and the splits asked for. A hub data set: the fingerprints
    that `datasets` gives to the splits, which follow from its commit. A `local:` corpus: see
    `cpt.local_text`.

    Args:
        dataset: The data set.
        split: Which of its two.
        field: Dotted name of the data set, e.g. `datasets.german`.

    Raises:
        ConfigError: A file or the data set is missing or cannot be read.
    """
    parts: list[Any]
    if dataset.path.startswith("local:"):
        parts = ["local", local_text.fingerprint(dataset.path)]
    elif dataset.path in FILE_FORMATS:
        parts = [dataset.path, [_sha256(file) for file in files(dataset, split, field)]]
    elif Path(dataset.path).is_dir():
        parts = ["directory", _contents(Path(dataset.path)), dataset.name, getattr(dataset, split)]
    else:
        parts = ["hub", [part._fingerprint for part in _opened(dataset, split, field)]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def documents(dataset: DatasetConfig, split: Split, field: str) -> Iterator[Document]:
    """The documents of a split, in the order of its files or splits.

    Empty texts are left out: they hold nothing to predict.

    Args:
        dataset: The data set.
        split: Which of its two.
        field: Dotted name of the data set, e.g. `datasets.german`.

    Raises:
        ConfigError: A file or the data set is missing or cannot be read, a column does not exist,
            or holds something other than strings.
    """
    for where, rows in _tables(dataset, split, field):
        for number, row in enumerate(rows, start=1):
            place = f"row {number} of {where}"
            text = _string(row, dataset.text, f"{field}.text", place)
            domain = None
            if dataset.domain is not None:
                domain = _string(row, dataset.domain, f"{field}.domain", place)
            if text:
                yield Document(text, domain)


def _tables(
    dataset: DatasetConfig, split: Split, field: str
) -> Iterator[tuple[str, Iterable[Mapping[str, Any]]]]:
    """(how to call it, its rows) for each file or split."""
    if dataset.path.startswith("local:"):
        names = local_text.columns(dataset.path)
        found = local_text.documents(dataset.path, split)
        yield dataset.path, (dict(zip(names, row, strict=False)) for row in found)
    elif dataset.path in FILE_FORMATS:
        for file in files(dataset, split, field):
            yield str(file), _file_rows(dataset.path, file, f"{field}.{split}")
    else:
        opened = _opened(dataset, split, field)
        for name, part in zip(getattr(dataset, split), opened, strict=True):
            yield f"{dataset.path} ({name})", part


def _file_rows(format_name: str, file: Path, field: str) -> Iterator[Mapping[str, Any]]:
    import datasets

    # The name is a pattern to `datasets`, and one that holds brackets would match nothing.
    pattern = glob.escape(str(file.absolute()))
    options = _OPTIONS.get(format_name, {})
    try:
        yield from datasets.load_dataset(
            format_name, data_files=[pattern], split="train", streaming=True, **options
        )
    except StopIteration:  # the JSON reader's word for a file without a line
        return
    except _UNREADABLE as error:
        raise ConfigError(
            [
                f"{field}: got {shown(str(file), 300)}; cannot be read as {format_name} "
                f"({_reason(error)})."
            ]
        ) from error


def _opened(dataset: DatasetConfig, split: Split, field: str) -> list[Any]:
    """One `datasets.Dataset` for each split named."""
    import datasets

    datasets.disable_progress_bars()
    try:
        return [
            datasets.load_dataset(
                dataset.path, name=dataset.name, split=name, revision=dataset.revision
            )
            for name in getattr(dataset, split)
        ]
    except (*_UNREADABLE, datasets.exceptions.DatasetsError) as error:
        slip = difflib.get_close_matches(dataset.path, FILE_FORMATS, n=1)
        raise ConfigError(
            [
                f"{field}.path: got {shown(dataset.path, 300)} with {split} "
                f"{shown(list(getattr(dataset, split)))}; must be one of "
                f"{', '.join(FILE_FORMATS)}, a directory, or a hub id that can be reached or is "
                f"in the cache ({_reason(error)})"
                + (nearest(dataset.path, FILE_FORMATS) if slip else ".")
            ]
        ) from error


def files(dataset: DatasetConfig, split: Split, field: str) -> list[Path]:
    """The files of a split in the order given, those of one glob by name.

    Raises:
        ConfigError: A file is missing, or a glob matches none.
    """
    found: list[Path] = []
    faults = []
    for pattern in getattr(dataset, split):
        named = [Path(pattern)] if Path(pattern).is_file() else []
        # Path.glob refuses absolute patterns.
        globbed = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207
        matched = named or [file for file in globbed if file.is_file()]
        if not matched:
            rule = "matches no file" if glob.has_magic(pattern) else "there is no such file"
            faults.append(
                f"{field}.{split}: got {shown(pattern, 300)}; {rule} (relative paths start at "
                f"{Path.cwd()})."
            )
        found += matched
    if faults:
        raise ConfigError(faults)
    return found


def _string(row: Mapping[str, Any], column: str, field: str, place: str) -> str:
    if column not in row:
        raise ConfigError([_unknown_column(column, list(row), field, place)])
    value = row[column]
    if not isinstance(value, str):
        raise ConfigError(
            [
                f"{field}: got {shown(column)}; must be a column of strings, but {place} holds "
                f"{shown(value)}."
            ]
        )
    return value


def _unknown_column(column: str, columns: Sequence[str], field: str, place: str) -> str:
    slip = difflib.get_close_matches(column, columns, n=1)
    hint = nearest(column, columns) if slip else "."
    return (
        f"{field}: got {shown(column)}; must be a column of the data, but {place} has "
        f"{', '.join(columns)}{hint}"
    )


def _contents(root: Path) -> list[list[str]]:
    """[name, hash] of each file below; hidden ones are a tool's notes, such as download times."""
    below = {file.relative_to(root).as_posix(): file for file in root.rglob("*") if file.is_file()}
    return [
        [name, _sha256(file)]
        for name, file in sorted(below.items())
        if not any(part.startswith(".") for part in name.split("/"))
    ]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reason(error: BaseException) -> str:
    """The first line of an error, without its full stop; its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
