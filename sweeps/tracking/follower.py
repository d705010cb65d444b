"""Follows the rows of a sweep's states for one tracker."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cpt.records import ResultTree, StatusWord
from sweeps.following import LOOK_EVERY_SECONDS as FETCH_EVERY_SECONDS
from sweeps.plan import Plan
from sweeps.tracking.cursor import Cursor
from sweeps.tracking.making import cursor_of, make
from sweeps.tracking.tracker import Tracker
from sweeps.tracking.trial import TrackedTrial, parameters
from sweeps.tracking.unsent import UnsentRows

LOOK_EVERY_SECONDS = 1.0
RETRY_SECONDS = 30.0
"""How long a tracker that failed is left alone."""
MOST_STEPS = 500
"""Told at once."""
GRACE_SECONDS = 5.0
"""For a request that was under way when the time was over."""


@dataclass
class _Followed:
    """One state.

    Attributes:
        trial: As callbacks see it.
        rows: What the tracker has not been told.
        is_open: Whether the tracker's run of it was begun, and not ended.
        sent_before: What the tracker had been told when it was.
        ended_at: When its status was first seen to be that of a state that ended.
        is_done: Whether nothing more can come of it.
    """

    trial: TrackedTrial
    rows: UnsentRows
    is_open: bool = False
    ended_at: float | None = None
    is_done: bool = False
    sent_before: Mapping[str, int] = field(default_factory=dict)

    def open(self, tracker: Tracker) -> None:
        """Begins the tracker's run, or goes on with it."""
        tracker.begin(self.trial)
        self.is_open, self.sent_before = True, dict(self.rows.sent)

    def begin_anew(self, folder: Path) -> None:
        """What was sent since the run was opened did not arrive."""
        self.rows = UnsentRows(folder, self.sent_before)
        self.is_open = self.is_done = False


class Follower:
    """Tells one tracker of the rows, in a thread."""

    def __init__(self, name: str, plan: Plan, tree: ResultTree, say: Callable[[str], None]) -> None:
        self._name, self._plan, self._tree, self._say = name, plan, tree, say
        self._sweep = tree.sweep(plan.spec.name)
        # Over there rows are fetched file by file: a step is whole once all files were again.
        self._settle_seconds = 0.0 if tree.remote is None else 2 * FETCH_EVERY_SECONDS
        self._is_over = threading.Event()
        self._until: float | None = None
        self._followed: dict[str, _Followed] = {}
        self._left_alone_until = 0.0
        self._has_failed = self._is_behind = False
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)

    def start(self) -> None:
        """Begins to follow."""
        self._thread.start()

    def stop(self, until: float) -> None:
        """There will be no more rows; the rest is told if it can be told by then."""
        self._until = until
        self._is_over.set()

    def join(self) -> None:
        """Waits until the rest was told; says whether it was not."""
        assert self._until is not None
        self._thread.join(max(self._until - time.monotonic(), 0.0) + GRACE_SECONDS)
        if self._thread.is_alive() or self._is_behind:
            self._say(f"{self._name} was not told everything; the same command tells it the rest")

    def _follow(self) -> None:
        tracker = make(self._name, self._plan.spec, self._sweep)
        cursor = cursor_of(tracker, self._tree, self._sweep, self._say)
        self._followed = {name: self._state(name, tracker, cursor) for name in self._plan.states}
        while not self._is_over.wait(LOOK_EVERY_SECONDS):
            if time.monotonic() >= self._left_alone_until:
                self._turn(tracker, cursor, last=False)
        self._turn(tracker, cursor, last=True)

    def _state(self, name: str, tracker: Tracker, cursor: Cursor) -> _Followed:
        state = self._plan.states[name]
        label = state.config.label
        trial = TrackedTrial(
            trial_id=name,
            label=label,
            config=parameters(self._plan, state),
            experiment_dir_name=self._plan.spec.name,
            local_path=str(tracker.folder(name, label)),
        )
        return _Followed(trial, UnsentRows(self._tree.state(name).path, cursor.sent(name)))

    def _turn(self, tracker: Tracker, cursor: Cursor, *, last: bool) -> None:
        """Tells what there is of every state; what fails waits for another turn."""
        lost: dict[str, str] = {}
        with self._noting(tracker):
            for name, one in self._followed.items():
                if not one.is_done:
                    self._tell(name, one, tracker, cursor, last=last)
            if last:
                lost = tracker.close(self._seconds_left)
        for name, reason in (lost | tracker.lost()).items():
            self._followed[name].begin_anew(self._tree.state(name).path)
            cursor.note(name, self._followed[name].rows.sent)
            self._failed(reason)
        with self._noting(tracker):
            cursor.write(last=last)

    def _tell(
        self, name: str, one: _Followed, tracker: Tracker, cursor: Cursor, *, last: bool
    ) -> None:
        """Tells what is whole of one state, and its end."""
        word = self._word(name)  # before the rows, which are written before it
        now = time.monotonic()
        has_ended = word not in (None, StatusWord.RUNNING)
        if not has_ended:
            one.ended_at = None
        elif one.ended_at is None:
            one.ended_at = now
        seen_until = now - self._settle_seconds
        is_final = has_ended and (last or (one.ended_at or now) <= seen_until)
        one.rows.look(now)
        ready = one.rows.ready(seen_until=now if last else seen_until, ended=is_final)
        if ready and not one.is_open:
            one.open(tracker)
        while ready and self._seconds_left > 0:
            told, ready = ready[:MOST_STEPS], ready[MOST_STEPS:]
            tracker.send(one.trial, told)
            one.rows.told(told[-1])
            cursor.note(name, one.rows.sent)
        self._is_behind = self._is_behind or (last and bool(ready))
        if one.is_open and not ready and (is_final or last):
            one.is_open = False
            if is_final:
                tracker.end(one.trial, failed=word is StatusWord.FAILED)
            else:
                tracker.leave(one.trial)
        one.is_done = is_final and not ready and word is StatusWord.COMPLETE

    def _word(self, name: str) -> StatusWord | None:
        with contextlib.suppress(ValueError):  # damaged: whoever plans or trains says so
            status = self._tree.state(name).read_status()
            return None if status is None else status.status
        return None

    @property
    def _seconds_left(self) -> float:
        return math.inf if self._until is None else self._until - time.monotonic()

    @contextlib.contextmanager
    def _noting(self, tracker: Tracker) -> Iterator[None]:
        try:
            yield
        except tracker.failures as error:
            self._failed((str(error).strip().splitlines() or [type(error).__name__])[0])

    def _failed(self, reason: str) -> None:
        self._left_alone_until = time.monotonic() + RETRY_SECONDS
        self._is_behind = self._until is not None
        if not self._has_failed:
            self._has_failed = True
            self._say(f"{self._name}: {reason}; training goes on, and it is told again later")
