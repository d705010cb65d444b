"""What saving costs a training, and how long an interrupted one takes to go on; see `trainer.py`.

A save copies the tensors between two steps, which is the stall, and writes them beside the steps
after it, which slows those. Both are in the share lost: the steps of a run that saves take so much
longer than those of one that does not. A small batch would make it look large and a huge one hide
it. The checkpoint that a resume reads was just written, so it comes from the page cache.
"""

import itertools
import json
import statistics
from collections.abc import Iterator, Sequence

from contest import REWARM, Arena

from cpt.config import RunConfig
from cpt.records import StateDir, Status, StatusWord

TOUCHED_STEPS = 5
"""Steps after a save that its writing may slow."""


def saving(arena: Arena, never: RunConfig, interval: int, rounds: int) -> Iterator[tuple[str, ...]]:
    """Saving every `interval` steps against never, in turn: rows of a table."""
    often = never.model_copy(update={"checkpoint_interval_steps": interval})
    lost, added = [], []
    for _ in range(rounds):
        with_saves, without = (arena.train_once(REWARM, one) for one in (often, never))
        lost.append(100 * (1 - without.seconds / with_saves.seconds))
        added.append(seconds_a_save(with_saves.ends, interval))
    yield _row("share of training time lost, %", lost, "under 3")
    yield _row(f"seconds that a save adds to the {TOUCHED_STEPS} steps after it", added, "")


def seconds_a_save(ends: Sequence[float], interval: int) -> float:
    """What a save added to the steps after it, over the median step.

    Args:
        ends: Seconds at the end of steps 1, 2, ...
        interval: Steps between two saves.
    """
    # Step 1 compiles and is left out: seconds[i] are those of step i + 2, so that the save after
    # step s falls into seconds[s - 1].
    seconds = [after - before for before, after in itertools.pairwise(ends)]
    saves = range(interval, len(seconds) - TOUCHED_STEPS + 2, interval)
    usual = statistics.median(seconds)
    added = [sum(seconds[save - 1 : save - 1 + TOUCHED_STEPS]) for save in saves]
    return statistics.median(added) - TOUCHED_STEPS * usual


def resuming(arena: Arena, config: RunConfig, rounds: int) -> Iterator[tuple[str, ...]]:
    """Going on with the last step of a state, again and again: rows of a table."""
    kept = config.total_steps - 1
    config = config.model_copy(update={"checkpoint_interval_steps": kept})
    state = arena.fresh_state(config)
    arena.run([*REWARM.command, str(state.path)])
    taken = []
    for _ in range(rounds):
        interrupt(state, kept)
        taken.append(json.loads(arena.run(["benchmarks/resume.py", str(state.path)])))
    resumes = [one["resume"] for one in taken]
    yield _row(f"seconds to resume, compile: {config.compile}", resumes, "under 2")
    yield _row("seconds of imports before", [one["imports"] for one in taken], "")


def interrupt(state: StateDir, step: int) -> None:
    """Leaves a complete state as a kill between this checkpoint and the next row would have."""
    for later in state.marked_steps():
        if later > step:
            state.checkpoint_marker(later).unlink()
    lines = state.train_rows.read_text().splitlines(keepends=True)
    state.train_rows.write_text("".join(lines[:step]))
    state.write_status(Status(status=StatusWord.RUNNING, step=step))


def _row(what: str, values: Sequence[float], target: str) -> tuple[str, ...]:
    numbers = statistics.median(values), min(values), max(values)
    return what, *(f"{number:.2f}" for number in numbers), target
