"""The dip in numbers: a row a setting, before any figure."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis import labels
from analysis.dips import newest_role
from analysis.load import Sweep
from analysis.page.tables import Cell, Table, number
from analysis.settings import agrees


def dip_means(sweep: Sweep, means: pd.DataFrame, center: Mapping[str, Any]) -> Table:
    """Height, place and end of the dip in the last stage, of the newest set and of D0.

    Args:
        sweep: For roles and names.
        means: As `dips.dip_settings` returns them.
        center: As `settings.anchor` returns it.
    """
    roles = dict.fromkeys([newest_role(sweep), "d0"])
    compared = (means["baseline"] == "no_rewarm").any() and len(means) > 1
    rows = []
    for _, row in means.iterrows():
        name = labels.setting_label(sweep, row.to_dict(), center)
        cells = [Cell(name, name), number(str(row["seeds"]), row["seeds"])]
        for role in roles:
            cells.append(_change(row, f"{role}_rise"))
            if compared:
                cells.append(_compared(row, role))
            peak = row[f"{role}_peak_tokens"]
            cells.append(number(labels.amount(peak) if peak else "never rose", peak))
            cells.append(_back(row, role))
        shown = [row["baseline"] and "baseline", row["center"] and "center"]
        rows.append((" ".join(filter(None, shown)), cells))
    headings, notes = ["setting", "seeds"], ["", ""]
    for role in roles:
        headings += [f"{role.upper()} rise", *(["vs no re-warming"] if compared else [])]
        headings += ["highest at", f"{role.upper()} back after"]
        notes += ["nats", *(["nats"] if compared else []), "tokens", "tokens"]
    numeric = [False, *(True for _ in headings[1:])]
    return Table(headings, numeric, rows, notes, settings=list(means.index))


def _compared(row: pd.Series, role: str) -> Cell:
    """The difference to not re-warming; nothing for not re-warming itself."""
    return Cell("") if row["baseline"] else _change(row, f"{role}_rise_change")


def _change(row: pd.Series, name: str) -> Cell:
    half = row[f"{name}_high"] - row[name]
    note = "" if pd.isna(half) else f"± {half:.3f}"
    value = row[name]
    return Cell(labels.change(value), "" if pd.isna(value) else float(value), note=note)


def _back(row: pd.Series, role: str) -> Cell:
    """When a loss was back below its start: the mean over seeds, or in how many it never was."""
    missing = int(row["seeds"] - row[f"{role}_back"])
    if missing:
        return Cell("never" if missing == row["seeds"] else f"never in {missing} seeds")
    tokens = row[f"{role}_recovered_tokens"]
    return number(labels.amount(tokens) if tokens else "never rose", tokens)


def dip_sentence(sweep: Sweep, means: pd.DataFrame, center: Mapping[str, Any]) -> str:
    """The dip of the centre in words; empty before a trial of it is complete."""
    central = means[means["baseline"] == ""]
    for axis, value in center.items():
        central = central[agrees(central[axis], value)]
    if central.empty:
        return ""
    role, row = newest_role(sweep), central.iloc[0]
    name = f"{role.upper()} loss"
    middle = labels.center_name(sweep)
    against = row[f"{role}_rise_change"]
    told = f", {labels.change(against)} against not re-warming" if pd.notna(against) else ""
    if row[f"{role}_rise"] <= 0:
        return f"In the {middle} {name} never rises above where it began{told}."
    peak, back = (labels.amount(row[f"{role}_{one}_tokens"]) for one in ("peak", "recovered"))
    after = f"is back after {back}" if row[f"{role}_back"] == row["seeds"] else "does not come back"
    return (
        f"In the {middle} {name} climbs by {labels.loss(row[f'{role}_rise'])} (the mean over seeds"
        f"{told}), is highest after {peak} tokens and {after}."
    )
