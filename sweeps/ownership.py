"""One driver a sweep: whoever writes `sweeps/<name>/owner.json` first runs it, the others do not.

    owner.json             who has the sweep, and its last sign of life
    .owner.<id>.json       who takes it from the dead owner of that id; gone a moment later

The owner is who stands at the end of that chain. To take a sweep is to create the file that is
missing at its end, which of several processes one alone can do, and to read back that one stands
there. So the death of an owner, or of one that was about to be it, blocks nobody.
"""

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

from cpt.parsing import ConfigError
from cpt.records import ResultTree, SweepDir
from cpt.token_store import StoreError
from sweeps.owner import BEAT_SECONDS, SILENT_SECONDS, Owner
from sweeps.places import Folder, Place, place_of
from sweeps.words import hours

OWNER = "owner.json"


class _Beat:
    """Says every few seconds that this run lives, and looks whether the sweep is still its own."""

    def __init__(
        self, place: Place, mine: Owner, on_lost: Callable[[str], None], seconds: float
    ) -> None:
        self._place, self._mine, self._on_lost, self._seconds = place, mine, on_lost, seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="owner", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._thread.join()
        # What cannot be removed is a dead owner's, from whom the next run takes the sweep.
        with contextlib.suppress(OSError, ValueError):
            now = _owner(self._place)
            if now is not None and now.id == self._mine.id:
                self._place.remove(OWNER)

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            other = None
            # Storage that fails for a moment ends no run: the next beat tries again.
            with contextlib.suppress(OSError, ValueError):
                other = self._beat()
            if other is not None:
                silent = hours(max(other.since - self._mine.beat_time, 0) / 3600)
                self._on_lost(
                    f"lost the sweep to {other.named}: this run had given no sign of life for "
                    f"{silent}; it stops, and the other goes on"
                )
                return

    def _beat(self) -> Owner | None:
        """Who has the sweep instead, if it is another."""
        now = _owner(self._place)
        if now is not None and now.id != self._mine.id:
            return now
        beaten = self._mine.beaten()
        self._place.replace(OWNER, dataclasses.asdict(beaten))
        self._mine = beaten
        return None


@contextlib.contextmanager
def owned(
    sweep: SweepDir,
    on_lost: Callable[[str], None],
    say: Callable[[str], None],
    *,
    place: Place | None = None,
    beat_seconds: float = BEAT_SECONDS,
) -> Iterator[Owner]:
    """Has a sweep for oneself; yields what others read of this run.

    Args:
        sweep: Which; its folder need not exist yet.
        on_lost: Called once, from another thread, with a sentence: another run took the sweep since
            this one seemed dead, as after minutes of suspension. This one must stop.
        say: Told where an owner is watched for a while.
        place: Where its drivers agree; None: in its folder.
        beat_seconds: Between two signs of life; all runs of a sweep must agree.

    Raises:
        ConfigError: Another run has it, or `owner.json` is damaged.
    """
    place = place or Folder(sweep.path)
    with _readable(sweep):
        mine = _taken(place, sweep, say, 2 * beat_seconds)
    with _Beat(place, mine, on_lost, beat_seconds):
        yield mine


@contextlib.contextmanager
def all_owned(
    tree: ResultTree, on_lost: Callable[[str], None], say: Callable[[str], None]
) -> Iterator[set[str]]:
    """Has every sweep of a tree for oneself, see `owned`; yields their names."""
    with contextlib.ExitStack() as held:
        sweeps = tree.sweeps()
        for sweep in sweeps:
            held.enter_context(owned(sweep, on_lost, say, place=place_of(tree, sweep)))
        yield {sweep.path.name for sweep in sweeps}


def check_unowned(tree: ResultTree) -> None:
    """Looks whether anybody runs a sweep of a tree; takes none.

    Raises:
        ConfigError: Somebody does.
    """
    faults = [_refusal(tree.sweep(name), owner) for name, owner in living_owners(tree).items()]
    if faults:
        raise ConfigError(faults)


