"""Whether a disturbed sweep ended with the numbers of one that was never disturbed.

All rows that count, but for the clock's columns; the table of trials; and every tensor of the final
checkpoints, weights and optimizer state, bit for bit.
"""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from cpt.checkpoint_reading import read_metadata, read_tensors
from cpt.files import read_json
from cpt.records import ResultTree, StateDir
from cpt.rows import current_rows, read_rows

CLOCK = ("tokens_per_second", "mfu", "elapsed_seconds")
SHOWN = 3
Row = Mapping[str, Any]


def differences(undisturbed: ResultTree, disturbed: ResultTree, sweep: str) -> list[str]:
    """All that differs, a sentence each; empty: the sweeps are identical."""
    ours, theirs = _states(undisturbed), _states(disturbed)
    found = [f"{name} is there only {where}" for name, where in _alone(ours, theirs)]
    for name in sorted(ours & theirs):
        found += _state_differences(undisturbed.state(name), disturbed.state(name))
    tables = [tree.sweep(sweep).trials for tree in (undisturbed, disturbed)]
    texts = [table.read_text() if table.exists() else None for table in tables]
    if None in texts or texts[0] != texts[1]:
        found.append("trials.csv differs")
    return found


def _states(tree: ResultTree) -> set[str]:
    return {path.name for path in (tree.storage / "states").iterdir() if path.is_dir()}


def _alone(ours: set[str], theirs: set[str]) -> list[tuple[str, str]]:
    return [(name, "undisturbed") for name in sorted(ours - theirs)] + [
        (name, "disturbed") for name in sorted(theirs - ours)
    ]


def _state_differences(ours: StateDir, theirs: StateDir) -> list[str]:
    name = ours.path.name
    if read_json(ours.status) != read_json(theirs.status):
        return [f"{name}: {read_json(ours.status)} and {read_json(theirs.status)}"]
    found = []
    keys: list[tuple[Path, Path, Callable[[Row], Hashable]]] = [
        (ours.train_rows, theirs.train_rows, lambda row: row["step"]),
        (
            ours.eval_rows,
            theirs.eval_rows,
            lambda row: (row["step"], row["dataset"], row["domain"]),
        ),
        (ours.data_rows, theirs.data_rows, lambda row: (row["step"], row["source"], row["domain"])),
    ]
    for one, other, key in keys:
        rows, other_rows = _rows(one, key), _rows(other, key)
        unequal = [
            key for key in rows.keys() | other_rows.keys() if rows.get(key) != other_rows.get(key)
        ]
        if unequal:
            shown = sorted(unequal, key=str)[:SHOWN]
            found.append(f"{name}/{one.name}: {len(unequal)} rows differ, such as {shown}")
    step = read_json(ours.status)["step"]
    return found + _tensor_differences(name, ours.checkpoint(step), theirs.checkpoint(step))


def _rows(path: Path, key: Callable[[Row], Hashable]) -> dict[Hashable, dict[str, Any]]:
    kept = current_rows(read_rows(path), key=key)
    return {
        key(row): {name: value for name, value in row.items() if name not in CLOCK} for row in kept
    }


def _tensor_differences(name: str, ours: Path, theirs: Path) -> list[str]:
    one, other = _tensors(ours), _tensors(theirs)
    if not one or one.keys() != other.keys():
        return [f"{name}: {ours.name} holds {len(one)} tensors and {len(other)}"]
    unequal = [key for key, tensor in one.items() if not _same_bits(tensor, other[key])]
    if not unequal:
        return []
    return [f"{name}: {len(unequal)} tensors differ, such as {sorted(unequal)[:SHOWN]}"]


def _tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    entries = read_metadata(checkpoint).state_dict_metadata
    tensors = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in entries.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    read_tensors(checkpoint, tensors, alone=True)
    return tensors


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and one.numpy().tobytes() == other.numpy().tobytes()
    )
