"""Where every state stands, read from the result tree while others write it."""

import json
from dataclasses import dataclass
from pathlib import Path

from cpt.records import ResultTree, StateDir, StatusWord


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far one state is.

    Attributes:
        state: Its id.
        rows: Complete lines of its `train.jsonl`, those of lost work included.
        step: Of the last of them; 0: none.
        checkpoint: The newest marked checkpoint; 0: none.
    """

    state: str
    rows: int
    step: int
    checkpoint: int


def unfinished(tree: ResultTree) -> list[Position]:
    """Those that were begun and are not complete, by id."""
    folders = sorted((tree.storage / "states").glob("*/"))
    states = [StateDir(folder) for folder in folders if ".damaged-" not in folder.name]
    return [_position(state) for state in states if not _is_complete(state)]


def rows_written(tree: ResultTree) -> int:
    """Lines of all training rows: it grows while anything trains."""
    files = (tree.storage / "states").glob("*/train.jsonl")
    return sum(len(_lines(file)) for file in files)


def planned_states(tree: ResultTree, sweep: str) -> dict[str, str]:
    """Label by id, of the states that the plan names; empty where it is not written yet."""
    path = tree.sweep(sweep).plan
    if not path.exists():
        return {}
    return {state["state"]: state["label"] for state in json.loads(path.read_text())["states"]}


def _position(state: StateDir) -> Position:
    lines = _lines(state.train_rows)
    return Position(
        state=state.path.name,
        rows=len(lines),
        step=json.loads(lines[-1])["step"] if lines else 0,
        checkpoint=max(state.marked_steps(), default=0),
    )


def _is_complete(state: StateDir) -> bool:
    status = state.read_status()
    return status is not None and status.status is StatusWord.COMPLETE


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []
