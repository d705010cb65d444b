"""The tree of states as lines of a table: each with its steps, its tokens, the rates at its join.

`3e-05 ⟶ 0 → 0.003 → 0.0003` tells where the state before ended, then first update, peak and end.
Inside a stage the rate does not jump, and `0.003 → 0.0003` goes on at what is held there.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from sweeps.branch_names import told_of, trials_of
from sweeps.forest import Branch, folded
from sweeps.joins import lr_before, lr_first, lr_last, lr_peak
from sweeps.plan import Plan
from sweeps.words import counted, quantity, rate

MOST_LINES = 48
ENOUGH_TEXT = 30
"""Columns of a line's words before they go on below for the sake of its rates."""
LEAST_RATES, MOST_RATES = 18, 40
"""Columns of a cell of rates before it goes on below."""
WIDE = 140
"""From so many columns on there is room for ids."""


@dataclass(frozen=True)
class _Line:
    """One line, and what it is drawn behind."""

    guide: str
    under: str
    text: str
    branch: Branch


def tree_table(plan: Plan, width: int, *, whole: bool = False) -> Table:
    """The states, each trained once.

    Args:
        plan: All states.
        width: Columns of the terminal.
        whole: Whether to draw every state that differs in more than its seed.
    """
    lines = list(_lines(plan, folded(plan, None if whole else MOST_LINES)))
    branches = [line.branch for line in lines]
    columns = _columns(branches, with_ids=width >= WIDE)
    taken = sum(2 + max(map(len, [heading, *cells])) for heading, cells in columns.items())
    longest = max(len(line.guide + line.text) for line in lines)
    most = min(max(width - taken - min(longest, ENOUGH_TEXT) - 4, LEAST_RATES), MOST_RATES)
    rates = [_rates(plan, branch, most) for branch in branches]
    taken += 2 + max(len(row) for cell in rates for row in cell.split("\n"))
    room = max(width - taken, 20)
    table = Table(
        box=None,
        pad_edge=False,
        title=f"{counted(len(plan.states), 'state')}, each trained once",
        title_justify="left",
    )
    table.add_column("", overflow="fold")
    columns["lr"] = rates
    shown = [heading for heading in ("states", "steps", "tokens", "lr", "id") if heading in columns]
    for heading in shown:
        table.add_column(heading, overflow="fold", justify="left" if heading == "lr" else "right")
    for line, *cells in zip(lines, *(columns[heading] for heading in shown), strict=True):
        style = "" if line.branch.nodes[0].state.ends_stage else "dim"
        table.add_row(_wrapped(line, room), *cells, style=style)
    return table


def _wrapped(line: _Line, room: int) -> Text:
    """The text behind its guide, on as many rows as it takes."""
    text = re.sub(r",(?=[A-Za-z])", ", ", line.text)
    behind = max(room - len(line.under), 16)
    rows = textwrap.wrap(text, behind, break_on_hyphens=False)
    return Text("\n".join([line.guide + rows[0], *(line.under + row for row in rows[1:])]))


def _columns(branches: Sequence[Branch], *, with_ids: bool) -> dict[str, list[str]]:
    """A cell for each branch below each heading but that of the rates."""
    firsts = [branch.nodes[0].state for branch in branches]
    single = [len(branch.nodes) == 1 for branch in branches]
    columns = {
        "states": [f"{len(branch.nodes):,}" for branch in branches],
        "id": [first.id if alone else "" for first, alone in zip(firsts, single, strict=True)],
        "steps": [f"{first.first_step:,}..{first.config.end_step:,}" for first in firsts],
        "tokens": [quantity(first.tokens) for first in firsts],
    }
    hidden = {"states" if all(single) else "", "" if with_ids and any(single) else "id"}
    return {heading: cells for heading, cells in columns.items() if heading not in hidden}


def _rates(plan: Plan, branch: Branch, most: int) -> str:
    """Rates of all its states, at most so many columns wide where that is enough for one of them.

    Those of one seed stand for all, since seeds share their rates.
    """
    seed = branch.nodes[0].state.config.seed
    states = [node.state for node in branch.nodes if node.state.config.seed == seed]
    first = _span([lr_first(state) for state in states])
    peak = _span([lr_peak(state) for state in states])
    last = _span([lr_last(state) for state in states])
    turns = [first, *([] if peak in (first, last) else [peak]), last]
    shown = [first] if first == last == peak else turns
    if states[0].config.base is None and states[0].before is not None:
        before = [lr_before(state, plan.states) for state in states]
        shown[0] = f"{_span([rate for rate in before if rate is not None])} ⟶ {shown[0]}"
    rows = [shown[0]]
    for turn in shown[1:]:
        if len(f"{rows[-1]} → {turn}") <= most:
            rows[-1] += f" → {turn}"
        else:
            rows.append(f"  → {turn}")
    return "\n".join(rows)


def _span(values: Sequence[float]) -> str:
    low, high = rate(min(values)), rate(max(values))
    return low if low == high else f"{low}..{high}"


def _lines(plan: Plan, branches: Sequence[Branch]) -> Iterator[_Line]:
    for branch in branches:
        text, told = told_of(plan, branch, plan.trials, frozenset())
        if len(branch.seeds) > 1:
            text += f" x {counted(len(branch.seeds), 'seed')}"
        yield _Line("", "  ", text, branch)
        yield from _below(plan, branch, "", told)


def _below(plan: Plan, branch: Branch, margin: str, told: frozenset[str]) -> Iterator[_Line]:
    trials = trials_of(branch.nodes)
    for number, inner in enumerate(branch.branches, start=1):
        last = number == len(branch.branches)
        text, now_told = told_of(plan, inner, trials, told)
        under = margin + ("   " if last else "│  ")
        yield _Line(margin + ("└─ " if last else "├─ "), under + "  ", text, inner)
        yield from _below(plan, inner, under, now_told)
