"""`rewarm report`: the page of one sweep or of several, once or for as long as they run."""

import time
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from cpt.token_store import StoreError
from sweeps.console import say
from sweeps.ownership import living_owner
from sweeps.places import place_of
from sweeps.targets import SweepTarget, fetch_sweep

if TYPE_CHECKING:
    from analysis.asked import Asked


def report(targets: Sequence[SweepTarget], asked: "Asked | None" = None) -> None:
    """Writes what was asked for of these sweeps, once or until they are finished, and says where.

    Args:
        targets: One sweep, or several to compare.
        asked: None: the report of a sweep, where it belongs.

    Raises:
        FileNotFoundError: A sweep has no plan any more.
        ValueError: A plan is of another version, or not complete JSON.
        ConfigError: The sweeps cannot be compared as asked, or `owner.json` is damaged.
        StoreError: What lies on object storage cannot be written.
    """
    # Imported here, as below: pandas and plotly take a second, and only reports need them.
    from analysis.asked import Asked

    asked = asked or Asked()
    if asked.every is None:
        _write(targets, asked, "report: ")
        return
    from analysis.watching import watch

    watch(
        look=_look(targets),
        is_finished=lambda: all(_is_finished(target) for target in targets),
        write=lambda reload_seconds: _write(
            targets, asked, f"{time.strftime('%H:%M:%S')} report: ", reload_seconds
        ),
        every=asked.every,
    )


def _write(
    targets: Sequence[SweepTarget],
    asked: "Asked",
    told: str,
    reload_seconds: float | None = None,
) -> None:
    from analysis.output import write

    page = write([target.sweep.path for target in targets], asked, reload_seconds)
    if asked.out is None:
        targets[0].send(page)
    if len(targets) == 1:
        targets[0].send(targets[0].sweep.trials)
    say(f"{told}{page}")


def _look(targets: Sequence[SweepTarget]) -> Callable[[], Hashable]:
    """What all sweeps are made from; storage that fails for a moment changes nothing."""
    from analysis.watching import sweep_stamp

    seen: Hashable = None

    def look() -> Hashable:
        nonlocal seen
        try:
            for target in targets:
                fetch_sweep(target.tree, target.sweep)
        except StoreError as error:
            say(f"not read just now, tried again soon: {error}")
            return seen
        seen = tuple(sweep_stamp(target.sweep.path) for target in targets)
        return seen

    return look


def _is_finished(target: SweepTarget) -> bool:
    """Whether nothing of a sweep is left to train, and nobody runs it."""
    from analysis.watching import is_settled

    owner = living_owner(target.sweep, place_of(target.tree, target.sweep))
    return owner is None and is_settled(target.sweep.path)
