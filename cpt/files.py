"""Files written so that a kill, a full disk or a crash leaves the old one or the new one, whole.

Standard library only.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpt.room import room_for
from cpt.seals import SEAL, BrokenSealError, sealed_text


def read_json(path: Path) -> dict[str, Any]:
    """Reads one JSON object; of one that bears a seal, what the seal is of.

    An object without a seal was written by a person or another program and is taken at its word.

    Raises:
        ValueError: The file holds no complete JSON object, or its seal is broken; the sentence
            names the path.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text ({error.reason} at byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not complete JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a JSON {type(content).__name__}, not an object")
    if content.pop(SEAL, None) is not None and text != sealed_text(content):
        raise BrokenSealError(f"{path} is not as it was written: its seal is broken")
    return content


def write_text(path: Path, text: str) -> None:
    """Replaces a file atomically: a reader sees the old content or the new, never a part.

    Raises:
        NoRoomError: The disk is full.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """The same, of a file that is no text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with room_for(path, len(content)), aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file atomically.

    Raises:
        ValueError: A number is NaN or infinite, which JSON lacks; the file is left as it was.
    """
    write_text(path, json_text(path, content, indent=1) + "\n")


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Replaces a JSON file atomically by one that bears a seal, which `read_json` checks.

    Raises:
        ValueError: A number is NaN or infinite, which JSON lacks; the file is left as it was.
    """
    try:
        text = sealed_text(content)
    except ValueError as error:
        raise ValueError(f"{path} cannot hold {content}: {error}") from error
    write_text(path, text)


def set_aside(path: Path) -> Path:
    """Renames a damaged file or folder, to its name and `.damaged-1`; returns the new path."""
    return path.rename(name_aside(path))


def name_aside(path: Path) -> Path:
    """The first name of the kind `NAME.damaged-1` that is free."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    return aside


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def json_text(path: Path, content: Mapping[str, Any], *, indent: int | None = None) -> str:
    """What `path` is to hold.

    Raises:
        ValueError: A number is NaN or infinite, which JSON lacks.
    """
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"{path} cannot hold {content}: {error}") from error


def folder_name(name: str) -> str:
    """The name itself, if a path that ends in it stays in the folder before it.

    Raises:
        ValueError: It names another place.
    """
    if name in ("", ".", "..") or not {"/", "\\", "\0"}.isdisjoint(name):
        raise ValueError(f"got {name!r}; must be the name of a folder, not a path to another place")
    return name
