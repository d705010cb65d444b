"""The driver and a store that lies elsewhere: what running states write there, and its bad hours.

A driver that ended for a store that does not answer would end trainings that need nothing of it.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from cpt.mirror import Mirror
from cpt.records import ResultTree
from cpt.retries import passes
from cpt.token_store import StoreError

OUTAGE_SECONDS = 600.0
"""What a driver waits out; trainings go on meanwhile, up to their next checkpoint."""

patiently = Retrying(
    retry=retry_if_exception(passes),
    stop=stop_after_delay(OUTAGE_SECONDS),
    wait=wait_random_exponential(max=30),
    reraise=True,
)
"""Calls what asks the store, again and again while that may help."""

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
