"""How long slots waited, from the notes that states left: plain arithmetic."""

import itertools
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NOTES = "[!.]*.json"
"""The files of a folder of notes; the others are being written."""


@dataclass(frozen=True)
class Note:
    """When a state began and ended, in seconds since 1970, and on which node."""

    began: float
    ended: float
    node: str


@dataclass(frozen=True)
class Waits:
    """Seconds from the moment a slot and a state that is ready exist until the state begins.

    Attributes:
        first: Of the first state of each slot, which starts its process: since the run began.
        others: Of all others.
        idle: Share of the time from the first begin of a slot to its last end that it waited so.
    """

    first: tuple[float, ...]
    others: tuple[float, ...]
    idle: float

    @property
    def median(self) -> float:
        """Of the others."""
        return statistics.median(self.others)

    @property
    def mean(self) -> float:
        """Of the others."""
        return statistics.fmean(self.others)

    @property
    def p95(self) -> float:
        """Of the others: at most 5% took longer."""
        return sorted(self.others)[math.ceil(0.95 * len(self.others)) - 1]


def read_notes(folder: Path) -> dict[str, Note]:
    """By the name of the state."""
    return {file.stem: Note(**json.loads(file.read_text())) for file in folder.glob(NOTES)}


def waits(notes: Mapping[str, Note], after: Mapping[str, str | None], began: float) -> Waits:
    """How long the slots of nodes of one slot each waited.

    Args:
        notes: All states.
        after: The state that must end before another begins; None, or no entry: none.
        began: The run.
    """
    nodes: dict[str, list[str]] = {}
    for name in sorted(notes, key=lambda name: notes[name].began):
        nodes.setdefault(notes[name].node, []).append(name)

    def ready(name: str) -> float:
        before = after.get(name)
        return began if before is None else notes[before].ended

    first = tuple(notes[names[0]].began - began for names in nodes.values())
    others, whole = [], 0.0
    for names in nodes.values():
        whole += notes[names[-1]].ended - notes[names[0]].began
        for one, other in itertools.pairwise(names):
            others.append(notes[other].began - max(notes[one].ended, ready(other)))
    return Waits(first, tuple(others), sum(others) / whole)


def at_once(notes: Sequence[Note]) -> float:
    """How many states ran at once, the mean from the first begin to the last end."""
    ran = sum(note.ended - note.began for note in notes)
    return ran / (max(note.ended for note in notes) - min(note.began for note in notes))


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of a least-squares line."""
    return statistics.linear_regression(*zip(*points, strict=True)).slope
