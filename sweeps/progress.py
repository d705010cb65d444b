"""Progress a person can follow, read from the rows: what runs, where, how fast, how long still."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cpt.records import ResultTree, StatusWord
from sweeps.agenda import Agenda, Task
from sweeps.pace import Pace

TAIL_BYTES = 2048
"""Enough for the last row of any file of rows."""
HEARTBEAT_SECONDS = 30.0
"""How often plain output says what runs, where there is no terminal to draw on."""

NOTHING_RUNS = "nothing is being trained: machines or processes are starting"


@dataclass(frozen=True)
class StateProgress:
    """How far one state is.

    Attributes:
        task: Which state, and from where.
        word: Its status; None where it was not started.
        step: Updates completed.
        loss: Training loss of the last row, nats per token; None before the first.
        tokens_per_second: Of the last row.
    """

    task: Task
    word: StatusWord | None
    step: int
    loss: float | None
    tokens_per_second: float | None

    @property
    def tokens(self) -> int:
        """Training tokens done, of those of the task."""
        config = self.task.run
        done = self.step * config.tokens_per_step
        return max(0, done - (config.token_budget - self.task.tokens))


def look(tasks: tuple[Task, ...], tree: ResultTree) -> list[StateProgress]:
    """Reads how far each state is."""
    return [_look(task, tree) for task in tasks]


def _look(task: Task, tree: ResultTree) -> StateProgress:
    place = tree.state(task.state.id)
    status = place.read_status()
    row = last_row(place.train_rows) or {}
    step = 0 if status is None else max(status.step, row.get("step", 0))
    return StateProgress(
        task=task,
        word=status.status if status else None,
        step=step,
        loss=row.get("loss"),
        tokens_per_second=row.get("tokens_per_second"),
    )


def last_row(path: Path) -> dict[str, Any] | None:
    """The last complete row of a file of JSON lines; None where there is none."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            return row
    return None


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `5 h 03 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


@contextmanager
def shown(agenda: Agenda, tree: ResultTree, console: Console) -> Iterator[None]:
    """Shows the progress of an agenda while its states are trained in this block.

    A terminal gets one live table; anything else a line for each event and a heartbeat.
    """
    watch = _Watch(agenda, tree)
    stop = threading.Event()
    follow = _live if console.is_terminal else _plain
    thread = threading.Thread(target=follow, args=(watch, console, stop), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Watch:
    """What has happened since the run began."""

    def __init__(self, agenda: Agenda, tree: ResultTree) -> None:
        self.agenda, self.tree = agenda, tree
        self.began = time.monotonic()
        self.rows = look(agenda.todo, tree)
        self.tokens_in_all = sum(task.tokens for task in agenda.todo)
        self._pace = Pace(self.tokens)
        # A status of an earlier run is no event of this one.
        self._seen: dict[str, int] = {}
        self._resumed_at: dict[str, int] = {}
        for task in agenda.todo:
            name = task.state.id
            place = tree.state(name)
            status = place.read_status()
            if status is not None:
                self._seen[name] = place.status.stat().st_mtime_ns
            if saved := place.whole_steps():
                self._resumed_at[name] = saved[-1]
        self._started: dict[str, float] = {}
        self._ended: set[str] = set()

    def update(self) -> Iterator[str]:
        """Looks again at what has not ended; a sentence for each state that began or ended."""
        self.rows = [
            row if row.task.state.id in self._ended else _look(row.task, self.tree)
            for row in self.rows
        ]
        self._pace.note(self.tokens, time.monotonic())
        for row in self.rows:
            name = row.task.state.id
            if row.word is None or self._is_old(name):
                continue
            if name not in self._started:
                self._started[name] = time.monotonic()
                yield f"began {self._describe(row)}"
            if row.word is not StatusWord.RUNNING and name not in self._ended:
                self._ended.add(name)
                took = duration(time.monotonic() - self._started[name])
                status = self.tree.state(name).read_status()
                reason = f": {status.reason}" if status and status.reason else ""
                yield f"{row.word} {row.task.run.label} in {took}{reason}"

    def running(self) -> list[StateProgress]:
        """The states that are being trained."""
        return [
            row
            for row in self.rows
            if row.task.state.id in self._started and row.word is StatusWord.RUNNING
        ]

    @property
    def ended(self) -> int:
        """How many states ended in this run."""
        return len(self._ended)

    @property
    def tokens(self) -> int:
        """Training tokens done, of those of the agenda."""
        return sum(row.tokens for row in self.rows)

    def remaining(self) -> str:
        """How long it will still take at the speed so far."""
        # What a failed state did not train will not be trained.
        left = sum(
            row.task.tokens - row.tokens
            for row in self.rows
            if row.task.state.id not in self._ended
        )
        seconds = self._pace.seconds(left)
        return "estimating the time left" if seconds is None else f"about {duration(seconds)} left"

    def _is_old(self, name: str) -> bool:
        path = self.tree.state(name).status
        return self._seen.get(name) == path.stat().st_mtime_ns

    def _describe(self, row: StateProgress) -> str:
        config = row.task.run
        base_step = config.end_step - row.task.tokens // config.tokens_per_step
        step = self._resumed_at.get(row.task.state.id) or base_step
        again = f", going on from step {step:,}" if step else ""
        return f"{config.label} ({config.end_step:,} steps{again})"


def _plain(watch: _Watch, console: Console, stop: threading.Event) -> None:
    beat = time.monotonic()
    while True:
        last_turn = stop.wait(0.5)
        for event in watch.update():
            console.print(
                f"[{duration(time.monotonic() - watch.began)}] "
                f"{watch.ended}/{len(watch.agenda.todo)} states · {event} · {watch.remaining()}",
                highlight=False, markup=False, soft_wrap=True,
            )  # fmt: skip
        if time.monotonic() - beat > HEARTBEAT_SECONDS:
            beat = time.monotonic()
            lines = [_line(row) for row in watch.running()] or [NOTHING_RUNS]
            for line in lines:
                console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)
        if last_turn:
            return


def _line(row: StateProgress) -> str:
    config = row.task.run
    loss = "" if row.loss is None else f", loss {row.loss:.3f}"
    speed = "" if row.tokens_per_second is None else f", {row.tokens_per_second:,.0f} tokens/s"
    return f"{config.label}: step {row.step:,}/{config.end_step:,}{loss}{speed}"


def _live(watch: _Watch, console: Console, stop: threading.Event) -> None:
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while not stop.wait(0.5):
            for event in watch.update():
                live.console.print(event, highlight=False, markup=False)
            live.update(_drawing(watch))
        for event in watch.update():
            live.console.print(event, highlight=False, markup=False)


def _drawing(watch: _Watch) -> Group:
    table = Table(box=None, pad_edge=False)
    for heading in ("training", "step", "loss", "tokens/s"):
        table.add_column(heading, justify="left" if heading == "training" else "right")
    for row in watch.running():
        config = row.task.run
        table.add_row(
            config.label,
            f"{row.step:,}/{config.end_step:,}",
            "" if row.loss is None else f"{row.loss:.3f}",
            "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}",
        )
    summary = Text(
        f"{watch.ended}/{len(watch.agenda.todo)} states, "
        f"{duration(time.monotonic() - watch.began)} gone, {watch.remaining()}"
    )
    bar = ProgressBar(total=watch.tokens_in_all, completed=watch.tokens, width=30)
    foot = Table.grid(padding=(0, 2))
    foot.add_row(bar, summary)
    return Group(table if watch.running() else Text(NOTHING_RUNS), foot)
