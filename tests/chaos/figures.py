"""What the disturbances cost, reckoned from the rows that were appended. Pure.

A state that is resumed steps back to its checkpoint, so its rows do too: the updates between are
those that were trained again. Such a step back is due to the last disturbance before which its rows
ended; of several between which it wrote nothing, to the first.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any

from tests.chaos.observation import Position
from tests.chaos.schedule import WITH_NOTICE, Kind


@dataclass(kw_only=True)
class Disturbance:
    """One that was done.

    Attributes:
        number: From 1 on.
        kind: What was done.
        at: Seconds since the sweep was started.
        victim: Whom it met: a process id or a node.
        running: Where the unfinished states stood just before.
        exit_status: Of the driver, where it was met and ended.
        seconds: Until the victim was gone, and replaced where it was a node.
    """

    number: int
    kind: Kind
    at: float
    victim: str
    running: Sequence[Position]
    exit_status: int | None = None
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class StepBack:
    """A resumed attempt that trained again what was done before.

    Attributes:
        state: Which.
        row: Index of its first row in the file.
        from_step: The last step that had been trained.
        to_step: The checkpoint it went on from.
        disturbance: Number of the one it is due to; None: of none, which must not be.
        checkpoint: The newest checkpoint just before that disturbance; None where none is known.
    """

    state: str
    row: int
    from_step: int
    to_step: int
    disturbance: int | None
    checkpoint: int | None

    @property
    def trained_again(self) -> int:
        """Updates."""
        return self.from_step - self.to_step


def steps_back(
    rows: Mapping[str, Sequence[int]], disturbances: Sequence[Disturbance]
) -> list[StepBack]:
    """All of a sweep.

    Args:
        rows: State to the steps of its training rows, in file order.
        disturbances: In their order.
    """
    found = []
    for state, steps in rows.items():
        stood = [
            (one, position)
            for one in disturbances
            for position in one.running
            if position.state == state
        ]
        for row in range(1, len(steps)):
            if steps[row] > steps[row - 1]:
                continue
            before = [(one, position) for one, position in stood if position.rows <= row]
            most = max((position.rows for _, position in before), default=0)
            cause = next(
                ((one, position) for one, position in before if position.rows == most), None
            )
            found.append(
                StepBack(
                    state=state,
                    row=row,
                    from_step=steps[row - 1],
                    to_step=steps[row] - 1,
                    disturbance=None if cause is None else cause[0].number,
                    checkpoint=None if cause is None else cause[1].checkpoint,
                )
            )
    return found


@dataclass(frozen=True, kw_only=True)
class OfOneKind:
    """What disturbances of one kind cost.

    Attributes:
        number: How many there were.
        states_set_back: States that had to train something again.
        most: The most updates that one state trained again after one of them.
        mean: Updates trained again per disturbance, over all states.
        in_writing: States set back by more than one interval between checkpoints, since the newest
            one was still being written.
    """

    number: int
    states_set_back: int
    most: int
    mean: float
    in_writing: int


def by_kind(
    disturbances: Sequence[Disturbance], found: Sequence[StepBack], interval: int
) -> dict[Kind, OfOneKind]:
    """The figures of each kind that came."""
    figures = {}
    for kind in Kind:
        numbers = [one.number for one in disturbances if one.kind is kind]
        again = [one.trained_again for one in found if one.disturbance in numbers]
        if numbers:
            figures[kind] = OfOneKind(
                number=len(numbers),
                states_set_back=len(again),
                most=max(again, default=0),
                mean=round(sum(again) / len(numbers), 2),
                in_writing=sum(updates > interval for updates in again),
            )
    return figures


@dataclass(kw_only=True)
class Figures:
    """Everything that a run of the harness says; what is not as promised is in `faults`."""

    settings: Mapping[str, Any]
    seconds_undisturbed: float
    seconds_disturbed: float
    starts: int
    states: int
    states_lost: list[str]
    updates: int
    updates_trained_again: int
    disturbances: Sequence[Disturbance]
    steps_back: Sequence[StepBack]
    kinds: Mapping[Kind, OfOneKind]
    seconds_between: float
    differences: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def is_as_promised(self) -> bool:
        """Nothing lost, nothing different, nothing left behind."""
        return not (self.states_lost or self.differences or self.leaks or self.faults)

    def as_json(self) -> dict[str, Any]:
        """Every figure."""
        content = asdict(self)
        for one, place in zip(self.steps_back, content["steps_back"], strict=True):
            place["trained_again"] = one.trained_again
        return {"as_promised": self.is_as_promised, **content}


def faults_of(
    disturbances: Sequence[Disturbance], found: Sequence[StepBack], interval: int
) -> list[str]:
    """What breaks the promise about lost work, a sentence each.

    Args:
        disturbances: All.
        found: All steps back.
        interval: Updates between two checkpoints.
    """
    kinds = {one.number: one.kind for one in disturbances}
    faults = []
    for one in found:
        what = f"{one.state} went back from step {one.from_step} to {one.to_step}"
        if one.disturbance is None or one.checkpoint is None:
            faults.append(f"{what} without a disturbance")
            continue
        kind = kinds[one.disturbance]
        # A checkpoint is written while training goes on, and is none before its last byte; the
        # next one waits for it.
        most = 1 if kind in WITH_NOTICE else 2 * interval - 1
        after = f"after disturbance {one.disturbance} ({kind})"
        if one.to_step < one.checkpoint:
            faults.append(f"{what} {after}, behind its checkpoint of step {one.checkpoint}")
        if one.trained_again > most:
            faults.append(f"{what} {after}: {one.trained_again} updates, not {most} at most")
    return faults


def seconds_between(disturbances: Sequence[Disturbance]) -> float:
    """The mean from one to the next; 0 where there are fewer than two."""
    times = [one.at for one in disturbances]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return round(mean(gaps), 1) if gaps else 0.0
