"""What of a result tree may be deleted: the decision, from a listing of it. Pure.

Four kinds, told by place and name:

    remains      what a kill left: temporary files, checkpoints and stores that were never finished
    set aside    `NAME.damaged-1`: what was found damaged and made anew
    superseded   checkpoints of settled states but the newest, once that was found whole
    unplanned    states that no sweep of the tree plans, nor goes on from

What a plan needs is never among them: not its states, nor what those were trained from.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from cpt.parsing import ConfigError
from cpt.records import StatusWord

QUIET_SECONDS = 60.0
"""What was written more lately may be a file in the making, of a command without a sweep."""
ABANDONED_SECONDS = 24 * 3600.0
"""So long nothing is written to a store or model that is being made only where its maker died."""

_SET_ASIDE = re.compile(r".+\.damaged-\d+")
_TEMPORARY = re.compile(r"\..+\.\d+|.+\.partial")
_CLAIM = re.compile(r"\.owner\..+\.json")


class Kind(StrEnum):
    """Why something may go."""

    REMAINS = "remains"
    SET_ASIDE = "set aside"
    SUPERSEDED = "superseded"
    UNPLANNED = "unplanned"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or folder.

    Attributes:
        path: From the storage on.
        bytes: Of all files in it.
        idle_seconds: Since anything in it was last changed.
    """

    path: PurePosixPath
    bytes: int
    idle_seconds: float


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One of a state's.

    Attributes:
        entry: Its folder.
        step: After which it was taken.
        is_marked: Whether its last byte was written.
    """

    entry: Entry
    step: int
    is_marked: bool


@dataclass(frozen=True, kw_only=True)
class ListedState:
    """One state's folder.

    Attributes:
        entry: The folder.
        word: Of its status; None: none, or a damaged one.
        step: Of its status.
        origins: The states it was trained from, as its configuration says; None: that is damaged.
        checkpoints: Those that are not set aside.
        newest_whole: The newest step whose checkpoint was read and found whole; None: none was, or
            none was looked for, since there is but one.
        others: The other files and folders directly in it, and in its folder of checkpoints.
    """

    entry: Entry
    word: StatusWord | None
    step: int
    origins: frozenset[str] | None
    checkpoints: tuple[Checkpoint, ...] = ()
    newest_whole: int | None = None
    others: tuple[Entry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies in a tree.

    Attributes:
        states: By id; a folder below `states` without a configuration is none.
        planned: States that plans of sweeps name.
        others: What else may be told by its name alone: entries of `states`, of the folders of
            sweeps, token stores, tokenizers and models, and files directly in the latter.
        unfinished: Folders in which a store or model was being made; those whose maker lives are
            left out.
    """

    states: Mapping[str, ListedState]
    planned: frozenset[str]
    others: tuple[Entry, ...] = ()
    unfinished: tuple[Entry, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Freed:
    """One file or folder that may go.

    Attributes:
        kind: Why.
        path: From the storage on.
        bytes: That it frees, what is listed by itself left out.
    """

    kind: Kind
    path: PurePosixPath
    bytes: int


def freed(listing: Listing) -> list[Freed]:
    """What may go, in the order in which it is deleted; nothing stands there twice.

    Raises:
        ConfigError: What a needed state was trained from cannot be read.
    """
    needed = _needed(listing)
    found: list[Freed] = [one for entry in listing.others if (one := _by_name(entry)) is not None]
    found += [_free(Kind.REMAINS, entry) for entry in listing.unfinished]
    for name, state in listing.states.items():
        inside = _outermost(_inside(state))
        found += inside
        if name not in needed:
            rest = state.entry.bytes - sum(one.bytes for one in inside)
            found.append(Freed(kind=Kind.UNPLANNED, path=state.entry.path, bytes=rest))
    kinds = list(Kind)
    return sorted(found, key=lambda one: (kinds.index(one.kind), one.path))


def _outermost(found: Iterable[Freed]) -> list[Freed]:
    """Without what lies in a folder that goes as a whole."""
    ones = list(found)
    folders = {one.path for one in ones}
    return [one for one in ones if folders.isdisjoint(one.path.parents)]


def _free(kind: Kind, entry: Entry) -> Freed:
    return Freed(kind=kind, path=entry.path, bytes=entry.bytes)


def _by_name(entry: Entry) -> Freed | None:
    name = entry.path.name
    if _SET_ASIDE.fullmatch(name):
        return _free(Kind.SET_ASIDE, entry)
    in_sweep = len(entry.path.parts) == 3 and entry.path.parts[0] == "sweeps"
    if in_sweep and name == "ray":
        return _free(Kind.REMAINS, entry)
    is_left = _TEMPORARY.fullmatch(name) or (in_sweep and _CLAIM.fullmatch(name))
    if is_left and entry.idle_seconds >= QUIET_SECONDS:
        return _free(Kind.REMAINS, entry)
    return None


def _inside(state: ListedState) -> Iterator[Freed]:
    """What may go of a state that stays."""
    yield from (one for entry in state.others if (one := _by_name(entry)) is not None)
    for checkpoint in state.checkpoints:
        if not checkpoint.is_marked:
            if checkpoint.entry.idle_seconds >= QUIET_SECONDS:
                yield _free(Kind.REMAINS, checkpoint.entry)
        elif _is_superseded(state, checkpoint.step):
            yield _free(Kind.SUPERSEDED, checkpoint.entry)


def _is_superseded(state: ListedState, step: int) -> bool:
    """Whether a settled state has a newer checkpoint that is whole; a complete one, its last."""
    newest = state.newest_whole
    if newest is None or state.word not in (StatusWord.COMPLETE, StatusWord.STOPPED):
        return False
    is_last = state.word is StatusWord.STOPPED or newest == state.step
    return is_last and step < newest


def _needed(listing: Listing) -> set[str]:
    """What is planned, and what that was trained from."""
    needed: set[str] = set()
    ahead = list(listing.planned)
    while ahead:
        name = ahead.pop()
        if name in needed:
            continue
        needed.add(name)
        state = listing.states.get(name)
        if state is None:
            continue
        if state.origins is None:
            raise ConfigError(
                [
                    f"{state.entry.path}/config.json: it is damaged, so it cannot be told which "
                    "states this one goes on from; run a sweep that plans it, which sets it aside, "
                    "and clean then."
                ]
            )
        ahead += state.origins
    return needed
