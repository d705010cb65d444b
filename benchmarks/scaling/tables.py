"""What was measured, as the tables of docs/performance.md."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from statistics import median

from benchmarks.scaling import extrapolation
from benchmarks.scaling.figures import at_once, slope
from benchmarks.scaling.groups import on_head, table
from benchmarks.scaling.run import Driven, Measured
from benchmarks.scaling.store import counted

KINDS = ("GET", "HEAD", "LIST", "PUT", "PARTS", "COPY", "DELETE")


def all_of(
    found: Measured, nodes: int, seconds: float, alone: Mapping[str, Counter[str]]
) -> Iterator[str]:
    """Lines."""
    yield f"{nodes} nodes, {found.bare.trials} trials, {seconds:g} s each\n"
    yield from waiting(found, seconds)
    yield from memory(found, nodes)
    yield from processor_of_head(found)
    if found.groups:
        yield from table(found.groups)
    if found.requests:
        yield from requests(found, alone)
    yield from extrapolation.table(at_thousand(found, nodes, alone))


def waiting(found: Measured, seconds: float) -> Iterator[str]:
    """Of slots, and what the run took."""
    rows: list[tuple[str, Callable[[Driven], float], str]] = [
        ("states", lambda one: one.trials, ".0f"),
        ("from the start of the driver to its end, s", lambda one: one.seconds, ".1f"),
        ("at once, mean", lambda one: at_once(list(one.notes.values())), ".2f"),
        ("a slot's first state begins after, s", lambda one: median(one.waits.first), ".2f"),
        ("a slot waits between two states, s, median", lambda one: one.waits.median, ".3f"),
        ("mean", lambda one: one.waits.mean, ".3f"),
        ("95% at most", lambda one: one.waits.p95, ".3f"),
        ("the most", lambda one: max(one.waits.others), ".3f"),
        ("share of time that slots wait", lambda one: one.waits.idle, ".1%"),
        ("driver, processor s a state", lambda one: one.processor("driver"), ".4f"),
        ("the same, share of a core", lambda one: one.share("driver"), ".1%"),
        ("GCS, processor s a state", lambda one: one.processor("GCS"), ".4f"),
        ("raylet of the head, the same", lambda one: one.processor("raylet of the head"), ".4f"),
        ("dashboard, the same", lambda one: one.processor("dashboard"), ".4f"),
    ]  # fmt: skip
    yield "| | rewarm | bare Tune | ratio |"
    yield "|---|---|---|---|"
    for name, value, form in rows:
        ours, bare = value(found.sweep), value(found.bare)
        yield f"| {name} | {ours:{form}} | {bare:{form}} | {ours / bare if bare else 0:.2f} |"
    ours, bare = (seconds + one.waits.mean for one in (found.sweep, found.bare))
    name = f"a state of {seconds:g} s and the wait before it, s"
    yield f"| {name} | {ours:.2f} | {bare:.2f} | {ours / bare:.3f} |"
    yield f"| the same command again, nothing to do, s | {found.again_seconds:.1f} | | |"
    yield f"| `rewarm report`, s | {found.report_seconds:.1f} | | |\n"


def memory(found: Measured, nodes: int) -> Iterator[str]:
    """Of the head and the driver."""
    yield "| MB in memory | head alone | with its nodes | a node | at the end | kB a state |"
    yield "|---|---|---|---|---|---|"
    settled = found.sweep.settled()
    for part in settled[-1].use:
        empty = found.empty[part].resident / 1e6 if part in found.empty else None
        full = found.filled[part].resident / 1e6 if part in found.filled else None
        grows = slope([(one.ended, one.use[part].resident) for one in settled]) / 1e3
        before = "| | " if empty is None or full is None else f"{empty:.0f} | {full:.0f} | "
        node = "" if empty is None or full is None else f"{(full - empty) / nodes:.2f}"
        end = found.sweep.samples[-1].use[part].resident / 1e6
        yield f"| {part} | {before}{node} | {end:.0f} | {grows:.1f} |"
    yield ""


def at_thousand(
    found: Measured, nodes: int, alone: Mapping[str, Counter[str]]
) -> Iterator[extrapolation.Row]:
    """GPUs."""
    size = extrapolation.Size()
    sweep = found.sweep
    settled, last = sweep.settled(), sweep.samples[-1].use
    # The driver's last sample holds the report; what it loads for that is there once.
    fixed = sum(use.resident for use in found.empty.values()) + last["driver"].resident
    a_node = sum(found.filled[part].resident - use.resident for part, use in found.empty.items())
    grows = sum(slope([(one.ended, one.use[part].resident) for one in settled]) for part in last)
    group = on_head(found.groups) if found.groups else []
    a_group = sum(kind.resident for kind in group)
    yield from extrapolation.head_rows(fixed, a_node / nodes, grows, a_group, size)
    if group:
        yield from extrapolation.group_rows(sum(kind.share for kind in group), size)
    yield from extrapolation.driver_rows(sweep.processor("driver"), sweep.waits.mean, size)
    if alone:
        yield from extrapolation.store_rows(alone, size)


def processor_of_head(found: Measured) -> Iterator[str]:
    """With its nodes, and nothing to do."""
    yield "| idle, with its nodes | share of a core |"
    yield "|---|---|"
    for part, share in found.idle.items():
        yield f"| {part} | {share:.1%} |"
    yield ""


def requests(found: Measured, alone: Mapping[str, Counter[str]]) -> Iterator[str]:
    """Of the store."""
    trials = found.sweep.trials
    yield "| requests | " + " | ".join(KINDS) + " | all |"
    yield "|---" * (len(KINDS) + 2) + "|"
    for name, counts in alone.items():
        yield _row(f"{name}, alone", counts)
    for who in ("training", "driver"):
        counts = counted(one for one in found.requests if one.who == who)
        yield _row(f"{who}, a state", {kind: count / trials for kind, count in counts.items()})
    yield ""


def _row(name: str, counts: Mapping[str, float]) -> str:
    cells = [f"{counts.get(kind, 0):.1f}" for kind in KINDS]
    return f"| {name} | " + " | ".join(cells) + f" | {sum(counts.values()):.1f} |"
