"""The tree of states as lines of a table: each with its steps, its tokens, the rates at its join.

`3e-05 ⟶ 0 → 0.003 → 0.0003` tells where the state before ended, then first update, peak and end.
Inside a stage the rate does not jump, and `0.003 → 0.0003` goes on at what is held there.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from sweeps.design import center
from sweeps.factors import FACTORS, plain
from sweeps.forest import Branch, Node, common, folded, without_seed
from sweeps.joins import lr_before, lr_first, lr_last, lr_peak
from sweeps.plan import Plan, Trial
from sweeps.words import counted, listed, quantity, rate

MOST_LINES = 48
ENOUGH_TEXT = 30
"""Columns of a line's words before they go on below for the sake of its rates."""
LEAST_RATES, MOST_RATES = 18, 40
"""Columns of a cell of rates before it goes on below."""
MOST_OF_VALUES = 26
"""Characters of a list of numbers before its ends stand for it."""
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
        text, told = _told(plan, branch, plan.trials, frozenset())
        if len(branch.seeds) > 1:
            text += f" x {counted(len(branch.seeds), 'seed')}"
        yield _Line("", "  ", text, branch)
        yield from _below(plan, branch, "", told)


def _below(plan: Plan, branch: Branch, margin: str, told: frozenset[str]) -> Iterator[_Line]:
    trials = _trials(branch.nodes)
    for number, inner in enumerate(branch.branches, start=1):
        last = number == len(branch.branches)
        text, now_told = _told(plan, inner, trials, told)
        under = margin + ("   " if last else "│  ")
        yield _Line(margin + ("└─ " if last else "├─ "), under + "  ", text, inner)
        yield from _below(plan, inner, under, now_told)


def _told(
    plan: Plan, branch: Branch, around: Sequence[Trial], told: frozenset[str]
) -> tuple[str, frozenset[str]]:
    """What a branch is called, and the factors that need not be told below it again.

    Args:
        plan: All trials.
        branch: What to name.
        around: The trials of the branch that it grows from.
        told: Factors named above it.
    """
    state = branch.nodes[0].state
    if state.stage == "upstream" and state.ends_stage:
        return without_seed(state.config.label, state.config.seed), told
    kind = _kind(plan, branch)
    one_setting = len(branch.nodes) == len(branch.seeds)
    trials = [trial for trial in _trials(branch.nodes) if trial.baseline is None]
    baselines = list(dict.fromkeys(t.baseline for t in _trials(branch.nodes) if t.baseline))
    if not trials:
        return f"{kind}{listed(baselines)}", told
    if plan.spec.design != "grid" and not branch.branches and one_setting:
        return f"{kind}{without_seed(trials[0].label, trials[0].factors['seed'])}", told
    middle = {name: plain(value) for name, value in center(plan.spec).items()}
    fixed = [name for name in _decided(branch.nodes) if name not in told]
    if plan.spec.design == "one_at_a_time":  # what is said is what differs from the centre
        fixed = [name for name in fixed if _values(trials, name) != [middle.get(name)]]
    vary = {name for name in fixed if len(_values(around, name)) > 1}
    text = _settings(branch, [name for name in fixed if name in vary], kind)
    if baselines and not branch.branches:
        text += f", and {listed(baselines)}"
    return text, told | vary


def _kind(plan: Plan, branch: Branch) -> str:
    """The words before the factors."""
    state = branch.nodes[0].state
    many = len(branch.nodes) > len(branch.seeds)
    if not state.ends_stage:
        if state.stage == "upstream":
            return "shared beginning of pre-training: "
        one = "trunk" if state.is_wanted else "shared beginning"  # a trunk waits for longer budgets
        return f"{one}s: " if many else f"{one}: "
    if state.stage == "downstream" and state.role is not None and len(plan.spec.stages) > 1:
        return f"{plan.spec.stage_datasets[int(state.role[1:])]}: "
    return ""


def _settings(branch: Branch, names: Sequence[str], kind: str) -> str:
    """Factors and their values; where there are many of either, how many."""
    trials = [trial for trial in _trials(branch.nodes) if trial.baseline is None]
    values = {name: _values(trials, name) for name in names}
    scope = kind.removesuffix(": ")
    single = [f"{_short(name, scope)} {_value(found[0])}" for name, found in values.items()
              if len(found) == 1]  # fmt: skip
    several = {name: found for name, found in values.items() if len(found) > 1}
    if not several:
        return kind + ", ".join(single) if single else kind.removesuffix(": ") or "center"
    settings = len({tuple(trial.factors[name] for name in several) for trial in trials})
    product = 1
    for found in several.values():
        product *= len(found)
    parts = [f"{_short(name, scope)} {_choice(found)}" for name, found in several.items()]
    if settings == product:
        return kind + ", ".join([*single, " x ".join(parts)])
    return kind + ", ".join([*single, f"{settings} settings of {', '.join(parts)}"])


def _choice(values: Sequence[Any]) -> str:
    shown = [_value(value) for value in values]
    if len(", ".join(shown)) <= MOST_OF_VALUES or any(isinstance(value, str) for value in values):
        return ", ".join(shown)
    return f"{shown[0]}..{shown[-1]} ({len(shown)} values)"


def _value(value: Any) -> str:
    if isinstance(value, int):
        return quantity(value)
    return rate(value) if isinstance(value, float) else str(value)


def _short(name: str, scope: str) -> str:
    """A factor's name without what every reader of the table knows, the stage of the line too."""
    name = name.removeprefix(f"{scope}.")
    return name.removesuffix("_fraction") if name.rpartition(".")[2] in FACTORS else name


def _values(trials: Sequence[Trial], name: str) -> list[Any]:
    """What trials that are no baselines have there, in order."""
    found = dict.fromkeys(trial.factors[name] for trial in trials if trial.baseline is None)
    values = [value for value in found if value is not None]
    return values if any(isinstance(value, str) for value in values) else sorted(values)


def _decided(nodes: Sequence[Node]) -> list[str]:
    """Factors that are settled for all trials that pass through a node, for every node."""
    names: dict[str, None] | None = None
    for node in nodes:
        trials = [trial for trial in node.trials if trial.baseline is None]
        if trials:
            here = common(trials)
            names = dict.fromkeys(here if names is None else (n for n in names if n in here))
    return list(names or ())


def _trials(nodes: Sequence[Node]) -> list[Trial]:
    found = {trial.label: trial for node in nodes for trial in node.trials}
    return list(found.values())
