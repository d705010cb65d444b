"""What the doctor found, as a table for people."""

from collections import defaultdict
from collections.abc import Iterable

from rich.console import Group
from rich.table import Table
from rich.text import Text

from sweeps.cluster.checks import Findings, Row, Verdict
from sweeps.words import counted

STYLES = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAULT: "bold red"}
MOST_NAMED = 3
"""Places that say the same by name; of more it says how many."""


def doctor_page(findings: Findings) -> Group:
    """A table, worst last, and one line that sums it up."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row, places in _alike(findings.rows):
        style = STYLES[row.verdict]
        where = _named(places, len(findings.machines))
        table.add_row(Text(row.verdict, style), row.check, where, Text(row.told))
    return Group(table, Text(_sum(findings.rows)))


def _alike(rows: Iterable[Row]) -> list[tuple[Row, list[str]]]:
    """Rows that say the same of several places, as one; the worst last, where eyes are."""
    places: defaultdict[tuple[str, Verdict, str], list[str]] = defaultdict(list)
    first: dict[tuple[str, Verdict, str], Row] = {}
    for row in rows:
        key = row.check, row.verdict, row.told
        first.setdefault(key, row)
        places[key].append(row.where)
    order = [*Verdict]
    return sorted(
        ((row, places[key]) for key, row in first.items()),
        key=lambda pair: order.index(pair[0].verdict),
    )


def _named(places: list[str], machines: int) -> str:
    if len(places) == machines > 1:
        return f"all {machines}"
    more = len(places) - MOST_NAMED
    return "\n".join(places if more <= 0 else [*places[:MOST_NAMED], f"and {more} more"])


def _sum(rows: Iterable[Row]) -> str:
    found = [row.verdict for row in rows]
    faults, warnings = found.count(Verdict.FAULT), found.count(Verdict.WARNING)
    if not faults and not warnings:
        return "nothing stands in the way"
    return f"{counted(faults, 'fault')}, {counted(warnings, 'warning')}"
