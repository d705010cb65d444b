"""What a state goes on from: its newest checkpoint that is whole, and rows that belong to it.

    newest checkpoint                       damaged, or its rows are: set aside, look at the next
    a whole one                             go on from it
    none is left                            begin again: from the base, the parent, random weights

Rows behind those that a checkpoint rests on are superseded by the next attempt as long as they are
of later steps (`cpt.rows.current_rows`). A damaged row may say any step, so where rows were
damaged the files are set aside, and what is whole of them goes on.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from cpt import checkpoint
from cpt.checkpoint_marker import ROW_FILES
from cpt.files import name_aside, set_aside, write_bytes
from cpt.parallel import Workers
from cpt.records import StateDir, StatusWord
from cpt.seals import Digest


def recover(state: StateDir, team: Workers, before: Sequence[str] = ()) -> str:
    """Sets aside what is damaged of a state that is to be trained on; all ranks must call it.

    Afterwards its newest marked checkpoint, if it has one, is the one to go on from.

    Args:
        state: Which.
        team: Its workers.
        before: Sentences about what was damaged where the state was fetched from.

    Returns:
        What was damaged, where it is now and where the state goes on, in one sentence; empty where
        nothing was. On rank 0; elsewhere a part of it.
    """
    if team.is_first:
        _remove_half_written(state)
    told = [*before, *_status_set_aside(state)] if team.is_first else []
    rows_are_whole = True
    while (step := team.gather(_newest(state) if team.is_first else None)[0]) is not None:
        fault = checkpoint.fault(state, step, team)
        if fault is None:
            fault = state.read_marker(step).row_fault(state.path) if team.is_first else None
            fault = team.gather(fault)[0]
            if fault is None:
                break
            rows_are_whole = False
        if team.is_first:
            name = state.checkpoint(step).name
            aside = state.set_checkpoint_aside(step).name
            told.append(f"{name} was damaged ({fault}): set aside as {aside}")
    if not team.is_first:
        return ""
    whole = {} if step is None else state.read_marker(step).rows
    told += _rows_cut(state, whole, step, rows_are_whole=rows_are_whole)
    if not told:
        return ""
    told.append("began again" if step is None else f"went on from step {step}")
    return "; ".join(told)


def is_complete(state: StateDir, end_step: int) -> bool:
    """Whether a state needs no training: its status says so, and nothing in sight denies it."""
    try:
        status = state.read_status()
    except ValueError:
        return False
    return (
        status is not None
        and status.status is StatusWord.COMPLETE
        and status.step == end_step
        and state.completion_fault(end_step) is None
    )


def _remove_half_written(state: StateDir) -> None:
    """What a kill left of a file that was about to be replaced; see `cpt.files.write_bytes`."""
    for path in state.path.glob(".*.*"):
        if re.fullmatch(r"\..+\.\d+", path.name):
            path.unlink(missing_ok=True)


def _status_set_aside(state: StateDir) -> Iterator[str]:
    try:
        state.read_status()
    except ValueError as error:
        yield f"{error}: set aside as {set_aside(state.status).name}"


def _newest(state: StateDir) -> int | None:
    """The newest step to look at: of a marked checkpoint, or the one that a complete state has."""
    steps = state.marked_steps()
    status = state.read_status()
    if status is not None and status.status is StatusWord.COMPLETE:
        steps += [step for step in state.checkpoint_steps() if step == status.step]
    return max(steps, default=None)


def _rows_cut(
    state: StateDir, whole: Mapping[str, Digest], step: int | None, *, rows_are_whole: bool
) -> Iterator[str]:
    """Cuts rows back to what is known to be whole, where what is behind it is not sound."""
    for name in ROW_FILES:
        path, size = state.path / name, whole[name].bytes if name in whole else 0
        if not path.exists() or path.stat().st_size <= size:
            continue
        content = path.read_bytes()
        if rows_are_whole and _follow(content[size:], -1 if step is None else step):
            continue
        aside = name_aside(path)
        write_bytes(aside, content)
        write_bytes(path, content[:size])
        yield f"{name} was damaged: set aside as {aside.name}, and {size} bytes of it kept"


def _follow(lines: bytes, step: int) -> bool:
    """Whether rows are of later steps than this one; a line that a kill cut off is none."""
    for line in lines.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if not isinstance(row, dict) or not isinstance(row.get("step"), int) or row["step"] <= step:
            return False
    return True
