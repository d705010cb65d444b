"""Where documents come from, and a fingerprint of the source that needs no tokenizing.

Three kinds: files in a format that `datasets` reads; a directory or hub id that it opens by itself,
see `cpt.hub_data`; a `local:` corpus. Files are streamed one at a time, so nothing is copied into a
cache and a fault names its file. A `text` file is one document, whole; the other formats hold one
document a row.
"""

import difflib
import glob
import hashlib
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from cpt import hub_data, local_text
from cpt.cutting import is_in_part
from cpt.dataset_config import FILE_FORMATS, SourceConfig
from cpt.digests import Digests
from cpt.parsing import ConfigError, nearest, shown

Split = Literal["train", "validation"]

TABLE_ROWS = 512
"""Rows that become Python strings at once."""

# How `datasets` is asked to read a format. Text that spells NA or null is text.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "csv": {"keep_default_na": False},
    "text": {"sample_by": "document"},
}

# What `datasets` and the readers below it raise for content that is not of the format.
_UNREADABLE = (ValueError, OSError, EOFError, zlib.error)


class Documents(NamedTuple):
    """Some documents of a source, in its order.

    Attributes:
        texts: None of them empty.
        domains: One for each text; None where the source names no domain column.
        empty: How many more were empty and left out: they hold nothing to predict.
    """

    texts: list[str]
    domains: list[str] | None
    empty: int


def pinned(source: SourceConfig, field: str) -> SourceConfig:
    """The source, a hub data set at the commit that its revision names now.

    What is read later is then what the fingerprint is of, whatever is committed in between.

    Args:
        source: Where the text comes from.
        field: Dotted name of the source, e.g. `datasets.german`.

    Raises:
        ConfigError: See `cpt.hub_data.commit_of`.
    """
    if _is_hub(source):
        return source.model_copy(update={"revision": hub_data.commit_of(source, field)})
    return source


def _is_hub(source: SourceConfig) -> bool:
    by_us = source.path.startswith("local:") or source.path in FILE_FORMATS
    return not by_us and not Path(source.path).is_dir()


