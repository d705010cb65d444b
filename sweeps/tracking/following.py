"""Trackers are told of the rows of a sweep while it runs, each by a thread of the driver.

No training process knows of a tracker, and none waits for one. A tracker that fails is told of
once and asked again now and then; what it was not told, this run or the next one tells it. The rows
are the truth.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

from cpt.records import ResultTree, StatusWord
from sweeps.plan import Plan
from sweeps.progress import last_row
from sweeps.tracking.follower import Follower
from sweeps.tracking.making import cursor_of, make
from sweeps.tracking.rows import PREFIXES

FAREWELL_SECONDS = 60.0
"""How long a run waits at its end for trackers that are behind."""
UNHURRIED_SECONDS = 86_400.0
"""The same, where telling them is all there is to do."""
HASTY_FAREWELL_SECONDS = 3.0
"""The same, of one that was asked twice to leave."""


def is_behind(plan: Plan, tree: ResultTree, say: Callable[[str], None]) -> bool:
    """Whether a tracker was not told all rows of a state that ended."""
    sweep = tree.sweep(plan.spec.name)
    for wanted in plan.spec.trackers.wanted:
        cursor = cursor_of(make(wanted, plan.spec, sweep), tree, sweep, say)
        for name in plan.states:
            state, sent = tree.state(name), cursor.sent(name)
            status = state.read_status()
            if status is None or status.status is StatusWord.RUNNING:
                continue
            last = {file: last_row(state.path / file) for file in PREFIXES}
            if any(row and row["step"] > sent.get(file, -1) for file, row in last.items()):
                return True
    return False


@contextlib.contextmanager
def tracked(
    plan: Plan,
    tree: ResultTree,
    say: Callable[[str], None],
    farewell_seconds: float = FAREWELL_SECONDS,
) -> Iterator[None]:
    """Tells the sweep's trackers of its states while this block trains them.

    Args:
        plan: Whose states; those that were complete before are told too, if they were not.
        tree: Where their rows are.
        say: Told once of each tracker that fails, and of each that is behind at the end.
        farewell_seconds: How long to wait at the end for those that are behind.
    """
    followers = [Follower(name, plan, tree, say) for name in plan.spec.trackers.wanted]
    for follower in followers:
        follower.start()
    seconds = farewell_seconds
    try:
        yield
    except KeyboardInterrupt:
        seconds = HASTY_FAREWELL_SECONDS
        raise
    finally:
        until = time.monotonic() + seconds
        for follower in followers:
            follower.stop(until)
        for follower in followers:
            follower.join()
