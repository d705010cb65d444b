"""What running states have written so far, brought to the driver where it lies elsewhere."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from cpt.mirror import Mirror
from cpt.records import ResultTree
from cpt.token_store import StoreError

LOOK_EVERY_SECONDS = 3.0
"""A list and a status for each running state, and its rows where they grew."""


@contextlib.contextmanager
def followed(tree: ResultTree, running: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Fetches statuses and rows of running states now and then, while this block runs.

    Args:
        tree: In a directory nothing is done.
        running: Their ids at this moment.
    """
    if tree.remote is None:
        yield
        return
    is_over = threading.Event()

    def follow() -> None:
        while not is_over.wait(LOOK_EVERY_SECONDS):
            # Whoever only looks waits for the next time.
            with contextlib.suppress(StoreError):
                Mirror.of(tree).fetch_states(running())

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
