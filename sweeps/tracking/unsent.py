"""What of one state's rows a tracker has not been told: read on from where it was read last.

The rows of a step stand in several files, and a tracker takes each step once. So a step is told
when a training row of a later one has been seen: whoever trains writes the rows of a step, in any
file, before the next update.

After a resume rows stand in a file twice (`cpt.rows.current_rows`). Those that wait here are
replaced by the later ones; of what was told the tracker keeps the earlier ones, since none can take
back a step, and none is told twice.
"""

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.tracking.rows import PREFIXES, TRAIN, metrics

TAIL_BYTES = 256
"""Before where reading goes on: as long as they stand there, the file was only appended to."""


class RowFile:
    """A file of rows, read from where it was read last; from its beginning if it is another now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to, self._tail = 0, b""

    def read(self) -> list[dict[str, Any]]:
        """The rows that were appended, without a line that is not whole yet, or was cut off."""
        try:
            if self._path.stat().st_size == self._read_to:
                return []
            with self._path.open("rb") as file:
                file.seek(self._read_to - len(self._tail))
                content = file.read()
                if not content.startswith(self._tail):
                    self._read_to, self._tail = 0, b""
                    file.seek(0)
                    content = file.read()
        except FileNotFoundError:
            return []
        whole = content[len(self._tail) : content.rfind(b"\n") + 1]
        self._read_to += len(whole)
        self._tail = (self._tail + whole)[-TAIL_BYTES:]
        rows = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):  # as in `cpt.rows.read_rows`
                rows.append(json.loads(line))
        return [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int)]


@dataclass(frozen=True)
class Step:
    """What a tracker is told of one step.

    Attributes:
        step: Updates completed.
        metrics: Name and value, of all rows of this step.
        elapsed_seconds: Of the last training row up to it: time spent in this stage.
    """

    step: int
    metrics: Mapping[str, float]
    elapsed_seconds: float


class UnsentRows:
    """The rows of one state that a tracker has not been told."""

    def __init__(self, folder: Path, sent: Mapping[str, int]) -> None:
        """Reads nothing yet.

        Args:
            folder: The state's.
            sent: For each file of rows the last step that was told; it may lack files.
        """
        self._files = {name: RowFile(folder / name) for name in PREFIXES}
        self.sent = {name: sent.get(name, -1) for name in PREFIXES}
        # By file, then by step and prefix, which together name a row.
        self._waiting: dict[str, dict[tuple[int, str], dict[str, Any]]] = {
            name: {} for name in PREFIXES
        }
        self._last_step = dict.fromkeys(PREFIXES, -1)
        self._seen: list[tuple[float, int]] = []
        self._elapsed = 0.0

    def look(self, now: float) -> None:
        """Reads what was appended; training rows first, for they say what is whole.

        Args:
            now: Of a clock that `ready` is asked by too, seconds.
        """
        for name, file in self._files.items():
            for row in file.read():
                self._take(name, row)
        step = self._last_step[TRAIN]
        self._seen = [(then, seen) for then, seen in self._seen if seen <= step]
        if step >= 0 and (not self._seen or self._seen[-1][1] < step):
            self._seen.append((now, step))

    def _take(self, name: str, row: dict[str, Any]) -> None:
        step, waiting = row["step"], self._waiting[name]
        if step < self._last_step[name]:  # resumed: what came after is superseded
            for key in [key for key in waiting if key[0] >= step]:
                del waiting[key]
        self._last_step[name] = step
        if step > self.sent[name]:
            waiting[step, PREFIXES[name](row)] = row
        elif name == TRAIN:
            self._elapsed = row["elapsed_seconds"]

    def ready(self, *, seen_until: float, ended: bool) -> list[Step]:
        """The steps that are whole, in their order.

        Args:
            seen_until: A step is whole if a later training row was seen by this time.
            ended: Nothing more will come: all that waits is whole.
        """
        settled = [(then, step) for then, step in self._seen if then <= seen_until]
        # Older ones say no more than the newest of them.
        self._seen = settled[-1:] + self._seen[len(settled) :]
        limit = math.inf if ended else (settled[-1][1] if settled else -1)
        told: dict[int, dict[str, float]] = {}
        for name, waiting in self._waiting.items():
            for (step, _), row in waiting.items():
                if step < limit:
                    told.setdefault(step, {}).update(metrics(name, row))
        elapsed, steps = self._elapsed, []
        for step in sorted(told):
            elapsed = told[step].get("elapsed_seconds", elapsed)
            steps.append(Step(step, told[step], elapsed))
        return steps

    def told(self, last: Step) -> None:
        """The tracker was told all that was ready up to this step."""
        self._elapsed = last.elapsed_seconds
        for name, waiting in self._waiting.items():
            for key in [key for key in waiting if key[0] <= last.step]:
                del waiting[key]
                self.sent[name] = max(self.sent[name], key[0])

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be told."""
        return not any(self._waiting.values())
