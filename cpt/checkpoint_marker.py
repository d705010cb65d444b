"""What a checkpoint says of itself: `complete.json`, written after its last byte.

    state, step          whose it is
    elapsed_seconds      spent in this stage so far, over all attempts
    torch, world_size    what wrote it
    files                name -> bytes, sha256 of every other file in its folder
    rows                 train.jsonl, eval.jsonl, data.jsonl -> bytes, sha256 when it was taken

Rows are appended on, so they are told by the part that stood there: whoever goes on from a
checkpoint needs that part whole, and nothing behind it.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpt.seals import Digest, content_fault, length_fault, size_fault

NAME = "complete.json"
ROW_FILES = ("train.jsonl", "eval.jsonl", "data.jsonl")
"""The rows that a training writes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Marker:
    """The content of `complete.json`; the fields are told above."""

    state: str
    step: int
    elapsed_seconds: float
    torch: str
    world_size: int
    files: Mapping[str, Digest]
    rows: Mapping[str, Digest]

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Marker":
        """As it was read.

        Raises:
            ValueError: A field is missing, or not of its kind.
        """
        try:
            fields = {field.name: content[field.name] for field in dataclasses.fields(cls)}
            for name in ("files", "rows"):
                fields[name] = {file: Digest(**digest) for file, digest in fields[name].items()}
        except KeyError as error:
            raise ValueError(f"it has no field {error.args[0]}") from error
        except (AttributeError, TypeError) as error:
            raise ValueError("files and rows must be digests by name") from error
        return cls(**fields)

    def quick_fault(self, folder: Path, state: Path) -> str | None:
        """What is wrong with the files of a checkpoint by their lengths, rows included, in words.

        Args:
            folder: Of the checkpoint.
            state: The folder of the state, where its rows are.
        """
        files = (size_fault(folder / name, digest) for name, digest in self.files.items())
        return next(filter(None, files), None) or self.missing_rows(state)

    def missing_rows(self, state: Path) -> str | None:
        """Which rows are fewer than it goes on from, in words; no content is read."""
        faults = (length_fault(state / name, digest) for name, digest in self.rows.items())
        return next(filter(None, faults), None)

    def file_fault(self, folder: Path, part: int = 0, parts: int = 1) -> str | None:
        """What is wrong with the content of its files, in words; of one of so many parts of them.

        Reads every byte.
        """
        mine = sorted(self.files.items())[part::parts]
        faults = (content_fault(folder / name, digest) for name, digest in mine)
        return next(filter(None, faults), None)

    def row_fault(self, state: Path) -> str | None:
        """What is wrong with the rows that it goes on from, in words. Reads every byte of them."""
        faults = (content_fault(state / name, digest) for name, digest in self.rows.items())
        return next(filter(None, faults), None)

    def final_row_fault(self, state: Path) -> str | None:
        """The same of the last checkpoint of a state, after which no row was written."""
        lengths = (
            size_fault(state / name, digest)
            for name, digest in self.rows.items()
            if digest.bytes or (state / name).exists()
        )
        return next(filter(None, lengths), None) or self.row_fault(state)