def living_owner(sweep: SweepDir, place: Place | None = None) -> Owner | None:
    """Who runs a sweep at this moment, by one look; None: nobody, as far as that tells.

    Args:
        sweep: Which.
        place: Where its drivers agree; None: in its folder.

    Raises:
        ConfigError: `owner.json` is damaged.
    """
    with _readable(sweep):
        owner = _owner(place or Folder(sweep.path))
    return owner if owner is not None and owner.seems_alive else None


def living_owners(tree: ResultTree) -> dict[str, Owner]:
    """Who runs sweeps of a tree at this moment, by the name of the sweep.

    Raises:
        ConfigError: An `owner.json` is damaged.
    """
    owners = {
        sweep.path.name: living_owner(sweep, place_of(tree, sweep)) for sweep in tree.sweeps()
    }
    return {name: owner for name, owner in owners.items() if owner is not None}


@contextlib.contextmanager
def _readable(sweep: SweepDir) -> Iterator[None]:
    """Turns damage into a refusal that says what to do."""
    try:
        yield
    except (ConfigError, StoreError):
        raise
    except ValueError as error:
        raise ConfigError(
            [
                f"{sweep.path}: {error}; if no rewarm run works on this sweep, delete that file "
                "and run this again."
            ]
        ) from error


def _taken(place: Place, sweep: SweepDir, say: Callable[[str], None], watched: float) -> Owner:
    while True:
        chain = _chain(place)
        if chain and not _is_dead(place, chain[-1], say, watched):
            raise ConfigError([_refusal(sweep, chain[-1])])
        mine = Owner.myself()
        missing = _claim(chain[-1]) if chain else OWNER
        if not place.create(missing, dataclasses.asdict(mine)):
            continue
        time.sleep(place.settling_seconds)
        if _is(_owner(place), mine):
            if chain:
                # In this order: who still reads the old chain finds its claims, or the new owner.
                place.replace(OWNER, dataclasses.asdict(mine))
                for dead in chain:
                    place.remove(_claim(dead))
            return mine
        # Others were faster, and the chain that was read is no more.
        if chain and _is(_read(place, missing), mine):
            place.remove(missing)


def _is(owner: Owner | None, other: Owner) -> bool:
    return owner is not None and owner.id == other.id


def _claim(dead: Owner) -> str:
    return f".owner.{dead.id}.json"


def _chain(place: Place) -> list[Owner]:
    """The recorded owner, who takes it from that one, and so on; empty: the sweep is free."""
    chain: list[Owner] = []
    name = OWNER
    while (owner := _read(place, name)) is not None:
        chain.append(owner)
        name = _claim(owner)
    return chain


def _owner(place: Place) -> Owner | None:
    return next(reversed(_chain(place)), None)


def _read(place: Place, name: str) -> Owner | None:
    content = place.read(name)
    try:
        return None if content is None else Owner.of(content)
    except ValueError as error:
        raise ValueError(f"{name} names no owner: {error}") from error


def _is_dead(place: Place, owner: Owner, say: Callable[[str], None], watched: float) -> bool:
    if owner.process_lives is not None or owner.seems_alive:
        return not owner.seems_alive
    say(
        f"{owner.named} runs this sweep, or died: its last sign of life is "
        f"{hours(abs(owner.silent_seconds) / 3600)} from now; watching for {watched:g} s"
    )
    until = time.monotonic() + watched
    while time.monotonic() < until:
        time.sleep(watched / 20)
        now = _owner(place)
        if now is None or now.id != owner.id:
            return True  # the chain is read again, and who stands there is looked at
        if now.beats != owner.beats:
            return False
    return True


def _refusal(sweep: SweepDir, owner: Owner) -> str:
    silent = hours(max(owner.silent_seconds, 0) / 3600)
    elsewhere = (
        f"; if that machine is gone, it does {SILENT_SECONDS:g} s after the last sign of life"
        if owner.process_lives is None
        else ""
    )
    return (
        f"{sweep.path}: {owner.named} has been running this sweep for {owner.age}, its last sign "
        f"of life {silent} ago; a sweep has one driver. Wait until it ends, or end it on "
        f"{owner.host} with: kill {owner.pid}; then the same command goes on{elsewhere}."
    )
