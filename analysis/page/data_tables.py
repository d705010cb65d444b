"""The report's tables of data: what there was, and what each stage read of it.

What was read comes from the rows that training wrote, so counts are realised and not nominal.
Stages that read as much (trials that differ in rates alone) stand together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from analysis import labels
from analysis.load import Sweep
from analysis.page.tables import Cell, Table, number

MOST_DOMAINS = 12
"""Beyond it the largest domains stand for all."""


def datasets_table(plan: Mapping[str, Any]) -> Table:
    """Data sets with their sizes; under one of several sources a row for each."""
    rows = []
    for name, dataset in plan["datasets"].items():
        sources = sources_of(dataset)
        single = len(sources) == 1
        domains = ", ".join(dataset["domains"]) or labels.MISSING
        note = ". ".join(filter(None, [sources[0]["path"] if single else "", _remarks(dataset)]))
        rows.append(_sizes(dataset["role"].upper(), name, note, dataset, domains))
        for source in [] if single else sources:
            share = f"{float(Fraction(source['weight'])):.2%} of {name}: {source['path']}"
            rows.append(_sizes("", f"{name}/{source['name']}", share, source, ""))
    headings = ["role", "data set", "documents", "tokens", "bytes", "held-out tokens", "domains"]
    return Table(headings, [False, False, True, True, True, True, False], rows)


def sources_of(dataset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The sources of a planned data set; plans that knew but one source each do not list it."""
    return list(dataset.get("sources") or [{**dataset, "name": "", "weight": "1"}])


def _sizes(
    role: str, name: str, note: str, sizes: Mapping[str, Any], domains: str
) -> tuple[str, list[Cell]]:
    cells = [Cell(role), Cell(name, name, note=note)]
    for key in ("documents", "tokens", "bytes", "validation_tokens"):
        value = sizes.get(key)
        cells.append(number("" if value is None else f"{value:,}", value))
    return "", [*cells, Cell(domains)]


def _remarks(dataset: Mapping[str, Any]) -> str:
    """What was left out of a data set, and what of its held-out text was trained on."""
    empty = sum(source.get("empty", 0) for source in sources_of(dataset))
    told = [f"{empty:,} documents without text left out"] if empty else []
    told += [
        f"{count:,} of its held-out documents stand in the training data of {name} too"
        for name, count in dataset.get("shared", {}).items()
        if count
    ]
    return "; ".join(told)


def reading_table(sweep: Sweep) -> Table:
    """A row for each source of each stage, as far as it was trained."""
    planned = {state["state"]: state for state in sweep.plan["states"]}
    groups: dict[tuple[Any, ...], list[str]] = {}
    found = _read(sweep)
    ends = sweep.states[sweep.states["ends_stage"]].index
    for state in (name for name in ends if name in found):
        options = [str(source) for source in _of_stage(planned[state])]
        samples = [(source, read.samples) for source, read in found[state].items()]
        groups.setdefault((*options, *samples, planned[state]["stage"]), []).append(state)
    rows = []
    for states in groups.values():
        rows += _stage_rows(planned[states[0]], found[states[0]], len(states))
    headings = ["stage", "source", "tokens", "share", "samples", "epochs", "domains"]
    return Table(headings, [False, False, True, True, False, True, False], rows)


@dataclass
class Read:
    """What a stage read of one source: tokens, samples, epochs, and tokens of each domain."""

    tokens: int
    samples: int
    epochs: float
    domains: dict[str, int] = field(default_factory=dict)


def _read(sweep: Sweep) -> dict[str, dict[str, Read]]:
    """State to source to what was read, sources in the order of their rows."""
    inside = sweep.data["domain"].notna()
    found: dict[str, dict[str, Read]] = {}
    groups = sweep.data[~inside].groupby(["state", "source"], sort=False)
    sums = groups.agg({"tokens": "sum", "samples": "sum", "epoch": "last"}).reset_index()
    for state, source, tokens, samples, epochs in sums.itertuples(index=False, name=None):
        found.setdefault(state, {})[source] = Read(int(tokens), int(samples), float(epochs))
    parts = sweep.data[inside].groupby(["state", "source", "domain"], sort=False)["tokens"].sum()
    for state, source, domain, tokens in parts.reset_index().itertuples(index=False, name=None):
        # A source can lack its own row where a line was cut off.
        if source in found.get(state, {}):
            found[state][source].domains[domain] = int(tokens)
    return found


def _stage_rows(
    planned: Mapping[str, Any], found: Mapping[str, Read], states: int
) -> list[tuple[str, list[Cell]]]:
    total = sum(read.tokens for read in found.values())
    rows: list[tuple[str, list[Cell]]] = []
    others = f"and {states - 1} more that read as much" if states > 1 else ""
    for source in _of_stage(planned):
        name = source["source"]
        if name not in found:
            continue
        read = found[name]
        stage = Cell(planned["label"], planned["label"], note=others) if not rows else Cell("")
        again = "read more than once" if read.epochs > 1 else ""
        cells = [
            stage,
            Cell(name, name, note="" if source["seen"] is None else "replay"),
            number(labels.amount(read.tokens), read.tokens),
            number(f"{read.tokens / total:.2%}", read.tokens / total) if total else Cell(""),
            Cell(samples_read(source, read.samples)),
            Cell(f"{read.epochs:.3g}", read.epochs, note=again),
            Cell(_domains(read.domains)),
        ]
        rows.append(("", cells))
    return rows


def _of_stage(planned: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The sources of a state without what depends on where it is cut."""
    names = ("source", "order", "offset", "seen")
    return [{name: source[name] for name in names} for source in planned["sources"]]


def samples_read(source: Mapping[str, Any], samples: int) -> str:
    """Which samples of a source a stage has read, as their numbers in the training order.

    Args:
        source: As the states of `plan.json` list it.
        samples: How many were read.
    """
    if not samples:
        return "none"
    if source["seen"] is None:
        return f"0 to {samples - 1:,}"
    offset, seen = source["offset"], source["seen"]
    if samples > seen:
        order = "in a new order each time" if source["order"] == "reshuffled" else "in that order"
        return f"all {seen:,} that were seen, {samples / seen:.3g} times {order}"
    if source["order"] == "reshuffled":
        return f"{samples:,} of the {seen:,} that were seen, in a new order"
    last = offset + samples - 1
    if last < seen:
        return f"{offset:,} to {last:,} in their training order"
    return f"{offset:,} to {seen - 1:,}, then 0 to {last - seen:,}, in their training order"


def _domains(tokens: Mapping[str, int]) -> str:
    """Shares of the domains of a source, the largest first; those nothing was read of left out."""
    total = sum(tokens.values())
    largest = sorted(tokens.items(), key=lambda item: -item[1])
    told = [f"{name} {count / total:.1%}" for name, count in largest if count]
    more = len(told) - MOST_DOMAINS
    return ", ".join(told[:MOST_DOMAINS]) + (f" and {more} more" if more > 0 else "")
