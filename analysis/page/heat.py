"""The forgetting matrix as small tables: losses, and in colour what was forgotten since."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import labels
from analysis.drawing.whole_path import path_choice
from analysis.load import Sweep
from analysis.matrix import matrix_table
from analysis.page.tables import Cell, Table, number
from cpt.records import StatusWord

SHOWN_CHANGE = 0.0005
"""A change that would be written as 0.000 has no colour."""


@dataclass(frozen=True)
class HeatCell:
    """The loss on one set at one boundary.

    Attributes:
        loss: As text.
        change: Since the set was last trained on, or why there is none, as text.
        role: `rise`, `fall`, `trained` (the stage before the boundary trained on the set),
            `untrained` (no stage has yet) or empty, for the style sheet.
        share: |change| as a share of the largest of all tables, in [0, 1].
    """

    loss: str
    change: str
    role: str
    share: float


@dataclass(frozen=True)
class HeatTable:
    """One matrix: its name, a note, headings of its columns, and (row name, note, cells)."""

    title: str
    note: str
    headings: list[str]
    rows: list[tuple[str, str, list[HeatCell]]]


def heat_tables(sweep: Sweep, trials: pd.DataFrame, center: Mapping[str, Any]) -> list[HeatTable]:
    """One matrix a schedule around the centre, or the centre's; means over complete seeds."""
    matrix = matrix_table(sweep)
    chosen = path_choice(sweep, trials, center)
    picked = {}
    for curve, rows in chosen.groupby("curve", sort=False):
        complete = rows[rows["status"] == StatusWord.COMPLETE]
        counted = complete if len(complete) else rows.iloc[:1]
        seeds = matrix[matrix["trial"].isin(counted["trial"])]
        if seeds["loss"].notna().any():
            picked[str(curve)] = (counted, seeds)
    means = {name: _mean(seeds) for name, (_, seeds) in picked.items()}
    largest = max((float(mean["change"].abs().max()) for mean in means.values()), default=0.0)
    return [
        HeatTable(
            title=labels.title(name),
            note=_note(counted),
            headings=[f"{role.upper()} {sweep.dataset(role)}" for role in sweep.roles],
            rows=_rows(sweep, means[name], largest or 1.0),
        )
        for name, (counted, _) in picked.items()
    ]


def matrix_of_trials(sweep: Sweep) -> Table:
    """Every trial's matrix on one line."""
    matrix = matrix_table(sweep).sort_values(["role", "boundary"], kind="stable")
    names = boundary_names(sweep)
    rows = []
    for trial, entries in matrix.groupby("trial", sort=False):
        cells = [Cell(str(trial), str(trial))]
        for entry in entries.to_dict("records"):
            cell = number(labels.loss(entry["loss"]), entry["loss"])
            note = "" if entry["trained"] else _change(entry["change"])
            cells.append(Cell(cell.text, cell.order, note=note))
        rows.append(("", cells))
    headings = [f"{role.upper()} {name}" for role in sweep.roles for name in names]
    return Table(["trial", *headings], [False, *(True for _ in headings)], rows)


def boundary_names(sweep: Sweep) -> list[str]:
    """What the boundaries are called: `pre-trained`, `after code`, ..."""
    return ["pre-trained", *(f"after {stage['dataset']}" for stage in sweep.plan["stages"][1:])]


def _mean(seeds: pd.DataFrame) -> pd.DataFrame:
    groups = seeds.groupby(["boundary", "role"])
    means = groups[["loss", "change"]].mean().join(groups[["trained", "annealed"]].all())
    return means.reset_index()


def _rows(
    sweep: Sweep, mean: pd.DataFrame, largest: float
) -> list[tuple[str, str, list[HeatCell]]]:
    rows = []
    for boundary, name in enumerate(boundary_names(sweep)):
        entries = mean[mean["boundary"] == boundary].set_index("role").reindex(sweep.roles)
        note = "" if entries["annealed"].all() else "un-annealed"
        rows.append((name, note, [_cell(entry, largest) for _, entry in entries.iterrows()]))
    return rows


def _cell(entry: pd.Series, largest: float) -> HeatCell:
    loss, change = entry["loss"], entry["change"]
    if pd.isna(loss):
        return HeatCell(labels.MISSING, "", "", 0.0)
    if entry["trained"]:
        return HeatCell(labels.loss(loss), "just trained", "trained", 0.0)
    if pd.isna(change):
        return HeatCell(labels.loss(loss), "not yet", "untrained", 0.0)
    role = "" if abs(change) < SHOWN_CHANGE else "rise" if change > 0 else "fall"
    return HeatCell(labels.loss(loss), _change(change), role, round(abs(change) / largest, 3))


def _change(change: float) -> str:
    return "" if pd.isna(change) else labels.change(change)


def _note(counted: pd.DataFrame) -> str:
    status = str(counted["status"].iloc[0])
    if status != StatusWord.COMPLETE:
        return status
    return "" if len(counted) == 1 else f"mean of {len(counted)} seeds"
