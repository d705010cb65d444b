"""What a working copy knows of a checkpoint that lies on object storage and was not fetched.

Its marker stands here as it does there, beside an `elsewhere.json` that says where the files are
and whether they are whole, as far as a list of them tells.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from cpt.checkpoint_marker import NAME as MARKER
from cpt.files import write_json
from cpt.object_store import DamagedObjectError, Stored
from cpt.records import ELSEWHERE
from cpt.tree_files import TreeFiles, agrees, place


def note(files: TreeFiles, folder: Path, there: Mapping[str, Stored]) -> None:
    """Notes one that bears a marker over there, unless it was fetched.

    Args:
        files: Of the tree.
        folder: Of the checkpoint.
        there: What was listed below its state.

    Raises:
        StoreError: The marker cannot be read.
    """
    marker = folder / MARKER
    stored = there[f"{folder.parent.name}/{folder.name}/{MARKER}"]
    here = marker.read_bytes() if marker.exists() else None
    content = here if agrees(marker, stored) else files.whole(files.name(marker))
    if content is None:  # removed meanwhile
        remove(folder)
        return
    if here == content and not (folder / ELSEWHERE).exists():
        return  # fetched
    uri = files.shown(files.name(folder))
    write_json(folder / ELSEWHERE, {"uri": uri, "fault": _fault(files, folder, content, there)})
    place(marker, content, stored.modified)


def remove(folder: Path) -> None:
    """Removes a checkpoint here, its marker first."""
    (folder / MARKER).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _fault(
    files: TreeFiles, folder: Path, marker: bytes, there: Mapping[str, Stored]
) -> str | None:
    """What is wrong with the files over there, in words; None: nothing that a list shows."""
    try:
        named = files.named(files.name(folder), marker)
    except DamagedObjectError as error:
        return str(error)
    for name, written in named.items():
        stored = there.get(f"{folder.parent.name}/{folder.name}/{name}")
        shown = files.shown(files.name(folder / name))
        if stored is None:
            return f"{shown} is missing"
        if stored.bytes != written.bytes:
            return f"{shown} has {stored.bytes} bytes, not the {written.bytes} written"
    return None
