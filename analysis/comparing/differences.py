"""The differences of matched settings as a picture: a mark and its interval each, zero between."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from analysis import labels
from analysis.comparing.entries import Entry
from analysis.comparing.matching import clear
from analysis.drawing import theme

ROW_PIXELS = 24


def measure_label(measure: str) -> str:
    """A measure in words: `D0 loss`, `mean loss`, `forgetting`."""
    role, _, loss = measure.partition("_")
    return f"{role if role == 'mean' else role.upper()} loss" if loss else measure


def difference_rows(matched: Mapping[str, pd.DataFrame], measure: str) -> pd.DataFrame:
    """One row a difference of one measure.

    Args:
        matched: By sweep, as `matching.matched_settings` returns them.
        measure: One of those compared in at least one of them.

    Returns:
        `sweep`, `setting` and `name` (in the first sweep), `how`, `seeds`, `change`, `low`, `high`
        and `clear` (see `matching.clear`), settings that have a difference alone.
    """
    parts = []
    for sweep, table in matched.items():
        if f"{measure}_change" not in table:
            continue
        part = table[["setting", "name", "how", "seeds"]].assign(
            sweep=sweep,
            change=table[f"{measure}_change"],
            low=table[f"{measure}_change_low"],
            high=table[f"{measure}_change_high"],
            clear=clear(table, measure),
        )
        parts.append(part[part["change"].notna()])
    columns = ["sweep", "setting", "name", "how", "seeds", "change", "low", "high", "clear"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def difference_figure(
    rows: pd.DataFrame, others: Mapping[str, Entry], measure: str, unit: str
) -> go.Figure:
    """Settings below each other, their differences to the first sweep to the right and left of 0.

    Args:
        rows: As `difference_rows` returns them; not empty.
        others: The sweeps of the rows, by name.
        measure: What is compared.
        unit: In words.
    """
    names = list(dict.fromkeys(rows["name"]))
    drawn = theme.figure(
        x_title=f"difference in {measure_label(measure)}, {unit}",
        y_title="",
        height=70 + ROW_PIXELS * len(names) * max(1, rows["sweep"].nunique() - 1),
    )
    drawn.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[theme.literal(name) for name in names],
        range=[len(names) - 0.4, -0.6],
    )
    drawn.add_vline(x=0, line={"color": theme.MUTED, "dash": "dash", "width": 1.2})
    several = rows["sweep"].nunique()
    for number, (sweep, own) in enumerate(rows.groupby("sweep", sort=False)):
        shift = 0.5 * (number / (several - 1) - 0.5) if several > 1 else 0.0
        places = [names.index(name) + shift for name in own["name"]]
        drawn.add_trace(_marks(others[str(sweep)], own, places))
    return drawn


def _marks(entry: Entry, rows: pd.DataFrame, places: list[float]) -> go.Scatter:
    return go.Scatter(
        x=rows["change"],
        y=places,
        name=theme.literal(entry.name),
        meta=theme.owned(list(rows["setting"])),
        legendgroup=entry.name,
        mode="markers",
        marker={
            "color": entry.color,
            "symbol": ["circle" if it else "circle-open" for it in rows["clear"]],
            "size": 9,
            "line": {"width": 1.6, "color": entry.color},
        },
        error_x={
            "type": "data",
            "array": (rows["high"] - rows["change"]).fillna(0),
            "color": entry.color,
            "thickness": 1.2,
            "width": 0,
        },
        customdata=[_hover(entry, row) for row in rows.to_dict("records")],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _hover(entry: Entry, row: Mapping[Any, Any]) -> str:
    interval = ""
    if pd.notna(row["low"]):
        interval = f" ({labels.change(row['low'])} to {labels.change(row['high'])})"
    return (
        f"<b>{theme.literal(str(row['name']))}</b><br>{theme.literal(entry.name)}: "
        f"{labels.change(row['change'])}{interval}<br>{row['how']}, {row['seeds']}"
    )