def fingerprint(source: SourceConfig, split: Split, field: str, digests: Digests) -> str:
    """A hash of what a split holds, wherever it lies; no tokenizing.

    Files: the format and the content of each file, in order. A directory: the name and content of
    every file in it but hidden ones, and the splits asked for. A hub data set: its id, commit,
    configuration and the splits asked for; nothing that only the hub could tell. A `local:`
    corpus: see `cpt.local_text`.

    Args:
        source: Where the text comes from, as `pinned` gives it.
        split: Which of its two.
        field: Dotted name of the source, e.g. `datasets.german`.
        digests: Checksums of files that were read before.

    Raises:
        ConfigError: A file or the data set is missing or cannot be read.
    """
    names = _names(source, split)
    parts: list[Any]
    if source.path.startswith("local:"):
        parts = ["local", local_text.fingerprint(source.path)]
    elif source.path in FILE_FORMATS:
        parts = [source.path, [digests.sha256(file) for file in files(source, split, field)]]
    elif Path(source.path).is_dir():
        parts = ["directory", _contents(Path(source.path), digests), source.name, names]
    else:
        if not hub_data.COMMIT.fullmatch(source.revision or ""):
            raise AssertionError(f"{source.path} is not pinned")
        parts = ["hub", source.path, source.revision, source.name, names]
    if source.validation_share is not None:
        parts += ["share", str(source.validation_share)]
    if source.part is not None:
        parts += ["part", str(source.part)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def documents(source: SourceConfig, split: Split, field: str) -> Iterator[Documents]:
    """The documents of a split, in the order of its files or splits; those of its part alone.

    Where a `validation_share` is cut out of train, both splits are the documents of train here;
    `cpt.packing` tells them apart by the hashes that it computes.

    Args:
        source: Where the text comes from, as `pinned` gives it.
        split: Which of its two.
        field: Dotted name of the source, e.g. `datasets.german`.

    Raises:
        ConfigError: A file or the data set is missing or cannot be read, a column does not exist,
            or holds something other than strings.
    """
    for where, tables in _tables(source, split, field):
        row = 1
        for table in tables:
            texts = _strings(table, source.text, f"{field}.text", where, row)
            domains = None
            if source.domain is not None:
                domains = _strings(table, source.domain, f"{field}.domain", where, row)
            row += len(texts)
            empty = texts.count("")
            kept = [n for n, text in enumerate(texts) if text and is_in_part(text, source.part)]
            if len(kept) < len(texts):
                texts = [texts[number] for number in kept]
                domains = domains and [domains[number] for number in kept]
            yield Documents(texts, domains, empty)


def files(source: SourceConfig, split: Split, field: str) -> list[Path]:
    """The files of a split in the order given, those of one glob by name.

    Raises:
        ConfigError: A file is missing, or a glob matches none.
    """
    found: list[Path] = []
    faults = []
    for pattern in _names(source, split):
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


def _names(source: SourceConfig, split: Split) -> tuple[str, ...]:
    """The files or splits to read."""
    if source.validation_share is not None:
        return source.train
    return source.train if split == "train" else source.validation


def _tables(
    source: SourceConfig, split: Split, field: str
) -> Iterator[tuple[str, Iterable[pa.Table]]]:
    """(how to call it, its rows) for each file or split."""
    if source.path.startswith("local:"):
        yield source.path, _local_tables(source.path, split)
    elif source.path in FILE_FORMATS:
        for file in files(source, split, field):
            yield str(file), _file_tables(source.path, file, f"{field}.{split}")
    else:
        names = _names(source, split)
        for name, part in zip(names, hub_data.opened(source, names, field), strict=True):
            yield f"{source.path} ({name})", hub_data.tables(part, TABLE_ROWS, source, field)


def _local_tables(path: str, split: Split) -> Iterator[pa.Table]:
    names = local_text.columns(path)
    found = local_text.documents(path, split)
    while rows := list(itertools.islice(found, TABLE_ROWS)):
        yield pa.table({name: [row[n] for row in rows] for n, name in enumerate(names)})


def _file_tables(format_name: str, file: Path, field: str) -> Iterator[pa.Table]:
    # The name is a pattern to `datasets`, and one that holds brackets would match nothing.
    pattern = glob.escape(str(file.absolute()))
    options = _OPTIONS.get(format_name, {})
    try:
        if format_name == "parquet":
            # `datasets` reads ahead: half of a large file is in memory before its end is reached.
            for batch in pq.ParquetFile(file, pre_buffer=False).iter_batches(TABLE_ROWS):
                yield pa.Table.from_batches([batch])
            return
        rows = hub_data.library().load_dataset(
            format_name, data_files=[pattern], split="train", streaming=True, **options
        )
        yield from rows.with_format("arrow").iter(batch_size=TABLE_ROWS)
    except StopIteration:  # the JSON reader's word for a file without a line
        return
    except UnicodeDecodeError as error:
        raise ConfigError(
            [
                f"{field}: got {shown(str(file), 300)}; must be UTF-8, but holds other bytes "
                f"({hub_data.reason(error)}); convert it, e.g. with iconv."
            ]
        ) from error
    except _UNREADABLE as error:
        raise ConfigError(
            [
                f"{field}: got {shown(str(file), 300)}; cannot be read as {format_name} "
                f"({hub_data.reason(error)})."
            ]
        ) from error


def _strings(table: pa.Table, column: str, field: str, where: str, first_row: int) -> list[str]:
    """One column of a table, which must hold strings alone."""
    if column not in table.column_names:
        place = f"row {first_row} of {where}"
        raise ConfigError([_unknown_column(column, table.column_names, field, place)])
    values = table.column(column)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    try:
        found: list[Any] = values.to_pylist()
    except UnicodeDecodeError as error:  # neither JSON's reader nor Parquet's looks at the bytes
        raise ConfigError([_not_utf8(values, field, column, where, first_row)]) from error
    # What `datasets` makes of a JSON column that holds strings and other things.
    if isinstance(values.type, pa.JsonType):
        found = [None if value is None else json.loads(value) for value in found]
    for number, value in enumerate(found):
        if not isinstance(value, str):
            raise ConfigError(
                [
                    f"{field}: got {shown(column)}; must be a column of strings, but row "
                    f"{first_row + number} of {where} holds {shown(value)}."
                ]
            )
    return found


def _not_utf8(values: pa.ChunkedArray, field: str, column: str, where: str, first_row: int) -> str:
    for number, value in enumerate(values):
        try:
            value.as_py()
        except UnicodeDecodeError as error:
            return (
                f"{field}: got {shown(column)}; must be a column of UTF-8 text, but row "
                f"{first_row + number} of {where} holds other bytes ({hub_data.reason(error)}); "
                "convert it, e.g. with iconv."
            )
    raise AssertionError("a column that could be read")


def _unknown_column(column: str, columns: Sequence[str], field: str, place: str) -> str:
    slip = difflib.get_close_matches(column, columns, n=1)
    hint = nearest(column, columns) if slip else "."
    return (
        f"{field}: got {shown(column)}; must be a column of the data, but {place} has "
        f"{', '.join(columns)}{hint}"
    )


def _contents(root: Path, digests: Digests) -> list[list[str]]:
    """[name, hash] of each file below; hidden ones are a tool's notes, such as download times."""
    below = {file.relative_to(root).as_posix(): file for file in root.rglob("*") if file.is_file()}
    return [
        [name, digests.sha256(file)]
        for name, file in sorted(below.items())
        if not any(part.startswith(".") for part in name.split("/"))
    ]
